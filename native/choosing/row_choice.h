// How the token of one row of logits is chosen, and what came of it. What each field does stands in RowChoice of
// src/honed/backends/base.py; choose_row of src/honed/runtime/sampling.py is the same in numpy, to the bit.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace honed {

struct TokenValue {
  int32_t token;
  double value;
};

struct RowChoice {
  std::optional<std::vector<uint32_t>> mask;
  std::vector<int32_t> banned;
  std::vector<TokenValue> bias;
  std::vector<int32_t> seen;
  double repetition_penalty = 1;
  std::vector<TokenValue> counts;
  double presence_penalty = 0, frequency_penalty = 0;
  std::vector<TokenValue> dry;
  double temperature = 0;
  int64_t top_k = 0;
  double top_p = 1, min_p = 0, uniform = 0;
  std::optional<int64_t> logprobs;
  std::optional<int64_t> score;

  bool changes_logits() const { return !bias.empty() || !seen.empty() || !counts.empty() || !dry.empty(); }
  bool limits_tokens() const { return mask.has_value() || !banned.empty(); }
  bool is_argmax() const { return temperature == 0 && !logprobs && !score && !changes_logits() && !limits_tokens(); }
};

struct Logprobs {
  double logprob;
  std::vector<std::pair<int32_t, double>> top;
  int64_t rank;
};

struct Chosen {
  enum class Fault { none, not_finite, none_allowed, bad_token };

  int32_t token = -1;
  std::optional<Logprobs> logprobs;
  Fault fault = Fault::none;
  const char* field = nullptr;  // bad_token: where it stands
  int64_t bad = 0;              // bad_token: it; not_finite: the first such place
  int64_t count = 0;            // not_finite: how many
  float value = 0;              // not_finite: the first one
};

}  // namespace honed
