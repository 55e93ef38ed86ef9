#include "choosing/largest.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <numeric>

namespace honed {
namespace {

// Places of values that are `least` at least, ascending.
template <typename T>
void at_least(const T* values, int64_t size, T least, std::vector<int32_t>& places) {
  constexpr int64_t kBlock = 64;  // few of them hold any
  constexpr int64_t kLanes = 16;
  places.clear();
  int64_t begin = 0;
  for (; begin + kBlock <= size; begin += kBlock) {
    T most[kLanes];
    for (int64_t lane = 0; lane < kLanes; ++lane) most[lane] = values[begin + lane];
    for (int64_t i = kLanes; i < kBlock; i += kLanes) {
      for (int64_t lane = 0; lane < kLanes; ++lane) {
        most[lane] = values[begin + i + lane] > most[lane] ? values[begin + i + lane] : most[lane];
      }
    }
    for (int64_t lane = 8; lane > 0; lane /= 2) {
      for (int64_t i = 0; i < lane; ++i) most[i] = most[i + lane] > most[i] ? most[i + lane] : most[i];
    }
    if (most[0] < least) continue;
    for (int64_t i = begin; i < begin + kBlock; ++i) {
      if (values[i] >= least) places.push_back(static_cast<int32_t>(i));
    }
  }
  for (; begin < size; ++begin) {
    if (values[begin] >= least) places.push_back(static_cast<int32_t>(begin));
  }
}

struct Valued {
  double value;
  int32_t place;
};

bool larger_than(const Valued& a, const Valued& b) {
  return a.value > b.value || (a.value == b.value && a.place < b.place);
}

// Sixteenths of an octave below 1, of values that are not negative; those of 2^-64 and less are together in the last.
constexpr int64_t kBins = 16 * 64;
int64_t bin_of(double value) {
  if (value >= 1) return 0;
  const auto steps = static_cast<int64_t>((std::bit_cast<uint64_t>(1.0) - std::bit_cast<uint64_t>(value)) >> 48);
  return std::min(steps, kBins - 1);
}

// The last one of the shortest run of the largest values at `places` whose sum is `target` at least; the very last one,
// and false, where none is. Sorts bin after bin, as far as the run goes.
bool last_of_run(const double* values, const std::vector<int32_t>& places, double target, Valued& last) {
  std::array<int64_t, kBins + 1> begins{};
  for (const int32_t place : places) ++begins[static_cast<std::size_t>(bin_of(values[place])) + 1];
  std::partial_sum(begins.begin(), begins.end(), begins.begin());
  std::vector<Valued> binned(places.size());
  std::array<int64_t, kBins + 1> next = begins;
  for (const int32_t place : places) {
    int64_t& at = next[static_cast<std::size_t>(bin_of(values[place]))];
    binned[static_cast<std::size_t>(at++)] = {values[place], place};
  }
  double sum = 0;
  for (std::size_t bin = 0; bin < kBins; ++bin) {
    std::sort(binned.begin() + begins[bin], binned.begin() + begins[bin + 1], larger_than);
    for (int64_t i = begins[bin]; i < begins[bin + 1]; ++i) {
      last = binned[static_cast<std::size_t>(i)];
      sum += last.value;
      if (sum >= target) return true;
    }
  }
  return false;
}

// A value that `count` values reach, found among the greatest of disjoint sets: as many values as there are sets with
// such a greatest one. The least of all values where there are fewer sets.
float reached_by(const float* values, int64_t size, int64_t count) {
  constexpr int64_t kSets = 16;  // of a stretch, its places by their rest
  int64_t length = 2048;         // of a stretch: few sets are soon looked through, of many fewer values are kept
  while (length > 2 * kSets && size / length * kSets < 4 * count) length /= 2;
  const int64_t stretches = size / length;
  if (count > stretches * kSets) return -std::numeric_limits<float>::infinity();
  std::vector<float> greatest(static_cast<std::size_t>(stretches * kSets));
  for (int64_t stretch = 0; stretch < stretches; ++stretch) {
    const float* x = values + stretch * length;
    float most[kSets];
    for (int64_t set = 0; set < kSets; ++set) most[set] = x[set];
    for (int64_t i = kSets; i < length; i += kSets) {
      for (int64_t set = 0; set < kSets; ++set) most[set] = x[i + set] > most[set] ? x[i + set] : most[set];
    }
    std::copy_n(most, kSets, greatest.begin() + stretch * kSets);
  }
  const auto place = greatest.begin() + (count - 1);
  std::nth_element(greatest.begin(), place, greatest.end(), [](float a, float b) { return a > b; });
  return *place;
}

}  // namespace

void largest(const float* values, int64_t size, int64_t count, std::vector<int32_t>& places) {
  at_least(values, size, reached_by(values, size, count), places);
  if (count < static_cast<int64_t>(places.size())) {
    std::nth_element(places.begin(), places.begin() + (count - 1), places.end(), [values](int32_t a, int32_t b) {
      return values[a] > values[b] || (values[a] == values[b] && a < b);
    });
    places.resize(static_cast<std::size_t>(count));
    std::sort(places.begin(), places.end());
  }
}

void nucleus(const double* values, int64_t size, double target, double total, std::vector<int32_t>& places) {
  // Values under the second one sum to less than what may be left out. Most often far fewer are enough, and if rounding
  // has it otherwise all are looked at.
  const double enough = std::max(0.0, (total - target) / static_cast<double>(size) * (1 - 1e-6));
  Valued last{};
  for (const double least : {std::max(total / 1024, enough), enough, 0.0}) {
    at_least(values, size, least, places);
    if (last_of_run(values, places, target, last)) break;
  }
  std::erase_if(places, [&](int32_t place) { return larger_than(last, {values[place], place}); });
}

}  // namespace honed
