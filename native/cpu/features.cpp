// Detection by cpuid and xgetbv on x86, by the auxiliary vector on aarch64.
#include "cpu/features.h"

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <utility>

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace honed {
namespace {

#if defined(__x86_64__)

struct Registers {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf) {
  Registers r;
  if (__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return {};
  return r;
}

bool bit(uint32_t value, int index) { return ((value >> index) & 1U) != 0; }

uint64_t saved_register_state(const Registers& leaf1) {
  if (!bit(leaf1.ecx, 27)) return 0;  // OSXSAVE: xgetbv would fault without it
  uint32_t low = 0;
  uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

std::string brand() {
  if (cpuid(0x80000000U, 0).eax < 0x80000004U) return {};
  std::array<char, 49> text{};
  for (uint32_t i = 0; i < 3; ++i) {
    const Registers r = cpuid(0x80000002U + i, 0);
    const std::array<uint32_t, 4> words{r.eax, r.ebx, r.ecx, r.edx};
    std::memcpy(text.data() + std::size_t{i} * 16, words.data(), 16);
  }
  std::string name(text.data());
  name.erase(0, name.find_first_not_of(' '));
  name.erase(name.find_last_not_of(' ') + 1);
  return name;
}

void detect_sets(Features& found) {
  found.architecture = "x86_64";
  found.model = brand();
  const Registers leaf1 = cpuid(1, 0);
  const Registers leaf7 = cpuid(7, 0);
  const Registers leaf71 = leaf7.eax >= 1 ? cpuid(7, 1) : Registers{};
  const uint64_t state = saved_register_state(leaf1);
  const bool ymm = (state & 0x6) == 0x6;
  const bool zmm = (state & 0xe6) == 0xe6;
  const bool tiles = (state & 0x60000) == 0x60000;
  found.avx2 = ymm && bit(leaf7.ebx, 5);
  found.fma = ymm && bit(leaf1.ecx, 12);
  found.f16c = ymm && bit(leaf1.ecx, 29);
  found.avx512f = zmm && bit(leaf7.ebx, 16);
  found.avx512dq = zmm && bit(leaf7.ebx, 17);
  found.avx512bw = zmm && bit(leaf7.ebx, 30);
  found.avx512vl = zmm && bit(leaf7.ebx, 31);
  found.avx512vnni = zmm && bit(leaf7.ecx, 11);
  found.avx512bf16 = zmm && bit(leaf71.eax, 5);
  found.avxvnni = ymm && bit(leaf71.eax, 4);
  found.amx_bf16 = tiles && bit(leaf7.edx, 22);
  found.amx_tile = tiles && bit(leaf7.edx, 24);
  found.amx_int8 = tiles && bit(leaf7.edx, 25);
}

#elif defined(__aarch64__)

void detect_sets(Features& found) {
  // Bits of the kernel's arm64 hwcap.h, spelled out since older C libraries lack the later names.
  constexpr unsigned long kAsimd = 1UL << 1;
  constexpr unsigned long kDotProduct = 1UL << 20;
  constexpr unsigned long kInt8Matmul = 1UL << 13;  // of AT_HWCAP2
  found.architecture = "aarch64";
  const unsigned long first = getauxval(AT_HWCAP);
  const unsigned long second = getauxval(AT_HWCAP2);
  found.neon = (first & kAsimd) != 0;
  found.dotprod = (first & kDotProduct) != 0;
  found.i8mm = (second & kInt8Matmul) != 0;
  std::ifstream device("/sys/firmware/devicetree/base/model");
  std::getline(device, found.model, '\0');
}

#else

void detect_sets(Features& found) { found.architecture = "other"; }

#endif

}  // namespace

const Features& features() {
  static const Features found = [] {
    Features result;
    detect_sets(result);
    return result;
  }();
  return found;
}

int request_tiles() {
#if defined(__x86_64__) && defined(__linux__)
  // arch/x86/include/uapi/asm/prctl.h, spelled out since older C libraries lack the name.
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // bit of XCR0
  static const int refusal = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0 ? 0 : errno;
  return refusal;
#else
  return ENOSYS;
#endif
}

std::vector<std::string> feature_names(const Features& f) {
  const std::array<std::pair<const char*, bool>, 16> all{{{"avx2", f.avx2},
                                                          {"fma", f.fma},
                                                          {"f16c", f.f16c},
                                                          {"avx512f", f.avx512f},
                                                          {"avx512bw", f.avx512bw},
                                                          {"avx512vl", f.avx512vl},
                                                          {"avx512dq", f.avx512dq},
                                                          {"avx512vnni", f.avx512vnni},
                                                          {"avx512bf16", f.avx512bf16},
                                                          {"avxvnni", f.avxvnni},
                                                          {"amx_tile", f.amx_tile},
                                                          {"amx_int8", f.amx_int8},
                                                          {"amx_bf16", f.amx_bf16},
                                                          {"neon", f.neon},
                                                          {"dotprod", f.dotprod},
                                                          {"i8mm", f.i8mm}}};
  std::vector<std::string> names;
  for (const auto& [name, present] : all) {
    if (present) names.emplace_back(name);
  }
  return names;
}

}  // namespace honed
