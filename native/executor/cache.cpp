// One reservation a group: [page][cache][keys, values][kv head].
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

Cache::Cache(std::vector<CacheShape> shapes, std::vector<int64_t> groups, const std::vector<int64_t>& pages, KvType type)
    : shapes_(std::move(shapes)), group_of_(std::move(groups)), type_(type) {
  const auto count = static_cast<int64_t>(shapes_.size());
  checked("shapes", count, kMostCaches);
  checked("groups", static_cast<int64_t>(pages.size()), count);
  if (group_of_.size() != shapes_.size()) {
    throw std::invalid_argument("cache: groups = " + std::to_string(group_of_.size()) + " numbers: must be " +
                                std::to_string(count) + ", one for each shape");
  }
  for (const int64_t each : pages) groups_.push_back({checked("pages", each, 1 << 24), 0, {}});
  for (std::size_t i = 0; i < shapes_.size(); ++i) place(shapes_[i], group_of_[i]);
  for (std::size_t i = 0; i < groups_.size(); ++i) reserve(groups_[i], static_cast<int64_t>(i));
}

void Cache::place(const CacheShape& shape, int64_t group) {
  if (group < 0 || group >= static_cast<int64_t>(groups_.size())) {
    throw std::invalid_argument("cache: group = " + std::to_string(group) + ": must be from 0 to " +
                                std::to_string(groups_.size() - 1));
  }
  checked("kv_heads", shape.kv_heads, kMostHeads);
  checked("key_width", shape.key_width, type_ == KvType::int8 ? kMostInt8HeadDim : kMostHeadDim);
  if (shape.value_width != shape.key_width) {
    throw std::invalid_argument("cache: value_width = " + std::to_string(shape.value_width) +
                                ": must be the key_width " + std::to_string(shape.key_width));
  }
  const int64_t head_bytes = bytes_of_head(shape.key_width, type_);
  const int64_t bytes = shape.kv_heads * head_bytes;
  int64_t& page_bytes = groups_[static_cast<std::size_t>(group)].page_bytes;
  places_.push_back({page_bytes, page_bytes + bytes, head_bytes});
  page_bytes += 2 * bytes;
}

void Cache::reserve(Group& group, int64_t number) {
  if (group.page_bytes == 0) {
    throw std::invalid_argument("cache: group = " + std::to_string(number) + ": must have a shape");
  }
  if (group.pages > kMostBytes / group.page_bytes) {
    throw std::invalid_argument("cache: pages = " + std::to_string(group.pages) + " of " +
                                std::to_string(group.page_bytes) + " bytes: over 64 TiB");
  }
  // All caches of a page side by side: what a sequence fills is one stretch, which huge pages hold without waste.
  group.buffer = AlignedBuffer(static_cast<std::size_t>(group.page_bytes * group.pages), PageSize::huge);
}

std::vector<int64_t> Cache::pages() const {
  std::vector<int64_t> pages;
  for (const Group& group : groups_) pages.push_back(group.pages);
  return pages;
}

std::vector<int64_t> Cache::page_bytes() const {
  std::vector<int64_t> bytes;
  for (const Group& group : groups_) bytes.push_back(group.page_bytes);
  return bytes;
}

KvLayer Cache::layer(CacheNumber number) const {
  const Place& place = places_[static_cast<std::size_t>(number)];
  const Group& group = groups_[static_cast<std::size_t>(group_of(number))];
  return {group.buffer.data() + place.keys, group.buffer.data() + place.values, group.page_bytes, place.head_bytes,
          type_};
}

}  // namespace honed
