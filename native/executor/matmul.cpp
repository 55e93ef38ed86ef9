// How a matmul is shared out. Every output has one fixed order of operations inside its kernel, so neither the
// pieces nor who takes them can change a result.
#include <algorithm>

#include "executor/executor.h"

namespace honed {
namespace {

// Rows up to here go over each panel at once: the weights are read once, as one linear stream.
constexpr int64_t kRowsOfStream = 16;
// Activations of one block of rows, to stay in the second cache while panels pass.
constexpr int64_t kBytesOfRowBlock = 128 << 10;
constexpr int64_t kMostRowsOfBlock = 256;
constexpr int64_t kBytesOfChunk = 384 << 10;
constexpr int64_t kPiecesOfThread = 8;
// Asked for by a thread that waits: as much as the second cache keeps beside what is being read.
constexpr int64_t kBytesOfStretch = 256 << 10;

int64_t rows_of_block(int64_t rows, int64_t row_bytes) {
  if (rows <= kRowsOfStream) return rows;
  const int64_t fit = kBytesOfRowBlock / row_bytes / kRowsOfStream * kRowsOfStream;
  return std::clamp(fit, kRowsOfStream, kMostRowsOfBlock);
}

int64_t chunks_of_stream(int64_t panels, int64_t threads) { return std::min(panels, threads * kPiecesOfThread); }

}  // namespace

// Parts as `matmul` makes them of few rows: of many, weights are read again and again from the second cache.
std::vector<Stretch> Executor::stretches() const {
  const int64_t threads = threads_.count();
  std::vector<Stretch> all(plan_->ops.size() * static_cast<std::size_t>(threads), Stretch{nullptr, 0});
  if (threads == 1) return all;
  const Op* next = nullptr;
  // Twice from the end: the last ops are followed by the first matmul of the next step.
  for (std::size_t i = 2 * plan_->ops.size(); i-- > 0;) {
    const std::size_t index = i % plan_->ops.size();
    if (next != nullptr) {
      const Weight& w = weight(*next, 0);
      const int64_t panels = w.rows / kPanelColumns;
      const int64_t chunks = chunks_of_stream(panels, threads);
      for (int64_t thread = 0; thread < threads; ++thread) {
        const int64_t first = threads_.part_begin(thread, chunks) * panels / chunks;
        const int64_t end = threads_.part_begin(thread + 1, chunks) * panels / chunks;
        all[index * static_cast<std::size_t>(threads) + static_cast<std::size_t>(thread)] = {
            w.panels + first * w.panel_bytes, std::min(kBytesOfStretch, (end - first) * w.panel_bytes)};
      }
    }
    if (plan_->ops[index].code == OpCode::matmul) next = &plan_->ops[index];
  }
  return all;
}

void Executor::expect_matmul_after(const Step& step) {
  threads_.expect(stretches_.data() + step.op * static_cast<std::size_t>(threads_.count()));
}

void Executor::matmul(const Op& op, const Step& step) {
  const int64_t count = row_count(op.output, step);
  if (count == 0) return;
  const Rows x = rows(op.input, step);
  const Rows y = rows(op.output, step);
  const Weight& w = weight(op, 0);
  const auto [k, columns, epilogue, activation_group, output_column] = op.sizes;
  MatmulArgs args{.x = x.data,
                  .x_row_bytes = x.row_bytes,
                  .scales_offset = x.layout->scales_offset,
                  .sums_offset = x.layout->sums_offset,
                  .row_begin = 0,
                  .row_end = count,
                  .panels = w.panels,
                  .panel_bytes = w.panel_bytes,
                  .panel_begin = 0,
                  .panel_end = w.rows / kPanelColumns,
                  .k = k,
                  .k_padded = w.k_padded,
                  .columns = columns,
                  .column_scales = w.column_scales.empty() ? nullptr : w.column_scales.data(),
                  .bias = vector_or_null(op, 1),
                  .codebook = w.codebook.data(),
                  .group = w.group,
                  .activation_group = activation_group,
                  .offset = w.offset,
                  .block_form = w.block_form,
                  .epilogue = static_cast<Epilogue>(epilogue),
                  .y = y.floats() + output_column,
                  .y_stride = y.stride()};
  void (*kernel)(const MatmulArgs&) = w.kind == WeightKind::dense_f32    ? kernels_.matmul_f32
                                      : w.kind == WeightKind::dense_bf16 ? kernels_.matmul_bf16
                                      : w.kind == WeightKind::int8       ? kernels_.matmul_int8
                                      : w.kind == WeightKind::int4       ? kernels_.matmul_int4
                                      : w.kind == WeightKind::blocks     ? kernels_.matmul_blocks
                                                                         : kernels_.matmul_codebook;
  if (threads_.count() == 1 && count <= kRowsOfStream) return kernel(args);
  if (count <= kRowsOfStream) expect_matmul_after(step);
  else threads_.expect(nullptr);
  const int64_t block = rows_of_block(count, x.row_bytes);
  const int64_t blocks = (count + block - 1) / block;
  const int64_t wanted = (chunks_of_stream(args.panel_end, threads_.count()) + blocks - 1) / blocks;
  // Over several blocks of rows a chunk stays in the second cache, beside the activations of a block.
  const int64_t cached = blocks == 1 ? 1 : (args.panel_end * w.panel_bytes + kBytesOfChunk - 1) / kBytesOfChunk;
  const int64_t chunks = std::min(args.panel_end, std::max(wanted, cached));
  threads_.for_each(blocks * chunks, [&, panels = args.panel_end](int64_t task, int) noexcept {
    MatmulArgs piece = args;
    const int64_t chunk = task / blocks;
    piece.row_begin = task % blocks * block;
    piece.row_end = std::min(count, piece.row_begin + block);
    piece.panel_begin = chunk * panels / chunks;
    piece.panel_end = (chunk + 1) * panels / chunks;
    kernel(piece);
  });
}

}  // namespace honed
