// int4 weights in groups times int8 activations: exact int32 dot products of each group, then float. Codes are
// unsigned already, as vpdpbusd wants them; a zero point becomes the start of the accumulator.
#include "kernels/avx512vnni/epilogue.h"
#include "kernels/avx512vnni/slots.h"

namespace honed::avx512vnni {
namespace {

constexpr int kMostRows = 4;  // 8 integer and 8 float accumulators
constexpr int64_t kPrefetchBytes = 2048;
constexpr int64_t kCellBytes = 64;                          // 16 columns of two quads
constexpr int64_t kHalfBytes = 4 * kCellBytes;              // of one block
constexpr int64_t kBlockBytes = kBlock * kPanelColumns / 2;

// One group of a panel: its codes, and the scales and offsets behind them.
struct Group {
  const uint8_t* codes;
  const uint8_t* scales;
  const uint8_t* offsets;
  int64_t bytes;
};

Group group_at(const MatmulArgs& args, const uint8_t* codes) {
  const uint8_t* scales = codes + args.group / kBlock * kBlockBytes;
  const uint8_t* offsets = scales + kPanelColumns * 2;
  int64_t offset_bytes = 0;
  if (args.offset == Int4Offset::zero_point) offset_bytes = kPanelColumns;
  if (args.offset == Int4Offset::minimum) offset_bytes = kPanelColumns * 2;
  return {codes, scales, offsets, offsets - codes + offset_bytes};
}

template <int Rows>
struct Dots {
  __m512i low[Rows];
  __m512i high[Rows];
  int32_t sums[Rows];  // of the activations of the group
};

static inline __m512i zero_points(const uint8_t* source) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source)));
}

// Starts every dot product at -(zero point) * (sum of the activations).
template <int Rows>
static inline void start(const MatmulArgs& args, const Group& group, const char* x, int64_t g, Dots<Rows>& dots) {
  const int64_t blocks = args.group / kBlock;
  for (int r = 0; r < Rows; ++r) {
    const auto* sums = reinterpret_cast<const int32_t*>(x + r * args.x_row_bytes + args.sums_offset) + g * blocks;
    int32_t sum = 0;
    for (int64_t block = 0; block < blocks; ++block) sum += sums[block];
    dots.sums[r] = sum;
    dots.low[r] = dots.high[r] = _mm512_setzero_si512();
    if (args.offset == Int4Offset::symmetric) dots.low[r] = dots.high[r] = _mm512_set1_epi32(-8 * sum);
    if (args.offset == Int4Offset::zero_point) {
      const __m512i negative = _mm512_set1_epi32(-sum);
      dots.low[r] = _mm512_mullo_epi32(zero_points(group.offsets), negative);
      dots.high[r] = _mm512_mullo_epi32(zero_points(group.offsets + kVector), negative);
    }
  }
}

// Adds one block of 32 k, of which `x` is the first activation of the first row.
template <int Rows>
static inline void add_block(const int8_t* x, int64_t x_row_bytes, const uint8_t* block, Dots<Rows>& dots) {
  const __m512i nibble = _mm512_set1_epi8(15);
  for (int i = 0; i < 4; ++i) {
    const uint8_t* cells = block + i * kCellBytes;
    _mm_prefetch(reinterpret_cast<const char*>(cells + kPrefetchBytes), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(cells + kHalfBytes + kPrefetchBytes), _MM_HINT_T0);
    const __m512i low = _mm512_loadu_si512(cells);
    const __m512i high = _mm512_loadu_si512(cells + kHalfBytes);
    const __m512i low_first = _mm512_and_si512(low, nibble);
    const __m512i low_second = _mm512_and_si512(_mm512_srli_epi16(low, 4), nibble);
    const __m512i high_first = _mm512_and_si512(high, nibble);
    const __m512i high_second = _mm512_and_si512(_mm512_srli_epi16(high, 4), nibble);
    for (int r = 0; r < Rows; ++r) {
      const int8_t* quads = x + r * x_row_bytes + i * 4;
      const __m512i first = broadcast_quad(quads);
      const __m512i second = broadcast_quad(quads + kBlock / 2);
      dots.low[r] = _mm512_dpbusd_epi32(dots.low[r], low_first, first);
      dots.high[r] = _mm512_dpbusd_epi32(dots.high[r], high_first, first);
      dots.low[r] = _mm512_dpbusd_epi32(dots.low[r], low_second, second);
      dots.high[r] = _mm512_dpbusd_epi32(dots.high[r], high_second, second);
    }
  }
}

