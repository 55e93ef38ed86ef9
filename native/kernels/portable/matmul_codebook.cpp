// Indices of sixteen int8 values, in groups, times int8 activations: exact int32 dot products of each group, then float.
#include "kernels/portable/epilogue.h"
#include "kernels/portable/slots.h"

namespace honed::portable {
namespace {

constexpr int64_t kBlockBytes = kBlock * kPanelColumns / 2;

// Adds one block of 32 k to 32 dot products.
void add_block(const int8_t* codebook, const int8_t* x, const uint8_t* block, int32_t* dot) {
  for (int half = 0; half < 2; ++half) {
    for (int i = 0; i < 4; ++i) {
      const uint8_t* cells = block + (half * 4 + i) * 64;
      for (int c = 0; c < kTileColumns; ++c) {
        int32_t sum = 0;
        for (int j = 0; j < 4; ++j) {
          const uint8_t pair = cells[c * 4 + j];
          sum += x[i * 4 + j] * codebook[pair & 15] + x[16 + i * 4 + j] * codebook[pair >> 4];
        }
        dot[half * kTileColumns + c] += sum;
      }
    }
  }
}

}  // namespace

void matmul_codebook(const MatmulArgs& args) {
  const int64_t code_bytes = args.group / kBlock * kBlockBytes;
  const bool scaled = args.activation_group != 0;
  for (int64_t panel = args.panel_begin; panel < args.panel_end; ++panel) {
    for (int64_t row = args.row_begin; row < args.row_end; ++row) {
      const char* bytes = static_cast<const char*>(args.x) + row * args.x_row_bytes;
      const int8_t* x = reinterpret_cast<const int8_t*>(bytes);
      const float* x_scales = reinterpret_cast<const float*>(bytes + args.scales_offset);
      const uint8_t* group = static_cast<const uint8_t*>(args.panels) + panel * args.panel_bytes;
      float result[kPanelColumns] = {};
      for (int64_t g = 0; g < args.k_padded / args.group; ++g) {
        const uint16_t* scales = reinterpret_cast<const uint16_t*>(group + code_bytes);
        int32_t dot[kPanelColumns] = {};
        for (int64_t k = 0; k < args.group; k += kBlock) {
          add_block(args.codebook, x + g * args.group + k, group + k / kBlock * kBlockBytes, dot);
        }
        for (int c = 0; c < kPanelColumns; ++c) {
          float value = static_cast<float>(dot[c]);
          if (scaled) value = value * x_scales[g];
          result[c] = fma(value, f16_to_f32(scales[c]), result[c]);
        }
        group += code_bytes + kPanelColumns * 2;
      }
      if (!scaled) {
        for (int c = 0; c < kPanelColumns; ++c) result[c] = result[c] * x_scales[0];
      }
      finish_panel(args, row, panel, result);
    }
  }
}

}  // namespace honed::portable
