#include "choosing/choose_row.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "choosing/largest.h"
#include "choosing/logprobs.h"

namespace honed {
namespace {

// Tokens that may be chosen, ascending: the places of `values`, or `ids` where some are left out.
struct Candidates {
  const float* values;
  const int32_t* ids;
  int64_t count;

  int32_t id(int64_t place) const { return ids == nullptr ? static_cast<int32_t>(place) : ids[place]; }
};

bool outside(int64_t token, int64_t vocabulary) { return token < 0 || token >= vocabulary; }
int64_t token_of(int32_t token) { return token; }
int64_t token_of(const TokenValue& pair) { return pair.token; }

template <typename Tokens>
bool check_tokens(const char* field, const Tokens& tokens, int64_t vocabulary, Chosen& chosen) {
  for (const auto& item : tokens) {
    if (!outside(token_of(item), vocabulary)) continue;
    chosen.fault = Chosen::Fault::bad_token;
    chosen.field = field;
    chosen.bad = token_of(item);
    return false;
  }
  return true;
}

bool check_tokens(const RowChoice& choice, int64_t vocabulary, Chosen& chosen) {
  if (!check_tokens("banned", choice.banned, vocabulary, chosen)) return false;
  if (!check_tokens("bias", choice.bias, vocabulary, chosen)) return false;
  if (!check_tokens("seen", choice.seen, vocabulary, chosen)) return false;
  if (!check_tokens("counts", choice.counts, vocabulary, chosen)) return false;
  if (!check_tokens("dry", choice.dry, vocabulary, chosen)) return false;
  if (!choice.score || !outside(*choice.score, vocabulary)) return true;
  chosen.fault = Chosen::Fault::bad_token;
  chosen.field = "score";
  chosen.bad = *choice.score;
  return false;
}

void find_not_finite(const float* logits, int64_t vocabulary, Chosen& chosen) {
  chosen.fault = Chosen::Fault::not_finite;
  for (int64_t i = vocabulary - 1; i >= 0; --i) {
    if (std::isfinite(logits[i])) continue;
    ++chosen.count;
    chosen.bad = i;
    chosen.value = logits[i];
  }
}

float saturated(float value) {
  constexpr float kMost = std::numeric_limits<float>::max();
  return value > kMost ? kMost : value < -kMost ? -kMost : value;
}

// After the bias and the penalties.
const float* changed(const float* logits, int64_t vocabulary, const RowChoice& choice, std::vector<float>& memory) {
  if (!choice.changes_logits()) return logits;
  std::copy_n(logits, vocabulary, memory.data());
  float* x = memory.data();
  for (const auto& [token, value] : choice.bias) x[token] = saturated(x[token] + static_cast<float>(value));
  const auto factor = static_cast<float>(choice.repetition_penalty);
  for (const int32_t token : choice.seen) x[token] = saturated(x[token] > 0 ? x[token] / factor : x[token] * factor);
  for (const auto& [token, times] : choice.counts) {
    const double less = choice.presence_penalty + choice.frequency_penalty * times;
    x[token] = saturated(x[token] - static_cast<float>(less));
  }
  for (const auto& [token, value] : choice.dry) x[token] = saturated(x[token] - static_cast<float>(value));
  return x;
}

// Which of 32 tokens from 32 * `word` on may be chosen.
uint32_t allowed_word(const RowChoice& choice, int64_t word, int64_t vocabulary) {
  uint32_t bits = ~uint32_t{0};
  if (choice.mask) {
    bits = word < static_cast<int64_t>(choice.mask->size()) ? (*choice.mask)[static_cast<std::size_t>(word)] : 0;
  }
  if (vocabulary - 32 * word < 32) bits &= (uint32_t{1} << (vocabulary - 32 * word)) - 1;
  return bits;
}

Candidates allowed(const float* values, int64_t vocabulary, RowChoice& choice, ChoosingScratch& scratch) {
  if (!choice.limits_tokens()) return {values, nullptr, vocabulary};
  std::sort(choice.banned.begin(), choice.banned.end());
  auto banned = choice.banned.cbegin();
  int64_t count = 0;
  int32_t* ids = scratch.ids.data();
  float* kept = scratch.values.data();
  for (int64_t word = 0; 32 * word < vocabulary; ++word) {
    const auto first = static_cast<int32_t>(32 * word);
    uint32_t bits = allowed_word(choice, word, vocabulary);
    for (; banned != choice.banned.cend() && *banned < first + 32; ++banned) bits &= ~(uint32_t{1} << (*banned - first));
    if (bits == ~uint32_t{0}) {
      std::copy_n(values + first, 32, kept + count);
      std::iota(ids + count, ids + count + 32, first);
      count += 32;
      continue;
    }
    for (; bits != 0; bits &= bits - 1) {
      const int32_t id = first + __builtin_ctz(bits);
      kept[count] = values[id];
      ids[count++] = id;
    }
  }
  return {kept, ids, count};
}

Choice greatest_of(const float* values, int64_t count, const KernelTable& kernels) {
  Choice greatest;
  kernels.argmax({values, count, 0, 1, 0, count, &greatest});
  return greatest;
}

// Keeps those at `places`, ascending, in the memory of the scratch.
Candidates at_places(const Candidates& from, const std::vector<int32_t>& places, ChoosingScratch& scratch) {
  // Every place is written from one that is no earlier, so that both may share memory.
  for (std::size_t i = 0; i < places.size(); ++i) {
    scratch.values[i] = from.values[places[i]];
    scratch.ids[i] = from.id(places[i]);
  }
  return {scratch.values.data(), scratch.ids.data(), static_cast<int64_t>(places.size())};
}

// The first place where the sum of weights up to it passes that share of all of them.
int64_t draw(const double* weights, int64_t count, double uniform) {
  double all = 0;
  for (int64_t i = 0; i < count; ++i) all += weights[i];
  const double target = uniform * all;
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    sum += weights[i];
    if (sum > target) return i;
  }
  return count - 1;
}

// The same from sums that are known.
int64_t draw(const double* weights, const double* sums, int64_t count, double uniform) {
  const int64_t blocks = (count + kSumBlock - 1) / kSumBlock;
  const double target = uniform * sums[blocks];
  const int64_t block = std::upper_bound(sums, sums + blocks, target) - sums - 1;
  double sum = sums[block];
  for (int64_t i = block * kSumBlock; i < count; ++i) {
    sum += weights[i];
    if (sum > target) return i;
  }
  return count - 1;
}

// A token in proportion to its probability, of those that the filters leave.
int32_t sampled(Candidates from, float greatest, const RowChoice& choice, const KernelTable& kernels,
                ChoosingScratch& scratch) {
  if (0 < choice.top_k && choice.top_k < from.count) {
    largest(from.values, from.count, choice.top_k, scratch.places);
    from = at_places(from, scratch.places, scratch);
  }
  double* weights = scratch.weights.data();
  const double* sums = scratch.sums.data();
  kernels.exp_weights({from.values, from.count, greatest, choice.temperature, weights, scratch.sums.data()});
  if (!(choice.top_p < 1) && !(choice.min_p > 0)) return from.id(draw(weights, sums, from.count, choice.uniform));
  std::vector<int32_t>& places = scratch.places;
  if (choice.top_p < 1) {
    const double all = sums[(from.count + kSumBlock - 1) / kSumBlock];
    nucleus(weights, from.count, choice.top_p * all, all, places);
  } else {
    places.resize(static_cast<std::size_t>(from.count));
    std::iota(places.begin(), places.end(), 0);
  }
  if (choice.min_p > 0) {
    std::erase_if(places, [&](int32_t place) { return !(weights[place] >= choice.min_p); });
  }
  for (std::size_t i = 0; i < places.size(); ++i) weights[i] = weights[places[i]];
  const int64_t place = draw(weights, static_cast<int64_t>(places.size()), choice.uniform);
  return from.id(places[static_cast<std::size_t>(place)]);
}

}  // namespace

