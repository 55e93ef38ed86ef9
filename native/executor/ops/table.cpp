#include "executor/ops/table.h"

#include <array>
#include <utility>

namespace honed {
namespace {

struct Entry {
  const char* name;
  std::unique_ptr<const Op> (*read)(Fields& fields);
};

#define HONED_OP_ENTRY(name) Entry{#name, ops::name},
constexpr std::array kTable{HONED_OPS(HONED_OP_ENTRY)};
#undef HONED_OP_ENTRY

#define HONED_OP_NAME(name) #name,
constexpr std::array kNames{HONED_OPS(HONED_OP_NAME)};
#undef HONED_OP_NAME

}  // namespace

std::span<const char* const> op_names() { return kNames; }

NamedOp read_op(std::size_t index, const std::string& name, std::map<std::string, FieldValue> values) {
  std::string known;
  for (const Entry& entry : kTable) {
    if (name == entry.name) {
      Fields fields({index, name}, std::move(values));
      NamedOp op{entry.name, entry.read(fields)};
      fields.finish();
      return op;
    }
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  throw std::invalid_argument("op " + std::to_string(index) + ": name = '" + name + "': must be one of " + known);
}

}  // namespace honed
