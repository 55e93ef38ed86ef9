// exp of doubles, and their running sum: the loops that every set compiles.
#include "kernels/shared/exp_weights.h"

#include "kernels/portable/slots.h"

namespace honed::portable {

void exp_weights(const ExpWeightsArgs& args) { shared::exp_weights(args); }

}  // namespace honed::portable
