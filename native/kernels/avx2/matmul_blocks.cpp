// GGUF blocks whose scales are products times int8 activations in groups of 32.
//
// Codes are the unsigned operand of the byte multiply-add as they are. Its int16 results of a few quads are added before
// they are widened: eight of nibbles (15 * 254 * 8 < 2^15), four of five bits (31 * 254 * 4), two of six (63 * 254 * 2).
// Of values, as in matmul_codebook.cpp, the magnitude is unsigned and the sign goes to the activations.
#include "kernels/avx2/epilogue.h"
#include "kernels/avx2/rows.h"
#include "kernels/avx2/slots.h"

namespace honed::avx2 {
namespace {

constexpr int kTileVectors = kTileColumns / kVector;
constexpr int kCellBytes = kTileColumns * 4;
constexpr int kPrefetchBytes = 4096;
constexpr int kMostRows = 2;  // 4 integer and 8 float accumulators

template <BlockForm Form>
constexpr BlockShape shape_of() {
  return kBlockShapes[static_cast<int>(Form)];
}

inline __m256i load(const uint8_t* source) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(source)); }

// Adds `Quads` quads of bytes to 16 columns, widening after every `Run` of them; activations start at k.
template <int Rows, int Quads, int Run>
[[gnu::always_inline]] inline void add_bytes(const Block<Rows>& x, int64_t k, const uint8_t* codes,
                                             __m256i (&dots)[Rows][kTileVectors]) {
  const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 4
  for (int begin = 0; begin < Quads; begin += Run) {
    __m256i words[Rows][kTileVectors];
#pragma GCC unroll 4
    for (int quad = begin; quad < begin + Run; ++quad) {
      const uint8_t* cells = codes + quad * kCellBytes;
      _mm_prefetch(reinterpret_cast<const char*>(cells + kPrefetchBytes), _MM_HINT_T0);
      const __m256i w[kTileVectors] = {load(cells), load(cells + 32)};
      for (int r = 0; r < Rows; ++r) {
        const __m256i value = broadcast_quad(x.codes[r] + k + quad * 4);
        for (int v = 0; v < kTileVectors; ++v) {
          const __m256i pairs = _mm256_maddubs_epi16(w[v], value);
          words[r][v] = quad == begin ? pairs : _mm256_add_epi16(words[r][v], pairs);
        }
      }
    }
    for (int r = 0; r < Rows; ++r) {
      for (int v = 0; v < kTileVectors; ++v) {
        dots[r][v] = _mm256_add_epi32(dots[r][v], _mm256_madd_epi16(words[r][v], ones));
        pin(dots[r][v]);
      }
    }
  }
}

// Adds 16 k of nibbles to 16 columns, the low or the high ones of four rows of cells; activations start at k.
template <bool High, int Rows>
[[gnu::always_inline]] inline void add_half_nibbles(const Block<Rows>& x, int64_t k, const uint8_t* codes,
                                                    __m256i (&dots)[Rows][kTileVectors]) {
  const __m256i low_nibble = _mm256_set1_epi8(15);
  __m256i words[Rows][kTileVectors];
  for (int r = 0; r < Rows; ++r) words[r][0] = words[r][1] = _mm256_setzero_si256();
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const uint8_t* cells = codes + i * kCellBytes;
    _mm_prefetch(reinterpret_cast<const char*>(cells + kPrefetchBytes), _MM_HINT_T0);
    for (int v = 0; v < kTileVectors; ++v) {
      const __m256i bytes = load(cells + v * 32);
      const __m256i nibbles = _mm256_and_si256(High ? _mm256_srli_epi16(bytes, 4) : bytes, low_nibble);
      for (int r = 0; r < Rows; ++r) {
        const __m256i pairs = _mm256_maddubs_epi16(nibbles, broadcast_quad(x.codes[r] + k + i * 4));
        words[r][v] = _mm256_add_epi16(words[r][v], pairs);
        pin(words[r][v]);
      }
    }
  }
  const __m256i ones = _mm256_set1_epi16(1);
  for (int r = 0; r < Rows; ++r) {
    for (int v = 0; v < kTileVectors; ++v) {
      dots[r][v] = _mm256_add_epi32(dots[r][v], _mm256_madd_epi16(words[r][v], ones));
    }
  }
}