static inline __m512 scaled(__m512i value, bool in_groups, __m512 scale) {
  const __m512 number = _mm512_cvtepi32_ps(value);
  return in_groups ? _mm512_mul_ps(number, scale) : number;
}

// result = result + dot * scale of the weights, then + sum * minimum.
template <int Rows>
static inline void accumulate(const MatmulArgs& args, const Group& group, const char* x, int64_t g,
                              const Dots<Rows>& dots, PanelResult* result) {
  const bool in_groups = args.activation_group != 0;
  for (int r = 0; r < Rows; ++r) {
    const auto* scales = reinterpret_cast<const float*>(x + r * args.x_row_bytes + args.scales_offset);
    const __m512 x_scale = _mm512_set1_ps(in_groups ? scales[g] : 1.0f);
    const __m512 low = scaled(dots.low[r], in_groups, x_scale);
    const __m512 high = scaled(dots.high[r], in_groups, x_scale);
    result[r].low = _mm512_fmadd_ps(low, f16_to_f32(group.scales), result[r].low);
    result[r].high = _mm512_fmadd_ps(high, f16_to_f32(group.scales + kVector * 2), result[r].high);
    if (args.offset != Int4Offset::minimum) continue;
    const __m512 sum = scaled(_mm512_set1_epi32(dots.sums[r]), in_groups, x_scale);
    result[r].low = _mm512_fmadd_ps(sum, f16_to_f32(group.offsets), result[r].low);
    result[r].high = _mm512_fmadd_ps(sum, f16_to_f32(group.offsets + kVector * 2), result[r].high);
  }
}

template <int Rows>
void multiply_rows(const MatmulArgs& args, int64_t row, int64_t panel) {
  const char* x = static_cast<const char*>(args.x) + row * args.x_row_bytes;
  const uint8_t* codes = static_cast<const uint8_t*>(args.panels) + panel * args.panel_bytes;
  PanelResult result[Rows];
  for (int r = 0; r < Rows; ++r) result[r] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  for (int64_t g = 0; g < args.k_padded / args.group; ++g) {
    const Group group = group_at(args, codes);
    Dots<Rows> dots;
    start(args, group, x, g, dots);
    for (int64_t k = 0; k < args.group; k += kBlock) {
      const int8_t* activations = reinterpret_cast<const int8_t*>(x) + g * args.group + k;
      add_block(activations, args.x_row_bytes, codes + k / kBlock * kBlockBytes, dots);
    }
    accumulate(args, group, x, g, dots, result);
    codes += group.bytes;
  }
  for (int r = 0; r < Rows; ++r) {
    if (args.activation_group == 0) {
      const auto* scales = reinterpret_cast<const float*>(x + r * args.x_row_bytes + args.scales_offset);
      const __m512 scale = _mm512_set1_ps(scales[0]);
      result[r] = {_mm512_mul_ps(result[r].low, scale), _mm512_mul_ps(result[r].high, scale)};
    }
    finish_panel(args, row + r, panel, result[r]);
  }
}

}  // namespace

void matmul_int4(const MatmulArgs& args) {
  for (int64_t panel = args.panel_begin; panel < args.panel_end; ++panel) {
    for_blocks<kMostRows>(args.row_begin, args.row_end,
                          [&]<int Rows>(int64_t row) { multiply_rows<Rows>(args, row, panel); });
  }
}

}  // namespace honed::avx512vnni
