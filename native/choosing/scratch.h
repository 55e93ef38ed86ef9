// Memory for the choice of one row, kept from one to the next.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/kernel_table.h"

namespace honed {

struct ChoosingScratch {
  explicit ChoosingScratch(int64_t vocabulary)
      : logits(static_cast<std::size_t>(vocabulary)),
        values(logits.size()),
        ids(logits.size()),
        weights(logits.size()),
        sums(logits.size() / kSumBlock + 2) {
    places.reserve(logits.size());
  }

  std::vector<float> logits;     // changed ones
  std::vector<float> values;     // of those that may be chosen
  std::vector<int32_t> ids;      // which those are
  std::vector<int32_t> places;   // among them
  std::vector<double> weights, sums;
};

}  // namespace honed