// Adds 32 k of nibbles to 16 columns: quad i in the low ones of row i, quad i + 4 in the high ones.
template <int Rows>
[[gnu::always_inline]] inline void add_nibbles(const Block<Rows>& x, int64_t k, const uint8_t* codes,
                                               __m256i (&dots)[Rows][kTileVectors]) {
  const __m256i low_nibble = _mm256_set1_epi8(15);
  __m256i words[Rows][kTileVectors];
  for (int r = 0; r < Rows; ++r) words[r][0] = words[r][1] = _mm256_setzero_si256();
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const uint8_t* cells = codes + i * kCellBytes;
    _mm_prefetch(reinterpret_cast<const char*>(cells + kPrefetchBytes), _MM_HINT_T0);
    for (int v = 0; v < kTileVectors; ++v) {
      const __m256i bytes = load(cells + v * 32);
      const __m256i low = _mm256_and_si256(bytes, low_nibble);
      const __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), low_nibble);
      for (int r = 0; r < Rows; ++r) {
        const __m256i first = _mm256_maddubs_epi16(low, broadcast_quad(x.codes[r] + k + i * 4));
        const __m256i second = _mm256_maddubs_epi16(high, broadcast_quad(x.codes[r] + k + kBlock / 2 + i * 4));
        words[r][v] = _mm256_add_epi16(words[r][v], _mm256_add_epi16(first, second));
        pin(words[r][v]);
      }
    }
  }
  const __m256i ones = _mm256_set1_epi16(1);
  for (int r = 0; r < Rows; ++r) {
    for (int v = 0; v < kTileVectors; ++v) {
      dots[r][v] = _mm256_add_epi32(dots[r][v], _mm256_madd_epi16(words[r][v], ones));
    }
  }
}

// Adds the products of one quad of activations of each row with a vector of signed weights.
template <int Rows>
[[gnu::always_inline]] inline void add_signed(const Block<Rows>& x, int64_t k, __m256i w, int v,
                                              __m256i (&dots)[Rows][kTileVectors]) {
  const __m256i magnitude = _mm256_abs_epi8(w);
  for (int r = 0; r < Rows; ++r) {
    const __m256i value = _mm256_sign_epi8(broadcast_quad(x.codes[r] + k), w);
    const __m256i pairs = _mm256_maddubs_epi16(magnitude, value);  // 127 * 127 * 2 < 2^15
    dots[r][v] = _mm256_add_epi32(dots[r][v], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    pin(dots[r][v]);
  }
}

// What a form with values is multiplied by: as iq4_xs or, in groups of 16, as iq2_xs.
struct Values {
  __m256i table;
  __m256 factor;
};

inline Values values_of(BlockForm form) {
  const BlockShape& shape = kBlockShapes[static_cast<int>(form)];
  if (shape.values == nullptr) return {_mm256_setzero_si256(), _mm256_set1_ps(1.0f)};
  const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(shape.values));
  return {_mm256_broadcastsi128_si256(values), _mm256_set1_ps(shape.factor)};
}

