// Rows of a table, by an input of ids; stored, or added to what the output has.
#include "executor/ops/table.h"
#include "executor/step.h"
#include "packing/plain.h"
#include "plan/check.h"
#include "plan/limits.h"

namespace honed::ops {
namespace {

enum class Epilogue { store = 0, add = 1 };
constexpr std::array kEpilogueNames{"store", "add"};

struct Embed final : Op {
  InputNumber ids;
  SlotNumber output;
  WeightNumber table;
  int64_t width;
  int64_t first_row;  // of the table: that of id 0
  Epilogue epilogue;

  explicit Embed(Fields& fields)
      : ids(fields.input("ids")),
        output(fields.slot("output")),
        table(fields.weight("table")),
        width(fields.integer("width", 1, kMostWidth)),
        first_row(fields.integer("first_row", 0, kMostIds)),
        epilogue(fields.choice<Epilogue>("epilogue", kEpilogueNames)) {}

  void check(Check& check) const override {
    const Weight& rows = check.weight("table", table);
    check.require(rows.kind == WeightKind::table, "table", table,
                  std::string("must be a table, not ") + traits(rows.kind).name);
    check.require(rows.columns == width, "width", width, "the table is " + std::to_string(rows.columns) + " wide");
    check.require(first_row < rows.rows, "first_row", first_row, "the table has " + std::to_string(rows.rows) + " rows");
    const Input& input = check.input("ids", ids, InputKind::ids);
    check.require(rows.rows - first_row >= input.size, "table rows from first_row on", rows.rows - first_row,
                  "must be at least " + std::to_string(input.size) + ", the bound of input '" + input.name + "'");
    check.slot("output", output, SlotKind::f32);
    check.rows_are("output", output, Rows::tokens);
    if (epilogue == Epilogue::add) check.reads(output, width);
    check.writes(output, 0, width);
  }

  void prepare(Needs& needs) const override {
    if (epilogue == Epilogue::add) needs.scratch(width);
  }

  void run(const Step& step) const override {
    const SlotRows y = step.rows(output);
    const Weight& rows = step.weight(table);
    const TableBlock block = table_block(rows.table_type);
    const auto* first = static_cast<const std::byte*>(rows.borrowed) + first_row * (width / block.values) * block.bytes;
    void (*kernel)(const EmbedArgs&) = block.values > 1 ? step.kernels().embed_blocks : step.kernels().embed;
    const EmbedArgs args{.tokens = step.input<int32_t>(ids),
                         .row_begin = 0,
                         .row_end = 0,
                         .table = first,
                         .type = rows.table_type,
                         .width = width,
                         .y = y.floats(),
                         .y_stride = y.stride()};
    step.for_rows(step.row_count(output), width, [&](int64_t begin, int64_t end, int thread) noexcept {
      if (epilogue == Epilogue::add) return add_rows(step, args, kernel, begin, end, step.scratch(thread));
      EmbedArgs piece = args;
      piece.row_begin = begin;
      piece.row_end = end;
      kernel(piece);
    });
  }

  void add_rows(const Step& step, const EmbedArgs& args, void (*kernel)(const EmbedArgs&), int64_t begin, int64_t end,
                float* looked_up) const noexcept {
    for (int64_t row = begin; row < end; ++row) {
      EmbedArgs one = args;
      one.tokens = args.tokens + row;
      one.row_end = 1;
      one.y = looked_up;
      one.y_stride = 0;
      kernel(one);
      step.kernels().add({.x = looked_up,
                          .x_stride = 0,
                          .row_begin = 0,
                          .row_end = 1,
                          .width = width,
                          .y = args.y + row * args.y_stride,
                          .y_stride = 0});
    }
  }
};

}  // namespace

std::unique_ptr<const Op> embed(Fields& fields) { return std::make_unique<Embed>(fields); }

}  // namespace honed::ops
