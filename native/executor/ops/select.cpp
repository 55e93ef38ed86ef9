// The selected rows of the batch, one after the other.
#include <cstring>

#include "executor/ops/table.h"
#include "executor/step.h"
#include "plan/check.h"
#include "plan/limits.h"

namespace honed::ops {
namespace {

struct Select final : Op {
  SlotNumber input;
  SlotNumber output;
  int64_t width;

  explicit Select(Fields& fields)
      : input(fields.slot("input")), output(fields.slot("output")), width(fields.integer("width", 1, kMostWidth)) {}

  void check(Check& check) const override {
    check.slot("input", input, SlotKind::f32);
    check.slot("output", output, SlotKind::f32);
    check.rows_are("input", input, Rows::tokens);
    check.rows_are("output", output, Rows::selected);
    check.reads(input, width);
    check.apart(input, output);
    check.writes(output, 0, width);
  }

  void run(const Step& step) const override {
    const SlotRows x = step.rows(input);
    const SlotRows y = step.rows(output);
    const Batch& batch = step.batch();
    for (int64_t i = 0; i < batch.selected_rows; ++i) {
      std::memcpy(y.data + i * y.row_bytes, x.data + batch.selected[i] * x.row_bytes,
                  static_cast<std::size_t>(width) * sizeof(float));
    }
  }
};

}  // namespace

std::unique_ptr<const Op> select(Fields& fields) { return std::make_unique<Select>(fields); }

}  // namespace honed::ops