// Adds 32 k of nibbles, which stand for values, to 16 columns; they lie as those of `add_nibbles`. Only the first or the
// second 16 k, if not both.
template <bool First, bool Second, int Rows>
[[gnu::always_inline]] inline void add_values(const Block<Rows>& x, int64_t k, const uint8_t* codes, __m256i table,
                                              __m256i (&dots)[Rows][kTileVectors]) {
  const __m256i low_nibble = _mm256_set1_epi8(15);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const uint8_t* cells = codes + i * kCellBytes;
    _mm_prefetch(reinterpret_cast<const char*>(cells + kPrefetchBytes), _MM_HINT_T0);
    for (int v = 0; v < kTileVectors; ++v) {
      const __m256i bytes = load(cells + v * 32);
      if constexpr (First) {
        add_signed(x, k + i * 4, _mm256_shuffle_epi8(table, _mm256_and_si256(bytes, low_nibble)), v, dots);
      }
      if constexpr (Second) {
        const __m256i upper = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), low_nibble);
        add_signed(x, k + kBlock / 2 + i * 4, _mm256_shuffle_epi8(table, upper), v, dots);
      }
    }
  }
}

template <int Rows>
inline void clear(__m256i (&dots)[Rows][kTileVectors]) {
  for (int r = 0; r < Rows; ++r) dots[r][0] = dots[r][1] = _mm256_setzero_si256();
}

// Factor * (sum of the 16 activations from k on) in every lane.
template <int Factor>
inline __m256i sum_of_16(const int8_t* x) {
  const __m128i codes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x));
  const __m128i pairs = _mm_maddubs_epi16(_mm_set1_epi8(1), codes);
  const __m128i fours = _mm_madd_epi16(pairs, _mm_set1_epi16(Factor));
  const __m128i eights = _mm_hadd_epi32(fours, fours);
  return _mm256_broadcastd_epi32(_mm_hadd_epi32(eights, eights));
}

enum class Level { whole, signed_whole, low_half, high_half };

template <Level Kind>
inline __m256 level(const uint8_t* source) {
  __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(source));
  if (Kind == Level::high_half) bytes = _mm_srli_epi16(bytes, 4);
  if (Kind == Level::low_half || Kind == Level::high_half) bytes = _mm_and_si128(bytes, _mm_set1_epi8(15));
  return _mm256_cvtepi32_ps(Kind == Level::signed_whole ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes));
}

inline __m256 half_at(const uint8_t* source, int column) {
  return f16_to_f32(reinterpret_cast<const uint16_t*>(source) + column);
}

template <int Rows>
inline void add_scaled(const Block<Rows>& x, int64_t g, const __m256i (&dots)[Rows][kTileVectors], int v, __m256 scale,
                       int column, __m256 (&result)[Rows][kPanelVectors]) {
  for (int r = 0; r < Rows; ++r) {
    const __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(dots[r][v]), _mm256_broadcast_ss(x.scales[r] + g));
    __m256& sum = result[r][column / kVector];
    sum = _mm256_fmadd_ps(value, scale, sum);
  }
}

