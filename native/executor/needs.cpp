#include "executor/needs.h"

namespace honed {
namespace {

bool same(const Rotation& a, const Rotation& b) {
  return a.half == b.half && a.factor == b.factor &&
         std::equal(a.inverse_frequencies, a.inverse_frequencies + a.half, b.inverse_frequencies);
}

}  // namespace

Needs::Needs(const Plan& plan)
    : plan_(plan),
      rotation_of_op_(plan.ops.size(), 0),
      kept_keys_of_op_(plan.ops.size(), 0),
      streams_(plan.ops.size(), nullptr) {
  for (; op_ < plan.ops.size(); ++op_) plan.ops[op_].op->prepare(*this);
}

void Needs::rotate(const Rotation& rotation) {
  const auto found = std::find_if(rotations_.begin(), rotations_.end(),
                                  [&](const Rotation& other) { return same(rotation, other); });
  rotation_of_op_[op_] = static_cast<std::size_t>(found - rotations_.begin());
  if (found == rotations_.end()) rotations_.push_back(rotation);
}

void Needs::keep_keys(const CacheShape& shape) {
  const auto found = std::find(kept_keys_.begin(), kept_keys_.end(), shape);
  kept_keys_of_op_[op_] = found - kept_keys_.begin();
  if (found == kept_keys_.end()) kept_keys_.push_back(shape);
}

}  // namespace honed
