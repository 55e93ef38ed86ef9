#include "executor/workspace.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "cpu/select.h"

namespace honed {
namespace {

void require_same(const std::string& name, int64_t of_cache, int64_t of_plan) {
  if (of_cache != of_plan) {
    throw std::invalid_argument("cache: " + name + " = " + std::to_string(of_cache) + ": the plan has " +
                                std::to_string(of_plan));
  }
}

void require_fit(const std::vector<CacheShape>& of_cache, const std::vector<CacheShape>& of_plan) {
  require_same("shapes", static_cast<int64_t>(of_cache.size()), static_cast<int64_t>(of_plan.size()));
  for (std::size_t i = 0; i < of_cache.size(); ++i) {
    const std::string of = " of shape " + std::to_string(i);
    require_same("kv_heads" + of, of_cache[i].kv_heads, of_plan[i].kv_heads);
    require_same("key_width" + of, of_cache[i].key_width, of_plan[i].key_width);
  }
}

std::unique_ptr<Cache> pages_of_step(const Needs& needs, int64_t max_tokens) {
  if (needs.kept_keys().empty()) return nullptr;
  // At most one page for each row (Segments), of which only those that a step needs are ever touched.
  std::vector<int64_t> one_group(needs.kept_keys().size(), 0);
  return std::make_unique<Cache>(needs.kept_keys(), std::move(one_group), std::vector<int64_t>{max_tokens},
                                 KvType::f32);
}

int64_t most_pages(const std::shared_ptr<Cache>& cache, int64_t max_tokens) {
  int64_t most = (max_tokens + kPageTokens - 1) / kPageTokens;
  if (cache == nullptr) return most;
  for (const int64_t pages : cache->pages()) most = std::max(most, pages);
  return most;
}

// A line between two threads.
int64_t apart(int64_t floats) { return (floats * 4 + 127) / 64 * 64; }

}  // namespace

Workspace::Workspace(std::shared_ptr<const Plan> given_plan, std::shared_ptr<Cache> given_cache, int64_t max_tokens,
                     int64_t max_selected, int thread_count, const std::string& isa)
    : plan(std::move(given_plan)),
      cache(std::move(given_cache)),
      needs(*plan),
      kernels(select_kernels(isa)),
      threads(thread_count),
      arena(*plan, max_tokens, max_selected),
      kept_keys(pages_of_step(needs, max_tokens)),
      segments(max_tokens),
      rotary(needs),
      attention(needs.attentions(), max_tokens, most_pages(cache, max_tokens), threads.count()),
      scratch_bytes(apart(needs.scratch_floats())),
      scratch(static_cast<std::size_t>(scratch_bytes * threads.count()), PageSize::small) {
  require_fit(cache == nullptr ? std::vector<CacheShape>() : cache->shapes(), plan->caches);
  stretches = stretches_after_ops(needs, threads);
}

}  // namespace honed
