// Where a run of the contract test stands, and the comparison of what a kernel left in memory with what it should
// have left: every element, also those that it must not touch.
#pragma once

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include "tests/contract/memory.h"

namespace honed::contract {

// The case under way, for the message of a crash as much as of a mismatch.
inline char current_case[512] = "";

class Check {
 public:
  Check(const char* isa, const char* slot, bool quick) : isa_(isa), slot_(slot), quick_(quick) {}

  // Starts a case. False when it is left out of a quick run.
  __attribute__((format(printf, 2, 3))) bool begin(const char* format, ...) {
    ++sequence_;
    if (quick_ && sequence_ % 7 != 1) return false;
    ++cases_;
    const int used = std::snprintf(current_case, sizeof current_case, "%s %s: ", isa_, slot_);
    std::va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(current_case + used, sizeof current_case - static_cast<std::size_t>(used), format, arguments);
    va_end(arguments);
    return true;
  }

  // Bit for bit. `stride` turns an index into row and column for the message.
  void same(const char* what, const Guarded<float>& got, const std::vector<float>& want, int64_t stride) {
    for (int64_t i = 0; i < got.size(); ++i) {
      uint32_t got_bits;
      uint32_t want_bits;
      std::memcpy(&got_bits, &got[i], 4);
      std::memcpy(&want_bits, &want[static_cast<std::size_t>(i)], 4);
      if (got_bits == want_bits) continue;
      fail("%s[%lld][%lld] is %.9g (0x%08x), should be %.9g (0x%08x)", what, static_cast<long long>(i / stride),
           static_cast<long long>(i % stride), static_cast<double>(got[i]), got_bits,
           static_cast<double>(want[static_cast<std::size_t>(i)]), want_bits);
      return;
    }
  }

  void same_bytes(const char* what, const Guarded<uint8_t>& got, const std::vector<uint8_t>& want, int64_t stride) {
    for (int64_t i = 0; i < got.size(); ++i) {
      if (got[i] == want[static_cast<std::size_t>(i)]) continue;
      fail("%s[%lld] byte %lld is 0x%02x, should be 0x%02x", what, static_cast<long long>(i / stride),
           static_cast<long long>(i % stride), got[i], want[static_cast<std::size_t>(i)]);
      return;
    }
  }

  // The expectation itself against the same value in double precision. `steps` roundings, each relative to
  // `magnitude`; what float cannot hold is not judged.
  void close(const char* what, float value, double exact, double magnitude, int64_t steps) {
    const double tolerance = static_cast<double>(steps + 8) * 0x1p-23 * magnitude + 1e-30;
    if (!(magnitude < 1e37) || std::fabs(static_cast<double>(value) - exact) <= tolerance) return;
    fail("%s: the expectation %.9g is far from %.17g", what, static_cast<double>(value), exact);
  }

  __attribute__((format(printf, 2, 3))) void fail(const char* format, ...) {
    if (failures_++ > 0) return;  // the first says enough
    std::printf("FAIL %s\n     ", current_case);
    std::va_list arguments;
    va_start(arguments, format);
    std::vprintf(format, arguments);
    va_end(arguments);
    std::printf("\n");
  }

  int64_t cases() const { return cases_; }
  int64_t failures() const { return failures_; }

 private:
  const char* isa_;
  const char* slot_;
  bool quick_;
  int64_t sequence_ = 0;
  int64_t cases_ = 0;
  int64_t failures_ = 0;
};

}  // namespace honed::contract
