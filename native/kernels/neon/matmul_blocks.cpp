// GGUF blocks whose scales are products times int8 activations in groups of 32. Codes are small enough to be signed.
#include "kernels/neon/dots.h"
#include "kernels/neon/slots.h"

namespace honed::neon {
namespace {

template <BlockForm Form>
constexpr BlockShape shape_of() {
  return kBlockShapes[static_cast<int>(Form)];
}

// Adds 16 k of bytes, their zero point taken away; activations[r] are those 16 of row r.
template <int Rows, int Zero>
static inline void add_bytes(const int8x16_t (&activations)[Rows], const uint8_t* codes, Dots<Rows>& dots) {
  constexpr int64_t kHalfBytes = kBlock / 4 * kQuadBytes;
  for (int v = 0; v < kPanelVectors; ++v) {
    const uint8_t* column = codes + v / kHalfVectors * kHalfBytes + v % kHalfVectors * 16;
    int8x16_t w[4];
    for (int quad = 0; quad < 4; ++quad) {
      w[quad] = vsubq_s8(vreinterpretq_s8_u8(vld1q_u8(column + quad * kQuadBytes)), vdupq_n_s8(Zero));
    }
    for (int r = 0; r < Rows; ++r) {
      int32x4_t dot = vdotq_laneq_s32(dots.columns[r][v], w[0], activations[r], 0);
      dot = vdotq_laneq_s32(dot, w[1], activations[r], 1);
      dot = vdotq_laneq_s32(dot, w[2], activations[r], 2);
      dots.columns[r][v] = vdotq_laneq_s32(dot, w[3], activations[r], 3);
    }
  }
}

// What a form with values is multiplied by: as iq4_xs or, in groups of 16, as iq2_xs.
struct Values {
  int8x16_t table;
  float factor;
};

static inline Values values_of(BlockForm form) {
  const BlockShape& shape = kBlockShapes[static_cast<int>(form)];
  return {shape.values == nullptr ? vdupq_n_s8(0) : vld1q_s8(shape.values), shape.factor};
}

// Row `Quad` of cells, its low or its high nibbles, their zero point taken away or looked up: 16 k with those of the
// other rows.
template <int Rows, int Quad, bool High, int Zero, bool LookUp>
static inline void add_half_cells(const int8x16_t (&activations)[Rows], const uint8_t* codes, const Values& values,
                                  Dots<Rows>& dots) {
  for (int v = 0; v < kPanelVectors; ++v) {
    const uint8_t* column = codes + v / kHalfVectors * 4 * kQuadBytes + v % kHalfVectors * 16;
    const uint8x16_t packed = vld1q_u8(column + Quad * kQuadBytes);
    const uint8x16_t nibbles = High ? vshrq_n_u8(packed, 4) : vandq_u8(packed, vdupq_n_u8(15));
    int8x16_t w = vsubq_s8(vreinterpretq_s8_u8(nibbles), vdupq_n_s8(Zero));
    if constexpr (LookUp) w = vqtbl1q_s8(values.table, nibbles);
    for (int r = 0; r < Rows; ++r) {
      dots.columns[r][v] = vdotq_laneq_s32(dots.columns[r][v], w, activations[r], Quad);
    }
  }
}

template <int Rows, bool High, int Zero, bool LookUp>
static inline void add_half_nibbles(const int8x16_t (&activations)[Rows], const uint8_t* codes, const Values& values,
                                    Dots<Rows>& dots) {
  add_half_cells<Rows, 0, High, Zero, LookUp>(activations, codes, values, dots);
  add_half_cells<Rows, 1, High, Zero, LookUp>(activations, codes, values, dots);
  add_half_cells<Rows, 2, High, Zero, LookUp>(activations, codes, values, dots);
  add_half_cells<Rows, 3, High, Zero, LookUp>(activations, codes, values, dots);
}

// Row `Quad` of cells: that quad of the block in the low nibbles, the one four further in the high ones. With `LookUp`
// they stand for values.
template <int Rows, int Quad, bool LookUp>
static inline void add_cells(const int8x16_t (&first)[Rows], const int8x16_t (&second)[Rows], const uint8_t* codes,
                             const Values& values, Dots<Rows>& dots) {
  for (int v = 0; v < kPanelVectors; ++v) {
    const uint8_t* column = codes + v / kHalfVectors * 4 * kQuadBytes + v % kHalfVectors * 16;
    const uint8x16_t packed = vld1q_u8(column + Quad * kQuadBytes);
    int8x16_t low = vreinterpretq_s8_u8(vandq_u8(packed, vdupq_n_u8(15)));
    int8x16_t high = vreinterpretq_s8_u8(vshrq_n_u8(packed, 4));
    if constexpr (LookUp) {
      low = vqtbl1q_s8(values.table, vreinterpretq_u8_s8(low));
      high = vqtbl1q_s8(values.table, vreinterpretq_u8_s8(high));
    }
    for (int r = 0; r < Rows; ++r) {
      const int32x4_t dot = vdotq_laneq_s32(dots.columns[r][v], low, first[r], Quad);
      dots.columns[r][v] = vdotq_laneq_s32(dot, high, second[r], Quad);
    }
  }
}

enum class Level { whole, signed_whole, low_half, high_half };

// Columns 4 v to 4 v + 3: the factor of the super-block, times that of its form, times its levels.
template <Level Kind>
static inline float32x4_t leveled(const uint8_t* factors, const uint8_t* levels, int v, float of_form = 1.0f) {
  uint32_t four;
  std::memcpy(&four, levels + v * kVector, sizeof four);
  uint8x8_t bytes = vcreate_u8(four);
  if constexpr (Kind == Level::low_half) bytes = vand_u8(bytes, vdup_n_u8(15));
  if constexpr (Kind == Level::high_half) bytes = vshr_n_u8(bytes, 4);
  const float32x4_t factor = vmulq_n_f32(f16_to_f32(factors + v * kVector * 2), of_form);
  if constexpr (Kind == Level::signed_whole) {
    return vmulq_f32(factor, vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(bytes))))));
  }
  return vmulq_f32(factor, vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(bytes)))));
}

