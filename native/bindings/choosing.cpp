#include "bindings/choosing.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <vector>

#include "bindings/handles.h"

namespace honed::bindings {
namespace nb = nanobind;
namespace {

// Names of the fields, made once: looking up an attribute by a C string makes a Python string each time.
enum Field : std::size_t {
  kMask, kBanned, kBias, kSeen, kRepetition, kCounts, kPresence, kFrequency, kDry, kTemperature, kTopK, kTopP, kMinP,
  kUniform, kLogprobs, kScore, kTokens, kValues, kFields
};
constexpr std::array<const char*, kFields> kNames = {
    "mask",        "banned", "bias",  "seen",  "repetition_penalty", "counts",   "presence_penalty", "frequency_penalty", "dry",
    "temperature", "top_k",  "top_p", "min_p", "uniform",            "logprobs", "score",            "tokens",            "values"};

class Names {
 public:
  Names() {
    for (std::size_t i = 0; i < kFields; ++i) {
      names_[i] = PyUnicode_InternFromString(kNames[i]);
      if (names_[i] == nullptr) nb::raise_python_error();
    }
  }
  nb::object get(nb::handle object, Field field) const {
    PyObject* value = PyObject_GetAttr(object.ptr(), names_[field]);
    if (value == nullptr) nb::raise_python_error();
    return nb::steal(value);
  }

 private:
  std::array<PyObject*, kFields> names_;  // for as long as the process lives
};

const Names& names() {
  static const Names* const made = new Names();
  return *made;
}

// A contiguous stretch of numbers of Python, for as long as this lives.
class View {
 public:
  explicit View(nb::handle object) {
    if (PyObject_GetBuffer(object.ptr(), &buffer_, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) != 0) nb::raise_python_error();
  }
  ~View() { PyBuffer_Release(&buffer_); }
  View(const View&) = delete;
  View& operator=(const View&) = delete;

  bool holds(const char* formats, Py_ssize_t bytes) const {
    return buffer_.itemsize == bytes && buffer_.format != nullptr && std::strlen(buffer_.format) == 1 &&
           std::strchr(formats, buffer_.format[0]) != nullptr;
  }
  std::size_t size() const { return static_cast<std::size_t>(buffer_.len / buffer_.itemsize); }
  template <typename T>
  std::vector<T> read() const {
    std::vector<T> values(size());
    if (!values.empty()) std::memcpy(values.data(), buffer_.buf, values.size() * sizeof(T));
    return values;
  }

