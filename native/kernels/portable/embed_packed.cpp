// Embedding rows out of the panels that a matmul reads: a table that is tied to the head is in memory once. The only
// kernel of its slot: a row is some hundred cells a cache line apart, and waits for memory.
#include "kernels/portable/scalar.h"
#include "kernels/portable/slots.h"

namespace honed::portable {
namespace {

constexpr int64_t kQuadBytes = kPanelColumns * 4;
constexpr int64_t kScaleBytes = kPanelColumns * 2;
constexpr int64_t kHalfBlockBytes = kTileColumns * kBlock / 2;
constexpr int64_t kBlockBytes = 2 * kHalfBlockBytes;

float half_at(const uint8_t* bytes) {
  uint16_t bits;
  std::memcpy(&bits, bytes, sizeof bits);
  return f16_to_f32(bits);
}

int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

void int8_row(const EmbedPackedArgs& args, const uint8_t* unit, int64_t entry, float* y) {
  const int64_t column = entry % kPanelColumns;
  const int64_t depth = args.group == 0 ? kTileDepth : args.group;
  const int64_t unit_bytes = depth * kPanelColumns + (args.group == 0 ? 0 : kScaleBytes);
  for (int64_t first = 0; first < args.width; first += depth, unit += unit_bytes) {
    const float scale =
        args.group == 0 ? args.column_scales[entry] : half_at(unit + depth * kPanelColumns + column * 2);
    const int64_t count = least(depth, args.width - first);
    for (int64_t i = 0; i < count; i += 4) {
      int8_t quad[4];
      std::memcpy(quad, unit + i / 4 * kQuadBytes + column * 4, sizeof quad);
      for (int64_t j = 0; j < least(4, count - i); ++j) {
        y[first + i + j] = static_cast<float>(quad[j]) * scale * args.factors[first + i + j];
      }
    }
  }
}

// Code i of a group: quads 0 to 3 of a block are low halves, quads 4 to 7 high ones.
int nibble(const uint8_t* group, int64_t column, int64_t i) {
  const uint8_t* half = group + i / kBlock * kBlockBytes + column / kTileColumns * kHalfBlockBytes;
  const int64_t quad = i % kBlock / 4;
  const uint8_t pair = half[quad % 4 * 64 + column % kTileColumns * 4 + i % 4];
  return quad < 4 ? pair & 15 : pair >> 4;
}

int64_t offset_bytes(Int4Offset offset) {
  return offset == Int4Offset::symmetric ? 0 : offset == Int4Offset::zero_point ? 1 : 2;
}

void nibble_row(const EmbedPackedArgs& args, const uint8_t* group, int64_t entry, float* y) {
  const int64_t column = entry % kPanelColumns;
  const int64_t code_bytes = args.group / kBlock * kBlockBytes;
  const bool indices = args.codes == PanelCodes::codebook;
  const Int4Offset offset = indices ? Int4Offset::symmetric : args.offset;
  for (int64_t first = 0; first < args.width; first += args.group) {
    const uint8_t* scales = group + code_bytes;
    const uint8_t* offsets = scales + kScaleBytes;
    const float scale = half_at(scales + column * 2);
    const float minimum = offset == Int4Offset::minimum ? half_at(offsets + column * 2) : 0.0f;
    const int zero = offset == Int4Offset::zero_point ? offsets[column] : offset == Int4Offset::symmetric ? 8 : 0;
    const int64_t count = least(args.group, args.width - first);
    for (int64_t i = 0; i < count; ++i) {
      const int code = nibble(group, column, i);
      const int value = indices ? args.codebook[code] : code - zero;
      float w = static_cast<float>(value) * scale;
      if (offset == Int4Offset::minimum) w = w + minimum;
      y[first + i] = w * args.factors[first + i];
    }
    group += code_bytes + kScaleBytes + kPanelColumns * offset_bytes(offset);
  }
}

}  // namespace

void embed_packed(const EmbedPackedArgs& args) {
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const int64_t entry = args.tokens[row];
    const uint8_t* panel = static_cast<const uint8_t*>(args.panels) + entry / kPanelColumns * args.panel_bytes;
    float* y = args.y + row * args.y_stride;
    if (args.codes == PanelCodes::int8) {
      int8_row(args, panel, entry, y);
    } else {
      nibble_row(args, panel, entry, y);
    }
  }
}

}  // namespace honed::portable
