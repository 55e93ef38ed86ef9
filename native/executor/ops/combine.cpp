// Of each row what its experts gave, times their weights, summed in the order of the experts.
#include <array>

#include "executor/ops/routing.h"
#include "executor/ops/table.h"
#include "plan/check.h"
#include "plan/limits.h"

namespace honed::ops {
namespace {

constexpr std::array kEpilogueNames{"store", "add"};

struct Combine final : Op {
  SlotNumber input;
  SlotNumber routing;
  SlotNumber output;
  int64_t width;
  int64_t chosen;
  Epilogue epilogue;

  explicit Combine(Fields& fields)
      : input(fields.slot("input")),
        routing(fields.slot("routing")),
        output(fields.slot("output")),
        width(fields.integer("width", 1, kMostWidth)),
        chosen(fields.integer("chosen", 1, kMostChosen)),
        epilogue(fields.choice<Epilogue>("epilogue", kEpilogueNames)) {}

  void check(Check& check) const override {
    check.slot("input", input, SlotKind::f32);
    const Slot& by = check.routing("routing", routing);
    check.require(by.width == chosen, "chosen", chosen, "the routing is of " + std::to_string(by.width));
    check.copies_are("input", input, routing);
    check.reads(input, width);
    check.slot("output", output, SlotKind::f32);
    check.same_rows(routing, output);
    check.apart(input, output);
    check.apart(routing, output);
    if (epilogue == Epilogue::add) check.reads(output, width);
    check.writes(output, 0, width);
  }

  void run(const Step& step) const override {
    const SlotRows x = step.rows(input);
    const SlotRows y = step.rows(output);
    const Routing by(step.rows(routing), chosen);
    step.for_rows(step.row_count(output), chosen * width, [&](int64_t begin, int64_t end, int) noexcept {
      step.kernels().combine({.x = x.floats(),
                              .x_stride = x.stride(),
                              .places = by.places(),
                              .weights = by.weights(),
                              .routing_stride = by.stride(),
                              .row_begin = begin,
                              .row_end = end,
                              .chosen = chosen,
                              .width = width,
                              .add = epilogue == Epilogue::add,
                              .y = y.floats(),
                              .y_stride = y.stride()});
    });
  }
};

}  // namespace

std::unique_ptr<const Op> combine(Fields& fields) { return std::make_unique<Combine>(fields); }

}  // namespace honed::ops
