// The paged KV cache: keys and values of every layer in pages of kPageTokens positions, addressed by page tables.
#pragma once

#include <cstdint>
#include <vector>

#include "plan/weight.h"

namespace honed {

class Cache {
 public:
  // Reserves addresses only; memory comes at first touch. Throws std::invalid_argument for sizes out of range.
  Cache(int64_t layers, int64_t kv_heads, int64_t head_dim, int64_t pages, KvType type);

  int64_t layers() const { return layers_; }
  int64_t kv_heads() const { return kv_heads_; }
  int64_t head_dim() const { return head_dim_; }
  int64_t pages() const { return pages_; }
  KvType type() const { return type_; }
  int64_t page_bytes() const;  // of one page in all layers, keys and values
  KvLayer layer(int64_t index) const;

 private:
  int64_t layers_;
  int64_t kv_heads_;
  int64_t head_dim_;
  int64_t pages_;
  KvType type_;
  int64_t head_bytes_;  // of the keys or of the values of one kv head in one page
  AlignedBuffer buffer_;
};

}  // namespace honed
