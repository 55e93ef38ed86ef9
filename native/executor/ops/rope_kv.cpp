// Norms of heads and rotation of q and k, in place and where there are any, and the write of keys and values to their
// cache.
#include "executor/ops/qkv.h"
#include "executor/ops/table.h"
#include "executor/step.h"

namespace honed::ops {
namespace {

enum class Pairs { halves, interleaved };
constexpr std::array kPairNames{"halves", "interleaved"};

struct RopeKv final : Op {
  Qkv qkv;
  std::optional<WeightNumber> inverse_frequencies;  // none where nothing is rotated
  std::optional<WeightNumber> q_norm;
  std::optional<WeightNumber> k_norm;
  int64_t rotary_dim;
  float eps;  // of the norms
  float attention_factor;
  bool interleaved;

  explicit RopeKv(Fields& fields)
      : qkv(fields, "slot"),
        inverse_frequencies(fields.weight_or_none("inverse_frequencies")),
        q_norm(fields.weight_or_none("q_norm")),
        k_norm(fields.weight_or_none("k_norm")),
        rotary_dim(fields.integer("rotary_dim", 0, kMostHeadDim)),
        eps(q_norm || k_norm ? fields.positive("eps") : fields.number("eps")),
        attention_factor(fields.positive("attention_factor")),
        interleaved(fields.choice<Pairs>("pairs", kPairNames) == Pairs::interleaved) {}

  void check(Check& check) const override {
    const int64_t head_dim = qkv.heads.head_dim;
    qkv.check(check, "slot");
    check.require(rotary_dim % 2 == 0, "rotary_dim", rotary_dim, "must be even");
    check.require(rotary_dim <= head_dim, "rotary_dim", rotary_dim,
                  "must be at most head_dim = " + std::to_string(head_dim));
    check.require((rotary_dim > 0) == inverse_frequencies.has_value(), "rotary_dim", rotary_dim,
                  inverse_frequencies ? "must be over 0 with inverse_frequencies" : "must be 0 without inverse_frequencies");
    check.vector("inverse_frequencies", inverse_frequencies, rotary_dim / 2);
    check.vector("q_norm", q_norm, head_dim);
    check.vector("k_norm", k_norm, head_dim);
    check.writes(qkv.slot, 0, qkv.width());
    check.writes_keys(qkv.cache, qkv.shape());
  }

  void prepare(Needs& needs) const override {
    qkv.prepare(needs);
    if (inverse_frequencies) needs.rotate({needs.vector(*inverse_frequencies), rotary_dim / 2, attention_factor});
  }

  void run(const Step& step) const override {
    const SlotRows rows = step.rows(qkv.slot);
    const Batch& batch = step.batch();
    const RotaryTable table = inverse_frequencies ? step.rotary() : RotaryTable{nullptr, nullptr};
    const Paging paging = step.paging(qkv.cache);
    step.for_rows(batch.rows, qkv.width(), [&](int64_t begin, int64_t end, int) noexcept {
      step.kernels().rope_kv({.qkv = rows.floats(),
                              .stride = rows.stride(),
                              .row_begin = begin,
                              .row_end = end,
                              .positions = batch.positions,
                              .sequences = paging.tables,
                              .page_tables = paging.page_tables,
                              .pages_per_table = paging.pages_per_table,
                              .cos = table.cos,
                              .sin = table.sin,
                              .heads = qkv.heads.heads,
                              .kv_heads = qkv.heads.kv_heads,
                              .head_dim = qkv.heads.head_dim,
                              .rotary_dim = rotary_dim,
                              .q_norm = step.vector(q_norm),
                              .k_norm = step.vector(k_norm),
                              .eps = eps,
                              .interleaved = interleaved,
                              .cache = step.keys(qkv.cache)});
    });
  }
};

}  // namespace

std::unique_ptr<const Op> rope_kv(Fields& fields) { return std::make_unique<RopeKv>(fields); }

}  // namespace honed::ops
