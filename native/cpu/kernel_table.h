// The contract between the executor and every kernel: one table of function pointers, filled by
// `portable` in every slot and overridden slot by slot by an instruction set.
//
// Only plain structs and constants live here. Nothing in this header may generate code: a function
// compiled for AVX-512 in one unit could otherwise be chosen by the linker for all of them.
//
// Numerics are part of the contract. Every kernel of a slot gives the same bits as `portable` for
// finite inputs. The order of float operations is therefore written down beside each slot; `fma` means
// one fused multiply-add, everything else is one IEEE operation rounded to nearest even.
#pragma once

#include <cstddef>
#include <cstdint>

namespace honed {

// ---- layout constants ---------------------------------------------------------------------------

inline constexpr int kPanelColumns = 32;  // output columns of one packed panel, streamed in sequence
inline constexpr int kTileColumns = 16;   // columns of one register or tile: half a panel
inline constexpr int kTileDepth = 64;     // k that int8 with one scale a column is padded to: 16 quads of 4 k
inline constexpr int kBlock = 32;         // k of the smallest group; activation sums are kept per block
inline constexpr int kPageTokens = 32;    // keys of one KV page
inline constexpr int kSpanTokens = 256;   // keys of one span of attention, whatever the threads and the batch
inline constexpr int kLanes = 16;         // partial sums of every float reduction (lane j takes j mod 16)

enum class Epilogue : int32_t {
  store = 0,           // y = result
  add = 1,             // y = y + result (residual stream)
  gated_silu = 2,      // panel = 16 gate columns then 16 up columns; y = silu(gate) * up
  gated_gelu_tanh = 3  // the same with gelu (tanh form)
};

enum class Activation : int32_t { silu = 0, gelu_tanh = 1 };

// How an int4 group stores its offset. w = scale * (code - zero)  or  w = scale * code + minimum.
enum class Int4Offset : int32_t {
  symmetric = 0,   // zero is 8 everywhere, nothing stored
  zero_point = 1,  // one uint8 per group and column
  minimum = 2      // one fp16 per group and column
};

// GGUF blocks whose scales are products, kept as factors: as fp16 d (and m) of a super-block of `depth` k, and, but for
// q5_1, as a byte of each group. Codes are unsigned, from 0 to `largest`; w = d * level * (code - zero), or with a minimum
// w = d * level * code - m * minimum level, of q5_1 d * code + m.
enum class BlockForm : int32_t { q4_k = 0, q5_k = 1, q5_1 = 2, q6_k = 3 };

struct BlockShape {
  int64_t depth;         // k of a super-block
  int64_t head_bytes;    // 32 fp16 d, then where there is a minimum 32 fp16 m
  int64_t code_bytes;    // of 32 k of a panel: as an int4 block, or bytes [2 halves][8 quads][16][4 k]
  int64_t level_bytes;   // behind them: two rows of 32 bytes, or nothing
  int64_t group;         // k that share a level
  int32_t largest, zero;
  bool minimum;
};

inline constexpr BlockShape kBlockShapes[] = {
    {256, 128, 512, 64, 32, 15, 0, true},    // q4_k: a row of uint8 scales, a row of uint8 minimums
    {256, 128, 1024, 64, 32, 31, 0, true},   // q5_k: the same
    {32, 128, 1024, 0, 32, 31, 0, true},     // q5_1
    {256, 64, 1024, 64, 16, 63, 32, false},  // q6_k: int8 scales of the first 16 k, then of the second
};

// ---- matmul -------------------------------------------------------------------------------------
//
// y[m, n] = epilogue(sum_k x[m, k] * w[n, k] + bias[n]) over rows [row_begin, row_end) and panels
// [panel_begin, panel_end). Columns are counted in packed order; with a gated epilogue output column
// 16 * panel + c comes from gate column c and up column 16 + c of that panel.
//
// Packed panels (each panel follows the one before it, so a GEMV is one linear stream):
//   f32, bf16  [k_padded][32]                                    k_padded = k
//   int8, one scale a column
//              [k_padded / 4 quads][32 columns][4 k]                       k_padded = k up to 64
//   int8, groups
//              per group of `group` k: [group / 4 quads][32 columns][4 k], then 32 fp16 scales.
//                                                              k_padded = k up to group
//              Sixteen columns of sixteen quads, 128 bytes apart, are an AMX tile. A kernel that takes whole quads
//              reads ascending addresses; halves of a panel apart from each other would be two streams, of which
//              prefetchers bring in less than half as much.
//   int4       per group of `group` k:  [group / 32] blocks of [2 halves][4][64 bytes], where byte
//              16-column x 4-k cell of row i holds quad i (low nibble) and quad i + 4 (high nibble) of
//              the 8 quads of that block; then 32 fp16 scales; then, by Int4Offset, nothing, 32 uint8
//              zero points, or 32 fp16 minimums.                 k_padded = k up to group
//   codebook   as int4 without offsets; a nibble is the index of one of sixteen int8 values.
//                                                              k_padded = k up to group
//   blocks     per super-block: its head, then per 32 k codes and levels (BlockShape).
//                                                              k_padded = k, a multiple of the depth
//
// Quantized activation row (x_row_bytes apart):
//   int8 [k_padded], at scales_offset f32 scales (1, or k_padded / activation_group),
//   at sums_offset int32 sums of each block of 32 k. Padding is zero.
//
// Order of operations for one output:
//   f32/bf16  acc = 0; for k ascending: acc = fma(x[k], w[k], acc)
//   int8, one scale a row   (float(dot) * row_scale) * column_scale
//   int8, activation groups acc = 0; for g ascending: acc = fma(float(dot_g), scale_g, acc);
//                           then acc * column_scale
//   int8, weight groups     as int4 without minimum, with one scale a row or activation_group == group
//   int4, one scale a row   acc = 0; for g: acc = fma(float(dot_g), wscale_g, acc), then, if minimum,
//                           acc = fma(float(sum_g), min_g, acc); then acc * row_scale
//   int4, activation groups (activation_group == group)
//                           acc = fma(float(dot_g) * scale_g, wscale_g, acc), then, if minimum,
//                           acc = fma(float(sum_g) * scale_g, min_g, acc)
//   codebook                as int4 without minimum, dot_g over codebook[code]
//   blocks (activation_group 32), for each group in ascending k, scale_g that of its 32 k
//                           acc = fma(float(dot_g) * scale_g, d * float(level), acc), then, if minimum,
//                           acc = fma(float(sum_g) * scale_g, -(m * float(minimum level)), acc);
//                           of q5_1 d and m stand in place of the products
//   dot_g is exact int32 with the zero point already subtracted.
//   then + bias, then the epilogue. silu(g) * u is (g / (1 + exp(-g))) * u;
//   gelu_tanh(g) * u is (g / (1 + exp(-2 * t))) * u, t = 0.7978845608f * fma(0.044715f * g * g, g, g).
struct MatmulArgs {
  const void* x;          // f32 rows, or quantized activation rows
  int64_t x_row_bytes;
  int64_t scales_offset;  // quantized only
  int64_t sums_offset;    // quantized only
  int64_t row_begin, row_end;

