// The one list of the ops. Each has a file of its name here, which holds its fields, its check, its split over the
// threads and what it does, and defines the function of its name that reads its fields.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "plan/fields.h"
#include "plan/plan.h"

#define HONED_OPS(OP)   \
  OP(activate)          \
  OP(add)               \
  OP(attention)         \
  OP(combine)           \
  OP(copy)              \
  OP(dispatch)          \
  OP(embed)             \
  OP(embed_packed)      \
  OP(expert_matmul)     \
  OP(float_rows)        \
  OP(gated)             \
  OP(layer_norm)        \
  OP(matmul)            \
  OP(pool)              \
  OP(quantize)          \
  OP(rms_norm)          \
  OP(rms_norm_quantize) \
  OP(rope_kv)           \
  OP(route)             \
  OP(scale)             \
  OP(select)

namespace honed {

namespace ops {
#define HONED_OP_READER(name) std::unique_ptr<const Op> name(Fields& fields);
HONED_OPS(HONED_OP_READER)
#undef HONED_OP_READER
}  // namespace ops

std::span<const char* const> op_names();

// The op of this name at a place of a plan. Throws std::invalid_argument where there is no such op, a field is missing,
// unknown or out of range, and WrongFieldType where one has another type.
NamedOp read_op(std::size_t index, const std::string& name, std::map<std::string, FieldValue> fields);

}  // namespace honed
