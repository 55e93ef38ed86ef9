// One row for each sequence: the mean of its rows, its first one or its last one. A mean is 0, to which the rows are added
// one after the other, divided by how many there are.
#include <cstring>

#include "executor/ops/table.h"
#include "executor/step.h"
#include "plan/check.h"
#include "plan/limits.h"

namespace honed::ops {
namespace {

enum class Pooling { mean = 0, first = 1, last = 2 };
constexpr std::array kPoolingNames{"mean", "first", "last"};

struct Pool final : Op {
  SlotNumber input;
  SlotNumber output;
  int64_t width;
  Pooling kind;

  explicit Pool(Fields& fields)
      : input(fields.slot("input")),
        output(fields.slot("output")),
        width(fields.integer("width", 1, kMostWidth)),
        kind(fields.choice<Pooling>("kind", kPoolingNames)) {}

  void check(Check& check) const override {
    check.slot("input", input, SlotKind::f32);
    check.slot("output", output, SlotKind::f32);
    check.rows_are("input", input, Rows::tokens);
    check.rows_are("output", output, Rows::sequences);
    check.reads(input, width);
    check.apart(input, output);
    check.writes(output, 0, width);
  }

  void run(const Step& step) const override {
    const Segments& segments = step.segments();
    const int64_t work = kind == Pooling::mean ? step.row_count(input) / segments.count() * width : width;
    step.for_rows(segments.count(), work, [&](int64_t begin, int64_t end, int) noexcept {
      for (int64_t i = begin; i < end; ++i) pool(step, segments[i], i);
    });
  }

  void pool(const Step& step, const Segment& segment, int64_t index) const noexcept {
    const SlotRows x = step.rows(input);
    const SlotRows rows = step.rows(output);
    float* y = rows.floats() + index * rows.stride();
    const auto bytes = static_cast<std::size_t>(width) * sizeof(float);
    if (kind != Pooling::mean) {
      const int64_t chosen = kind == Pooling::last ? segment.row_end - 1 : segment.row_begin;
      std::memcpy(y, x.floats() + chosen * x.stride(), bytes);
      return;
    }
    std::memset(y, 0, bytes);
    for (int64_t row = segment.row_begin; row < segment.row_end; ++row) {
      step.kernels().add({.x = x.floats() + row * x.stride(),
                          .x_stride = 0,
                          .row_begin = 0,
                          .row_end = 1,
                          .width = width,
                          .y = y,
                          .y_stride = 0});
    }
    const auto count = static_cast<float>(segment.rows());
    for (int64_t column = 0; column < width; ++column) y[column] /= count;
  }
};

}  // namespace

std::unique_ptr<const Op> pool(Fields& fields) { return std::make_unique<Pool>(fields); }

}  // namespace honed::ops
