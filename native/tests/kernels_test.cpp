// The contract test over all kernels: every slot of every instruction set that this machine has, bit for bit against
// an oracle written from the text of cpu/kernel_table.h. portable is judged by it like any other, so that sets that
// pass are equal among themselves too.
//
//   kernels_test [--isa NAME] [--slot NAME] [--quick] [--list] [--unchecked]
//
// --quick runs every seventh case, --unchecked does not ask whether the machine has the set (for emulators that do
// not announce it). The amx kernels also run where only tiles are missing: their instructions are trapped and emulated.
// Exit code 1 after any mismatch.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "cpu/kernel_table.h"
#include "cpu/select.h"
#include "tests/contract/activations.h"
#include "tests/contract/attention.h"
#include "tests/contract/blocks.h"
#include "tests/contract/check.h"
#include "tests/contract/embed_packed.h"
#include "tests/contract/exp_weights.h"
#include "tests/contract/experts.h"
#include "tests/contract/matmul.h"
#include "tests/contract/matmul_blocks.h"
#include "tests/contract/norms.h"
#include "tests/contract/paged.h"
#include "tests/contract/rows.h"
#if defined(HONED_HAVE_AMX)
#include "tests/emulation/tile_trap.h"
#endif

namespace {

using honed::KernelTable;
using honed::contract::Check;
namespace contract = honed::contract;

using Address = void (*)();

// A test, and which function of a table it tests.
struct SlotTest {
  const char* name;
  void (*run)(Check&, const KernelTable&);
  Address (*function)(const KernelTable&);
};

template <auto Slot>
Address function_of(const KernelTable& table) {
  return reinterpret_cast<Address>(table.*Slot);
}

constexpr SlotTest kSlots[] = {
#define HONED_SLOT(name, result, arguments) {#name, contract::test_##name, function_of<&KernelTable::name>},
#include "kernels/slots.def"
};

struct Options {
  std::string isa;
  std::string slot;
  bool quick = false;
  bool list = false;
  bool unchecked = false;
};

// False after a message about what is wrong with the arguments.
bool parse(int count, char** arguments, Options& options) {
  for (int i = 1; i < count; ++i) {
    const std::string argument = arguments[i];
    if (argument == "--quick") {
      options.quick = true;
    } else if (argument == "--list") {
      options.list = true;
    } else if (argument == "--unchecked") {
      options.unchecked = true;
    } else if ((argument == "--isa" || argument == "--slot") && i + 1 < count) {
      (argument == "--isa" ? options.isa : options.slot) = arguments[++i];
    } else {
      std::fprintf(stderr, "unknown or incomplete argument '%s'\n", argument.c_str());
      std::fprintf(stderr, "usage: kernels_test [--isa NAME] [--slot NAME] [--quick] [--list] [--unchecked]\n");
      return false;
    }
  }
  return true;
}

// Every compiled set, lowest first.
std::vector<KernelTable> compiled_tables() {
  std::vector<KernelTable> tables;
  KernelTable table{};
  const auto layer = [&](const char* name, void (*fill)(KernelTable&)) {
    fill(table);
    table.isa = name;
    tables.push_back(table);
  };
  layer("portable", honed::fill_portable);
#if defined(HONED_HAVE_AVX2)
  layer("avx2", honed::fill_avx2);
#endif
#if defined(HONED_HAVE_AVX512VNNI)
  layer("avx512vnni", honed::fill_avx512vnni);
#endif
#if defined(HONED_HAVE_AVX512BF16)
  layer("avx512bf16", honed::fill_avx512bf16);
#endif
#if defined(HONED_HAVE_AMX)
  layer("amx", honed::fill_amx);
#endif
#if defined(HONED_HAVE_NEON)
  layer("neon", honed::fill_neon);
#endif
#if defined(HONED_HAVE_NEON_I8MM)
  layer("neon_i8mm", honed::fill_neon_i8mm);
#endif
  return tables;
}

extern "C" void report_crash(int signal_number) {
  const char* text = "\nFAIL crashed (an access outside the operands, or an instruction the machine lacks) in ";
  (void)!write(STDOUT_FILENO, text, std::strlen(text));
  (void)!write(STDOUT_FILENO, contract::current_case, std::strlen(contract::current_case));
  (void)!write(STDOUT_FILENO, "\n", 1);
  (void)signal_number;
  _exit(1);
}

std::vector<KernelTable> tables_to_test(const Options& options) {
  if (options.unchecked) return compiled_tables();
  std::vector<KernelTable> tables;
  const std::vector<std::string> names = honed::available_isas();
  for (auto name = names.rbegin(); name != names.rend(); ++name) tables.push_back(honed::select_kernels(*name));
#if defined(HONED_HAVE_AMX)
  if (names.front().starts_with("avx512")) {
    emulated::trap_tile_instructions(report_crash);
    KernelTable table = tables.back();
    honed::fill_amx(table);
    tables.push_back(table);
  }
#endif
  return tables;
}

// Mismatches in one slot of one table.
int64_t run_slot(const SlotTest& test, const KernelTable& table, const Options& options) {
  Check check(table.isa, test.name, options.quick);
  test.run(check, table);
  std::printf("%-4s %-10s %-15s %5lld cases\n", check.failures() == 0 ? "ok" : "FAIL", table.isa, test.name,
              static_cast<long long>(check.cases()));
  std::fflush(stdout);
  return check.failures();
}

}  // namespace

int main(int count, char** arguments) {
  Options options;
  if (!parse(count, arguments, options)) return 2;
  for (const int signal_number : {SIGSEGV, SIGBUS, SIGILL}) signal(signal_number, report_crash);
  int64_t failures = 0;
  int64_t runs = 0;
  std::vector<Address> tested[std::size(kSlots)];
  for (const KernelTable& table : tables_to_test(options)) {
    if (options.list) std::printf("%s\n", table.isa);
    if (options.list || (!options.isa.empty() && options.isa != table.isa)) continue;
    for (std::size_t i = 0; i < std::size(kSlots); ++i) {
      if (!options.slot.empty() && options.slot != kSlots[i].name) continue;
      ++runs;
      const Address function = kSlots[i].function(table);
      if (std::find(tested[i].begin(), tested[i].end(), function) != tested[i].end()) {
        std::printf("same %-10s %-15s as a set below\n", table.isa, kSlots[i].name);
        continue;
      }
      tested[i].push_back(function);
      failures += run_slot(kSlots[i], table, options);
    }
  }
  if (!options.list && runs == 0) {
    std::fprintf(stderr, "nothing to test: no set '%s' here, or no slot '%s'\n", options.isa.c_str(),
                 options.slot.c_str());
    return 2;
  }
  return failures == 0 ? 0 : 1;
}