template <int Rows, typename ScaleOf>
static inline void add_scales(const RowBlock& x, int64_t g, const Dots<Rows>& dots, const ScaleOf& scale_of,
                              PanelResult* result) {
  for (int v = 0; v < kPanelVectors; ++v) {
    const float32x4_t scale = scale_of(v);
    for (int r = 0; r < Rows; ++r) {
      const float32x4_t value = vmulq_n_f32(vcvtq_f32_s32(dots.columns[r][v]), x.scales(r)[g]);
      result[r].columns[v] = vfmaq_f32(result[r].columns[v], value, scale);
    }
  }
}

template <int Rows, typename MinimumOf, typename SumOf>
static inline void add_minimums(const RowBlock& x, int64_t g, const MinimumOf& minimum_of, const SumOf& sum_of,
                                PanelResult* result) {
  for (int v = 0; v < kPanelVectors; ++v) {
    const float32x4_t minimum = minimum_of(v);
    for (int r = 0; r < Rows; ++r) {
      const float total = static_cast<float>(sum_of(r)) * x.scales(r)[g];
      result[r].columns[v] = vfmaq_f32(result[r].columns[v], vdupq_n_f32(total), minimum);
    }
  }
}

// 16 k of a block whose groups are of 16; `levels` are those of these 16.
template <BlockForm Form, bool Second, int Rows>
static inline void add_half_block(const RowBlock& x, int64_t g, const int8x16_t (&activations)[Rows],
                                  const uint8_t* head, const uint8_t* codes, const uint8_t* levels,
                                  const Values& values, PanelResult* result) {
  constexpr BlockShape kShape = shape_of<Form>();
  constexpr Level kScale = kShape.minimum ? Level::low_half : Level::signed_whole;
  Dots<Rows> dots;
  dots.clear();
  if constexpr (kShape.nibbles) {
    add_half_nibbles<Rows, Second, kShape.zero, kShape.values != nullptr>(activations, codes, values, dots);
  } else {
    add_bytes<Rows, kShape.zero>(activations, codes + (Second ? 4 * kQuadBytes : 0), dots);
  }
  add_scales(x, g, dots, [&](int v) { return leveled<kScale>(head, levels, v, values.factor); }, result);
  if constexpr (kShape.minimum) {
    const uint8_t* minimums = head + kPanelColumns * 2;
    add_minimums<Rows>(
        x, g, [&](int v) { return vnegq_f32(leveled<Level::high_half>(minimums, levels, v)); },
        [&](int r) { return static_cast<int32_t>(vaddlvq_s8(activations[r])); }, result);
  }
}

