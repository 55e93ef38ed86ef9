// The AVX2 + FMA + F16C table.
#include "kernels/avx2/slots.h"

namespace honed {

void fill_avx2(KernelTable& table) {
  table.isa = "avx2";
  table.embed = avx2::embed;
  table.rms_norm = avx2::rms_norm;
  table.layer_norm = avx2::layer_norm;
  table.quantize = avx2::quantize;
  table.matmul_f32 = avx2::matmul_f32;
  table.matmul_bf16 = avx2::matmul_bf16;
  table.matmul_int8 = avx2::matmul_int8;
  table.matmul_int4 = avx2::matmul_int4;
  table.matmul_blocks = avx2::matmul_blocks;
  table.matmul_codebook = avx2::matmul_codebook;
  table.rope_kv = avx2::rope_kv;
  table.attention = avx2::attention;
  table.attention_merge = avx2::attention_merge;
  table.activate = avx2::activate;
  table.gated = avx2::gated;
  table.add = avx2::add;
  table.route = avx2::route;
  table.combine = avx2::combine;
  table.scale = avx2::scale;
  table.argmax = avx2::argmax;
  table.exp_weights = avx2::exp_weights;
  table.integer_peak = avx2::integer_peak;
  table.read_memory = avx2::read_memory;
}

}  // namespace honed
