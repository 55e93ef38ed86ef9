// Measures the limits of the machine with the probe kernels of an instruction set.
#pragma once

#include <cstdint>
#include <string>

namespace honed {

// Bytes a second that `threads` read from a buffer of `mebibytes`, the best pass of those that fit `seconds`.
// Throws std::invalid_argument for values out of range.
double measure_read_bandwidth(int threads, int64_t mebibytes, double seconds, const std::string& isa);

// int8 operations a second from registers, a multiply-add counted as two.
double measure_integer_peak(int threads, double seconds, const std::string& isa);

}  // namespace honed
