// Which kernels run: portable first, then every set of the machine on top, or the one that the caller forces.
#pragma once

#include <string>
#include <vector>

#include "cpu/kernel_table.h"

namespace honed {

// Sets that are compiled in and that this machine runs, best first; portable is last and always there.
std::vector<std::string> available_isas();

// The table of the named set. An empty name takes HONED_ISA, and where that is not set, the best one.
// Throws std::invalid_argument listing the available sets.
KernelTable select_kernels(const std::string& name);

}  // namespace honed