// 32 k from block g on.
template <BlockForm Form, int Rows>
static inline void add_block(const RowBlock& x, int64_t g, const uint8_t* head, const uint8_t* codes,
                             const Values& values, PanelResult* result) {
  constexpr BlockShape kShape = shape_of<Form>();
  const uint8_t* levels = codes + kShape.code_bytes;
  const uint8_t* minimums = head + kPanelColumns * 2;
  int8x16_t first[Rows];
  int8x16_t second[Rows];
  for (int r = 0; r < Rows; ++r) {
    first[r] = vld1q_s8(x.codes(r) + g * kBlock);
    second[r] = vld1q_s8(x.codes(r) + g * kBlock + kBlock / 2);
  }
  if constexpr (kShape.group == kBlock / 2) {
    add_half_block<Form, false>(x, g, first, head, codes, levels, values, result);
    add_half_block<Form, true>(x, g, second, head, codes, levels + kPanelColumns, values, result);
    return;
  }
  Dots<Rows> dots;
  dots.clear();
  if constexpr (kShape.nibbles) {
    constexpr bool kLookUp = kShape.values != nullptr;
    add_cells<Rows, 0, kLookUp>(first, second, codes, values, dots);
    add_cells<Rows, 1, kLookUp>(first, second, codes, values, dots);
    add_cells<Rows, 2, kLookUp>(first, second, codes, values, dots);
    add_cells<Rows, 3, kLookUp>(first, second, codes, values, dots);
  } else {
    add_bytes<Rows, kShape.zero>(first, codes, dots);
    add_bytes<Rows, kShape.zero>(second, codes + 4 * kQuadBytes, dots);
  }
  const auto sum_of = [&](int r) { return x.sums(r)[g]; };
  if constexpr (!kShape.minimum) {
    const auto scale_of = [&](int v) { return leveled<Level::signed_whole>(head, levels, v, values.factor); };
    add_scales(x, g, dots, scale_of, result);
  } else if constexpr (kShape.level_bytes == 0) {
    add_scales(x, g, dots, [&](int v) { return f16_to_f32(head + v * kVector * 2); }, result);
    add_minimums<Rows>(x, g, [&](int v) { return f16_to_f32(minimums + v * kVector * 2); }, sum_of, result);
  } else {
    add_scales(x, g, dots, [&](int v) { return leveled<Level::whole>(head, levels, v); }, result);
    add_minimums<Rows>(
        x, g, [&](int v) { return vnegq_f32(leveled<Level::whole>(minimums, levels + kPanelColumns, v)); }, sum_of,
        result);
  }
}

template <BlockForm Form, int Rows>
void multiply_rows(const MatmulArgs& args, int64_t row, int64_t panel) {
  constexpr BlockShape kShape = shape_of<Form>();
  const RowBlock x = rows_from(args, row);
  const Values values = values_of(args.block_form);
  const uint8_t* bytes = static_cast<const uint8_t*>(args.panels) + panel * args.panel_bytes;
  PanelResult result[Rows];
  for (int r = 0; r < Rows; ++r) result[r] = zero_result();
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

}  // namespace honed::neon
