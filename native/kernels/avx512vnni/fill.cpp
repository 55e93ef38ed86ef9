// The AVX-512 (F, BW, VL, DQ, VNNI) table.
#include "kernels/avx512vnni/slots.h"

namespace honed {

void fill_avx512vnni(KernelTable& table) {
  table.isa = "avx512vnni";
  table.rms_norm = avx512vnni::rms_norm;
  table.layer_norm = avx512vnni::layer_norm;
  table.quantize = avx512vnni::quantize;
  table.matmul_f32 = avx512vnni::matmul_f32;
  table.matmul_bf16 = avx512vnni::matmul_bf16;
  table.matmul_int8 = avx512vnni::matmul_int8;
  table.matmul_int4 = avx512vnni::matmul_int4;
  table.matmul_blocks = avx512vnni::matmul_blocks;
  table.matmul_codebook = avx512vnni::matmul_codebook;
  table.attention = avx512vnni::attention;
  table.attention_merge = avx512vnni::attention_merge;
  table.activate = avx512vnni::activate;
  table.gated = avx512vnni::gated;
  table.route = avx512vnni::route;
  table.combine = avx512vnni::combine;
  table.argmax = avx512vnni::argmax;
  table.exp_weights = avx512vnni::exp_weights;
  table.integer_peak = avx512vnni::integer_peak;
  table.read_memory = avx512vnni::read_memory;
}

}  // namespace honed
