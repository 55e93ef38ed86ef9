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

#include "cpu/panel_layout.h"

namespace honed {

enum class Epilogue : int32_t {
  store = 0,           // y = result
  add = 1,             // y = y + result (residual stream)
  gated_silu = 2,      // panel = 16 gate columns then 16 up columns; y = silu(gate) * up, as the Gate of its name
  gated_gelu_tanh = 3,
  gated_gelu = 4,
  gated_clamped_silu = 5
};

// In this order of operations; relu is x where it is greater than 0, and 0 elsewhere:
//   silu       x / (1 + exp(-x))
//   gelu_tanh  x / (1 + exp(-2 * t)), t = 0.7978845608f * fma(0.044715f * x * x, x, x)
//   gelu       fma(h, erf(x * 0.70710678f), h), h = 0.5f * x
enum class Activation : int32_t { silu = 0, gelu_tanh = 1, gelu = 2, tanh = 3, relu = 4 };

// What becomes of a gate and an up: activation(gate) * up with the activation of that name, or
//   clamped_silu  (g / (1 + exp(-1.702f * g))) * (u + 1), g = min(gate, 7), u = min(max(up, -7), 7)
enum class Gate : int32_t { silu = 0, gelu_tanh = 1, gelu = 2, clamped_silu = 3 };
inline constexpr float kGateSlope = 1.702f;
inline constexpr float kGateLimit = 7.0f;

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
//   blocks (activation_group 32), for each group in ascending k, scale_g that of its 32 k, dot_g over the values of the
//   codes where there are some and d times the factor of the form
//                           acc = fma(float(dot_g) * scale_g, d * float(level), acc), then, if minimum,
//                           acc = fma(float(sum_g) * scale_g, -(m * float(minimum level)), acc), sum_g of the group;
//                           of q5_1 d and m stand in place of the products
//   dot_g is exact int32 with the zero point already subtracted.
//   then + bias, then the epilogue: add is y + result * factor, the product rounded; silu(g) * u is (g / (1 + exp(-g))) * u;
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
  float factor = 1.0f;    // of what the epilogue add adds
};

// ---- the other slots ----------------------------------------------------------------------------

enum class TableType : int32_t {
  f32 = 0, bf16 = 1, f16 = 2,  // slot embed
  // Blocks as they lie in a GGUF file, slot embed_blocks. src/honed/encodings/gguf_formats.py has the bytes of each.
  q4_0 = 3, q4_1 = 4, q5_0 = 5, q5_1 = 6, q8_0 = 7, q4_k = 8, q5_k = 9, q6_k = 10, q2_k = 11, q3_k = 12, iq4_nl = 13,
  iq4_xs = 14
};

// y[t] = table[token[t]] widened to f32. Tokens are already checked against the table. Of blocks, in ggml's order:
//   q4_0, q5_0, q8_0  d * code, the code signed (less 8, less 16, as it is)
//   q4_1, q5_1        (d * code) + m
//   q2_k, q4_k, q5_k  ((d * scale) * code) - (m * minimum)
//   q3_k, q6_k        (d * scale) * code, the code signed (less 4, less 32)
//   iq4_nl, iq4_xs    d * value, (d * scale) * value, of the sixteen values of ggml's kvalues_iq4nl
struct EmbedArgs {
  const int32_t* tokens;
  int64_t row_begin, row_end;
  const void* table;
  TableType type;
  int64_t width;  // of blocks a multiple of their values
  float* y;
  int64_t y_stride;
};

