// The interface of an op. What an op is called, its fields, its check, its split over the threads and what it does
// stand in its file in executor/ops/; nothing in plan/ knows one op from another.
#pragma once

#include <cstdint>

namespace honed {

class Check;  // plan/check.h
class Needs;  // executor/needs.h
class Step;   // executor/step.h

// Places in the lists of a plan; `Check` is where they are held against the plan.
using SlotNumber = int64_t;
using WeightNumber = int64_t;
using InputNumber = int64_t;
using CacheNumber = int64_t;

// Fields that never change, shared by every executor of a plan.
class Op {
 public:
  Op() = default;
  Op(const Op&) = delete;
  Op& operator=(const Op&) = delete;
  virtual ~Op() = default;

  // Throws std::invalid_argument where the op, run after those before it, would leave its slots, weights or caches,
  // or read what no op wrote. Notes what it writes.
  virtual void check(Check& check) const = 0;

  // Of a checked plan: what the executor is to keep for this op from step to step.
  virtual void prepare(Needs&) const {}

  // On all threads, for the rows of a checked batch.
  virtual void run(const Step& step) const = 0;
};

}  // namespace honed
