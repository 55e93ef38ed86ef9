// Weights as the executor reads them. They own their memory, or borrow a mapped file that the binding keeps alive: a
// table, and panels that were packed before.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "cpu/kernel_table.h"
#include "plan/weight_kind.h"

namespace honed {

// Small pages are for memory of which little may ever be touched, as the pages of a KV cache.
enum class PageSize : int32_t { huge = 0, small = 1 };

// Memory aligned to 2 MiB where it is large, asked for in huge pages, zero at first touch.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t bytes, PageSize pages = PageSize::huge);
  AlignedBuffer(AlignedBuffer&&) noexcept;
  AlignedBuffer& operator=(AlignedBuffer&&) noexcept;
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;
  ~AlignedBuffer();
  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t mapped_ = 0;
};

struct Weight {
  WeightKind kind;
  int64_t rows = 0;     // vector: length; table: entries; matrix: packed columns n, padded to 32
  int64_t columns = 0;  // table: width; matrix: k
  int64_t k_padded = 0;
  int64_t panel_bytes = 0;
  int64_t group = 0;                                // int4, codebook, and int8 in groups; blocks: of activations
  Int4Offset offset = Int4Offset::symmetric;        // int4
  BlockForm block_form = BlockForm::q4_k;           // blocks
  std::array<int8_t, 16> codebook{};                // codebook
  TableType table_type = TableType::f32;
  AlignedBuffer buffer;                             // the vector, or panels that are not borrowed
  const std::byte* panels = nullptr;                // packed panels: in `buffer` or borrowed
  std::vector<float> column_scales;                 // int8, one scale a column
  const void* borrowed = nullptr;                   // table
  std::shared_ptr<void> keep_alive;                 // what `borrowed` or `panels` points into
};

}  // namespace honed
