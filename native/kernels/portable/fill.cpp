// The portable table: every slot, in the plainest code that gives the bits the contract asks for.
#include "kernels/portable/slots.h"

namespace honed {

void fill_portable(KernelTable& table) {
  table.isa = "portable";
  table.embed = portable::embed;
  table.embed_blocks = portable::embed_blocks;
  table.rms_norm = portable::rms_norm;
  table.quantize = portable::quantize;
  table.matmul_f32 = portable::matmul_f32;
  table.matmul_bf16 = portable::matmul_bf16;
  table.matmul_int8 = portable::matmul_int8;
  table.matmul_int4 = portable::matmul_int4;
  table.matmul_blocks = portable::matmul_blocks;
  table.matmul_codebook = portable::matmul_codebook;
  table.rope_kv = portable::rope_kv;
  table.attention = portable::attention;
  table.attention_merge = portable::attention_merge;
  table.gated = portable::gated;
  table.add = portable::add;
  table.argmax = portable::argmax;
  table.integer_peak = portable::integer_peak;
  table.read_memory = portable::read_memory;
}

}  // namespace honed
