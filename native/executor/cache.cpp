// One reservation: [page][cache][keys, values][kv head].
#include "executor/cache.h"

#include <stdexcept>
#include <string>
#include <utility>

#include "plan/limits.h"

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

int64_t bytes_of_head(int64_t width, KvType type) {
  switch (type) {
    case KvType::f32: return width * kPageTokens * 4;
    case KvType::bf16: return (width + 1) / 2 * 2 * kPageTokens * 2;
    case KvType::int8: return (int8_scales_offset(width) + key_groups(width) * kPageTokens * 4 + 63) / 64 * 64;
  }
  throw std::invalid_argument("cache: type = " + std::to_string(static_cast<int>(type)) + ": must be from 0 to 2");
}

}  // namespace

Cache::Cache(std::vector<CacheShape> shapes, int64_t pages, KvType type)
    : shapes_(std::move(shapes)), pages_(checked("pages", pages, 1 << 24)), type_(type) {
  checked("shapes", static_cast<int64_t>(shapes_.size()), kMostCaches);
  for (const CacheShape& shape : shapes_) {
    checked("kv_heads", shape.kv_heads, kMostHeads);
    checked("key_width", shape.key_width, type == KvType::int8 ? kMostInt8HeadDim : kMostHeadDim);
    if (shape.value_width != shape.key_width) {
      throw std::invalid_argument("cache: value_width = " + std::to_string(shape.value_width) +
                                  ": must be the key_width " + std::to_string(shape.key_width));
    }
    const int64_t head_bytes = bytes_of_head(shape.key_width, type);
    const int64_t bytes = shape.kv_heads * head_bytes;
    places_.push_back({page_bytes_, page_bytes_ + bytes, head_bytes});
    page_bytes_ += 2 * bytes;
  }
  if (pages_ > kMostBytes / page_bytes_) {
    throw std::invalid_argument("cache: pages = " + std::to_string(pages) + " of " + std::to_string(page_bytes_) +
                                " bytes: over 64 TiB");
  }
  // All caches of a page side by side: what a sequence fills is one stretch, which huge pages hold without waste.
  buffer_ = AlignedBuffer(static_cast<std::size_t>(page_bytes_ * pages_), PageSize::huge);
}

KvLayer Cache::layer(CacheNumber number) const {
  const Place& place = places_[static_cast<std::size_t>(number)];
  return {buffer_.data() + place.keys, buffer_.data() + place.values, page_bytes_, place.head_bytes, type_};
}

}  // namespace honed
