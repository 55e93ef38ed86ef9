// Arrays that end at an inaccessible page, so that a kernel reading or writing past its operands stops the test,
// and the deterministic numbers that fill them.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace honed::contract {

template <typename T>
class Guarded {
 public:
  explicit Guarded(int64_t count) : count_(count) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
    const std::size_t usable = (bytes + page - 1) / page * page;
    mapped_ = usable + page;
    base_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base_ == MAP_FAILED || mprotect(static_cast<char*>(base_) + usable, page, PROT_NONE) != 0) std::abort();
    data_ = reinterpret_cast<T*>(static_cast<char*>(base_) + usable - bytes);
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded() { munmap(base_, mapped_); }

  T* data() { return data_; }
  const T* data() const { return data_; }
  int64_t size() const { return count_; }
  T& operator[](int64_t i) { return data_[i]; }
  const T& operator[](int64_t i) const { return data_[i]; }
  std::vector<T> image() const { return std::vector<T>(data_, data_ + count_); }

 private:
  int64_t count_;
  void* base_;
  std::size_t mapped_;
  T* data_;
};

// A NaN with a payload of its own: no kernel computes it, so a place that lost it was written.
inline float canary() {
  const uint32_t bits = 0x7fd5aa55u;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// What float operands look like.
enum class Values { ordinary, spread, tiny, huge, zero };
inline constexpr Values kAllValues[] = {Values::ordinary, Values::spread, Values::tiny, Values::huge, Values::zero};

inline const char* name_of(Values values) {
  switch (values) {
    case Values::ordinary: return "ordinary";
    case Values::spread: return "spread";
    case Values::tiny: return "tiny";
    case Values::huge: return "huge";
    case Values::zero: return "zero";
  }
  return "?";
}

// splitmix64 (Steele, Lea, Flood 2014): the same numbers with every compiler and standard library.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ull + 1) {}

  uint64_t bits() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  int64_t between(int64_t low, int64_t high) {  // both included
    return low + static_cast<int64_t>(bits() % static_cast<uint64_t>(high - low + 1));
  }
  bool chance(int one_in) { return between(1, one_in) == 1; }
  float unit() { return static_cast<float>(static_cast<int64_t>(bits() >> 40) - (1 << 23)) * 0x1p-23f; }
  float bell() { return unit() + unit() + unit(); }

  float value(Values values) {
    switch (values) {
      case Values::ordinary: return bell();
      case Values::spread: return std::ldexp(bell(), static_cast<int>(between(-40, 20)));
      case Values::tiny: return bell() * 1e-38f;
      case Values::huge: return bell() * 1e17f;
      case Values::zero: return chance(2) ? 0.0f : -0.0f;
    }
    return 0.0f;
  }
  void fill(Guarded<float>& array, Values values) {
    for (int64_t i = 0; i < array.size(); ++i) array[i] = value(values);
  }

 private:
  uint64_t state_;
};

inline void fill(Guarded<float>& array, float value) { std::fill(array.data(), array.data() + array.size(), value); }

inline int64_t round_up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

}  // namespace honed::contract
