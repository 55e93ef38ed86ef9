// Which sets are offered on processors that this one need not be: features(), request_tiles() and
// multiplies_as_fma() are those below. Tables are made and no kernel of them is run.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "cpu/features.h"
#include "cpu/select.h"
#include "kernels/avx512bf16/slots.h"

namespace {

honed::Features processor;
int refusal = 0;
bool as_fma = true;
int failures = 0;

void expect(bool holds, const char* what) {
  if (holds) return;
  std::printf("FAIL %s\n", what);
  ++failures;
}

// The message of the error that forcing the set gives, empty where it gives none.
std::string error_of(const char* isa) {
  try {
    honed::select_kernels(isa);
    return {};
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
}

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

}  // namespace

namespace honed {

const Features& features() { return processor; }
int request_tiles() { return refusal; }
bool avx512bf16::multiplies_as_fma() { return as_fma; }

}  // namespace honed

int main() {
  using honed::available_isas;
  expect(available_isas() == std::vector<std::string>{"portable"}, "nothing but portable on a processor without sets");
  expect(contains(error_of("sse9"), "isa = 'sse9' is not an instruction set; available here: portable"), "unknown set");
#if defined(HONED_HAVE_AMX)
  honed::Features& p = processor;
  p.avx2 = p.fma = p.f16c = p.avx512f = p.avx512bw = p.avx512vl = p.avx512dq = p.avx512vnni = true;
  expect(available_isas().front() == "avx512vnni", "avx512vnni without tiles");
  expect(contains(error_of("amx"), "isa = 'amx' is not on this machine; available here: avx512vnni"), "no tiles");

#if defined(HONED_HAVE_AVX512BF16)
  p.avx512bf16 = true;
  expect(available_isas().front() == "avx512bf16", "products of pairs where there are some");
  expect(honed::select_kernels("avx512bf16").attention != honed::select_kernels("avx512vnni").attention,
         "an attention of its own");
  as_fma = false;
  expect(available_isas().front() == "avx512vnni", "not where they are no fused multiply-adds");
  as_fma = true;
  p.avx512bf16 = false;
#endif
  p.amx_tile = p.amx_int8 = true;
  expect(available_isas().front() == "amx", "amx is the best set where there are tiles");
  const honed::KernelTable best = honed::select_kernels("amx");
  const honed::KernelTable below = honed::select_kernels("avx512vnni");
  expect(std::strcmp(best.isa, "amx") == 0, "the table is called amx");
  expect(best.matmul_int8 != below.matmul_int8 && best.matmul_int4 != below.matmul_int4, "integer matmuls of its own");
  expect(best.attention == below.attention && best.matmul_bf16 == below.matmul_bf16, "the rest from the set below");

  refusal = EPERM;
  expect(available_isas().front() == "avx512vnni", "a refusal falls back");
  expect(contains(error_of("amx"), "refuses its registers (Operation not permitted); available here: avx512vnni"),
         "a refusal is named where the set is forced");
#endif
  if (failures == 0) std::printf("ok   sets of other processors\n");
  return failures == 0 ? 0 : 1;
}
