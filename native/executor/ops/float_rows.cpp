// The rows that the batch gives as an input of floats, copied.
#include <cstring>

#include "executor/ops/table.h"
#include "executor/step.h"
#include "plan/check.h"
#include "plan/limits.h"

namespace honed::ops {
namespace {

struct FloatRows final : Op {
  InputNumber rows;
  SlotNumber output;
  int64_t width;

  explicit FloatRows(Fields& fields)
      : rows(fields.input("rows")), output(fields.slot("output")), width(fields.integer("width", 1, kMostWidth)) {}

  void check(Check& check) const override {
    const Input& input = check.input("rows", rows, InputKind::floats);
    check.require(input.size == width, "width", width,
                  "input '" + input.name + "' is " + std::to_string(input.size) + " wide");
    check.slot("output", output, SlotKind::f32);
    check.rows_are("output", output, Rows::tokens);
    check.writes(output, 0, width);
  }

  void run(const Step& step) const override {
    const auto* x = step.input<float>(rows);
    const SlotRows y = step.rows(output);
    step.for_rows(step.row_count(output), width, [&](int64_t begin, int64_t end, int) noexcept {
      for (int64_t row = begin; row < end; ++row) {
        std::memcpy(y.data + row * y.row_bytes, x + row * width, static_cast<std::size_t>(width) * sizeof(float));
      }
    });
  }
};

}  // namespace

std::unique_ptr<const Op> float_rows(Fields& fields) { return std::make_unique<FloatRows>(fields); }

}  // namespace honed::ops
