// From the scores of the experts to those that each row goes to, and the places of its copies: grouped by expert, the
// experts and the rows of each ascending.
#include <array>

#include "executor/ops/routing.h"
#include "executor/ops/table.h"
#include "plan/check.h"
#include "plan/limits.h"

namespace honed::ops {
namespace {

constexpr std::array kScoringNames{"softmax", "softmax_of_chosen", "sigmoid"};

struct Route final : Op {
  SlotNumber input;
  SlotNumber output;
  int64_t experts;
  int64_t chosen;
  Scoring scoring;

  explicit Route(Fields& fields)
      : input(fields.slot("input")),
        output(fields.slot("output")),
        experts(fields.integer("experts", 1, kMostExperts)),
        chosen(fields.integer("chosen", 1, kMostChosen)),
        scoring(fields.choice<Scoring>("scoring", kScoringNames)) {}

  void check(Check& check) const override {
    check.slot("input", input, SlotKind::f32);
    check.reads(input, experts);
    const Slot& slot = check.slot("output", output, SlotKind::routing);
    check.require(slot.width == chosen, "chosen", chosen, "the routing is of " + std::to_string(slot.width));
    check.require(slot.experts == experts, "experts", experts, "the routing is of " + std::to_string(slot.experts));
    check.same_rows(input, output);
    check.apart(input, output);
    check.writes(output, 0, chosen);
  }

  void run(const Step& step) const override {
    const SlotRows x = step.rows(input);
    const Routing routing(step.rows(output), chosen);
    const int64_t count = step.row_count(output);
    step.for_rows(count, 8 * experts, [&](int64_t begin, int64_t end, int) noexcept {
      step.kernels().route({.x = x.floats(),
                            .x_stride = x.stride(),
                            .row_begin = begin,
                            .row_end = end,
                            .experts = experts,
                            .chosen = chosen,
                            .scoring = scoring,
                            .numbers = routing.numbers(),
                            .weights = routing.weights(),
                            .y_stride = routing.stride()});
    });
    place_copies(routing, count);
  }

  void place_copies(const Routing& routing, int64_t rows) const {
    std::array<int32_t, kMostExperts> next{};  // the place of the next row of each expert
    for (int64_t row = 0; row < rows; ++row) {
      const int32_t* numbers = routing.numbers() + row * routing.stride();
      for (int64_t j = 0; j < chosen; ++j) ++next[static_cast<std::size_t>(numbers[j])];
    }
    int32_t begin = 0;
    for (int64_t e = 0; e < experts; ++e) {
      const int32_t of_expert = next[static_cast<std::size_t>(e)];
      next[static_cast<std::size_t>(e)] = begin;
      begin += of_expert;
    }
    for (int64_t row = 0; row < rows; ++row) {
      const int32_t* numbers = routing.numbers() + row * routing.stride();
      int32_t* places = routing.places() + row * routing.stride();
      for (int64_t j = 0; j < chosen; ++j) places[j] = next[static_cast<std::size_t>(numbers[j])]++;
    }
  }
};

}  // namespace

std::unique_ptr<const Op> route(Fields& fields) { return std::make_unique<Route>(fields); }

}  // namespace honed::ops