 private:
  Py_buffer buffer_;
};

double real(nb::handle value) {
  const double number = PyFloat_AsDouble(value.ptr());
  if (number == -1 && PyErr_Occurred() != nullptr) nb::raise_python_error();
  return number;
}

int64_t whole(nb::handle value) {
  // One that does not fit is out of any range it could be asked to be in.
  int overflow = 0;
  const long long number = PyLong_AsLongLongAndOverflow(value.ptr(), &overflow);
  if (overflow != 0) return overflow > 0 ? std::numeric_limits<int64_t>::max() : std::numeric_limits<int64_t>::min();
  if (number == -1 && PyErr_Occurred() != nullptr) nb::raise_python_error();
  return number;
}

int32_t token(nb::handle value) {
  return static_cast<int32_t>(std::clamp<int64_t>(whole(value), std::numeric_limits<int32_t>::min(),
                                                  std::numeric_limits<int32_t>::max()));
}

// Most of these are the empty tuple.
bool is_empty(nb::handle object) {
  const Py_ssize_t size = PyObject_Size(object.ptr());
  if (size < 0) nb::raise_python_error();
  return size == 0;
}

std::vector<int32_t> read_tokens(nb::handle object) {
  if (is_empty(object)) return {};
  if (PyObject_CheckBuffer(object.ptr()) != 0) {
    const View view(object);
    if (view.holds("il", sizeof(int32_t))) return view.read<int32_t>();
  }
  std::vector<int32_t> tokens;
  for (const nb::handle item : nb::iter(object)) tokens.push_back(token(item));
  return tokens;
}

std::vector<double> read_values(nb::handle object) {
  const View view(object);
  if (view.holds("d", sizeof(double))) return view.read<double>();
  if (!view.holds("il", sizeof(int32_t))) throw nb::type_error("values of token pairs must be int32 or float64");
  const auto numbers = view.read<int32_t>();
  return {numbers.begin(), numbers.end()};
}

std::vector<TokenValue> read_pairs(nb::handle object) {
  if (is_empty(object)) return {};
  std::vector<TokenValue> pairs;
  if (nb::hasattr(object, kNames[kTokens])) {
    const std::vector<int32_t> tokens = read_tokens(names().get(object, kTokens));
    const std::vector<double> values = read_values(names().get(object, kValues));
    if (tokens.size() != values.size()) throw nb::value_error("token pairs: as many values as tokens are needed");
    pairs.reserve(tokens.size());
    for (std::size_t i = 0; i < tokens.size(); ++i) pairs.push_back({tokens[i], values[i]});
    return pairs;
  }
  for (const nb::handle item : nb::iter(object)) {
    nb::sequence pair;
    if (!nb::try_cast(item, pair) || nb::len(pair) != 2) {
      throw nb::type_error("token pairs: each must be a token and a value");
    }
    pairs.push_back({token(pair[0]), real(pair[1])});
  }
  return pairs;
}

std::optional<int64_t> read_count(nb::handle object) {
  if (object.is_none()) return std::nullopt;
  return whole(object);
}

RowChoice read_row(nb::handle row) {
  const Names& of = names();
  RowChoice choice;
  if (const nb::object mask = of.get(row, kMask); !mask.is_none()) {
    const View view(mask);
    if (!view.holds("IL", sizeof(uint32_t))) throw nb::type_error("mask must be uint32");
    choice.mask = view.read<uint32_t>();
  }
  choice.banned = read_tokens(of.get(row, kBanned));
  choice.bias = read_pairs(of.get(row, kBias));
  choice.seen = read_tokens(of.get(row, kSeen));
  choice.repetition_penalty = real(of.get(row, kRepetition));
  choice.counts = read_pairs(of.get(row, kCounts));
  choice.presence_penalty = real(of.get(row, kPresence));
  choice.frequency_penalty = real(of.get(row, kFrequency));
  choice.dry = read_pairs(of.get(row, kDry));
  choice.temperature = real(of.get(row, kTemperature));
  choice.top_k = whole(of.get(row, kTopK));
  choice.top_p = real(of.get(row, kTopP));
  choice.min_p = real(of.get(row, kMinP));
  choice.uniform = real(of.get(row, kUniform));
  choice.logprobs = read_count(of.get(row, kLogprobs));
  choice.score = read_count(of.get(row, kScore));
  return choice;
}

nb::tuple told(const Chosen& chosen) {
  switch (chosen.fault) {
    case Chosen::Fault::not_finite:
      return nb::make_tuple("not finite", chosen.count, chosen.bad, static_cast<double>(chosen.value));
    case Chosen::Fault::none_allowed:
      return nb::make_tuple("none allowed");
    case Chosen::Fault::bad_token:
      return nb::make_tuple("bad token", chosen.field, chosen.bad);
    case Chosen::Fault::none:
      break;
  }
  nb::list top;
  for (const auto& [place, logprob] : chosen.logprobs->top) top.append(nb::make_tuple(place, logprob));
  return nb::make_tuple(chosen.logprobs->logprob, nb::tuple(top), chosen.logprobs->rank);
}

}  // namespace

nb::tuple choose_rows(Executor& self, const nb::sequence& rows) {
  std::vector<RowChoice> choices;
  choices.reserve(nb::len(rows));
  for (const nb::handle row : nb::iter(rows)) choices.push_back(read_row(row));
  std::vector<Chosen> chosen;
  {
    const nb::gil_scoped_release released;
    chosen = self.choose(choices);
  }
  nb::list tokens;
  nb::dict others;
  for (std::size_t row = 0; row < chosen.size(); ++row) {
    tokens.append(chosen[row].token);
    if (chosen[row].fault != Chosen::Fault::none || chosen[row].logprobs) others[nb::int_(row)] = told(chosen[row]);
  }
  return nb::make_tuple(tokens, others);
}

}  // namespace honed::bindings
