// Rows grouped by expert, each group times the packed matrix of its expert, with a bias and an epilogue. An expert that no
// row goes to costs nothing: its matrix is not read.
#include <algorithm>
#include <array>

#include "executor/ops/product.h"
#include "executor/ops/routing.h"
#include "executor/ops/table.h"
#include "executor/panel_chunks.h"
#include "plan/limits.h"

namespace honed::ops {
namespace {

// The rows of one expert, and how they are shared out: blocks of rows times chunks of panels.
struct Group {
  int64_t expert;
  int64_t row_begin, rows;
  int64_t task_begin, block, blocks, chunks;
};

struct ExpertMatmul final : Op {
  SlotNumber input;
  SlotNumber routing;
  SlotNumber output;
  std::vector<WeightNumber> matrices;
  std::vector<WeightNumber> biases;  // or none
  int64_t k;
  int64_t columns;  // that are written; half of the packed ones with a gated epilogue
  int64_t chosen;
  Epilogue epilogue;
  int64_t activation_group;  // of quantized input
  int64_t output_column;     // where they begin

  explicit ExpertMatmul(Fields& fields)
      : input(fields.slot("input")),
        routing(fields.slot("routing")),
        output(fields.slot("output")),
        matrices(fields.weights("matrices")),
        biases(fields.weights_or_none("biases")),
        k(fields.integer("k", 1, kMostWidth)),
        columns(fields.integer("columns", 1, kMostWidth)),
        chosen(fields.integer("chosen", 1, kMostChosen)),
        epilogue(fields.choice<Epilogue>("epilogue", kEpilogueNames)),
        activation_group(fields.activation_group()),
        output_column(fields.integer("output_column", 0, kMostWidth)) {}

  int64_t experts() const { return static_cast<int64_t>(matrices.size()); }

  void check(Check& check) const override {
    const Slot& by = check.routing("routing", routing);
    check.require(by.width == chosen, "chosen", chosen, "the routing is of " + std::to_string(by.width));
    check.require(by.experts == experts(), "matrices", experts(), "the routing is among " + std::to_string(by.experts));
    check.require(epilogue != Epilogue::add, "epilogue", 1, "must not add: rows that are grouped are no residual");
    if (!biases.empty()) {
      check.require(biases.size() == matrices.size(), "biases", static_cast<int64_t>(biases.size()),
                    "must be as many as matrices");
    }
    for (std::size_t e = 0; e < matrices.size(); ++e) {
      const Weight& weight = check_matrix(check, "matrices", matrices[e], k);
      check_product_input(check, weight, input, k, activation_group);
      const int64_t most = columns_given(weight, epilogue);
      check.require(columns <= most, "columns", columns, "a weight gives " + std::to_string(most));
      if (!biases.empty()) check.vector("biases", biases[e], weight.rows);
    }
    check.copies_are("input", input, routing);
    check.slot("output", output, SlotKind::f32);
    check.copies_are("output", output, routing);
    check.apart(input, output);
    check.apart(routing, output);
    check.writes(output, output_column, output_column + columns);
  }

  void run(const Step& step) const override {
    std::array<Group, kMostExperts> groups;
    const int64_t count = find_groups(step, groups);
    if (count == 0) return;
    Threads& threads = step.threads();
    const int64_t tasks = share_out(step, groups.data(), count);
    threads.expect(nullptr);
    threads.for_each(tasks, [&](int64_t task, int) noexcept {
      const Group* after = std::upper_bound(groups.data(), groups.data() + count, task, [](int64_t value, const Group& group) {
        return value < group.task_begin;
      });
      multiply(step, after[-1], task - after[-1].task_begin);
    });
  }

  // Those that have rows.
  int64_t find_groups(const Step& step, std::array<Group, kMostExperts>& groups) const {
    const Routing by(step.rows(routing), chosen);
    std::array<int32_t, kMostExperts> rows{};
    const int64_t routed = step.row_count(routing);
    for (int64_t row = 0; row < routed; ++row) {
      const int32_t* numbers = by.numbers() + row * by.stride();
      for (int64_t j = 0; j < chosen; ++j) ++rows[static_cast<std::size_t>(numbers[j])];
    }
    int64_t count = 0;
    int64_t begin = 0;
    for (int64_t e = 0; e < experts(); ++e) {
      const int64_t of_expert = rows[static_cast<std::size_t>(e)];
      if (of_expert == 0) continue;
      groups[static_cast<std::size_t>(count++)] = {e, begin, of_expert, 0, 0, 0, 0};
      begin += of_expert;
    }
    return count;
  }

  // How many tasks there are in all.
  int64_t share_out(const Step& step, Group* groups, int64_t count) const {
    const int64_t threads = step.threads().count();
    const int64_t row_bytes = step.rows(input).row_bytes;
    const int64_t wanted = threads == 1 ? 1 : (threads * kChunksOfThread + count - 1) / count;
    int64_t tasks = 0;
    for (Group* group = groups; group < groups + count; ++group) {
      const Weight& matrix = step.weight(matrices[static_cast<std::size_t>(group->expert)]);
      const int64_t panels = matrix.rows / kPanelColumns;
      group->block = rows_of_block(group->rows, row_bytes);
      group->blocks = (group->rows + group->block - 1) / group->block;
      // Over several blocks of rows a chunk stays in the second cache, beside the activations of a block.
      const int64_t cached = group->blocks == 1 ? 1 : (panels * matrix.panel_bytes + kBytesOfChunk - 1) / kBytesOfChunk;
      group->chunks = std::min(panels, std::max(wanted, cached));
      group->task_begin = tasks;
      tasks += group->blocks * group->chunks;
    }
    return tasks;
  }

  void multiply(const Step& step, const Group& group, int64_t task) const {
    const auto expert = static_cast<std::size_t>(group.expert);
    const Weight& matrix = step.weight(matrices[expert]);
    SlotRows x = step.rows(input);
    x.data += group.row_begin * x.row_bytes;
    const SlotRows y = step.rows(output);
    MatmulArgs piece = Product{.x = x,
                               .count = group.rows,
                               .matrix = matrix,
                               .bias = biases.empty() ? nullptr : step.vector(biases[expert]),
                               .k = k,
                               .columns = columns,
                               .activation_group = activation_group,
                               .epilogue = epilogue,
                               .y = y.floats() + group.row_begin * y.stride() + output_column,
                               .y_stride = y.stride()}
                           .args();
    const int64_t panels = piece.panel_end;
    const int64_t chunk = task / group.blocks;
    piece.row_begin = task % group.blocks * group.block;
    piece.row_end = std::min(group.rows, piece.row_begin + group.block);
    piece.panel_begin = panel_of_chunk(chunk, group.chunks, panels);
    piece.panel_end = panel_of_chunk(chunk + 1, group.chunks, panels);
    matmul_kernel(matrix.kind, step.kernels())(piece);
  }
};

}  // namespace

std::unique_ptr<const Op> expert_matmul(Fields& fields) { return std::make_unique<ExpertMatmul>(fields); }

}  // namespace honed::ops
