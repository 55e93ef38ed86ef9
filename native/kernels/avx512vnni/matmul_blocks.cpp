// GGUF blocks whose scales are products times int8 activations in groups of 32. Codes are unsigned, as vpdpbusd wants
// them; the zero point of q6_k is taken away with the sum of the activations of each 16. Values are looked up 128 higher,
// which is taken away the same way.
#include "kernels/avx512vnni/epilogue.h"
#include "kernels/avx512vnni/rows.h"
#include "kernels/avx512vnni/slots.h"

namespace honed::avx512vnni {
namespace {

constexpr int kMostRows = 4;  // 8 integer and 8 float accumulators
constexpr int64_t kPrefetchBytes = 8192;
constexpr int64_t kCellBytes = 64;  // 16 columns of four k, or of eight in nibbles
constexpr int kGroupQuads = 4;      // of 16 k

template <BlockForm Form>
constexpr BlockShape shape_of() {
  return kBlockShapes[static_cast<int>(Form)];
}

struct Pair {
  __m512 low;
  __m512 high;
};

static inline Pair halves(const uint8_t* source) { return {f16_to_f32(source), f16_to_f32(source + kVector * 2)}; }

enum class Level { whole, signed_whole, low_half, high_half };

static inline __m512 level(const uint8_t* source, Level kind) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(source));
  if (kind == Level::signed_whole) return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
  __m512i wide = _mm512_cvtepu8_epi32(bytes);
  if (kind == Level::low_half) wide = _mm512_and_si512(wide, _mm512_set1_epi8(15));
  if (kind == Level::high_half) wide = _mm512_srli_epi16(wide, 4);
  return _mm512_cvtepi32_ps(wide);
}

static inline Pair leveled(const Pair& factor, const uint8_t* levels, Level kind) {
  return {_mm512_mul_ps(factor.low, level(levels, kind)), _mm512_mul_ps(factor.high, level(levels + kVector, kind))};
}

template <int Rows>
static inline void clear(Dots<Rows>& dots) {
  for (int r = 0; r < Rows; ++r) dots.low[r] = dots.high[r] = _mm512_setzero_si512();
}

// The sum of 32 codes from `x` on times `Factor`: of the first 16 in each lane of the lower half, then of the second.
template <int Factor>
static inline __m256i sums_of_16(const int8_t* x) {
  const __m256i codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x));
  const __m256i fours = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(Factor), codes);
  const __m256i pairs = _mm256_hadd_epi32(fours, fours);
  return _mm256_hadd_epi32(pairs, pairs);
}

// Starts at -Zero * (sum of 16 activations), for the first and the second 16 of 32 k.
template <int Zero, int Rows>
static inline void start_zero(const RowBlock& x, int64_t k, Dots<Rows> (&dots)[2]) {
  for (int r = 0; r < Rows; ++r) {
    const __m256i sums = sums_of_16<Zero>(x.codes(r) + k);
    const __m512i zero = _mm512_setzero_si512();
    const __m128i first = _mm256_castsi256_si128(sums);
    const __m128i second = _mm256_extracti128_si256(sums, 1);
    dots[0].low[r] = dots[0].high[r] = _mm512_sub_epi32(zero, _mm512_broadcastd_epi32(first));
    dots[1].low[r] = dots[1].high[r] = _mm512_sub_epi32(zero, _mm512_broadcastd_epi32(second));
  }
}

// Adds `Quads` quads of bytes to 16 columns. Callers go through the halves of a panel one after the other, as they lie:
// two streams at once are read far slower (docs/measurements/kernels-gguf.md).
template <int Rows, int Quads>
static inline void add_bytes(const RowBlock& x, int64_t k, const uint8_t* tile, __m512i (&dots)[Rows]) {
#pragma GCC unroll 8
  for (int quad = 0; quad < Quads; ++quad) {
    const uint8_t* cells = tile + quad * kCellBytes;
    _mm_prefetch(reinterpret_cast<const char*>(cells + kPrefetchBytes), _MM_HINT_T0);
    const __m512i w = _mm512_loadu_si512(cells);
    for (int r = 0; r < Rows; ++r) {
      dots[r] = _mm512_dpbusd_epi32(dots[r], w, broadcast_quad(x.codes(r) + k + quad * 4));
    }
  }
}