Chosen choose_row(const float* logits, int64_t vocabulary, const Choice& greatest, RowChoice& choice,
                  const KernelTable& kernels, ChoosingScratch& scratch) {
  Chosen chosen;
  if (!check_tokens(choice, vocabulary, chosen)) return chosen;
  if (greatest.all_finite == 0) {
    find_not_finite(logits, vocabulary, chosen);
    return chosen;
  }
  double sum = -1;  // of the softmax of the logits, not known
  if (choice.score) {
    chosen.token = static_cast<int32_t>(*choice.score);
  } else {
    const float* values = changed(logits, vocabulary, choice, scratch.logits);
    const Candidates candidates = allowed(values, vocabulary, choice, scratch);
    if (candidates.count == 0) {
      chosen.fault = Chosen::Fault::none_allowed;
      return chosen;
    }
    const Choice best = candidates.values == logits ? greatest : greatest_of(candidates.values, candidates.count, kernels);
    if (choice.temperature == 0) {
      chosen.token = candidates.id(best.column);
    } else {
      chosen.token = sampled(candidates, best.value, choice, kernels, scratch);
      const bool whole = candidates.values == logits && !(0 < choice.top_k && choice.top_k < vocabulary);
      if (whole && choice.temperature == 1) sum = scratch.sums[static_cast<std::size_t>((vocabulary + kSumBlock - 1) / kSumBlock)];
    }
  }
  if (choice.score || choice.logprobs) {
    chosen.logprobs = logprobs_of(logits, vocabulary, greatest.value, chosen.token, choice.logprobs.value_or(0), sum,
                                  kernels, scratch);
  }
  return chosen;
}

}  // namespace honed
