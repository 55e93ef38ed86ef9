// Paged keys and values: of every cache of a plan in pages of kPageTokens positions, addressed by page tables.
#pragma once

#include <cstdint>
#include <vector>

#include "plan/plan.h"
#include "plan/weight.h"

namespace honed {

class Cache {
 public:
  // Reserves addresses only; memory comes at first touch. Throws std::invalid_argument for sizes out of range.
  Cache(std::vector<CacheShape> shapes, int64_t pages, KvType type);

  const std::vector<CacheShape>& shapes() const { return shapes_; }
  int64_t pages() const { return pages_; }
  KvType type() const { return type_; }
  int64_t page_bytes() const { return page_bytes_; }  // of one page in all caches, keys and values
  KvLayer layer(CacheNumber number) const;

 private:
  struct Place {
    int64_t keys;    // bytes from the start of a page
    int64_t values;
    int64_t head_bytes;  // of the keys or of the values of one kv head in one page
  };

  std::vector<CacheShape> shapes_;
  std::vector<Place> places_;
  int64_t pages_;
  KvType type_;
  int64_t page_bytes_ = 0;
  AlignedBuffer buffer_;
};

}  // namespace honed