// What a form with values is multiplied by: as iq4_xs or, in groups of 16, as iq2_xs.
struct Values {
  __m512i table;  // 128 higher
  __m512 factor;
};

static inline Values values_of(BlockForm form) {
  const BlockShape& shape = kBlockShapes[static_cast<int>(form)];
  if (shape.values == nullptr) return {_mm512_setzero_si512(), _mm512_set1_ps(1.0f)};
  const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(shape.values));
  const __m512i table = _mm512_xor_si512(_mm512_broadcast_i32x4(values), _mm512_set1_epi8(-128));
  return {table, _mm512_set1_ps(shape.factor)};
}

// Starts at -128 * (sum of the activations of block g).
template <int Rows>
static inline void start_values(const RowBlock& x, int64_t g, Dots<Rows>& dots) {
  for (int r = 0; r < Rows; ++r) dots.low[r] = dots.high[r] = _mm512_set1_epi32(-128 * x.sums(r)[g]);
}

// The same for the first and the second 16 of 32 k.
template <int Rows>
static inline void start_zero_of_values(const RowBlock& x, int64_t k, Dots<Rows> (&dots)[2]) {
  for (int r = 0; r < Rows; ++r) {
    const __m256i sums = _mm256_slli_epi32(sums_of_16<1>(x.codes(r) + k), 7);
    const __m512i zero = _mm512_setzero_si512();
    const __m128i first = _mm256_castsi256_si128(sums);
    const __m128i second = _mm256_extracti128_si256(sums, 1);
    dots[0].low[r] = dots[0].high[r] = _mm512_sub_epi32(zero, _mm512_broadcastd_epi32(first));
    dots[1].low[r] = dots[1].high[r] = _mm512_sub_epi32(zero, _mm512_broadcastd_epi32(second));
  }
}

// Nibbles, or what they stand for.
template <bool LookUp>
static inline __m512i looked_up(__m512i nibbles, __m512i table) {
  return LookUp ? _mm512_shuffle_epi8(table, nibbles) : nibbles;
}

// Adds 32 k of nibbles: quad i in the low ones of row i, which are the first 16 k, quad i + 4 in the high ones.
template <bool LookUp = false, int Rows>
static inline void add_nibbles(const RowBlock& x, int64_t k, const uint8_t* codes, Dots<Rows>& first_16,
                               Dots<Rows>& second_16, __m512i table = _mm512_setzero_si512()) {
  constexpr int64_t kHalfBytes = kGroupQuads * kCellBytes;
  const __m512i nibble = _mm512_set1_epi8(15);
  for (int i = 0; i < kGroupQuads; ++i) {
    const uint8_t* cells = codes + i * kCellBytes;
    _mm_prefetch(reinterpret_cast<const char*>(cells + kPrefetchBytes), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(cells + kHalfBytes + kPrefetchBytes), _MM_HINT_T0);
    const __m512i low = _mm512_loadu_si512(cells);
    const __m512i high = _mm512_loadu_si512(cells + kHalfBytes);
    const __m512i low_second = looked_up<LookUp>(_mm512_and_si512(_mm512_srli_epi16(low, 4), nibble), table);
    const __m512i high_second = looked_up<LookUp>(_mm512_and_si512(_mm512_srli_epi16(high, 4), nibble), table);
    const __m512i low_first = looked_up<LookUp>(_mm512_and_si512(low, nibble), table);
    const __m512i high_first = looked_up<LookUp>(_mm512_and_si512(high, nibble), table);
    for (int r = 0; r < Rows; ++r) {
      const __m512i first = broadcast_quad(x.codes(r) + k + i * 4);
      const __m512i second = broadcast_quad(x.codes(r) + k + kBlock / 2 + i * 4);
      first_16.low[r] = _mm512_dpbusd_epi32(first_16.low[r], low_first, first);
      first_16.high[r] = _mm512_dpbusd_epi32(first_16.high[r], high_first, first);
      second_16.low[r] = _mm512_dpbusd_epi32(second_16.low[r], low_second, second);
      second_16.high[r] = _mm512_dpbusd_epi32(second_16.high[r], high_second, second);
    }
  }
}

