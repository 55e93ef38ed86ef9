// Rows once more, in columns of another slot.
#include <cstring>

#include "executor/ops/table.h"
#include "executor/step.h"
#include "plan/check.h"
#include "plan/limits.h"

namespace honed::ops {
namespace {

struct Copy final : Op {
  SlotNumber input;
  SlotNumber output;
  int64_t width;
  int64_t output_column;  // where they begin

  explicit Copy(Fields& fields)
      : input(fields.slot("input")),
        output(fields.slot("output")),
        width(fields.integer("width", 1, kMostWidth)),
        output_column(fields.integer("output_column", 0, kMostWidth)) {}

  void check(Check& check) const override {
    check.slot("input", input, SlotKind::f32);
    check.slot("output", output, SlotKind::f32);
    check.same_rows(input, output);
    check.reads(input, width);
    check.apart(input, output);
    check.writes(output, output_column, output_column + width);
  }

  void run(const Step& step) const override {
    const SlotRows x = step.rows(input);
    const SlotRows y = step.rows(output);
    step.for_rows(step.row_count(output), width, [&](int64_t begin, int64_t end, int) noexcept {
      for (int64_t row = begin; row < end; ++row) {
        std::memcpy(y.floats() + row * y.stride() + output_column, x.floats() + row * x.stride(),
                    static_cast<std::size_t>(width) * sizeof(float));
      }
    });
  }
};

}  // namespace

std::unique_ptr<const Op> copy(Fields& fields) { return std::make_unique<Copy>(fields); }

}  // namespace honed::ops
