// The functions of this folder that fill_avx512vnni puts into the table. embed, rope_kv, add and scale stay those of the
// set below: they copy, scatter or wait for memory, and wider registers gain nothing there.
#pragma once

#include "cpu/kernel_table.h"

namespace honed::avx512vnni {

void rms_norm(const RmsNormArgs& args);
void layer_norm(const LayerNormArgs& args);
void quantize(const QuantizeArgs& args);
void matmul_f32(const MatmulArgs& args);
void matmul_bf16(const MatmulArgs& args);
void matmul_int8(const MatmulArgs& args);
void matmul_int4(const MatmulArgs& args);
void matmul_blocks(const MatmulArgs& args);
void matmul_codebook(const MatmulArgs& args);
void attention(const AttentionArgs& args);
void attention_merge(const AttentionMergeArgs& args);
void activate(const ActivateArgs& args);
void gated(const GatedArgs& args);
void route(const RouteArgs& args);
void combine(const CombineArgs& args);
void argmax(const ArgmaxArgs& args);
void exp_weights(const ExpWeightsArgs& args);
int64_t integer_peak(int64_t iterations);
uint64_t read_memory(const void* data, int64_t bytes);

}  // namespace honed::avx512vnni
