// Rows of q, k and v side by side, and the cache that holds their keys and values: the fields and checks that ops over
// them share.
#pragma once

#include "executor/needs.h"
#include "plan/check.h"
#include "plan/fields.h"
#include "plan/limits.h"

namespace honed::ops {

struct Qkv {
  SlotNumber slot;
  Heads heads;
  std::optional<CacheNumber> cache;  // none: keys and values of the rows of the step, which last no longer

  Qkv(Fields& fields, const char* slot_field)
      : slot(fields.slot(slot_field)),
        heads{fields.integer("heads", 1, kMostHeads), fields.integer("kv_heads", 1, kMostHeads),
              fields.integer("head_dim", 1, kMostHeadDim)},
        cache(fields.integer_or_none("cache", 0, kMostCaches - 1)) {}

  CacheShape shape() const { return {heads.kv_heads, heads.head_dim, heads.head_dim}; }
  int64_t width() const { return (heads.heads + 2 * heads.kv_heads) * heads.head_dim; }

  void check(const Check& check, const char* slot_field) const {
    if (cache) check_cache(check.plan().caches, check);
    check.require(heads.heads % heads.kv_heads == 0, "heads", heads.heads,
                  "must be a multiple of kv_heads = " + std::to_string(heads.kv_heads));
    check.slot(slot_field, slot, SlotKind::f32);
    check.rows_are(slot_field, slot, Rows::tokens);
    check.reads(slot, width());
  }

  // Of a checked plan.
  void prepare(Needs& needs) const {
    if (!cache) needs.keep_keys(shape());
  }

 private:
  void check_cache(const std::vector<CacheShape>& caches, const Check& check) const {
    check.require(*cache < static_cast<int64_t>(caches.size()), "cache", *cache,
                  "the plan has " + std::to_string(caches.size()));
    const CacheShape& held = caches[static_cast<std::size_t>(*cache)];
    check.require(heads.kv_heads == held.kv_heads, "kv_heads", heads.kv_heads,
                  "the cache has " + std::to_string(held.kv_heads));
    check.require(heads.head_dim == held.key_width, "head_dim", heads.head_dim,
                  "the cache has " + std::to_string(held.key_width));
  }
};

}  // namespace honed::ops
