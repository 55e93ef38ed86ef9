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
constexpr int64_t kPiecesOfThread = 4;

int64_t rows_of_block(int64_t rows, int64_t row_bytes) {
  if (rows <= kRowsOfStream) return rows;
  const int64_t fit = kBytesOfRowBlock / row_bytes / kRowsOfStream * kRowsOfStream;
  return std::clamp(fit, kRowsOfStream, kMostRowsOfBlock);
}

}  // namespace

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
  const int64_t block = rows_of_block(count, x.row_bytes);
  const int64_t blocks = (count + block - 1) / block;
  const int64_t wanted = (threads_.count() * kPiecesOfThread + blocks - 1) / blocks;
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