template <int Rows>
static inline void add_scaled(const RowBlock& x, int64_t g, const Dots<Rows>& dots, const Pair& scale,
                              PanelResult* result) {
  for (int r = 0; r < Rows; ++r) {
    const __m512 x_scale = _mm512_set1_ps(x.scales(r)[g]);
    const __m512 low = _mm512_mul_ps(_mm512_cvtepi32_ps(dots.low[r]), x_scale);
    const __m512 high = _mm512_mul_ps(_mm512_cvtepi32_ps(dots.high[r]), x_scale);
    result[r].low = _mm512_fmadd_ps(low, scale.low, result[r].low);
    result[r].high = _mm512_fmadd_ps(high, scale.high, result[r].high);
  }
}

// The minimums of the levels are subtracted, those of q5_1 added. `total_of` gives the sum of the activations of a row
// times their scale, in every lane.
template <bool Subtracted, int Rows, typename TotalOf>
static inline void add_minimums(const Pair& minimum, const TotalOf& total_of, PanelResult* result) {
  for (int r = 0; r < Rows; ++r) {
    const __m512 total = total_of(r);
    if constexpr (Subtracted) {
      result[r].low = _mm512_fnmadd_ps(total, minimum.low, result[r].low);
      result[r].high = _mm512_fnmadd_ps(total, minimum.high, result[r].high);
    } else {
      result[r].low = _mm512_fmadd_ps(total, minimum.low, result[r].low);
      result[r].high = _mm512_fmadd_ps(total, minimum.high, result[r].high);
    }
  }
}

// 32 k from block g on.
template <BlockForm Form, int Rows>
static inline void add_block(const RowBlock& x, int64_t g, const uint8_t* head, const uint8_t* codes,
                             const Values& values, PanelResult* result) {
  constexpr BlockShape kShape = shape_of<Form>();
  constexpr int64_t kHalfBytes = kShape.code_bytes / 2;
  const uint8_t* levels = codes + kShape.code_bytes;
  const Pair d = halves(head);
  if constexpr (Form == BlockForm::q6_k) {
    Dots<Rows> dots[2];
    start_zero<kShape.zero>(x, g * kBlock, dots);
    const int64_t k = g * kBlock;
    add_bytes<Rows, kGroupQuads>(x, k, codes, dots[0].low);
    add_bytes<Rows, kGroupQuads>(x, k + kBlock / 2, codes + kHalfBytes / 2, dots[1].low);
    add_bytes<Rows, kGroupQuads>(x, k, codes + kHalfBytes, dots[0].high);
    add_bytes<Rows, kGroupQuads>(x, k + kBlock / 2, codes + kHalfBytes + kHalfBytes / 2, dots[1].high);
    add_scaled(x, g, dots[0], leveled(d, levels, Level::signed_whole), result);
    add_scaled(x, g, dots[1], leveled(d, levels + kPanelColumns, Level::signed_whole), result);
  } else if constexpr (Form == BlockForm::q3_k) {
    Dots<Rows> dots[2];
    start_zero<kShape.zero>(x, g * kBlock, dots);
    add_nibbles(x, g * kBlock, codes, dots[0], dots[1]);
    add_scaled(x, g, dots[0], leveled(d, levels, Level::signed_whole), result);
    add_scaled(x, g, dots[1], leveled(d, levels + kPanelColumns, Level::signed_whole), result);
  } else if constexpr (Form == BlockForm::iq4_xs) {
    Dots<Rows> dots;
    start_values(x, g, dots);
    add_nibbles<true>(x, g * kBlock, codes, dots, dots, values.table);
    const Pair own{_mm512_mul_ps(d.low, values.factor), _mm512_mul_ps(d.high, values.factor)};
    add_scaled(x, g, dots, leveled(own, levels, Level::signed_whole), result);
  } else if constexpr (Form == BlockForm::iq2_xs) {
    Dots<Rows> dots[2];
    start_zero_of_values(x, g * kBlock, dots);
    add_nibbles<true>(x, g * kBlock, codes, dots[0], dots[1], values.table);
    const Pair own{_mm512_mul_ps(d.low, values.factor), _mm512_mul_ps(d.high, values.factor)};
    add_scaled(x, g, dots[0], leveled(own, levels, Level::signed_whole), result);
    add_scaled(x, g, dots[1], leveled(own, levels + kPanelColumns, Level::signed_whole), result);
  } else if constexpr (Form == BlockForm::q2_k) {
    Dots<Rows> dots[2];
    clear(dots[0]);
    clear(dots[1]);
    add_nibbles(x, g * kBlock, codes, dots[0], dots[1]);
    const Pair m = halves(head + kPanelColumns * 2);
    for (int i = 0; i < 2; ++i) {
      const uint8_t* own = levels + i * kPanelColumns;
      const auto total_of = [&](int r) {
        const __m256i sums = sums_of_16<1>(x.codes(r) + g * kBlock);
        const __m128i sum = i == 0 ? _mm256_castsi256_si128(sums) : _mm256_extracti128_si256(sums, 1);
        return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_broadcastd_epi32(sum)), _mm512_set1_ps(x.scales(r)[g]));
      };
      add_scaled(x, g, dots[i], leveled(d, own, Level::low_half), result);
      add_minimums<true, Rows>(leveled(m, own, Level::high_half), total_of, result);
    }
  } else {
    Dots<Rows> dots;
    clear(dots);
    if constexpr (Form == BlockForm::q4_k) {
      add_nibbles(x, g * kBlock, codes, dots, dots);
    } else {
      add_bytes<Rows, kBlock / 4>(x, g * kBlock, codes, dots.low);
      add_bytes<Rows, kBlock / 4>(x, g * kBlock, codes + kHalfBytes, dots.high);
    }
    const Pair m = halves(head + kPanelColumns * 2);
    const auto total_of = [&](int r) { return _mm512_set1_ps(static_cast<float>(x.sums(r)[g]) * x.scales(r)[g]); };
    if constexpr (kShape.level_bytes == 0) {
      add_scaled(x, g, dots, d, result);
      add_minimums<false, Rows>(m, total_of, result);
    } else {
      add_scaled(x, g, dots, leveled(d, levels, Level::whole), result);
      add_minimums<true, Rows>(leveled(m, levels + kPanelColumns, Level::whole), total_of, result);
    }
  }
}

