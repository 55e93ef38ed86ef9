// Runs the machine code of the amx kernels on a processor that has AVX-512 and no tiles: each tile instruction raises
// SIGILL there, and is carried out by tests/emulation/tiles.h from its bytes. So what the compiler made is tested, and
// not what the intrinsics stand for: GCC's _tile_loadconfig, for one, claims to read 8 of the 64 bytes that the
// instruction does read, and stores to the others have been seen to vanish.
#pragma once

#include <signal.h>
#include <ucontext.h>

#include <cstdint>
#include <cstring>

#include "tests/emulation/tiles.h"

namespace emulated {

// A VEX instruction of the opcode map 0F38 with a register or memory operand.
struct Instruction {
  int prefix;  // pp: 0 none, 1 66, 2 F3, 3 F2
  int opcode;
  int reg, vvvv, rm;
  bool memory;
  int64_t address;  // of a memory operand, without its index
  int64_t index;    // scaled
  int64_t length;
};

class Decoder {
 public:
  explicit Decoder(const ucontext_t& context)
      : registers_(context.uc_mcontext.gregs), start_(reinterpret_cast<const uint8_t*>(registers_[REG_RIP])) {}

  // False for anything but VEX.128.0F38.W0 in its three-byte form, which that map needs.
  bool decode(Instruction& instruction) {
    if (start_[0] != 0xc4 || (start_[1] & 0x1f) != 2 || (start_[2] & 0x84) != 0) return false;
    next_ = start_ + 5;
    const uint8_t modrm = start_[4];
    instruction = {};
    instruction.prefix = start_[2] & 3;
    instruction.vvvv = (~start_[2] >> 3) & 15;
    instruction.opcode = start_[3];
    instruction.reg = ((modrm >> 3) & 7) | extension(7);
    instruction.rm = (modrm & 7) | extension(5);
    instruction.memory = modrm < 0xc0;
    if (instruction.memory) decode_memory(modrm, instruction);
    instruction.length = next_ - start_;
    return true;
  }

 private:
  int extension(int bit) const { return ((start_[1] >> bit) & 1) != 0 ? 0 : 8; }

  int64_t value(int number) const {
    constexpr int kPlaces[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                               REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    return registers_[kPlaces[number]];
  }

  template <typename Displacement>
  int64_t displacement() {
    Displacement result;
    std::memcpy(&result, next_, sizeof result);
    next_ += sizeof result;
    return result;
  }

  void decode_memory(uint8_t modrm, Instruction& instruction) {
    const int mode = modrm >> 6;
    int base = modrm & 7;
    if (mode == 0 && base == 5) {
      const int64_t offset = displacement<int32_t>();
      instruction.address = reinterpret_cast<int64_t>(next_) + offset;
      return;
    }
    if (base == 4) {
      const uint8_t sib = *next_++;
      const int index = ((sib >> 3) & 7) | extension(6);
      if (index != 4) instruction.index = value(index) * (int64_t{1} << (sib >> 6));
      base = sib & 7;
    }
    const bool no_base = mode == 0 && base == 5;
    if (!no_base) instruction.address = value(base | extension(5));
    if (mode == 1) instruction.address += displacement<int8_t>();
    if (mode == 2 || no_base) instruction.address += displacement<int32_t>();
  }

  const greg_t* registers_;
  const uint8_t* start_;
  const uint8_t* next_ = nullptr;
};

// False if it is none of the instructions that the kernels use.
static inline bool execute(const Instruction& i) {
  constexpr int kNone = 0, kF3 = 2, kF2 = 3;
  const int64_t key = i.opcode * 4 + i.prefix;
  const auto place = reinterpret_cast<void*>(i.address);
  const auto whole = reinterpret_cast<void*>(i.address + i.index);
  if (i.memory && key == 0x49 * 4 + kNone && i.reg == 0) return _tile_loadconfig(whole), true;
  if (!i.memory && key == 0x49 * 4 + kNone && i.reg == 0 && i.rm == 0) return _tile_release(), true;
  if (!i.memory && key == 0x49 * 4 + kF2 && i.rm == 0 && i.reg < 8) return _tile_zero(i.reg), true;
  if (i.memory && key == 0x4b * 4 + kF2 && i.reg < 8) return _tile_loadd(i.reg, place, i.index), true;
  if (i.memory && key == 0x4b * 4 + kF3 && i.reg < 8) return _tile_stored(i.reg, place, i.index), true;
  if (!i.memory && key == 0x5e * 4 + kF2 && i.reg < 8 && i.rm < 8 && i.vvvv < 8) {
    return _tile_dpbssd(i.reg, i.rm, i.vvvv), true;
  }
  return false;
}

inline void (*without_trap)(int) = SIG_DFL;

extern "C" inline void trap_tile_instruction(int signal_number, siginfo_t* information, void* raw) {
  auto& context = *static_cast<ucontext_t*>(raw);
  Instruction instruction;
  // Sent by fault() rather than by the processor, the signal is no instruction.
  if (information->si_code > 0 && Decoder(context).decode(instruction) && execute(instruction)) {
    context.uc_mcontext.gregs[REG_RIP] += instruction.length;
    return;
  }
  without_trap(signal_number);
}

// From here on SIGILL is a tile instruction, or what `otherwise` is called for.
static inline void trap_tile_instructions(void (*otherwise)(int)) {
  without_trap = otherwise;
  struct sigaction action {};
  action.sa_sigaction = trap_tile_instruction;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGILL, &action, nullptr);
}

}  // namespace emulated
