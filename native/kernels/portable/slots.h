// The functions of this folder: all slots.
#pragma once

#include "cpu/kernel_table.h"

namespace honed::portable {

#define HONED_SLOT(name, result, arguments) result name arguments;
#include "kernels/slots.def"

}  // namespace honed::portable
