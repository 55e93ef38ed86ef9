// The table of aarch64 with NEON and the dot product extension (armv8.2).
#include "kernels/neon/slots.h"

namespace honed {

void fill_neon(KernelTable& table) {
  table.isa = "neon";
  table.embed = neon::embed;
  table.rms_norm = neon::rms_norm;
  table.layer_norm = neon::layer_norm;
  table.quantize = neon::quantize;
  table.matmul_f32 = neon::matmul_f32;
  table.matmul_bf16 = neon::matmul_bf16;
  table.matmul_int8 = neon::matmul_int8;
  table.matmul_int4 = neon::matmul_int4;
  table.matmul_blocks = neon::matmul_blocks;
  table.matmul_codebook = neon::matmul_codebook;
  table.rope_kv = neon::rope_kv;
  table.attention = neon::attention;
  table.attention_merge = neon::attention_merge;
  table.activate = neon::activate;
  table.gated = neon::gated;
  table.add = neon::add;
  table.route = neon::route;
  table.combine = neon::combine;
  table.scale = neon::scale;
  table.argmax = neon::argmax;
  table.exp_weights = neon::exp_weights;
  table.integer_peak = neon::integer_peak;
  table.read_memory = neon::read_memory;
}

}  // namespace honed
