// A copy of each row for every expert that it goes to, at the places of the routing.
#include <cstring>

#include "executor/ops/routing.h"
#include "executor/ops/table.h"
#include "plan/check.h"
#include "plan/limits.h"
#include "plan/names.h"

namespace honed::ops {
namespace {

struct Dispatch final : Op {
  SlotNumber input;
  SlotNumber routing;
  SlotNumber output;
  int64_t width;
  int64_t chosen;
  SlotKind kind;
  int64_t activation_group;  // of quantized rows

  explicit Dispatch(Fields& fields)
      : input(fields.slot("input")),
        routing(fields.slot("routing")),
        output(fields.slot("output")),
        width(fields.integer("width", 1, kMostWidth)),
        chosen(fields.integer("chosen", 1, kMostChosen)),
        kind(fields.choice<SlotKind>("kind", kSlotNames)),
        activation_group(fields.activation_group()) {}

  void check(Check& check) const override {
    check.require(kind != SlotKind::routing, "kind", static_cast<int64_t>(kind), "must be f32 or quantized");
    const Slot& from = check.slot("input", input, kind);
    const Slot& by = check.routing("routing", routing);
    check.require(by.width == chosen, "chosen", chosen, "the routing is of " + std::to_string(by.width));
    check.same_rows(routing, input);
    check.reads(input, width);
    const Slot& to = check.slot("output", output, kind);
    for (const Slot* slot : {&from, &to}) {
      check.require(slot->width == width, "width", width, "a slot is " + std::to_string(slot->width) + " wide");
      check.require(slot->activation_group == activation_group, "activation_group", activation_group,
                    "a slot has " + std::to_string(slot->activation_group));
    }
    check.copies_are("output", output, routing);
    check.apart(input, output);
    check.apart(routing, output);
    check.writes(output, 0, width);
  }

  void run(const Step& step) const override {
    const SlotRows x = step.rows(input);
    const SlotRows y = step.rows(output);
    const Routing by(step.rows(routing), chosen);
    const auto bytes = static_cast<std::size_t>(x.row_bytes);
    step.for_rows(step.row_count(input), chosen * x.row_bytes / 4, [&](int64_t begin, int64_t end, int) noexcept {
      for (int64_t row = begin; row < end; ++row) {
        const int32_t* places = by.places() + row * by.stride();
        for (int64_t j = 0; j < chosen; ++j) {
          std::memcpy(y.data + places[j] * y.row_bytes, x.data + row * x.row_bytes, bytes);
        }
      }
    });
  }
};

}  // namespace

std::unique_ptr<const Op> dispatch(Fields& fields) { return std::make_unique<Dispatch>(fields); }

}  // namespace honed::ops
