// What Python objects hold: shared ownership of the engine's immutable values.
#pragma once

#include <nanobind/nanobind.h>

#include <memory>
#include <tuple>
#include <vector>

#include "executor/cache.h"
#include "plan/plan.h"
#include "plan/weight.h"

namespace honed::bindings {

struct WeightHandle {
  std::shared_ptr<const Weight> weight;
};

struct PlanHandle {
  std::shared_ptr<const Plan> plan;
};

struct CacheHandle {
  std::shared_ptr<Cache> cache;
};

// As Python gives them: kv_heads, key_width and value_width of each.
using GivenShapes = std::vector<std::tuple<int64_t, int64_t, int64_t>>;
inline std::vector<CacheShape> cache_shapes(const GivenShapes& given) {
  std::vector<CacheShape> shapes;
  for (const auto& [kv_heads, key_width, value_width] : given) shapes.push_back({kv_heads, key_width, value_width});
  return shapes;
}

void bind_weights(nanobind::module_& module);
void bind_plan(nanobind::module_& module);
void bind_executor(nanobind::module_& module);
void bind_machine(nanobind::module_& module);
void bind_mapped(nanobind::module_& module);
void bind_rows(nanobind::module_& module);

}  // namespace honed::bindings
