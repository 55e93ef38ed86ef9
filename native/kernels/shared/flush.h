// Denormals read as zeros and written as zeros, for as long as a block of code runs: what instructions that multiply
// bfloat16 pairs do whatever the mode (Intel's manual, VDPBF16PS), and so what all others do beside them.
#pragma once

#include <cstdint>

namespace honed::shared {
namespace {

// x86: flush to zero, denormals are zeros (MXCSR). aarch64: flush to zero (FPCR.FZ), which means operands too. The two
// differ for one result, that which only rounding brings to the smallest normal number: x86 keeps it. The instructions
// clobber memory, so that no arithmetic on what is loaded or stored crosses them.
class FlushedDenormals {
 public:
  FlushedDenormals() : before_(mode()) { set_mode(before_ | kFlush); }
  ~FlushedDenormals() { set_mode(before_); }
  FlushedDenormals(const FlushedDenormals&) = delete;
  FlushedDenormals& operator=(const FlushedDenormals&) = delete;

 private:
#if defined(__x86_64__)
  using Mode = uint32_t;
  static constexpr Mode kFlush = 0x8040;
  static Mode mode() {
    Mode mode;
    asm volatile("stmxcsr %0" : "=m"(mode));
    return mode;
  }
  static void set_mode(Mode mode) { asm volatile("ldmxcsr %0" : : "m"(mode) : "memory"); }
#elif defined(__aarch64__)
  using Mode = uint64_t;
  static constexpr Mode kFlush = uint64_t{1} << 24;
  static Mode mode() {
    Mode mode;
    asm volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
  }
  static void set_mode(Mode mode) { asm volatile("msr fpcr, %0" : : "r"(mode) : "memory"); }
#else  // no other set that results could be compared with
  using Mode = uint32_t;
  static constexpr Mode kFlush = 0;
  static Mode mode() { return 0; }
  static void set_mode(Mode) {}
#endif
  Mode before_;
};

}  // namespace
}  // namespace honed::shared
