// Slot, Input and Plan. Ops come as their names and fields.
#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <limits>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/handles.h"
#include "bindings/names.h"
#include "executor/ops/table.h"
#include "packing/plain.h"
#include "plan/names.h"

namespace honed::bindings {
namespace {

namespace nb = nanobind;

int32_t narrow(const std::string& field, int64_t value) {
  if (value < std::numeric_limits<int32_t>::min() || value > std::numeric_limits<int32_t>::max()) {
    throw std::invalid_argument(field + " = " + std::to_string(value) + ": must fit 32 bits");
  }
  return static_cast<int32_t>(value);
}

using GivenOp = std::pair<std::string, nb::dict>;

[[noreturn]] void reject_type(const std::string& what, nb::handle value, const char* expected) {
  const nb::str type(value.type().attr("__name__"));
  throw nb::type_error((what + " is of type " + type.c_str() + ": must be " + expected).c_str());
}

FieldValue field_value(const OpPlace& place, const std::string& name, nb::handle value) {
  if (value.is_none()) return std::monostate{};
  if (nb::isinstance<nb::float_>(value)) return nb::cast<double>(value);
  if (nb::isinstance<nb::int_>(value) && !nb::isinstance<nb::bool_>(value)) {
    int64_t integer = 0;
    if (!nb::try_cast(value, integer)) place.reject(name, nb::str(value).c_str(), "must fit 64 bits");
    return integer;
  }
  if (nb::isinstance<nb::tuple>(value)) {
    std::vector<int64_t> numbers;
    if (!nb::try_cast(value, numbers)) place.reject(name, "a tuple", "must be of integers that fit 64 bits");
    return numbers;
  }
  std::string text;
  if (nb::isinstance<nb::str>(value) && nb::try_cast(value, text)) return text;
  reject_type(place.text() + name, value, "an int, a float, a str of characters, a tuple of int or None");
}

NamedOp op_of(std::size_t index, const GivenOp& given) {
  const OpPlace place{index, given.first};
  std::map<std::string, FieldValue> fields;
  for (const auto& [key, value] : given.second) {
    std::string name;
    if (!nb::isinstance<nb::str>(key) || !nb::try_cast(key, name)) {
      reject_type(place.text() + "a name of a field", key, "a str of characters");
    }
    fields.emplace(name, field_value(place, name, value));
  }
  try {
    return read_op(index, given.first, std::move(fields));
  } catch (const WrongFieldType& error) {
    throw nb::type_error(error.what());
  }
}

void make_slot(Slot* self, const std::string& kind, const std::string& rows, int64_t width, int64_t activation_group,
               int64_t stretch, int64_t copies, int64_t experts) {
  new (self) Slot{static_cast<SlotKind>(index_of(kSlotNames, "kind", kind)),
                  static_cast<Rows>(index_of(kRowsNames, "rows", rows)), width, activation_group,
                  narrow("stretch", stretch), copies, experts};
}

void make_plan(PlanHandle* self, const std::vector<GivenOp>& ops, const std::vector<Slot>& slots,
               const std::vector<WeightHandle>& weights, const std::vector<Input>& inputs,
               const std::vector<std::pair<std::string, int64_t>>& outputs, const GivenShapes& caches) {
  auto plan = std::make_shared<Plan>();
  for (std::size_t i = 0; i < ops.size(); ++i) plan->ops.push_back(op_of(i, ops[i]));
  plan->slots = slots;
  for (const auto& handle : weights) plan->weights.push_back(handle.weight);
  plan->inputs = inputs;
  for (const auto& [name, slot] : outputs) plan->outputs.push_back({name, slot});
  plan->caches = cache_shapes(caches);
  validate(*plan);
  new (self) PlanHandle{std::move(plan)};
}

int64_t plan_weight_bytes(const PlanHandle& self) {
  std::set<const Weight*> distinct;
  int64_t bytes = 0;
  for (const auto& weight : self.plan->weights) {
    if (distinct.insert(weight.get()).second) bytes += weight_bytes(*weight);
  }
  return bytes;
}

}  // namespace

void bind_plan(nb::module_& module) {
  using nb::literals::operator""_a;
  nb::list names;
  for (const char* name : op_names()) names.append(name);
  module.attr("OPS") = nb::tuple(names);
  nb::class_<Slot>(module, "Slot").def("__init__", make_slot, "kind"_a, "rows"_a, "width"_a, "activation_group"_a,
                                       "stretch"_a, "copies"_a = 1, "experts"_a = 0);
  nb::class_<Input>(module, "Input")
      .def_static("ids", [](const std::string& name, int64_t bound) { return Input{name, InputKind::ids, bound}; },
                  "name"_a, "bound"_a)
      .def_static("floats", [](const std::string& name, int64_t width) { return Input{name, InputKind::floats, width}; },
                  "name"_a, "width"_a);
  nb::class_<PlanHandle>(module, "Plan")
      .def("__init__", make_plan, "ops"_a, "slots"_a, "weights"_a, "inputs"_a, "outputs"_a, "caches"_a)
      .def_prop_ro("weight_bytes", plan_weight_bytes);
}

}  // namespace honed::bindings
