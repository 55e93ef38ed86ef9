// The slots that work row by row, over the vectors of this folder.
#include "kernels/avx2/slots.h"
#include "kernels/avx2/vector.h"
#include "kernels/shared/argmax.h"
#include "kernels/shared/attention_merge.h"
#include "kernels/shared/elementwise.h"
#include "kernels/shared/embed.h"
#include "kernels/shared/exp_weights.h"
#include "kernels/shared/experts.h"
#include "kernels/shared/quantize.h"
#include "kernels/shared/layer_norm.h"
#include "kernels/shared/rms_norm.h"
#include "kernels/shared/rope_kv.h"

namespace honed::avx2 {

void embed(const EmbedArgs& args) { shared::embed<Vector>(args); }
void rms_norm(const RmsNormArgs& args) { shared::rms_norm<Vector>(args); }
void layer_norm(const LayerNormArgs& args) { shared::layer_norm<Vector>(args); }
void quantize(const QuantizeArgs& args) { shared::quantize<Vector>(args); }
void rope_kv(const RopeKvArgs& args) { shared::rope_kv<Vector>(args); }
void attention_merge(const AttentionMergeArgs& args) { shared::attention_merge<Vector>(args); }
void activate(const ActivateArgs& args) { shared::activate<Vector>(args); }
void gated(const GatedArgs& args) { shared::gated<Vector>(args); }
void add(const AddArgs& args) { shared::add<Vector>(args); }
void route(const RouteArgs& args) { shared::route<Vector>(args); }
void combine(const CombineArgs& args) { shared::combine<Vector>(args); }
void scale(const ScaleArgs& args) { shared::scale<Vector>(args); }
void argmax(const ArgmaxArgs& args) { shared::argmax<Vector>(args); }
void exp_weights(const ExpWeightsArgs& args) { shared::exp_weights(args); }

}  // namespace honed::avx2
