// Attention over a cache or over the rows of the step: the tiles of a step over the threads, span by span, and the fold
// of their partials.
#include <algorithm>

#include "executor/ops/qkv.h"
#include "executor/ops/table.h"
#include "executor/step.h"

namespace honed::ops {
namespace {

// Multiply-adds below which waking the other threads costs more than it saves.
constexpr int64_t kWorthSharing = 1 << 14;

int64_t lines(int64_t floats) { return (floats + 15) / 16 * 16; }

// Pairs of a row and a query head in the largest tile.
int64_t most_rows(const Heads& heads) { return AttentionTiles::most_rows(heads.group()) * heads.group(); }

// Of a thread's scratch: first that of the kernel, then two partials of a tile, what its spans so far come to and the
// next one.
int64_t kernel_floats(const Heads& heads) { return most_rows(heads) * (kScoreStride + lines(heads.head_dim)); }

struct Attention final : Op {
  Qkv qkv;
  SlotNumber output;
  Sight sight;
  float scale;
  float soft_cap;  // a score becomes soft_cap * tanh(score / soft_cap); 0: it stays
  std::optional<WeightNumber> sinks;  // [heads], the score of a key that has no value
  std::optional<WeightNumber> bias;   // [heads][2 reach + 1], added by how far a key is from the query
  int64_t reach;

  explicit Attention(Fields& fields)
      : qkv(fields, "input"),
        output(fields.slot("output")),
        sight{fields.integer_or_none("before", 0, kMostDistance).value_or(kEveryKey),
              fields.integer_or_none("after", 0, kMostDistance).value_or(kEveryKey)},
        scale(fields.number("scale")),
        soft_cap(fields.number("soft_cap")),
        sinks(fields.weight_or_none("sinks")),
        bias(fields.weight_or_none("bias")),
        reach(fields.integer("reach", 0, kMostWidth)) {}

  void check(Check& check) const override {
    qkv.check(check, "input");
    check.reads_keys(qkv.cache, qkv.shape());
    if (qkv.cache && sight.after > 0) {
      check.reject("after", sight.after == kEveryKey ? "none" : std::to_string(sight.after),
                   "must be 0 over a cache, which has no keys ahead of a row");
    }
    check_scoring(check);
    check.slot("output", output, SlotKind::f32);
    check.rows_are("output", output, Rows::tokens);
    check.apart(qkv.slot, output);
    check.writes(output, 0, qkv.heads.heads * qkv.heads.head_dim);
  }

  void check_scoring(const Check& check) const {
    check.vector("sinks", sinks, qkv.heads.heads);
    check.vector("bias", bias, qkv.heads.heads * (2 * reach + 1));
    if (soft_cap < 0) check.reject("soft_cap", std::to_string(soft_cap), "must be positive, or 0 for none");
  }

  void prepare(Needs& needs) const override {
    qkv.prepare(needs);
    needs.attend(qkv.heads);
    needs.scratch(kernel_floats(qkv.heads) + lines(2 * most_rows(qkv.heads) * partial_floats(qkv.heads.head_dim)));
  }

  void run(const Step& step) const override;
};

// One attention of one step.
class Work {
 public:
  Work(const Attention& op, const Step& step)
      : op_(op),
        step_(step),
        batch_(step.batch()),
        tiles_(step.attention().tiles),
        q_(step.rows(op.qkv.slot)),
        y_(step.rows(op.output)),
        paging_(step.paging(op.qkv.cache)),
        keys_(step.keys(op.qkv.cache)),
        head_dim_(op.qkv.heads.head_dim),
        group_(op.qkv.heads.group()),
        floats_(partial_floats(head_dim_)) {
    const AttentionShape shape{op.qkv.heads.heads, op.qkv.heads.kv_heads, op.sight};
    tiles_.cut({batch_.rows, batch_.positions, paging_.tables, paging_.keys}, shape, step.threads().count(),
               step.attention().room(head_dim_));
  }

  void run() const {
    Threads& threads = step_.threads();
    const int64_t tasks = tiles_.tasks();
    if (threads.count() == 1 || tiles_.work() * head_dim_ < kWorthSharing) {
      for (int64_t index = 0; index < tasks; ++index) task(index, 0);
      return;
    }
    // Later rows see more keys: they go first, so that no thread is left alone with the longest.
    threads.for_each(tasks, [&](int64_t i, int thread) noexcept { task(tasks - 1 - i, thread); });
  }

 private:
  void task(int64_t index, int thread) const noexcept {
    const AttentionTile& tile = tiles_.tile_of(index);
    const int64_t within = index - tile.task_begin;
    if (!tile.split) return whole(tile, within, index, thread);
    part(tile, within / tile.spans(), within % tile.spans(), index, thread);
  }

