#include "packing/plain.h"

#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

#include "packing/checked.h"
#include "packing/placement.h"
#include "packing/weight_shell.h"

namespace honed {
namespace {

int64_t table_bytes(const Weight& weight) {
  const TableBlock block = table_block(weight.table_type);
  return product("bytes of a table", product("values of a table", weight.rows, weight.columns / block.values), block.bytes);
}

void require(bool ok, const char* field, int64_t value, int64_t most) {
  if (!ok) {
    throw std::invalid_argument(std::string(field) + " = " + std::to_string(value) + ": must be from 1 to " +
                                std::to_string(most));
  }
}

}  // namespace

TableBlock table_block(TableType type) {
  switch (type) {
    case TableType::f32: return {1, 4};
    case TableType::bf16:
    case TableType::f16: return {1, 2};
    case TableType::q4_0: return {32, 18};
    case TableType::q4_1: return {32, 20};
    case TableType::q5_0: return {32, 22};
    case TableType::q5_1: return {32, 24};
    case TableType::q8_0: return {32, 34};
    case TableType::q4_k: return {256, 144};
    case TableType::q5_k: return {256, 176};
    case TableType::q6_k: return {256, 210};
    case TableType::q2_k: return {256, 84};
    case TableType::q3_k: return {256, 110};
    case TableType::iq4_nl: return {32, 18};
    case TableType::iq4_xs: return {256, 136};
  }
  throw std::invalid_argument("table type = " + std::to_string(static_cast<int>(type)) + ": is not known");
}

std::shared_ptr<const Weight> make_vector(const float* values, int64_t length) {
  require(length >= 1 && length <= kMostColumns, "vector length", length, kMostColumns);
  auto weight = std::make_shared<Weight>();
  weight->kind = WeightKind::vector;
  weight->rows = length;
  weight->columns = 1;
  weight->buffer = AlignedBuffer(static_cast<std::size_t>(length) * sizeof(float));
  std::memcpy(weight->buffer.data(), values, weight->buffer.size());
  return weight;
}

std::shared_ptr<const Weight> make_table(const void* values, TableType type, int64_t rows, int64_t width,
                                         std::shared_ptr<void> keep_alive) {
  constexpr int64_t kMostRows = (int64_t{1} << 31) - 1;
  require(rows >= 1 && rows <= kMostRows, "table rows", rows, kMostRows);
  require(width >= 1 && width <= kMostColumns, "table width", width, kMostColumns);
  if (width % table_block(type).values != 0) {
    throw std::invalid_argument("table width = " + std::to_string(width) + ": must be a multiple of " +
                                std::to_string(table_block(type).values));
  }
  auto weight = std::make_shared<Weight>();
  weight->kind = WeightKind::table;
  weight->rows = rows;
  weight->columns = width;
  weight->table_type = type;
  const std::uintptr_t alignment = type == TableType::f32    ? alignof(float)
                                   : type <= TableType::f16 ? alignof(uint16_t)
                                                            : 1;  // blocks are read byte by byte
  if (reinterpret_cast<std::uintptr_t>(values) % alignment == 0) {
    weight->borrowed = values;
    weight->keep_alive = std::move(keep_alive);
  } else {
    weight->buffer = AlignedBuffer(static_cast<std::size_t>(table_bytes(*weight)));
    std::memcpy(weight->buffer.data(), values, weight->buffer.size());
    weight->borrowed = weight->buffer.data();
  }
  return weight;
}

int64_t weight_bytes(const Weight& weight) {
  if (weight.kind == WeightKind::table) return table_bytes(weight);
  if (weight.kind == WeightKind::vector) return static_cast<int64_t>(weight.buffer.size());
  return panels_bytes(weight) + static_cast<int64_t>(weight.column_scales.size() * sizeof(float));
}

}  // namespace honed
