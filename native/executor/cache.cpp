// One reservation for all layers: [layer][keys, values][page].
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

}  // namespace

Cache::Cache(int64_t layers, int64_t kv_heads, int64_t head_dim, int64_t pages)
    : layers_(checked("layers", layers, 1 << 12)),
      kv_heads_(checked("kv_heads", kv_heads, 1 << 12)),
      head_dim_(checked("head_dim", head_dim, 1 << 12)),
      pages_(checked("pages", pages, 1 << 24)) {
  if (pages_ > kMostBytes / page_bytes()) {
    throw std::invalid_argument("cache: pages = " + std::to_string(pages) + " of " + std::to_string(page_bytes()) +
                                " bytes: over 64 TiB");
  }
  // A page of one layer is a few KiB and the layers lie far apart: huge pages would take 2 MiB a layer for one token.
  buffer_ = AlignedBuffer(static_cast<std::size_t>(page_bytes() * pages_), PageSize::small);
}

int64_t Cache::page_bytes() const {
  return layers_ * 2 * kv_heads_ * head_dim_ * kPageTokens * static_cast<int64_t>(sizeof(float));
}

KvLayer Cache::layer(int64_t index) const {
  const int64_t floats = pages_ * kv_heads_ * head_dim_ * kPageTokens;
  auto* keys = reinterpret_cast<float*>(buffer_.data()) + index * 2 * floats;
  return {keys, keys + floats};
}

}  // namespace honed
