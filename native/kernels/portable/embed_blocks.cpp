// Embedding rows decoded from the blocks of a GGUF file. The only kernel of its slot: a row is a few blocks, and waits
// for memory.
#include "kernels/portable/scalar.h"
#include "kernels/portable/slots.h"

namespace honed::portable {
namespace {

constexpr int64_t kSuperBlock = 256;
constexpr int kGroups = 8;  // of 32 values, in a super-block of Q4_K and Q5_K

float half_at(const uint8_t* bytes) {
  uint16_t bits;
  std::memcpy(&bits, bytes, sizeof bits);
  return f16_to_f32(bits);
}

// Code i of 32: the low halves of sixteen bytes, then the high halves.
int nibble(const uint8_t* codes, int i) { return i < 16 ? codes[i] & 15 : codes[i - 16] >> 4; }

int fifth_bit(const uint8_t* high, int i) { return ((high[i / 8] >> (i % 8)) & 1) << 4; }

void decode_q4_0(const uint8_t* block, float* y) {
  const float d = half_at(block);
  for (int i = 0; i < kBlock; ++i) y[i] = d * static_cast<float>(nibble(block + 2, i) - 8);
}

void decode_q4_1(const uint8_t* block, float* y) {
  const float d = half_at(block);
  const float m = half_at(block + 2);
  for (int i = 0; i < kBlock; ++i) y[i] = d * static_cast<float>(nibble(block + 4, i)) + m;
}

void decode_q5_0(const uint8_t* block, float* y) {
  const float d = half_at(block);
  for (int i = 0; i < kBlock; ++i) {
    y[i] = d * static_cast<float>((nibble(block + 6, i) | fifth_bit(block + 2, i)) - 16);
  }
}

void decode_q5_1(const uint8_t* block, float* y) {
  const float d = half_at(block);
  const float m = half_at(block + 2);
  for (int i = 0; i < kBlock; ++i) {
    y[i] = d * static_cast<float>(nibble(block + 8, i) | fifth_bit(block + 4, i)) + m;
  }
}

void decode_q8_0(const uint8_t* block, float* y) {
  const float d = half_at(block);
  for (int i = 0; i < kBlock; ++i) y[i] = d * static_cast<float>(static_cast<int8_t>(block[2 + i]));
}

// Scale and minimum of group g, six bits each of twelve bytes.
int scale_of(const uint8_t* packed, int g) {
  return g < 4 ? packed[g] & 63 : (packed[4 + g] & 15) | ((packed[g - 4] >> 6) << 4);
}

int minimum_of(const uint8_t* packed, int g) {
  return g < 4 ? packed[4 + g] & 63 : (packed[4 + g] >> 4) | ((packed[g] >> 6) << 4);
}

// Groups of two share 32 bytes of codes: the even one has the low halves.
void decode_groups(const uint8_t* block, const uint8_t* high, const uint8_t* codes, float* y) {
  const float d = half_at(block);
  const float m = half_at(block + 2);
  for (int g = 0; g < kGroups; ++g) {
    const float scale = d * static_cast<float>(scale_of(block + 4, g));
    const float minimum = m * static_cast<float>(minimum_of(block + 4, g));
    for (int i = 0; i < kBlock; ++i) {
      int code = (codes[g / 2 * kBlock + i] >> (g % 2 * 4)) & 15;
      if (high != nullptr) code |= ((high[i] >> g) & 1) << 4;
      y[g * kBlock + i] = scale * static_cast<float>(code) - minimum;
    }
  }
}

void decode_q4_k(const uint8_t* block, float* y) { decode_groups(block, nullptr, block + 16, y); }

void decode_q5_k(const uint8_t* block, float* y) { decode_groups(block, block + 16, block + 48, y); }

// Each half of a super-block: 64 bytes of low halves, 32 bytes of upper bit pairs, 8 scales of 16 values.
void decode_q6_k(const uint8_t* block, float* y) {
  const float d = half_at(block + 208);
  for (int i = 0; i < kSuperBlock; ++i) {
    const int half = i / 128;
    const int run = i % 128 / 32;
    const int low = block[half * 64 + i % 64] >> (run / 2 * 4) & 15;
    const int high = block[128 + half * 32 + i % 32] >> (run * 2) & 3;
    const float scale = d * static_cast<float>(static_cast<int8_t>(block[192 + i / 16]));
    y[i] = scale * static_cast<float>((low | high << 4) - 32);
  }
}

// Each half of a super-block: 32 bytes of codes, in which each run of 32 values has two bits.
int two_bits(const uint8_t* codes, int i) { return codes[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3; }

// 16 scales and minimums of four bits each, the codes, d and m.
void decode_q2_k(const uint8_t* block, float* y) {
  const float d = half_at(block + 80);
  const float m = half_at(block + 82);
  for (int i = 0; i < kSuperBlock; ++i) {
    const uint8_t level = block[i / 16];
    const float scale = d * static_cast<float>(level & 15);
    y[i] = scale * static_cast<float>(two_bits(block + 16, i)) - m * static_cast<float>(level >> 4);
  }
}

// The third bits (of run j of 32 values bit j of 32 bytes; a set one adds four), the codes, 16 scales of six bits: low
// halves in eight bytes, then upper pairs in four; d.
void decode_q3_k(const uint8_t* block, float* y) {
  const uint8_t* packed = block + 96;
  const float d = half_at(block + 108);
  for (int i = 0; i < kSuperBlock; ++i) {
    const int g = i / 16;
    const int low = packed[g % 8] >> (g / 8 * 4) & 15;
    const int high = packed[8 + g % 4] >> (g / 4 * 2) & 3;
    const float scale = d * static_cast<float>((low | high << 4) - 32);
    const int third = (block[i % 32] >> (i / 32) & 1) << 2;
    y[i] = scale * static_cast<float>((two_bits(block + 32, i) | third) - 4);
  }
}

void decode_iq4_nl(const uint8_t* block, float* y) {
  const float d = half_at(block);
  for (int i = 0; i < kBlock; ++i) y[i] = d * static_cast<float>(kFourBitValues[nibble(block + 2, i)]);
}

// d, the upper bit pairs of eight scales in two bytes, their low halves in four, the codes in blocks of 32.
void decode_iq4_xs(const uint8_t* block, float* y) {
  const float d = half_at(block);
  for (int g = 0; g < kGroups; ++g) {
    const int low = block[4 + g / 2] >> (g % 2 * 4) & 15;
    const int high = block[2 + g / 4] >> (g % 4 * 2) & 3;
    const float scale = d * static_cast<float>((low | high << 4) - 32);
    const uint8_t* codes = block + 8 + g * (kBlock / 2);
    for (int i = 0; i < kBlock; ++i) y[g * kBlock + i] = scale * static_cast<float>(kFourBitValues[nibble(codes, i)]);
  }
}

struct Decoder {
  void (*decode)(const uint8_t* block, float* y);
  int64_t values;
  int64_t bytes;
};

Decoder decoder_of(TableType type) {
  switch (type) {
    case TableType::q4_0: return {decode_q4_0, kBlock, 18};
    case TableType::q4_1: return {decode_q4_1, kBlock, 20};
    case TableType::q5_0: return {decode_q5_0, kBlock, 22};
    case TableType::q5_1: return {decode_q5_1, kBlock, 24};
    case TableType::q8_0: return {decode_q8_0, kBlock, 34};
    case TableType::q4_k: return {decode_q4_k, kSuperBlock, 144};
    case TableType::q5_k: return {decode_q5_k, kSuperBlock, 176};
    case TableType::q2_k: return {decode_q2_k, kSuperBlock, 84};
    case TableType::q3_k: return {decode_q3_k, kSuperBlock, 110};
    case TableType::iq4_nl: return {decode_iq4_nl, kBlock, 18};
    case TableType::iq4_xs: return {decode_iq4_xs, kSuperBlock, 136};
    default: return {decode_q6_k, kSuperBlock, 210};
  }
}

}  // namespace

void embed_blocks(const EmbedArgs& args) {
  const Decoder decoder = decoder_of(args.type);
  const int64_t row_bytes = args.width / decoder.values * decoder.bytes;
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const uint8_t* block = static_cast<const uint8_t*>(args.table) + args.tokens[row] * row_bytes;
    float* y = args.y + row * args.y_stride;
    for (int64_t i = 0; i < args.width; i += decoder.values, block += decoder.bytes) decoder.decode(block, y + i);
  }
}

}  // namespace honed::portable