// y[t, k] = w[token[t], k] * factors[k], of a matrix of panels: the columns that a matmul gives are the entries that are
// looked up. Tokens are already checked against the columns. In this order, `code` being that of a codebook's value:
//   int8, codebook, and int4 without minimum   w = (code - zero) * scale
//   int4 with minimum                          w = code * scale + minimum
// Factors are powers of two, so whatever they undo is undone exactly.
enum class PanelCodes : int32_t { int8 = 0, int4 = 1, codebook = 2 };
struct EmbedPackedArgs {
  const int32_t* tokens;
  int64_t row_begin, row_end;
  const void* panels;
  int64_t panel_bytes;
  int64_t width;  // k of the matrix
  PanelCodes codes;
  const float* column_scales;  // as in MatmulArgs, and so are the next three
  const int8_t* codebook;
  int64_t group;
  Int4Offset offset;
  const float* factors;  // [width]
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

// Sums as in RmsNormArgs: mean = (lanes j of lane + x) / width; c = x - mean;
// r = 1 / sqrt((lanes j of fma(c, c, lane)) / width + eps); y = fma(c * r, weight, bias), without bias (c * r) * weight.
struct LayerNormArgs {
  const float* x;
  int64_t x_stride;
  int64_t row_begin, row_end;
  const float* weight;
  const float* bias;  // or null
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
// bf16 has them in pairs, as instructions that multiply pairs want them:
//   keys    [head_dim / 2, up][32][2] cells: feature 2 i + j of token t at [i][t][j]; one past head_dim is zero
//   values  [16][head_dim][2] cells: token 2 i + j, feature d at [i][d][j]
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

// Rotates the heads of q and k in place of their qkv row, over their first rotary_dim features, after an RMS norm
// of each head where q_norm / k_norm are given, and writes k and v to the page of the token. Features i and
// i + rotary_dim / 2 are a pair, or 2 i and 2 i + 1 where pairs are interleaved:
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
  bool interleaved;
  KvLayer cache;
};

// Attention of a tile: rows [row_begin, row_end), which are consecutive positions of one sequence, and the query heads of
// one kv head, over one span: of the keys [position - before, position + after] that a row sees, as far as the sequence
// has them, those in [span * kSpanTokens, (span + 1) * kSpanTokens). Every row sees at least one of them; no other key or
// value has any influence, and a page in which no row of the tile sees a key is not read. With keys k and values v of
// the cache, widened to f32:
//   score_j = (acc over d ascending of fma(q[d], k[d], acc)) * scale
// and then, where it is asked for,
//   score_j = soft_cap * tanh(score_j / soft_cap)
//   score_j = score_j + bias of the head and the distance j - position, clamped to [-reach, reach]
//   m = max score + 0
//   p_j = exp(score_j - m); sum = 16 lanes over absolute j mod 16 ascending, folded as in RmsNormArgs
//   o[d] = acc over j ascending of fma(p_j, v[j][d], acc), from 0
// Of a bfloat16 cache q[d] and p_j are rounded to bfloat16 too (p_j before it is summed), and both products go through
// pairs, the odd one of a pair first: d in the order 1, 0, 3, 2, ..., of odd head_dim with a last q of zero; j in the order
// 1, 0, 3, 2, ... of the keys of the sequence, where one of a pair is in sight the other with p and v of zero. All of it
// with denormals flushed, operands and results (see kernels/shared/flush.h): that is what VDPBF16PS gives.
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
inline constexpr int64_t kEveryKey = int64_t{1} << 48;  // more keys than any sequence has
struct AttentionArgs {
  const float* q;  // of row 0: [heads * head_dim]
  int64_t q_stride;
  int64_t row_begin, row_end;
  int64_t first_position;  // of row_begin
  const int32_t* pages;    // page of each kPageTokens positions of the sequence
  int64_t group;           // query heads of one kv head
  int64_t kv_head, head_dim;
  int64_t span;
  int64_t before, after;  // keys that a row sees behind its position and ahead of it; kEveryKey: all
  int64_t keys;           // of the sequence, more than any row's position
  float scale;
  float soft_cap;     // 0: none
  const float* bias;  // of query head 0: [heads][2 * reach + 1], that of distance -reach first; or null
  int64_t reach;
  KvLayer cache;
  float* scratch;   // this thread's own: rows * group * (kScoreStride + head_dim up to a multiple of 16) floats
  float* partials;  // [rows][group] partials, one after the other
  AttentionNext next;
};

// Folds the partials of consecutive spans, ascending, into the first of them, and writes the result:
//   state = partial 0; for i = 1 .. count - 1: m = max(m_state, m_i); a = exp(m_state - m); b = exp(m_i - m);
//   sum = fma(sum_state, a, sum_i * b); o[d] = fma(o_state[d], a, o_i[d] * b); m_state = m
//   y[d] = o[d] / sum
// Folding all at once or, the state being kept, one after the other gives the same bits. With the last span sinks may be
// given, the scores of keys that have no value: one more partial with the sink of the head as m, sum 1 and o 0.
struct AttentionMergeArgs {
  float* partials;  // [count] times span_stride floats: [rows][group] partials
  int64_t count;
  int64_t span_stride;
  int64_t rows, group, head_dim;
  const float* sinks;  // [group], or null
  float* y;  // first query head of the kv head, of the first row
  int64_t y_stride;
};

// y[row, i] = activation(x[row, i])
struct ActivateArgs {
  const float* x;
  int64_t x_stride;
  int64_t row_begin, row_end;
  int64_t width;
  Activation activation;
  float* y;  // may equal x
  int64_t y_stride;
};

// y[row, i] = the gate of x[row, i] and x[row, width + i], the same formulas as the gated epilogues.
struct GatedArgs {
  const float* x;
  int64_t x_stride;
  int64_t row_begin, row_end;
  int64_t width;
  Gate gate;
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

// Of each row the `chosen` greatest of x[row, e], of equal ones those of the lower number (zeros of either sign are
// equal), to numbers, in ascending number, and what each of them counts, to weights:
//   softmax            exp(x[e] - m) / sum, m = max of x; sum = acc over all e ascending of acc + exp(x[e] - m), from 0
//   softmax_of_chosen  the same, the sum over those that are chosen
//   sigmoid            1 / (1 + exp(-x[e]))
// Of whatever values the numbers are different, and under `experts`.
inline constexpr int64_t kMostExperts = 1 << 10;
enum class Scoring : int32_t { softmax = 0, softmax_of_chosen = 1, sigmoid = 2 };
struct RouteArgs {
  const float* x;
  int64_t x_stride;
  int64_t row_begin, row_end;
  int64_t experts, chosen;  // at most kMostExperts, at most experts
  Scoring scoring;
  int32_t* numbers;  // of row 0
  float* weights;
  int64_t y_stride;  // of both
};

// y[row] = acc over j ascending of fma(weights[row, j], x[places[row, j]], acc), the first one weights[row, 0] * x; or
// y + that.
struct CombineArgs {
  const float* x;
  int64_t x_stride;
  const int32_t* places;  // of row 0
  const float* weights;
  int64_t routing_stride;  // of both
  int64_t row_begin, row_end;
  int64_t chosen, width;
  bool add;
  float* y;
  int64_t y_stride;
};

// y = x * factor
struct ScaleArgs {
  const float* x;
  int64_t x_stride;
  int64_t row_begin, row_end;
  int64_t width;
  float factor;
  float* y;  // may equal x
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

// weights[i] = exp((x[i] - greatest) / temperature) of x widened to double, and their sums one by one: sums[b] of those
// before place b * kSumBlock, and behind these, at sums[(count + kSumBlock - 1) / kSumBlock], of all. x is finite, none
// over `greatest`. All in double: e = (x - greatest) / temperature, the division left out where temperature is 1;
// c = max(e, -700); n = round_to_even(c * (1 / ln 2)); r = (c - n * 0x1.62e42feep-1) - n * 0x1.a39ef35793c76p-33;
// p = 1 / 13!; p = p * r + 1 / k!, k from 12 down to 0, product and sum each rounded; 0 where e < -700, else p * 2^n.
inline constexpr int kSumBlock = 512;
struct ExpWeightsArgs {
  const float* x;
  int64_t count;  // at least one
  double greatest, temperature;
  double* weights;
  double* sums;
};

// exp(x), everywhere: x clamped to [-87.33654f, 88.0f] (a score of -infinity gives exactly 0 where
// masked, since masked keys are skipped, not exponentiated); n = round_to_even(x * 1.44269504f);
// r = fma(n, -0.693359375f, x); r = fma(n, 2.12194440e-4f, r);
// p = 1.9875691500e-4f; p = fma(p, r, 1.3981999507e-3f); p = fma(p, r, 8.3334519073e-3f);
// p = fma(p, r, 4.1665795894e-2f); p = fma(p, r, 1.6666665459e-1f); p = fma(p, r, 5.0000001201e-1f);
// p = fma(p, r * r, r) + 1; result = p * 2^n, by adding n to the exponent (two steps never needed).
// Coefficients: S. Moshier, Cephes, expf.
//
// erf(x) and tanh(x), everywhere: x clamped to [-limit, limit]; s = x * x; (x * top(s)) / bottom(s), polynomials by fma
// from the highest power down, p = fma(p, s, next). Within 4e-7 and 3e-7 of the functions. Coefficients: Eigen.
struct ErfTerms {
  static constexpr float limit = 4.0f;
  static constexpr float top[] = {-2.72614225801306e-10f, 2.77068142495902e-08f,  -2.10102402082508e-06f,
                                  -5.69250639462346e-05f, -7.34990630326855e-04f, -2.95459980854025e-03f,
                                  -1.60960333262415e-02f};
  static constexpr float bottom[] = {-1.45660718464996e-05f, -2.13374055278905e-04f, -1.68282697438203e-03f,
                                     -7.37332916720468e-03f, -1.42647390514189e-02f};
};
struct TanhTerms {
  static constexpr float limit = 7.90531110763549805f;
  static constexpr float top[] = {-2.76076847742355e-16f, 2.00018790482477e-13f, -8.60467152213735e-11f,
                                  5.12229709037114e-08f,  1.48572235717979e-05f, 6.37261928875436e-04f,
                                  4.89352455891786e-03f};
  static constexpr float bottom[] = {1.19825839466702e-06f, 1.18534705686654e-04f, 2.26843463243900e-03f,
                                     4.89352518554385e-03f};
};

struct KernelTable {
  const char* isa;
#define HONED_SLOT(name, result, arguments) result(*name) arguments;
#include "kernels/slots.def"
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
#if defined(HONED_HAVE_AVX512BF16)
void fill_avx512bf16(KernelTable& table);  // keeps the attention that it finds, for caches that are not bfloat16
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
