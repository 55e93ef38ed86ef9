// int8 weights times int8 activations: exact int32 dot products, over the whole of k or over groups.
#include "kernels/portable/epilogue.h"
#include "kernels/portable/slots.h"

namespace honed::portable {
namespace {

struct Row {
  const int8_t* codes;
  const float* scales;
};

Row row_of(const MatmulArgs& args, int64_t row) {
  const char* bytes = static_cast<const char*>(args.x) + row * args.x_row_bytes;
  return {reinterpret_cast<const int8_t*>(bytes), reinterpret_cast<const float*>(bytes + args.scales_offset)};
}

// Adds `quads` quads of [32 columns][4 k] to 32 dot products.
void add_quads(const int8_t* x, const int8_t* cells, int64_t quads, int32_t* dot) {
  for (int64_t quad = 0; quad < quads; ++quad) {
    for (int c = 0; c < kPanelColumns; ++c) {
      const int8_t* w = cells + (quad * kPanelColumns + c) * 4;
      for (int j = 0; j < 4; ++j) dot[c] += static_cast<int32_t>(x[quad * 4 + j]) * w[j];
    }
  }
}

// Dot products of k in [begin, end), multiples of 32, of a panel without weight groups.
void dot_columns(const int8_t* x, const int8_t* panel, int64_t begin, int64_t end, int32_t* dot) {
  for (int c = 0; c < kPanelColumns; ++c) dot[c] = 0;
  add_quads(x + begin, panel + begin * kPanelColumns, (end - begin) / 4, dot);
}

void column_scaled(const MatmulArgs& args, const Row& x, int64_t panel, float* result) {
  const int8_t* weights = static_cast<const int8_t*>(args.panels) + panel * args.panel_bytes;
  const float* column_scales = args.column_scales + panel * kPanelColumns;
  int32_t dot[kPanelColumns];
  if (args.activation_group == 0) {
    dot_columns(x.codes, weights, 0, args.k_padded, dot);
    for (int c = 0; c < kPanelColumns; ++c) {
      result[c] = (static_cast<float>(dot[c]) * x.scales[0]) * column_scales[c];
    }
    return;
  }
  for (int c = 0; c < kPanelColumns; ++c) result[c] = 0.0f;
  for (int64_t begin = 0; begin < args.k_padded; begin += args.activation_group) {
    const int64_t group_end = begin + args.activation_group;
    dot_columns(x.codes, weights, begin, group_end < args.k_padded ? group_end : args.k_padded, dot);
    const float scale = x.scales[begin / args.activation_group];
    for (int c = 0; c < kPanelColumns; ++c) result[c] = fma(static_cast<float>(dot[c]), scale, result[c]);
  }
  for (int c = 0; c < kPanelColumns; ++c) result[c] = result[c] * column_scales[c];
}

void group_scaled(const MatmulArgs& args, const Row& x, int64_t panel, float* result) {
  const int8_t* weights = static_cast<const int8_t*>(args.panels) + panel * args.panel_bytes;
  const int64_t code_bytes = args.group * kPanelColumns;
  const int64_t group_bytes = code_bytes + kPanelColumns * 2;
  for (int c = 0; c < kPanelColumns; ++c) result[c] = 0.0f;
  for (int64_t g = 0; g < args.k_padded / args.group; ++g) {
    const int8_t* codes = weights + g * group_bytes;
    const uint16_t* scales = reinterpret_cast<const uint16_t*>(codes + code_bytes);
    int32_t dot[kPanelColumns] = {};
    add_quads(x.codes + g * args.group, codes, args.group / 4, dot);
    for (int c = 0; c < kPanelColumns; ++c) {
      float value = static_cast<float>(dot[c]);
      if (args.activation_group != 0) value = value * x.scales[g];
      result[c] = fma(value, f16_to_f32(scales[c]), result[c]);
    }
  }
  if (args.activation_group == 0) {
    for (int c = 0; c < kPanelColumns; ++c) result[c] = result[c] * x.scales[0];
  }
}

}  // namespace

void matmul_int8(const MatmulArgs& args) {
  for (int64_t panel = args.panel_begin; panel < args.panel_end; ++panel) {
    for (int64_t row = args.row_begin; row < args.row_end; ++row) {
      float result[kPanelColumns];
      if (args.group == 0) {
        column_scaled(args, row_of(args, row), panel, result);
      } else {
        group_scaled(args, row_of(args, row), panel, result);
      }
      finish_panel(args, row, panel, result);
    }
  }
}

}  // namespace honed::portable
