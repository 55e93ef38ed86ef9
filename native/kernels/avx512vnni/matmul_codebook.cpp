// Indices of sixteen int8 values, in groups, times int8 activations.
//
// One byte shuffle looks up 64 indices. The table is kept 128 higher, which makes its values the unsigned operand of
// vpdpbusd; starting the dot products at -128 * (sum of the activations) takes that away again, exactly.
#include "kernels/avx512vnni/epilogue.h"
#include "kernels/avx512vnni/rows.h"
#include "kernels/avx512vnni/slots.h"

namespace honed::avx512vnni {
namespace {

constexpr int kMostRows = 6;                    // 12 integer and 12 float accumulators
constexpr int64_t kCellBytes = 64;              // 16 columns of two quads
constexpr int64_t kHalfBytes = 4 * kCellBytes;  // of one block
constexpr int64_t kBlockBytes = 2 * kHalfBytes;

template <int Rows>
[[gnu::always_inline]] inline void start(const MatmulArgs& args, const char* x, int64_t g, int64_t blocks,
                                         Dots<Rows>& dots) {
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
    const auto* sums = reinterpret_cast<const int32_t*>(x + r * args.x_row_bytes + args.sums_offset) + g * blocks;
    int32_t sum = sums[0];
    for (int64_t block = 1; block < blocks; ++block) sum += sums[block];
    dots.low[r] = dots.high[r] = _mm512_set1_epi32(-128 * sum);
  }
}

// The weights of one row of cells: the first quad of each column, and the one four further.
struct Looked {
  __m512i first;
  __m512i second;
};

static inline Looked look_up(const uint8_t* cells, __m512i table) {
  const __m512i nibble = _mm512_set1_epi8(15);
  const __m512i pairs = _mm512_loadu_si512(cells);
  return {_mm512_shuffle_epi8(table, _mm512_and_si512(pairs, nibble)),
          _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(pairs, 4), nibble))};
}

// Adds one block of 32 k; `x` is the first activation of the first row, and the next panel lies `next` bytes further.
template <int Rows, Ahead Lines>
[[gnu::always_inline]] inline void add_block(const int8_t* x, int64_t x_row_bytes, const uint8_t* block, int64_t next,
                                             __m512i table, Dots<Rows>& dots) {
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const uint8_t* cells = block + i * kCellBytes;
    prefetch_even<Lines>(cells + next);
    const Looked low = look_up(cells, table);
    prefetch_odd<Lines>(cells + kHalfBytes + next);
    const Looked high = look_up(cells + kHalfBytes, table);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const int8_t* quads = x + r * x_row_bytes + i * 4;
      const __m512i first = broadcast_quad(quads);
      const __m512i second = broadcast_quad(quads + kBlock / 2);
      dots.low[r] = _mm512_dpbusd_epi32(dots.low[r], low.first, first);
      dots.high[r] = _mm512_dpbusd_epi32(dots.high[r], high.first, first);
      dots.low[r] = _mm512_dpbusd_epi32(dots.low[r], low.second, second);
      dots.high[r] = _mm512_dpbusd_epi32(dots.high[r], high.second, second);
    }
  }
}

template <int Rows, bool InGroups>
[[gnu::always_inline]] inline void accumulate(const MatmulArgs& args, const uint8_t* scales, const char* x, int64_t g,
                                              const Dots<Rows>& dots, PanelResult* result) {
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
}

// Blocks: of a group, 0 where that is known only now.
template <int Rows, Ahead Lines, bool InGroups, int Blocks>
void multiply_rows(const MatmulArgs& args, __m512i table, int64_t row, int64_t panel) {
  const char* x = static_cast<const char*>(args.x) + row * args.x_row_bytes;
  const uint8_t* bytes = static_cast<const uint8_t*>(args.panels) + panel * args.panel_bytes;
  const int64_t blocks = Blocks != 0 ? Blocks : args.group / kBlock;
  PanelResult result[Rows];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) result[r] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  for (int64_t g = 0; g < args.k_padded / (blocks * kBlock); ++g) {
    Dots<Rows> dots;
    prefetch_even<Lines>(bytes + blocks * kBlockBytes + args.panel_bytes);  // the scales
    start(args, x, g, blocks, dots);
    for (int64_t block = 0; block < blocks; ++block) {
      const int8_t* activations = reinterpret_cast<const int8_t*>(x) + (g * blocks + block) * kBlock;
      add_block<Rows, Lines>(activations, args.x_row_bytes, bytes, args.panel_bytes, table, dots);
      bytes += kBlockBytes;
    }
    accumulate<Rows, InGroups>(args, bytes, x, g, dots, result);
    bytes += kPanelColumns * 2;
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
    if constexpr (!InGroups) {
      const auto* x_scales = reinterpret_cast<const float*>(x + r * args.x_row_bytes + args.scales_offset);
      const __m512 x_scale = _mm512_set1_ps(x_scales[0]);
      result[r] = {_mm512_mul_ps(result[r].low, x_scale), _mm512_mul_ps(result[r].high, x_scale)};
    }
    finish_panel(args, row + r, panel, result[r]);
  }
}

}  // namespace

void matmul_codebook(const MatmulArgs& args) {
  const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(args.codebook));
  const __m512i table = _mm512_xor_si512(_mm512_broadcast_i32x4(values), _mm512_set1_epi8(-128));
  for (int64_t panel = args.panel_begin; panel < args.panel_end; ++panel) {
    for_blocks_streaming<kMostRows>(args.row_begin, args.row_end, [&]<int Rows, Ahead Lines>(int64_t row) {
      if (args.activation_group == 0) return multiply_rows<Rows, Lines, false, 0>(args, table, row, panel);
      if (args.group == kBlock) return multiply_rows<Rows, Lines, true, 1>(args, table, row, panel);
      return multiply_rows<Rows, Lines, true, 0>(args, table, row, panel);
    });
  }
}

}  // namespace honed::avx512vnni
