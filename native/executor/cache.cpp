// One reservation: [page][layer][keys, values][kv head].
#include "executor/cache.h"

#include <stdexcept>
#include <string>

namespace honed {
namespace {

constexpr int64_t kMostBytes = int64_t{1} << 46;

int64_t checked(const char* name, int64_t value, int64_t most) {
  if (value < 1 || value > most) {
    throw std::invalid_argument(std::string("cache: ") + name + " = " + std::to_string(value) + ": must be from 1 to " +
                                std::to_string(most));
  }
  return value;
}

int64_t bytes_of_head(int64_t head_dim, KvType type) {
  const int64_t cells = head_dim * kPageTokens;
  switch (type) {
    case KvType::f32: return cells * 4;
    case KvType::bf16: return cells * 2;
    case KvType::int8: return (int8_scales_offset(head_dim) + key_groups(head_dim) * kPageTokens * 4 + 63) / 64 * 64;
  }
  throw std::invalid_argument("cache: type = " + std::to_string(static_cast<int>(type)) + ": must be from 0 to 2");
}

}  // namespace

Cache::Cache(int64_t layers, int64_t kv_heads, int64_t head_dim, int64_t pages, KvType type)
    : layers_(checked("layers", layers, 1 << 12)),
      kv_heads_(checked("kv_heads", kv_heads, 1 << 12)),
      head_dim_(checked("head_dim", head_dim, type == KvType::int8 ? kMostInt8HeadDim : 1 << 12)),
      pages_(checked("pages", pages, 1 << 24)),
      type_(type),
      head_bytes_(bytes_of_head(head_dim, type)) {
  if (pages_ > kMostBytes / page_bytes()) {
    throw std::invalid_argument("cache: pages = " + std::to_string(pages) + " of " + std::to_string(page_bytes()) +
                                " bytes: over 64 TiB");
  }
  // All layers of a page side by side: what a sequence fills is one stretch, which huge pages hold without waste.
  buffer_ = AlignedBuffer(static_cast<std::size_t>(page_bytes() * pages_), PageSize::huge);
}

int64_t Cache::page_bytes() const { return layers_ * 2 * kv_heads_ * head_bytes_; }

KvLayer Cache::layer(int64_t index) const {
  std::byte* keys = buffer_.data() + index * 2 * kv_heads_ * head_bytes_;
  return {keys, keys + kv_heads_ * head_bytes_, page_bytes(), head_bytes_, type_};
}

}  // namespace honed
