// GGUF blocks whose scales are products times int8 activations in groups of 32.
#include "kernels/portable/epilogue.h"
#include "kernels/portable/slots.h"

namespace honed::portable {
namespace {

// 32 k of a panel, the head of their super-block, and the activations.
struct Block {
  const uint16_t* d;
  const uint16_t* m;
  const uint8_t* codes;
  const uint8_t* levels;
  const int8_t* x;
  float x_scale;
  int32_t x_sum;
};

int code_at(bool nibbles, const uint8_t* codes, int column, int k) {
  const int half = column / kTileColumns;
  const int cell = column % kTileColumns * 4 + k % 4;
  if (!nibbles) return codes[(half * (kBlock / 4) + k / 4) * 64 + cell];
  const int byte = codes[(half * 4 + k / 4 % 4) * 64 + cell];
  return k < kBlock / 2 ? byte & 15 : byte >> 4;
}

int32_t dot_of(const BlockShape& shape, const Block& block, int column, int first) {
  int32_t dot = 0;
  for (int k = first; k < first + shape.group; ++k) {
    const int code = code_at(shape.nibbles, block.codes, column, k);
    dot += block.x[k] * (shape.values != nullptr ? shape.values[code] : code - shape.zero);
  }
  return dot;
}

int32_t sum_of(const BlockShape& shape, const Block& block, int first) {
  if (shape.group == kBlock) return block.x_sum;
  int32_t sum = 0;
  for (int k = first; k < first + shape.group; ++k) sum += block.x[k];
  return sum;
}

// Scale and minimum levels of the group of 16 or 32 that begins at `first`.
struct Levels {
  int scale;
  int minimum;
};

Levels levels_of(BlockForm form, const BlockShape& shape, const Block& block, int column, int first) {
  if (shape.group == kBlock && !shape.minimum) return {static_cast<int8_t>(block.levels[column]), 0};
  if (shape.group == kBlock) return {block.levels[column], block.levels[kPanelColumns + column]};
  const uint8_t level = block.levels[first / 16 * kPanelColumns + column];
  if (form == BlockForm::q2_k) return {level & 15, level >> 4};
  return {static_cast<int8_t>(level), 0};
}

float add_block(BlockForm form, const BlockShape& shape, const Block& block, int column, float result) {
  float scale = f16_to_f32(block.d[column]) * shape.factor;
  float minimum = shape.minimum ? f16_to_f32(block.m[column]) : 0.0f;
  const float d = scale;
  const float m = minimum;
  for (int first = 0; first < kBlock; first += static_cast<int>(shape.group)) {
    if (shape.level_bytes != 0) {
      const Levels levels = levels_of(form, shape, block, column, first);
      scale = d * static_cast<float>(levels.scale);
      minimum = -(m * static_cast<float>(levels.minimum));
    }
    const auto dot = static_cast<float>(dot_of(shape, block, column, first));
    result = fma(dot * block.x_scale, scale, result);
    if (!shape.minimum) continue;
    result = fma(static_cast<float>(sum_of(shape, block, first)) * block.x_scale, minimum, result);
  }
  return result;
}

}  // namespace

void matmul_blocks(const MatmulArgs& args) {
  const BlockShape& shape = kBlockShapes[static_cast<int>(args.block_form)];
  for (int64_t panel = args.panel_begin; panel < args.panel_end; ++panel) {
    for (int64_t row = args.row_begin; row < args.row_end; ++row) {
      const char* x = static_cast<const char*>(args.x) + row * args.x_row_bytes;
      const auto* x_scales = reinterpret_cast<const float*>(x + args.scales_offset);
      const auto* x_sums = reinterpret_cast<const int32_t*>(x + args.sums_offset);
      const uint8_t* bytes = static_cast<const uint8_t*>(args.panels) + panel * args.panel_bytes;
      float result[kPanelColumns] = {};
      for (int64_t begin = 0; begin < args.k_padded; begin += shape.depth) {
        const auto* d = reinterpret_cast<const uint16_t*>(bytes);
        bytes += shape.head_bytes;
        for (int64_t k = begin; k < begin + shape.depth; k += kBlock) {
          const Block block{d, d + kPanelColumns, bytes, bytes + shape.code_bytes,
                            reinterpret_cast<const int8_t*>(x) + k, x_scales[k / kBlock], x_sums[k / kBlock]};
          for (int c = 0; c < kPanelColumns; ++c) {
            result[c] = add_block(args.block_form, shape, block, c, result[c]);
          }
          bytes += shape.code_bytes + shape.level_bytes;
        }
      }
      finish_panel(args, row, panel, result);
    }
  }
}

}  // namespace honed::portable
