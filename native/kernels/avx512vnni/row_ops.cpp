// The slots that work row by row, over the vectors of this folder.
#include "kernels/avx512vnni/slots.h"
#include "kernels/avx512vnni/vector.h"
#include "kernels/shared/argmax.h"
#include "kernels/shared/attention_merge.h"
#include "kernels/shared/elementwise.h"
#include "kernels/shared/exp_weights.h"
#include "kernels/shared/experts.h"
#include "kernels/shared/layer_norm.h"
#include "kernels/shared/rms_norm.h"

namespace honed::avx512vnni {

void rms_norm(const RmsNormArgs& args) { shared::rms_norm<Vector>(args); }
void layer_norm(const LayerNormArgs& args) { shared::layer_norm<Vector>(args); }
void attention_merge(const AttentionMergeArgs& args) { shared::attention_merge<Vector>(args); }
void activate(const ActivateArgs& args) { shared::activate<Vector>(args); }
void gated(const GatedArgs& args) { shared::gated<Vector>(args); }
void route(const RouteArgs& args) { shared::route<Vector>(args); }
void combine(const CombineArgs& args) { shared::combine<Vector>(args); }
void argmax(const ArgmaxArgs& args) { shared::argmax<Vector>(args); }
void exp_weights(const ExpWeightsArgs& args) { shared::exp_weights(args); }

}  // namespace honed::avx512vnni
