// int4 weights in groups times int8 activations: exact int32 dot products of each group, then float. Codes are
// unsigned already, as vpdpbusd wants them; a zero point becomes the start of the accumulator.
#include "kernels/avx512vnni/epilogue.h"
#include "kernels/avx512vnni/rows.h"
#include "kernels/avx512vnni/slots.h"

namespace honed::avx512vnni {
namespace {

constexpr int kMostRows = 6;  // 12 integer and 12 float accumulators
constexpr int64_t kPrefetchBytes = 2048;
constexpr int64_t kCellBytes = 64;              // 16 columns of two quads
constexpr int64_t kHalfBytes = 4 * kCellBytes;  // of one block
constexpr int64_t kBlockBytes = kBlock * kPanelColumns / 2;

template <Int4Offset Offset>
constexpr int64_t offset_bytes() {
  return Offset == Int4Offset::symmetric ? 0 : Offset == Int4Offset::zero_point ? kPanelColumns : kPanelColumns * 2;
}

static inline __m512i zero_points(const uint8_t* source) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source)));
}

// The sum of the activations of one group of one row.
static inline int32_t group_sum(const MatmulArgs& args, const char* x, int r, int64_t g, int64_t blocks) {
  const auto* sums = reinterpret_cast<const int32_t*>(x + r * args.x_row_bytes + args.sums_offset) + g * blocks;
  int32_t sum = sums[0];
  for (int64_t block = 1; block < blocks; ++block) sum += sums[block];
  return sum;
}

// Starts every dot product at -(zero point) * (sum of the activations).
template <int Rows, Int4Offset Offset>
[[gnu::always_inline]] inline void start(const MatmulArgs& args, const char* x, int64_t g, int64_t blocks,
                                         const uint8_t* offsets, Dots<Rows>& dots) {
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
    dots.low[r] = dots.high[r] = _mm512_setzero_si512();
    if constexpr (Offset == Int4Offset::symmetric) {
      dots.low[r] = dots.high[r] = _mm512_set1_epi32(-8 * group_sum(args, x, r, g, blocks));
    }
    if constexpr (Offset == Int4Offset::zero_point) {
      // A group's sum fits int16 (128 * 127), so zero * sum is one 16-bit multiply-add with an empty upper half.
      const __m512i negative = _mm512_set1_epi32(-group_sum(args, x, r, g, blocks) & 0xffff);
      dots.low[r] = _mm512_madd_epi16(zero_points(offsets), negative);
      dots.high[r] = _mm512_madd_epi16(zero_points(offsets + kVector), negative);
    }
  }
}

// Adds one block of 32 k, of which `x` is the first activation of the first row; the next panel lies `next` bytes
// further.
template <int Rows, Ahead Lines>
[[gnu::always_inline]] inline void add_block(const int8_t* x, int64_t x_row_bytes, const uint8_t* block, int64_t next,
                                             Dots<Rows>& dots) {
  const __m512i nibble = _mm512_set1_epi8(15);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const uint8_t* cells = block + i * kCellBytes;
    // Few rows leave the reading to the processor's own prefetchers; behind the arithmetic of many they fall back.
    if constexpr (Rows == kMostRows && Lines == Ahead::none) {
      _mm_prefetch(reinterpret_cast<const char*>(cells + kPrefetchBytes), _MM_HINT_T0);
      _mm_prefetch(reinterpret_cast<const char*>(cells + kHalfBytes + kPrefetchBytes), _MM_HINT_T0);
    }
    prefetch_even<Lines>(cells + next);
    const __m512i low = _mm512_loadu_si512(cells);
    const __m512i high = _mm512_loadu_si512(cells + kHalfBytes);
    const __m512i low_first = _mm512_and_si512(low, nibble);
    const __m512i high_first = _mm512_and_si512(high, nibble);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const __m512i first = broadcast_quad(x + r * x_row_bytes + i * 4);
      dots.low[r] = _mm512_dpbusd_epi32(dots.low[r], low_first, first);
      dots.high[r] = _mm512_dpbusd_epi32(dots.high[r], high_first, first);
    }
    prefetch_odd<Lines>(cells + kHalfBytes + next);
    const __m512i low_second = _mm512_and_si512(_mm512_srli_epi16(low, 4), nibble);
    const __m512i high_second = _mm512_and_si512(_mm512_srli_epi16(high, 4), nibble);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const __m512i second = broadcast_quad(x + r * x_row_bytes + i * 4 + kBlock / 2);
      dots.low[r] = _mm512_dpbusd_epi32(dots.low[r], low_second, second);
      dots.high[r] = _mm512_dpbusd_epi32(dots.high[r], high_second, second);
    }
  }
}

