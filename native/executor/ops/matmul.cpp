// Rows times a packed matrix, with a bias and an epilogue.
#include <algorithm>

#include "executor/ops/product.h"
#include "executor/ops/table.h"
#include "executor/panel_chunks.h"
#include "plan/limits.h"

namespace honed::ops {
namespace {

struct Matmul final : Op {
  SlotNumber input;
  SlotNumber output;
  WeightNumber matrix;
  std::optional<WeightNumber> bias;
  int64_t k;
  int64_t columns;  // that are written; half of the packed ones with a gated epilogue
  Epilogue epilogue;
  float factor;  // of what is added
  int64_t activation_group;  // of quantized input
  int64_t output_column;     // where they begin

  explicit Matmul(Fields& fields)
      : input(fields.slot("input")),
        output(fields.slot("output")),
        matrix(fields.weight("matrix")),
        bias(fields.weight_or_none("bias")),
        k(fields.integer("k", 1, kMostWidth)),
        columns(fields.integer("columns", 1, kMostWidth)),
        epilogue(fields.choice<Epilogue>("epilogue", kEpilogueNames)),
        factor(fields.number("factor")),
        activation_group(fields.activation_group()),
        output_column(fields.integer("output_column", 0, kMostWidth)) {}

  void check(Check& check) const override {
    const Weight& weight = check_matrix(check, "matrix", matrix, k);
    check.vector("bias", bias, weight.rows);
    check_product_input(check, weight, input, k, activation_group);
    const int64_t most = columns_given(weight, epilogue);
    const int64_t end = output_column + columns;
    check.require(columns <= most, "columns", columns, "the weight gives " + std::to_string(most));
    const Slot& slot = check.slot("output", output, SlotKind::f32);
    check.same_rows(input, output);
    check.apart(input, output);
    check.require(end <= slot.width, "output_column + columns", end,
                  "slot " + std::to_string(output) + " is " + std::to_string(slot.width) + " wide");
    if (epilogue == Epilogue::add) check.reads(output, end);
    check.require(factor == 1.0f || epilogue == Epilogue::add, "epilogue", static_cast<int64_t>(epilogue),
                  "must be add with a factor other than 1");
    check.writes(output, output_column, end);
  }

  void prepare(Needs& needs) const override { needs.stream(needs.weight(matrix)); }

  void run(const Step& step) const override {
    const int64_t count = step.row_count(output);
    if (count == 0) return;
    Threads& threads = step.threads();
    const SlotRows x = step.rows(input);
    const SlotRows y = step.rows(output);
    const Weight& w = step.weight(matrix);
    const MatmulArgs args = Product{.x = x,
                                    .count = count,
                                    .matrix = w,
                                    .bias = step.vector(bias),
                                    .k = k,
                                    .columns = columns,
                                    .activation_group = activation_group,
                                    .epilogue = epilogue,
                                    .y = y.floats() + output_column,
                                    .y_stride = y.stride(),
                                    .factor = factor}
                                .args();
    const MatmulKernel kernel = matmul_kernel(w.kind, step.kernels());
    if (threads.count() == 1 && count <= kRowsOfStream) return kernel(args);
    // Of many rows weights are read again and again, from the second cache: no other may take its place.
    threads.expect(count <= kRowsOfStream ? step.stretches() : nullptr);
    const int64_t panels = args.panel_end;
    const int64_t block = rows_of_block(count, x.row_bytes);
    const int64_t blocks = (count + block - 1) / block;
    const int64_t wanted = (chunks_of_stream(panels, threads.count()) + blocks - 1) / blocks;
    // Over several blocks of rows a chunk stays in the second cache, beside the activations of a block.
    const int64_t cached = blocks == 1 ? 1 : (panels * w.panel_bytes + kBytesOfChunk - 1) / kBytesOfChunk;
    const int64_t chunks = std::min(panels, std::max(wanted, cached));
    threads.for_each(blocks * chunks, [&](int64_t task, int) noexcept {
      MatmulArgs piece = args;
      const int64_t chunk = task / blocks;
      piece.row_begin = task % blocks * block;
      piece.row_end = std::min(count, piece.row_begin + block);
      piece.panel_begin = panel_of_chunk(chunk, chunks, panels);
      piece.panel_end = panel_of_chunk(chunk + 1, chunks, panels);
      kernel(piece);
    });
  }
};

}  // namespace

std::unique_ptr<const Op> matmul(Fields& fields) { return std::make_unique<Matmul>(fields); }

}  // namespace honed::ops
