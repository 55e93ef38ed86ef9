// Op, Slot and Plan.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <limits>
#include <set>

#include "bindings/handles.h"
#include "bindings/names.h"
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

void require_at_most(const char* field, std::size_t count, std::size_t most) {
  if (count > most) {
    throw std::invalid_argument(std::string(field) + " has " + std::to_string(count) + " entries: at most " +
                                std::to_string(most));
  }
}

void make_op(Op* self, const std::string& code, int64_t input, int64_t output, const std::vector<int64_t>& weights,
             const std::vector<int64_t>& sizes, const std::vector<double>& scalars) {
  require_at_most("weights", weights.size(), 3);
  require_at_most("sizes", sizes.size(), 5);
  require_at_most("scalars", scalars.size(), 2);
  Op op{static_cast<OpCode>(index_of(kOpNames, "code", code)),
        narrow("input", input),
        narrow("output", output),
        {kNoWeight, kNoWeight, kNoWeight},
        {},
        {}};
  for (std::size_t i = 0; i < weights.size(); ++i) op.weights[i] = narrow("weights", weights[i]);
  for (std::size_t i = 0; i < sizes.size(); ++i) op.sizes[i] = sizes[i];
  for (std::size_t i = 0; i < scalars.size(); ++i) op.scalars[i] = static_cast<float>(scalars[i]);
  new (self) Op(op);
}

void make_slot(Slot* self, const std::string& kind, const std::string& rows, int64_t width, int64_t activation_group,
               int64_t stretch) {
  new (self) Slot{static_cast<SlotKind>(index_of(kSlotNames, "kind", kind)),
                  static_cast<Rows>(index_of(kRowsNames, "rows", rows)), width, activation_group,
                  narrow("stretch", stretch)};
}

void make_plan(PlanHandle* self, const std::vector<Op>& ops, const std::vector<Slot>& slots,
               const std::vector<WeightHandle>& weights, int64_t layers, int64_t kv_heads, int64_t head_dim,
               int64_t vocabulary, int64_t logits) {
  auto plan = std::make_shared<Plan>();
  plan->ops = ops;
  plan->slots = slots;
  for (const auto& handle : weights) plan->weights.push_back(handle.weight);
  plan->layers = layers;
  plan->kv_heads = kv_heads;
  plan->head_dim = head_dim;
  plan->vocabulary = vocabulary;
  plan->logits = logits;
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
  nb::class_<Op>(module, "Op").def("__init__", make_op, "code"_a, "input"_a = 0, "output"_a = 0,
                                   "weights"_a = std::vector<int64_t>{}, "sizes"_a = std::vector<int64_t>{},
                                   "scalars"_a = std::vector<double>{});
  nb::class_<Slot>(module, "Slot").def("__init__", make_slot, "kind"_a, "rows"_a, "width"_a, "activation_group"_a,
                                       "stretch"_a);
  nb::class_<PlanHandle>(module, "Plan")
      .def("__init__", make_plan, "ops"_a, "slots"_a, "weights"_a, "layers"_a, "kv_heads"_a, "head_dim"_a,
           "vocabulary"_a, "logits"_a)
      .def_prop_ro("weight_bytes", plan_weight_bytes);
}

}  // namespace honed::bindings
