// int4 weights in groups times int8 activations: exact int32 dot products of each group, then float.
#include "kernels/portable/epilogue.h"
#include "kernels/portable/slots.h"

namespace honed::portable {
namespace {

constexpr int64_t kBlockBytes = kBlock * kPanelColumns / 2;

// One group of a panel: its codes, and the 32 scales and offsets behind them.
struct Group {
  const uint8_t* codes;
  const uint16_t* scales;
  const uint8_t* zeros;
  const uint16_t* minimums;
};

int64_t group_bytes(const MatmulArgs& args) {
  const int64_t bytes = args.group / kBlock * kBlockBytes + kPanelColumns * 2;
  if (args.offset == Int4Offset::zero_point) return bytes + kPanelColumns;
  return args.offset == Int4Offset::minimum ? bytes + kPanelColumns * 2 : bytes;
}

Group group_of(const MatmulArgs& args, int64_t panel, int64_t g) {
  const uint8_t* codes =
      static_cast<const uint8_t*>(args.panels) + panel * args.panel_bytes + g * group_bytes(args);
  const uint8_t* scales = codes + args.group / kBlock * kBlockBytes;
  const uint8_t* offsets = scales + kPanelColumns * 2;
  return {codes, reinterpret_cast<const uint16_t*>(scales), offsets, reinterpret_cast<const uint16_t*>(offsets)};
}

// Adds one block of 32 k to 32 dot products of the raw codes.
void add_block(const int8_t* x, const uint8_t* block, int32_t* dot) {
  for (int half = 0; half < 2; ++half) {
    for (int i = 0; i < 4; ++i) {
      const uint8_t* cells = block + (half * 4 + i) * 64;
      for (int c = 0; c < kTileColumns; ++c) {
        int32_t sum = 0;
        for (int j = 0; j < 4; ++j) {
          sum += x[i * 4 + j] * (cells[c * 4 + j] & 15) + x[16 + i * 4 + j] * (cells[c * 4 + j] >> 4);
        }
        dot[half * kTileColumns + c] += sum;
      }
    }
  }
}

void add_group(const MatmulArgs& args, const Group& group, const int8_t* x, const int32_t* sums, float x_scale,
               float* result) {
  int32_t dot[kPanelColumns] = {};
  int32_t sum = 0;
  for (int64_t block = 0; block < args.group / kBlock; ++block) {
    add_block(x + block * kBlock, group.codes + block * kBlockBytes, dot);
    sum += sums[block];
  }
  const bool scaled = args.activation_group != 0;
  for (int c = 0; c < kPanelColumns; ++c) {
    if (args.offset == Int4Offset::symmetric) dot[c] -= 8 * sum;
    if (args.offset == Int4Offset::zero_point) dot[c] -= group.zeros[c] * sum;
    float value = static_cast<float>(dot[c]);
    if (scaled) value = value * x_scale;
    result[c] = fma(value, f16_to_f32(group.scales[c]), result[c]);
    if (args.offset == Int4Offset::minimum) {
      float total = static_cast<float>(sum);
      if (scaled) total = total * x_scale;
      result[c] = fma(total, f16_to_f32(group.minimums[c]), result[c]);
    }
  }
}

}  // namespace

void matmul_int4(const MatmulArgs& args) {
  const int64_t blocks = args.group / kBlock;
  for (int64_t panel = args.panel_begin; panel < args.panel_end; ++panel) {
    for (int64_t row = args.row_begin; row < args.row_end; ++row) {
      const char* bytes = static_cast<const char*>(args.x) + row * args.x_row_bytes;
      const int8_t* x = reinterpret_cast<const int8_t*>(bytes);
      const float* scales = reinterpret_cast<const float*>(bytes + args.scales_offset);
      const int32_t* sums = reinterpret_cast<const int32_t*>(bytes + args.sums_offset);
      float result[kPanelColumns] = {};
      for (int64_t g = 0; g < args.k_padded / args.group; ++g) {
        const float x_scale = args.activation_group == 0 ? 1.0f : scales[g];
        add_group(args, group_of(args, panel, g), x + g * args.group, sums + g * blocks, x_scale, result);
      }
      if (args.activation_group == 0) {
        for (int c = 0; c < kPanelColumns; ++c) result[c] = result[c] * scales[0];
      }
      finish_panel(args, row, panel, result);
    }
  }
}

}  // namespace honed::portable