// 32 k from block g on.
template <BlockForm Form, int Rows>
inline void add_block(const Block<Rows>& x, int64_t g, const uint8_t* head, const uint8_t* codes, const Values& values,
                      __m256 (&result)[Rows][kPanelVectors]) {
  constexpr BlockShape kShape = shape_of<Form>();
  constexpr int kHalfBytes = static_cast<int>(kShape.code_bytes) / 2;
  const uint8_t* levels = codes + kShape.code_bytes;
  for (int half = 0; half < 2; ++half) {
    const uint8_t* tile = codes + half * kHalfBytes;
    const int first = half * kTileColumns;
    if constexpr (kShape.group == kBlock / 2) {
      for (int second = 0; second < 2; ++second) {
        const int64_t k = g * kBlock + second * kBlock / 2;
        __m256i dots[Rows][kTileVectors];
        for (int r = 0; r < Rows; ++r) dots[r][0] = dots[r][1] = sum_of_16<-kShape.zero>(x.codes[r] + k);
        if constexpr (Form == BlockForm::iq2_xs) {
          if (second == 0) {
            add_values<true, false>(x, g * kBlock, tile, values.table, dots);
          } else {
            add_values<false, true>(x, g * kBlock, tile, values.table, dots);
          }
        } else if constexpr (!kShape.nibbles) {
          add_bytes<Rows, 4, 2>(x, k, tile + second * 4 * kCellBytes, dots);
        } else if (second == 0) {
          add_half_nibbles<false>(x, k, tile, dots);
        } else {
          add_half_nibbles<true>(x, k, tile, dots);
        }
        for (int v = 0; v < kTileVectors; ++v) {
          const int column = first + v * kVector;
          const uint8_t* own = levels + second * kPanelColumns + column;
          constexpr Level kScale = kShape.minimum ? Level::low_half : Level::signed_whole;
          __m256 d = half_at(head, column);
          if constexpr (Form == BlockForm::iq2_xs) d = _mm256_mul_ps(d, values.factor);
          add_scaled(x, g, dots, v, _mm256_mul_ps(d, level<kScale>(own)), column, result);
          if constexpr (kShape.minimum) {
            const __m256 m = half_at(head + kPanelColumns * 2, column);
            const __m256 minimum = Vector::negate(_mm256_mul_ps(m, level<Level::high_half>(own)));
            for (int r = 0; r < Rows; ++r) {
              const __m256 total = _mm256_cvtepi32_ps(sum_of_16<1>(x.codes[r] + k));
              __m256& sum = result[r][column / kVector];
              sum = _mm256_fmadd_ps(_mm256_mul_ps(total, _mm256_broadcast_ss(x.scales[r] + g)), minimum, sum);
            }
          }
        }
      }
    } else {
      __m256i dots[Rows][kTileVectors];
      clear(dots);
      if constexpr (Form == BlockForm::q4_k) {
        add_nibbles(x, g * kBlock, tile, dots);
      } else if constexpr (Form == BlockForm::iq4_xs) {
        add_values<true, true>(x, g * kBlock, tile, values.table, dots);
      } else {
        add_bytes<Rows, 8, 4>(x, g * kBlock, tile, dots);
      }
      for (int v = 0; v < kTileVectors; ++v) {
        const int column = first + v * kVector;
        __m256 scale = half_at(head, column);
        if constexpr (!kShape.minimum) {
          scale = _mm256_mul_ps(_mm256_mul_ps(scale, values.factor), level<Level::signed_whole>(levels + column));
          add_scaled(x, g, dots, v, scale, column, result);
        } else {
          __m256 minimum = half_at(head + kPanelColumns * 2, column);
          if constexpr (kShape.level_bytes != 0) {
            scale = _mm256_mul_ps(scale, level<Level::whole>(levels + column));
            minimum = Vector::negate(_mm256_mul_ps(minimum, level<Level::whole>(levels + kPanelColumns + column)));
          }
          add_scaled(x, g, dots, v, scale, column, result);
          for (int r = 0; r < Rows; ++r) {
            const __m256 total = _mm256_set1_ps(static_cast<float>(x.sums[r][g]) * x.scales[r][g]);
            __m256& sum = result[r][column / kVector];
            sum = _mm256_fmadd_ps(total, minimum, sum);
          }
        }
      }
    }
  }
}

template <BlockForm Form, int Rows>
void multiply_rows(const MatmulArgs& args, int64_t row, int64_t panel) {
  constexpr BlockShape kShape = shape_of<Form>();
  const Block<Rows> x = block_of<Rows>(args, row);
  const Values values = values_of(args.block_form);
  const uint8_t* bytes = static_cast<const uint8_t*>(args.panels) + panel * args.panel_bytes;
  __m256 result[Rows][kPanelVectors];
  for (int r = 0; r < Rows; ++r) {
    for (__m256& sum : result[r]) sum = _mm256_setzero_ps();
  }
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
    int64_t row = args.row_begin;
    for (; row + kMostRows <= args.row_end; row += kMostRows) multiply_rows<Form, kMostRows>(args, row, panel);
    for (; row < args.row_end; ++row) multiply_rows<Form, 1>(args, row, panel);
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

}  // namespace honed::avx2
