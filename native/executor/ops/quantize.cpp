// Rows of float32 to quantized activation rows.
#include "executor/ops/quantized_output.h"
#include "executor/ops/table.h"
#include "plan/limits.h"

namespace honed::ops {
namespace {

struct Quantize final : Op {
  SlotNumber input;
  SlotNumber output;
  int64_t width;
  int64_t activation_group;

  explicit Quantize(Fields& fields)
      : input(fields.slot("input")),
        output(fields.slot("output")),
        width(fields.integer("width", 1, kMostWidth)),
        activation_group(fields.activation_group()) {}

  void check(Check& check) const override {
    check.slot("input", input, SlotKind::f32);
    check.reads(input, width);
    write_quantized(check, input, output, width, activation_group);
  }

  void run(const Step& step) const override {
    const SlotRows x = step.rows(input);
    const SlotRows y = step.rows(output);
    step.for_rows(step.row_count(output), 2 * width, [&](int64_t begin, int64_t end, int) noexcept {
      step.kernels().quantize({.x = x.floats(),
                               .x_stride = x.stride(),
                               .row_begin = begin,
                               .row_end = end,
                               .width = width,
                               .width_padded = y.layout->width_padded,
                               .activation_group = activation_group,
                               .y = y.data,
                               .y_row_bytes = y.row_bytes,
                               .scales_offset = y.layout->scales_offset,
                               .sums_offset = y.layout->sums_offset});
    });
  }
};

}  // namespace

std::unique_ptr<const Op> quantize(Fields& fields) { return std::make_unique<Quantize>(fields); }

}  // namespace honed::ops