  const void* panels;
  int64_t panel_bytes;
  int64_t panel_begin, panel_end;
  int64_t k, k_padded;
  int64_t columns;                // valid output columns, after gating: nothing is written beyond
  const float* column_scales;     // int8 with group 0: [panels * 32], zero in padding
  const float* bias;              // [panels * 32] in packed order, or null
  const int8_t* codebook;         // codebook: [16]
  int64_t group;                  // int4, codebook: 32, 64 or 128; int8: those, or 0 for one scale a column
  int64_t activation_group;       // 0: one scale a row; else 32, 64 or 128
  Int4Offset offset;              // int4
  BlockForm block_form;           // blocks
  Epilogue epilogue;

  float* y;               // output column 0 of row 0
  int64_t y_stride;       // floats between rows
};

// ---- the other slots ----------------------------------------------------------------------------

enum class TableType : int32_t {
  f32 = 0, bf16 = 1, f16 = 2,  // slot embed
  // Blocks as they lie in a GGUF file, slot embed_blocks. src/honed/encodings/gguf_formats.py has the bytes of each.
  q4_0 = 3, q4_1 = 4, q5_0 = 5, q5_1 = 6, q8_0 = 7, q4_k = 8, q5_k = 9, q6_k = 10
};

// y[t] = table[token[t]] widened to f32. Tokens are already checked against the table. Of blocks, in ggml's order:
//   q4_0, q5_0, q8_0  d * code, the code signed (less 8, less 16, as it is)
//   q4_1, q5_1        (d * code) + m
//   q4_k, q5_k        ((d * scale) * code) - (m * minimum)
//   q6_k              (d * scale) * (code - 32)
struct EmbedArgs {
  const int32_t* tokens;
  int64_t row_begin, row_end;
  const void* table;
  TableType type;
  int64_t width;  // of blocks a multiple of their values
  float* y;
  int64_t y_stride;
};

// sum = lanes j of fma(x, x, lane) over k = j mod 16 ascending, then lanes folded 16 to 8 to 4 to 2 to 1
// (l[i] + l[i + half]); r = 1 / sqrt(sum / width + eps); y = (x * r) * weight.
struct RmsNormArgs {
  const float* x;
  int64_t x_stride;
  int64_t row_begin, row_end;
  const float* weight;
  int64_t width;
  float eps;
  float* y;  // may equal x
  int64_t y_stride;
};

// For each row and group (or whole row): m = max |x|; scale = m / 127; inverse = m > 0 ? 127 / m : 0;
// q = round_to_even(x * inverse) within [-127, 127]. Also the int32 sum of q over each block of 32.
struct QuantizeArgs {
  const float* x;
  int64_t x_stride;
  int64_t row_begin, row_end;
  int64_t width;             // valid x
  int64_t width_padded;      // zero filled up to here; a multiple of activation_group and of 32
  int64_t activation_group;  // 0: one scale a row
  void* y;
  int64_t y_row_bytes;
  int64_t scales_offset;
  int64_t sums_offset;
};

// How keys and values are kept. Rotated keys and values of one token and kv head become:
//   f32   themselves
//   bf16  rounded to nearest even; NaN keeps its upper bits and becomes quiet
//   int8  codes as those of QuantizeArgs and their scales, of values one for the head, of keys one for each kKeyGroup
//         features (the last group may be short), whose spread is what int8 loses most by
enum class KvType : int32_t { f32 = 0, bf16 = 1, int8 = 2 };

// One layer of the paged KV cache. The keys of kv head h in page p start at
// keys + p * page_bytes + h * head_bytes, its values likewise:
//   keys    [head_dim][32] cells: tokens in lanes, so that a dot product needs no fold
//   values  [32][head_dim] cells
// int8 has them in fours, as instructions that multiply bytes want them, and the scales int8_scales_offset bytes behind
// the start:
//   keys    [head_dim / 4, up][32][4] cells: feature 4 i + j of token t at [i][t][j]; those past head_dim mean nothing;
//           scales [key groups][32] f32
//   values  [8][head_dim][4] cells: token 4 i + j, feature d at [i][d][j]; scales [32] f32
inline constexpr int64_t kKeyGroup = 32;
static constexpr int64_t int8_scales_offset(int64_t head_dim) { return (head_dim + 3) / 4 * 4 * kPageTokens; }
static constexpr int64_t key_groups(int64_t head_dim) { return (head_dim + kKeyGroup - 1) / kKeyGroup; }
struct KvLayer {
  std::byte* keys;
  std::byte* values;
  int64_t page_bytes;
  int64_t head_bytes;
  KvType type;
};

// Rotates the heads of q and k in place of their qkv row (rotate-half over rotary_dim), after an RMS norm
// of each head where q_norm / k_norm are given, and writes k and v to the page of the token.
//   t = x2 * sin; y1 = fma(x1, cos, -t);  t = x1 * sin; y2 = fma(x2, cos, t)
struct RopeKvArgs {
  float* qkv;  // row: q [heads * head_dim], k [kv_heads * head_dim], v [kv_heads * head_dim]
  int64_t stride;
  int64_t row_begin, row_end;
  const int32_t* positions;       // [rows]
  const int32_t* sequences;       // [rows], row of page_tables
  const int32_t* page_tables;     // [sequences][pages_per_table]
  int64_t pages_per_table;
  const float* cos;               // [rows][rotary_dim / 2]
  const float* sin;
  int64_t heads, kv_heads, head_dim, rotary_dim;
  const float* q_norm;            // [head_dim] or null
  const float* k_norm;
  float eps;
  KvLayer cache;
};

// Causal attention of a tile: rows [row_begin, row_end), which are consecutive positions of one sequence, and the query
// heads of one kv head, over one span: of the keys (position - window, position] that a row sees, window 0 meaning all,
// those in [span * kSpanTokens, (span + 1) * kSpanTokens). Every row sees at least one of them; no other key or value
// has any influence, and a page in which no row of the tile sees a key is not read. With keys k and values v of the
// cache, widened to f32:
//   score_j = (acc over d ascending of fma(q[d], k[d], acc)) * scale
//   m = max score + 0
//   p_j = exp(score_j - m); sum = 16 lanes over absolute j mod 16 ascending, folded as in RmsNormArgs
//   o[d] = acc over j ascending of fma(p_j, v[j][d], acc), from 0
// Of an int8 cache both products are of integers, so in any order; codes are made as those of QuantizeArgs, with
// another largest one, and fine enough to add no error worth naming to that of the cache:
//   c = codes of q within kQueryCodes, q_step = max |q| / kQueryCodes
//   score_j = (acc over groups g ascending of fma(float(sum over d in g of c[d] * k_j[d]), key_scale_j[g], acc))
//             * (q_step * scale)
//   of each page: w_j = p_j * value_scale_j of the keys in sight; u_j = codes of w within kWeightCodes,
//   w_step = max w_j / kWeightCodes;
//   o[d] = acc over pages ascending of fma(float(sum over j of u_j * v_j[d]), w_step, acc), from 0
// Both largest codes are of two bytes that are multiplied one by one: c = 128 high + low with high in [-127, 127] and low
// in [-64, 63], u = 128 high + low with both in [0, 127].
// A row and head leave a partial: m at 0, sum at 1, o from kPartialValues on; nothing else of it is written.
// Which rows share a tile changes no bit.
inline constexpr int kQueryCodes = 127 * 128;
inline constexpr int kWeightCodes = 127 * 128 + 127;
inline constexpr int kMostInt8HeadDim = 1024;          // sums of kQueryCodes * 127 stay within int32
inline constexpr int kPartialValues = 16;              // a partial is kPartialValues + head_dim floats
inline constexpr int kScoreStride = kSpanTokens + 16;  // off a power of two: rows would share few sets of the cache
// The keys that the calling thread will most likely read next, pages [page_begin, page_end) of `pages`, none where these
// are equal. What is only asked for of them changes no result.
struct AttentionNext {
  const int32_t* pages;
  int64_t kv_head;
  int64_t page_begin, page_end;
};
struct AttentionArgs {
  const float* q;  // of row 0: [heads * head_dim]
  int64_t q_stride;
  int64_t row_begin, row_end;
  int64_t first_position;  // of row_begin
  const int32_t* pages;    // page of each kPageTokens positions of the sequence
  int64_t group;           // query heads of one kv head
  int64_t kv_head, head_dim;
  int64_t span;
  int64_t window;
  float scale;
  KvLayer cache;
  float* scratch;   // this thread's own: rows * group * (kScoreStride + head_dim up to a multiple of 16) floats
  float* partials;  // [rows][group] partials, one after the other
  AttentionNext next;
};

// Folds the partials of consecutive spans, ascending, into the first of them, and writes the result:
//   state = partial 0; for i = 1 .. count - 1: m = max(m_state, m_i); a = exp(m_state - m); b = exp(m_i - m);
//   sum = fma(sum_state, a, sum_i * b); o[d] = fma(o_state[d], a, o_i[d] * b); m_state = m
//   y[d] = o[d] / sum
// Folding all at once or, the state being kept, one after the other gives the same bits.
struct AttentionMergeArgs {
  float* partials;  // [count] times span_stride floats: [rows][group] partials
  int64_t count;
  int64_t span_stride;
  int64_t rows, group, head_dim;
  float* y;  // first query head of the kv head, of the first row
  int64_t y_stride;
};

// y[row, i] = activation(x[row, i]) * x[row, width + i], the same formulas as the gated epilogues.
struct GatedArgs {
  const float* x;
  int64_t x_stride;
  int64_t row_begin, row_end;
  int64_t width;
  Activation activation;
  float* y;
  int64_t y_stride;
};

// y = y + x
struct AddArgs {
  const float* x;
  int64_t x_stride;
  int64_t row_begin, row_end;
  int64_t width;
  float* y;
  int64_t y_stride;
};

// The greatest of x[row, c] for c in [column_begin, column_end), the first one among equals (zeros of either sign are
// equal), to choices[row], and whether all of them are finite. Where they are not, column and value mean nothing.
struct Choice {
  float value;
  int32_t column;
  int32_t all_finite;  // 1 or 0
};
struct ArgmaxArgs {
  const float* x;
  int64_t x_stride;
  int64_t row_begin, row_end;
  int64_t column_begin, column_end;  // at least one column
  Choice* choices;                   // of row 0
};

// exp(x), everywhere: x clamped to [-87.33654f, 88.0f] (a score of -infinity gives exactly 0 where
// masked, since masked keys are skipped, not exponentiated); n = round_to_even(x * 1.44269504f);
// r = fma(n, -0.693359375f, x); r = fma(n, 2.12194440e-4f, r);
// p = 1.9875691500e-4f; p = fma(p, r, 1.3981999507e-3f); p = fma(p, r, 8.3334519073e-3f);
// p = fma(p, r, 4.1665795894e-2f); p = fma(p, r, 1.6666665459e-1f); p = fma(p, r, 5.0000001201e-1f);
// p = fma(p, r * r, r) + 1; result = p * 2^n, by adding n to the exponent (two steps never needed).
// Coefficients: S. Moshier, Cephes, expf.

struct KernelTable {
  const char* isa;
  void (*embed)(const EmbedArgs&);
  void (*embed_blocks)(const EmbedArgs&);
  void (*rms_norm)(const RmsNormArgs&);
  void (*quantize)(const QuantizeArgs&);
  void (*matmul_f32)(const MatmulArgs&);
  void (*matmul_bf16)(const MatmulArgs&);
  void (*matmul_int8)(const MatmulArgs&);
  void (*matmul_int4)(const MatmulArgs&);
  void (*matmul_blocks)(const MatmulArgs&);
  void (*matmul_codebook)(const MatmulArgs&);
  void (*rope_kv)(const RopeKvArgs&);
  void (*attention)(const AttentionArgs&);
  void (*attention_merge)(const AttentionMergeArgs&);
  void (*gated)(const GatedArgs&);
  void (*add)(const AddArgs&);
  void (*argmax)(const ArgmaxArgs&);

  // Probes of the machine's limits, for the benchmark's fractions. `integer_peak` runs the fastest int8
  // multiply-add of the set from registers `iterations` times and returns how many multiply-adds that was;
  // `read_memory` reads `bytes` (a multiple of 256, aligned to 64) once and returns a value that depends on them.
  int64_t (*integer_peak)(int64_t iterations);
  uint64_t (*read_memory)(const void* data, int64_t bytes);
};

// Each overrides the slots that it has; compiled with the flags of its own instruction set, so none may
// be called before features() says that the machine has it.
void fill_portable(KernelTable& table);
#if defined(HONED_HAVE_AVX2)
void fill_avx2(KernelTable& table);
#endif
#if defined(HONED_HAVE_AVX512VNNI)
void fill_avx512vnni(KernelTable& table);
#endif
#if defined(HONED_HAVE_AMX)
void fill_amx(KernelTable& table);  // keeps the matmuls that it finds, for few rows
#endif
#if defined(HONED_HAVE_NEON)
void fill_neon(KernelTable& table);
#endif
#if defined(HONED_HAVE_NEON_I8MM)
void fill_neon_i8mm(KernelTable& table);  // keeps the matmuls that it finds, for single rows
#endif

}  // namespace honed