// result = result + dot * scale of the weights, then + sum * minimum.
template <int Rows, Int4Offset Offset, bool InGroups>
[[gnu::always_inline]] inline void accumulate(const MatmulArgs& args, const char* x, int64_t g, int64_t blocks,
                                              const uint8_t* scales, const Dots<Rows>& dots,
                                              PanelResult (&result)[Rows]) {
  const __m512 low_scale = f16_to_f32(scales);
  const __m512 high_scale = f16_to_f32(scales + kVector * 2);
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
    __m512 low = _mm512_cvtepi32_ps(dots.low[r]);
    __m512 high = _mm512_cvtepi32_ps(dots.high[r]);
    if constexpr (InGroups) {
      const auto* x_scales = reinterpret_cast<const float*>(x + r * args.x_row_bytes + args.scales_offset);
      const __m512 x_scale = _mm512_set1_ps(x_scales[g]);
      low = _mm512_mul_ps(low, x_scale);
      high = _mm512_mul_ps(high, x_scale);
    }
    result[r].low = _mm512_fmadd_ps(low, low_scale, result[r].low);
    result[r].high = _mm512_fmadd_ps(high, high_scale, result[r].high);
  }
  if constexpr (Offset == Int4Offset::minimum) {
    const uint8_t* minimums = scales + kPanelColumns * 2;
    const __m512 low_minimum = f16_to_f32(minimums);
    const __m512 high_minimum = f16_to_f32(minimums + kVector * 2);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      float sum = static_cast<float>(group_sum(args, x, r, g, blocks));
      if constexpr (InGroups) {
        sum = sum * reinterpret_cast<const float*>(x + r * args.x_row_bytes + args.scales_offset)[g];
      }
      const __m512 total = _mm512_set1_ps(sum);
      result[r].low = _mm512_fmadd_ps(total, low_minimum, result[r].low);
      result[r].high = _mm512_fmadd_ps(total, high_minimum, result[r].high);
    }
  }
}

// Blocks: of a group, 0 where that is known only now, which costs groups of one block up to a quarter of the time.
template <int Rows, Ahead Lines, Int4Offset Offset, bool InGroups, int Blocks>
void multiply_rows(const MatmulArgs& args, int64_t row, int64_t panel) {
  const char* x = static_cast<const char*>(args.x) + row * args.x_row_bytes;
  const uint8_t* codes = static_cast<const uint8_t*>(args.panels) + panel * args.panel_bytes;
  const int64_t blocks = Blocks != 0 ? Blocks : args.group / kBlock;
  PanelResult result[Rows];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) result[r] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  for (int64_t g = 0; g < args.k_padded / (blocks * kBlock); ++g) {
    const uint8_t* scales = codes + blocks * kBlockBytes;
    const int8_t* activations = reinterpret_cast<const int8_t*>(x) + g * blocks * kBlock;
    Dots<Rows> dots;
    prefetch_even<Lines>(scales + args.panel_bytes);
    if constexpr (Offset != Int4Offset::symmetric) prefetch_odd<Lines>(scales + kPanelColumns * 2 + args.panel_bytes);
    start<Rows, Offset>(args, x, g, blocks, scales + kPanelColumns * 2, dots);
    for (int64_t block = 0; block < blocks; ++block) {
      add_block<Rows, Lines>(activations + block * kBlock, args.x_row_bytes, codes + block * kBlockBytes,
                             args.panel_bytes, dots);
    }
    accumulate<Rows, Offset, InGroups>(args, x, g, blocks, scales, dots, result);
    codes = scales + kPanelColumns * 2 + offset_bytes<Offset>();
  }
#pragma GCC unroll 8  // rolled, this loop alone would keep the accumulators in memory throughout
  for (int r = 0; r < Rows; ++r) {
    if constexpr (!InGroups) {
      const auto* scales = reinterpret_cast<const float*>(x + r * args.x_row_bytes + args.scales_offset);
      const __m512 scale = _mm512_set1_ps(scales[0]);
      result[r] = {_mm512_mul_ps(result[r].low, scale), _mm512_mul_ps(result[r].high, scale)};
    }
    finish_panel(args, row + r, panel, result[r]);
  }
}

template <Int4Offset Offset, bool InGroups, int Blocks>
void run(const MatmulArgs& args) {
  for (int64_t panel = args.panel_begin; panel < args.panel_end; ++panel) {
    for_blocks_streaming<kMostRows>(args.row_begin, args.row_end, [&]<int Rows, Ahead Lines>(int64_t row) {
      multiply_rows<Rows, Lines, Offset, InGroups, Blocks>(args, row, panel);
    });
  }
}

template <Int4Offset Offset>
void run(const MatmulArgs& args) {
  if (args.activation_group == 0) return run<Offset, false, 0>(args);
  return args.group == kBlock ? run<Offset, true, 1>(args) : run<Offset, true, 0>(args);
}

}  // namespace

void matmul_int4(const MatmulArgs& args) {
  switch (args.offset) {
    case Int4Offset::symmetric:
      return run<Int4Offset::symmetric>(args);
    case Int4Offset::zero_point:
      return run<Int4Offset::zero_point>(args);
    case Int4Offset::minimum:
      return run<Int4Offset::minimum>(args);
  }
}

}  // namespace honed::avx512vnni
