// A slot of the kind routing: for each row the experts that it goes to, ascending, the weight of each, and the place of
// its copy for each of them among the rows that are grouped by expert.
#pragma once

#include <cstdint>

#include "executor/step.h"

namespace honed::ops {

class Routing {
 public:
  Routing(SlotRows rows, int64_t chosen) : rows_(rows), chosen_(chosen) {}

  int64_t chosen() const { return chosen_; }
  int64_t stride() const { return rows_.stride(); }  // of each of the three, in values
  int32_t* numbers() const { return reinterpret_cast<int32_t*>(rows_.data); }
  float* weights() const { return rows_.floats() + chosen_; }
  int32_t* places() const { return numbers() + 2 * chosen_; }

 private:
  SlotRows rows_;
  int64_t chosen_;
};

}  // namespace honed::ops
