// What Python objects hold: shared ownership of the engine's immutable values.
#pragma once

#include <nanobind/nanobind.h>

#include <memory>

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

void bind_weights(nanobind::module_& module);
void bind_plan(nanobind::module_& module);
void bind_executor(nanobind::module_& module);
void bind_machine(nanobind::module_& module);

}  // namespace honed::bindings
