// The matrices of known models, fused as the engine runs them: q, k, v in one; gate and up in one.
#pragma once

#include <cstdint>

#include "cpu/kernel_table.h"

namespace honed::bench {

struct Shape {
  const char* name;
  int64_t k;
  int64_t packed_columns;
  Epilogue epilogue;
};

struct ModelShapes {
  const char* name;
  Shape matrices[5];
};

constexpr ModelShapes shapes_of(const char* name, int64_t hidden, int64_t qkv, int64_t heads, int64_t intermediate,
                                int64_t vocabulary) {
  return {name,
          {{"qkv", hidden, qkv, Epilogue::store},
           {"o", heads, hidden, Epilogue::add},
           {"gate_up", hidden, 2 * intermediate, Epilogue::gated_silu},
           {"down", intermediate, hidden, Epilogue::add},
           {"head", hidden, vocabulary, Epilogue::store}}};
}

// hidden, columns of q, k and v together, columns of q, intermediate, vocabulary
inline constexpr ModelShapes kModels[] = {
    shapes_of("smollm2-135m", 576, 960, 576, 1536, 49152),
    shapes_of("qwen2.5-0.5b", 896, 1152, 896, 4864, 151936),
    shapes_of("llama-1.1b", 2048, 2560, 2048, 5632, 32000),
    shapes_of("llama-3.2-3b", 3072, 5120, 3072, 8192, 128256),
    shapes_of("llama-3.1-8b", 4096, 6144, 4096, 14336, 128256),
};

}  // namespace honed::bench