template <BlockForm Form, int Rows>
void multiply_rows(const MatmulArgs& args, int64_t row, int64_t panel) {
  constexpr BlockShape kShape = shape_of<Form>();
  const RowBlock x = rows_from(args, row);
  const Values values = values_of(args.block_form);
  const uint8_t* bytes = static_cast<const uint8_t*>(args.panels) + panel * args.panel_bytes;
  PanelResult result[Rows];
  for (int r = 0; r < Rows; ++r) result[r] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  for (int64_t g = 0; g < args.k_padded / kBlock; g += kShape.depth / kBlock) {
    const uint8_t* head = bytes;
    bytes += kShape.head_bytes;
    for (int64_t b = 0; b < kShape.depth / kBlock; ++b) {
      add_block<Form, Rows>(x, g + b, head, bytes, values, result);
      bytes += kShape.code_bytes + kShape.level_bytes;
    }
  }
  for (int r = 0; r < Rows; ++r) finish_panel(args, row + r, panel, result[r]);
}

template <BlockForm Form>
void multiply(const MatmulArgs& args) {
  for (int64_t panel = args.panel_begin; panel < args.panel_end; ++panel) {
    for_blocks<kMostRows>(args.row_begin, args.row_end,
                          [&]<int Rows>(int64_t row) { multiply_rows<Form, Rows>(args, row, panel); });
  }
}

}  // namespace

void matmul_blocks(const MatmulArgs& args) {
  switch (args.block_form) {
    case BlockForm::q4_k: return multiply<BlockForm::q4_k>(args);
    case BlockForm::q5_k: return multiply<BlockForm::q5_k>(args);
    case BlockForm::q5_1: return multiply<BlockForm::q5_1>(args);
    case BlockForm::q6_k: return multiply<BlockForm::q6_k>(args);
    case BlockForm::q2_k: return multiply<BlockForm::q2_k>(args);
    case BlockForm::q3_k: return multiply<BlockForm::q3_k>(args);
    case BlockForm::iq4_xs:
    case BlockForm::iq3_s:
    case BlockForm::iq3_xxs:
    case BlockForm::iq2_xxs:
    case BlockForm::iq1_s: return multiply<BlockForm::iq4_xs>(args);
    case BlockForm::iq2_xs:
    case BlockForm::iq2_s:
    case BlockForm::iq1_m: return multiply<BlockForm::iq2_xs>(args);
  }
}

}  // namespace honed::avx512vnni
