// Rows of a packed matrix, by an input of ids: an embedding table that is in memory as the head it is tied to.
#include "executor/ops/table.h"
#include "executor/step.h"
#include "plan/check.h"
#include "plan/limits.h"

namespace honed::ops {
namespace {

struct EmbedPacked final : Op {
  InputNumber ids;
  SlotNumber output;
  WeightNumber matrix;
  WeightNumber factors;  // of the columns of a row
  int64_t width;

  explicit EmbedPacked(Fields& fields)
      : ids(fields.input("ids")),
        output(fields.slot("output")),
        matrix(fields.weight("matrix")),
        factors(fields.weight("factors")),
        width(fields.integer("width", 1, kMostWidth)) {}

  void check(Check& check) const override {
    const Weight& weight = check.weight("matrix", matrix);
    const Input& input = check.input("ids", ids, InputKind::ids);
    const auto has_codes = [](const WeightTraits& kind) { return kind.codes.has_value(); };
    check.require(has_codes(traits(weight.kind)), "matrix", matrix,
                  "must be " + names_of_kinds(has_codes) + ", not " + traits(weight.kind).name);
    check.require(weight.columns == width, "width", width,
                  "the weight has depth " + std::to_string(weight.columns));
    check.require(weight.rows >= input.size, "matrix columns", weight.rows,
                  "must be at least " + std::to_string(input.size) + ", the bound of input '" + input.name + "'");
    check.vector("factors", factors, width);
    check.slot("output", output, SlotKind::f32);
    check.rows_are("output", output, Rows::tokens);
    check.writes(output, 0, width);
  }

  void run(const Step& step) const override {
    const SlotRows y = step.rows(output);
    const Weight& w = step.weight(matrix);
    const EmbedPackedArgs args{.tokens = step.input<int32_t>(ids),
                               .row_begin = 0,
                               .row_end = 0,
                               .panels = w.panels,
                               .panel_bytes = w.panel_bytes,
                               .width = width,
                               .codes = *traits(w.kind).codes,
                               .column_scales = w.column_scales.empty() ? nullptr : w.column_scales.data(),
                               .codebook = w.codebook.data(),
                               .group = w.group,
                               .offset = w.offset,
                               .factors = step.vector(factors),
                               .y = y.floats(),
                               .y_stride = y.stride()};
    step.for_rows(step.row_count(output), kCost * width, [&](int64_t begin, int64_t end, int) noexcept {
      EmbedPackedArgs piece = args;
      piece.row_begin = begin;
      piece.row_end = end;
      step.kernels().embed_packed(piece);
    });
  }

  static constexpr int64_t kCost = 8;  // of a value, beside one that is copied: its cell is a cache line apart
};

}  // namespace

std::unique_ptr<const Op> embed_packed(Fields& fields) { return std::make_unique<EmbedPacked>(fields); }

}  // namespace honed::ops