  void whole(const AttentionTile& tile, int64_t kv_head, int64_t index, int thread) const noexcept {
    float* partials = step_.scratch(thread) + kernel_floats(op_.qkv.heads);
    float* later = partials + tile.rows() * group_ * floats_;
    for (int64_t span = tile.span_begin; span < tile.span_end; ++span) {
      const bool last = span + 1 == tile.span_end;
      const bool first = span == tile.span_begin;
      attend(tile, kv_head, span, thread, first ? partials : later,
             last ? keys_after(index) : keys_of(tile, kv_head, span + 1));
      if (!first || last) merge(tile, kv_head, first ? 1 : 2, last ? sinks_of(kv_head) : nullptr, partials);
    }
  }

  void part(const AttentionTile& tile, int64_t kv_head, int64_t nth, int64_t index, int thread) const noexcept {
    AttentionMemory& memory = step_.attention();
    const int64_t span_floats = tile.rows() * group_ * floats_;
    float* partials = memory.partials() + tile.first_partial * floats_ + kv_head * tile.spans() * span_floats;
    attend(tile, kv_head, tile.span_begin + nth, thread, partials + nth * span_floats, keys_after(index));
    // Whoever ends last folds: nobody waits for the others.
    std::atomic<int32_t>& done = memory.counters[static_cast<std::size_t>(tile.first_counter + kv_head)];
    if (done.fetch_add(1, std::memory_order_acq_rel) + 1 == tile.spans()) {
      done.store(0, std::memory_order_relaxed);
      merge(tile, kv_head, tile.spans(), sinks_of(kv_head), partials);
    }
  }

  // The keys of a span of a tile.
  AttentionNext keys_of(const AttentionTile& tile, int64_t kv_head, int64_t span) const {
    const int64_t first = std::max(tile.first_key, span * kSpanTokens);
    const int64_t last = std::min(tile.last_key, (span + 1) * kSpanTokens - 1);
    return {paging_.pages_of(tile.row_begin), kv_head, first / kPageTokens, last / kPageTokens + 1};
  }

  // The keys of the task that comes after this one.
  AttentionNext keys_after(int64_t index) const {
    if (index == 0) return {};
    const AttentionTile& tile = tiles_.tile_of(index - 1);
    const int64_t within = index - 1 - tile.task_begin;
    if (!tile.split) return keys_of(tile, within, tile.span_begin);
    return keys_of(tile, within / tile.spans(), tile.span_begin + within % tile.spans());
  }

  void attend(const AttentionTile& tile, int64_t kv_head, int64_t span, int thread, float* partials,
              const AttentionNext& next) const noexcept {
    step_.kernels().attention({.q = q_.floats(),
                               .q_stride = q_.stride(),
                               .row_begin = tile.row_begin,
                               .row_end = tile.row_end,
                               .first_position = batch_.positions[tile.row_begin],
                               .pages = paging_.pages_of(tile.row_begin),
                               .group = group_,
                               .kv_head = kv_head,
                               .head_dim = head_dim_,
                               .span = span,
                               .before = op_.sight.before,
                               .after = op_.sight.after,
                               .keys = tile.keys,
                               .scale = op_.scale,
                               .soft_cap = op_.soft_cap,
                               .bias = op_.bias ? step_.vector(*op_.bias) : nullptr,
                               .reach = op_.reach,
                               .cache = keys_,
                               .scratch = step_.scratch(thread),
                               .partials = partials,
                               .next = next});
  }

  const float* sinks_of(int64_t kv_head) const {
    return op_.sinks ? step_.vector(*op_.sinks) + kv_head * group_ : nullptr;
  }

  // `sinks`: with the last of the spans.
  void merge(const AttentionTile& tile, int64_t kv_head, int64_t count, const float* sinks,
             float* partials) const noexcept {
    step_.kernels().attention_merge({.partials = partials,
                                     .count = count,
                                     .span_stride = tile.rows() * group_ * floats_,
                                     .rows = tile.rows(),
                                     .group = group_,
                                     .head_dim = head_dim_,
                                     .sinks = sinks,
                                     .y = y_.floats() + tile.row_begin * y_.stride() + kv_head * group_ * head_dim_,
                                     .y_stride = y_.stride()});
  }

  const Attention& op_;
  const Step& step_;
  const Batch& batch_;
  AttentionTiles& tiles_;
  SlotRows q_;
  SlotRows y_;
  Paging paging_;
  KvLayer keys_;
  int64_t head_dim_;
  int64_t group_;
  int64_t floats_;  // of the partial of one row and head
};

void Attention::run(const Step& step) const { Work(*this, step).run(); }

}  // namespace

std::unique_ptr<const Op> attention(Fields& fields) { return std::make_unique<Attention>(fields); }

}  // namespace honed::ops
