// What this processor can do. Compiled without any instruction set flag, so that asking never faults.
#pragma once

#include <string>
#include <vector>

namespace honed {

// A set is true only where both the processor has it and the operating system saves its registers. The registers of AMX
// also have to be asked for: see request_tiles.
struct Features {
  std::string architecture;  // x86_64, aarch64, ...
  std::string model;         // brand string, or empty where the system does not tell
  bool avx2 = false;
  bool fma = false;
  bool f16c = false;
  bool avx512f = false;
  bool avx512bw = false;
  bool avx512vl = false;
  bool avx512dq = false;
  bool avx512vnni = false;
  bool avx512bf16 = false;
  bool avxvnni = false;
  bool amx_tile = false;
  bool amx_int8 = false;
  bool amx_bf16 = false;
  bool neon = false;
  bool dotprod = false;
  bool i8mm = false;
};

// Detected once.
const Features& features();

// Asks the operating system for the tile registers of AMX, once in the process; threads started later have them too.
// Returns 0, or the errno of the refusal, ENOSYS where there is nobody to ask. For processors with amx_tile only.
int request_tiles();

// Names of the members above that are true, in that order.
std::vector<std::string> feature_names(const Features& found);

}  // namespace honed
