// Layers the sets: each fills its slots over those of the set below it.
#include "cpu/select.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "cpu/features.h"
#if defined(HONED_HAVE_AVX512BF16)
#include "kernels/avx512bf16/slots.h"
#endif

namespace honed {
namespace {

struct InstructionSet {
  const char* name;
  bool (*runs)(const Features&);
  void (*fill)(KernelTable&);
};

bool always(const Features&) { return true; }
bool has_tiles(const Features& f) { return f.amx_tile && f.amx_int8; }
#if defined(HONED_HAVE_AVX2)
bool runs_avx2(const Features& f) { return f.avx2 && f.fma && f.f16c; }
#endif
#if defined(HONED_HAVE_AVX512VNNI)
bool runs_avx512vnni(const Features& f) {
  return f.avx2 && f.fma && f.f16c && f.avx512f && f.avx512bw && f.avx512vl && f.avx512dq && f.avx512vnni;
}
#endif
#if defined(HONED_HAVE_AVX512BF16)
bool runs_avx512bf16(const Features& f) {
  return runs_avx512vnni(f) && f.avx512bf16 && avx512bf16::multiplies_as_fma();
}
#endif
#if defined(HONED_HAVE_AMX)
// Without AVX-512 to fold the products of tiles there is no processor that has tiles.
bool runs_amx(const Features& f) { return runs_avx512vnni(f) && has_tiles(f) && request_tiles() == 0; }
#endif
#if defined(HONED_HAVE_NEON)
bool runs_neon(const Features& f) { return f.neon && f.dotprod; }
#endif
#if defined(HONED_HAVE_NEON_I8MM)
bool runs_neon_i8mm(const Features& f) { return runs_neon(f) && f.i8mm; }
#endif

// Lowest first: a set is filled over all of those before it.
constexpr InstructionSet kSets[] = {
    {"portable", always, fill_portable},
#if defined(HONED_HAVE_AVX2)
    {"avx2", runs_avx2, fill_avx2},
#endif
#if defined(HONED_HAVE_AVX512VNNI)
    {"avx512vnni", runs_avx512vnni, fill_avx512vnni},
#endif
#if defined(HONED_HAVE_AVX512BF16)
    {"avx512bf16", runs_avx512bf16, fill_avx512bf16},
#endif
#if defined(HONED_HAVE_AMX)
    {"amx", runs_amx, fill_amx},
#endif
#if defined(HONED_HAVE_NEON)
    {"neon", runs_neon, fill_neon},
#endif
#if defined(HONED_HAVE_NEON_I8MM)
    {"neon_i8mm", runs_neon_i8mm, fill_neon_i8mm},
#endif
};

constexpr std::array kNames{"portable", "avx2", "avx512vnni", "avx512bf16", "amx", "neon", "neon_i8mm"};

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

[[noreturn]] void refuse(const std::string& name, const std::string& origin) {
  const bool known = std::find(kNames.begin(), kNames.end(), name) != kNames.end();
  std::string reason = "is not an instruction set";
  if (known) {
    const bool compiled = std::any_of(std::begin(kSets), std::end(kSets),
                                      [&name](const InstructionSet& set) { return name == set.name; });
    reason = compiled ? "is not on this machine" : "is not compiled into this build";
    if (compiled && name == "amx" && has_tiles(features()) && request_tiles() != 0) {
      reason = std::string("is on this machine, but the operating system refuses its registers (") +
               std::strerror(request_tiles()) + ")";
    }
  }
  throw std::invalid_argument(origin + " = '" + name + "' " + reason + "; available here: " + joined(available_isas()));
}

void require_every_slot(const KernelTable& table) {
#define HONED_SLOT(name, result, arguments) \
  if (table.name == nullptr) throw std::logic_error(std::string("kernel slot " #name " is empty in ") + table.isa);
#include "kernels/slots.def"
}

}  // namespace

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const auto& set : kSets) {
    if (set.runs(features())) names.emplace_back(set.name);
  }
  std::reverse(names.begin(), names.end());
  return names;
}

KernelTable select_kernels(const std::string& name) {
  std::string wanted = name;
  std::string origin = "isa";
  if (wanted.empty()) {
    const char* forced = std::getenv("HONED_ISA");
    wanted = forced != nullptr ? forced : "";
    origin = "HONED_ISA";
  }
  const auto names = available_isas();
  if (wanted.empty()) wanted = names.front();
  if (std::find(names.begin(), names.end(), wanted) == names.end()) refuse(wanted, origin);
  KernelTable table{};
  for (const auto& set : kSets) {
    if (!set.runs(features())) continue;
    set.fill(table);
    table.isa = set.name;
    if (wanted == set.name) break;
  }
  require_every_slot(table);
  return table;
}

}  // namespace honed
