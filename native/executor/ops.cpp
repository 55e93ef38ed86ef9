// Every op but matmul and attention: from its record to kernel arguments, and its rows over the threads.
#include <algorithm>
#include <cstring>

#include "executor/executor.h"

namespace honed {
namespace {

// Floats of work below which waking the other threads costs more than it saves.
constexpr int64_t kWorthSharing = 1 << 15;
// Pieces a thread, so that a thread that was held up leaves its share to the others.
constexpr int64_t kPiecesOfThread = 4;

}  // namespace

template <typename Fn>
void Executor::for_rows(int64_t count, int64_t work_of_row, const Fn& fn) {
  if (count == 0) return;
  const int64_t pieces = std::min(count, threads_.count() * kPiecesOfThread);
  if (threads_.count() == 1 || count * work_of_row < kWorthSharing) {
    fn(int64_t{0}, count, 0);
    return;
  }
  threads_.for_each(pieces, [&](int64_t piece, int thread) noexcept {
    fn(piece * count / pieces, (piece + 1) * count / pieces, thread);
  });
}

void Executor::dispatch(const Op& op, const Step& step) {
  switch (op.code) {
    case OpCode::embed: return embed(op, step);
    case OpCode::rms_norm: return rms_norm(op, step);
    case OpCode::quantize: return quantize(op, step);
    case OpCode::rms_norm_quantize: return rms_norm_quantize(op, step);
    case OpCode::matmul: return matmul(op, step);
    case OpCode::rope_kv: return rope_kv(op, step);
    case OpCode::attention: return attention(op, step);
    case OpCode::gated: return gated(op, step);
    case OpCode::add: return add(op, step);
    case OpCode::select: return select(op, step);
  }
}

void Executor::embed(const Op& op, const Step& step) {
  const Rows y = rows(op.output, step);
  const Weight& table = weight(op, 0);
  void (*kernel)(const EmbedArgs&) = table.table_type <= TableType::f16 ? kernels_.embed : kernels_.embed_blocks;
  for_rows(step.batch.rows, op.sizes[0], [&](int64_t begin, int64_t end, int) noexcept {
    kernel({.tokens = step.batch.tokens,
            .row_begin = begin,
            .row_end = end,
            .table = table.borrowed,
            .type = table.table_type,
            .width = op.sizes[0],
            .y = y.floats(),
            .y_stride = y.stride()});
  });
}

void Executor::rms_norm(const Op& op, const Step& step) {
  const Rows x = rows(op.input, step);
  const Rows y = rows(op.output, step);
  for_rows(row_count(op.output, step), 2 * op.sizes[0], [&](int64_t begin, int64_t end, int) noexcept {
    kernels_.rms_norm({.x = x.floats(),
                       .x_stride = x.stride(),
                       .row_begin = begin,
                       .row_end = end,
                       .weight = vector_or_null(op, 0),
                       .width = op.sizes[0],
                       .eps = op.scalars[0],
                       .y = y.floats(),
                       .y_stride = y.stride()});
  });
}

void Executor::quantize(const Op& op, const Step& step) {
  const Rows x = rows(op.input, step);
  const Rows y = rows(op.output, step);
  for_rows(row_count(op.output, step), 2 * op.sizes[0], [&](int64_t begin, int64_t end, int) noexcept {
    kernels_.quantize({.x = x.floats(),
                       .x_stride = x.stride(),
                       .row_begin = begin,
                       .row_end = end,
                       .width = op.sizes[0],
                       .width_padded = y.layout->width_padded,
                       .activation_group = op.sizes[1],
                       .y = y.data,
                       .y_row_bytes = y.row_bytes,
                       .scales_offset = y.layout->scales_offset,
                       .sums_offset = y.layout->sums_offset});
  });
}

void Executor::rms_norm_quantize(const Op& op, const Step& step) {
  const Rows x = rows(op.input, step);
  const Rows y = rows(op.output, step);
  for_rows(row_count(op.output, step), 4 * op.sizes[0], [&](int64_t begin, int64_t end, int thread) noexcept {
    // Row by row, so that the normalized values are still in the first cache when they are quantized.
    for (int64_t row = begin; row < end; ++row) {
      float* normalized = scratch(thread);
      kernels_.rms_norm({.x = x.floats() + row * x.stride(),
                         .x_stride = 0,
                         .row_begin = 0,
                         .row_end = 1,
                         .weight = vector_or_null(op, 0),
                         .width = op.sizes[0],
                         .eps = op.scalars[0],
                         .y = normalized,
                         .y_stride = 0});
      kernels_.quantize({.x = normalized,
                         .x_stride = 0,
                         .row_begin = 0,
                         .row_end = 1,
                         .width = op.sizes[0],
                         .width_padded = y.layout->width_padded,
                         .activation_group = op.sizes[1],
                         .y = y.data + row * y.row_bytes,
                         .y_row_bytes = 0,
                         .scales_offset = y.layout->scales_offset,
                         .sums_offset = y.layout->sums_offset});
    }
  });
}

void Executor::rope_kv(const Op& op, const Step& step) {
  const Rows qkv = rows(op.input, step);
  const int64_t heads = op.sizes[0];
  const int64_t kv_heads = op.sizes[1];
  const int64_t head_dim = op.sizes[2];
  for_rows(step.batch.rows, (heads + 2 * kv_heads) * head_dim, [&](int64_t begin, int64_t end, int) noexcept {
    kernels_.rope_kv({.qkv = qkv.floats(),
                      .stride = qkv.stride(),
                      .row_begin = begin,
                      .row_end = end,
                      .positions = step.batch.positions,
                      .sequences = step.batch.sequences,
                      .page_tables = step.batch.page_tables,
                      .pages_per_table = step.batch.pages_per_table,
                      .cos = rotary_.cos(step.op),
                      .sin = rotary_.sin(step.op),
                      .heads = heads,
                      .kv_heads = kv_heads,
                      .head_dim = head_dim,
                      .rotary_dim = op.sizes[3],
                      .q_norm = vector_or_null(op, 1),
                      .k_norm = vector_or_null(op, 2),
                      .eps = op.scalars[0],
                      .cache = cache_->layer(op.sizes[4])});
  });
}

void Executor::gated(const Op& op, const Step& step) {
  const Rows x = rows(op.input, step);
  const Rows y = rows(op.output, step);
  for_rows(row_count(op.output, step), 8 * op.sizes[0], [&](int64_t begin, int64_t end, int) noexcept {
    kernels_.gated({.x = x.floats(),
                    .x_stride = x.stride(),
                    .row_begin = begin,
                    .row_end = end,
                    .width = op.sizes[0],
                    .activation = static_cast<Activation>(op.sizes[1]),
                    .y = y.floats(),
                    .y_stride = y.stride()});
  });
}

void Executor::add(const Op& op, const Step& step) {
  const Rows x = rows(op.input, step);
  const Rows y = rows(op.output, step);
  for_rows(row_count(op.output, step), op.sizes[0], [&](int64_t begin, int64_t end, int) noexcept {
    kernels_.add({.x = x.floats(),
                  .x_stride = x.stride(),
                  .row_begin = begin,
                  .row_end = end,
                  .width = op.sizes[0],
                  .y = y.floats(),
                  .y_stride = y.stride()});
  });
}

void Executor::select(const Op& op, const Step& step) {
  const Rows x = rows(op.input, step);
  const Rows y = rows(op.output, step);
  for (int64_t i = 0; i < step.batch.selected_rows; ++i) {
    std::memcpy(y.data + i * y.row_bytes, x.data + step.batch.selected[i] * x.row_bytes,
                static_cast<std::size_t>(op.sizes[0]) * sizeof(float));
  }
}

}  // namespace honed
