// Paged keys and values: of every cache of a plan in pages of kPageTokens positions, addressed by page tables. Caches of
// one group share a table: a page of it has those positions in all of them.
#pragma once

#include <cstdint>
#include <vector>

#include "plan/plan.h"
#include "plan/weight.h"

namespace honed {

class Cache {
 public:
  // `groups`: of each shape the group that it belongs to; `pages`: of each group, of which every one has a shape.
  // Reserves addresses only; memory comes at first touch. Throws std::invalid_argument for sizes out of range.
  Cache(std::vector<CacheShape> shapes, std::vector<int64_t> groups, const std::vector<int64_t>& pages, KvType type);

  const std::vector<CacheShape>& shapes() const { return shapes_; }
  KvType type() const { return type_; }
  std::vector<int64_t> pages() const;       // of each group
  std::vector<int64_t> page_bytes() const;  // of one page of each group in all of its caches, keys and values
  int64_t group_of(CacheNumber number) const { return group_of_[static_cast<std::size_t>(number)]; }
  KvLayer layer(CacheNumber number) const;

 private:
  struct Place {
    int64_t keys;    // bytes from the start of a page
    int64_t values;
    int64_t head_bytes;  // of the keys or of the values of one kv head in one page
  };

  struct Group {
    int64_t pages;
    int64_t page_bytes;
    AlignedBuffer buffer;
  };

  void place(const CacheShape& shape, int64_t group);
  void reserve(Group& group, int64_t number);

  std::vector<CacheShape> shapes_;
  std::vector<int64_t> group_of_;
  std::vector<Place> places_;
  std::vector<Group> groups_;
  KvType type_;
};

}  // namespace honed
