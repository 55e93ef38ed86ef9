// The portable table: every slot, in the plainest code that gives the bits the contract asks for.
#include "kernels/portable/slots.h"

namespace honed {

void fill_portable(KernelTable& table) {
  table.isa = "portable";
#define HONED_SLOT(name, result, arguments) table.name = portable::name;
#include "kernels/slots.def"
}

}  // namespace honed
