// Attention of a tile of rows over one span of an int8 KV cache, in integers: queries and weights as two bytes
// each, multiplied with the cells as they lie. Keys in lanes for the scores, features in lanes for the values.
#include "kernels/avx512vnni/attention_int8.h"
#include "kernels/avx512vnni/codes.h"
#include "kernels/avx512vnni/lanes.h"
#include "kernels/avx512vnni/stream.h"
#include "kernels/paging/head.h"
#include "kernels/shared/codes.h"
#include "kernels/shared/softmax.h"

namespace honed::avx512vnni {
namespace {

using paging::for_even_blocks;
using paging::Tile;

constexpr int kScoreRows = 6;    // 24 sums of 16 keys, the high and the low bytes apart
constexpr int kValueRows = 3;    // 24 sums of 16 features, likewise
constexpr int kMostVectors = 4;  // of one stretch of head_dim
constexpr int64_t kQuad = 4;     // cells that one instruction multiplies in a lane
constexpr int64_t kQuadBytes = kQuad * kPageTokens;
constexpr int64_t kGroupQuads = kKeyGroup / kQuad;
constexpr int64_t kSpanPages = kSpanTokens / kPageTokens;
constexpr int64_t kCodeBytes = 2 * kPageTokens;  // of the weights of a row in a page: 32 high, then 32 low

// Sums are kept as the sixteen integers that they are: to gcc 12 a __m512i is eight of 64 bits, and a sum that changes
// between the two is spilled in every step.
using Lanes = __v16si;

inline Lanes dot_quads(Lanes sum, __m512i unsigned_bytes, __m512i signed_bytes) {
  return Lanes(_mm512_dpbusd_epi32(__m512i(sum), unsigned_bytes, signed_bytes));
}
inline __m512 whole(Lanes high, Lanes low) {
  return _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32(__m512i(high), 7), __m512i(low)));
}

// What is kept of q: the bytes of its codes, and for each row what the offset of the keys is corrected by and the
// step, all of it in scratch.
struct IntegerTile : Tile {
  int64_t quads;
  int32_t* high;         // [quads][rows] of four bytes
  int32_t* low;          // the same
  int32_t* corrections;  // [groups][2][rows]: of the high and of the low bytes
  float* factors;        // [rows]: q_step * scale
  mutable Stream stream{*this};

  explicit IntegerTile(const AttentionArgs& args) : Tile(args), quads((args.head_dim + kQuad - 1) / kQuad) {
    high = reinterpret_cast<int32_t*>(q);
    low = high + quads * rows;
    corrections = low + quads * rows;
    factors = reinterpret_cast<float*>(corrections + 2 * key_groups(args.head_dim) * rows);
    for (int64_t row = 0; row < rows; ++row) take_q(row);
  }

  const float* key_scales(int64_t page) const { return paging::scales_of(keys<int8_t>(page), args.head_dim); }
  const float* value_scales(int64_t page) const { return paging::scales_of(values<int8_t>(page), args.head_dim); }
  // The codes of a row's weights lie over its scores, page after page, and behind those the steps of the pages.
  int8_t* weight_codes(int64_t row) const { return reinterpret_cast<int8_t*>(scores_of(row)); }
  float* steps_of(int64_t row) const { return reinterpret_cast<float*>(weight_codes(row) + kSpanPages * kCodeBytes); }

 private:
  void take_q(int64_t row) const {
    const float* source = query(row);
    const float limit = static_cast<float>(kQueryCodes);
    const float most = shared::largest_magnitude<Vector>(source, args.head_dim);
    const __m512 inverse = _mm512_set1_ps(most > 0.0f ? limit / most : 0.0f);
    for (int64_t group = 0; group < key_groups(args.head_dim); ++group) {
      __m512i high_sum = _mm512_setzero_si512();
      __m512i low_sum = _mm512_setzero_si512();
      const int64_t end = (group + 1) * kKeyGroup < args.head_dim ? (group + 1) * kKeyGroup : args.head_dim;
      for (int64_t d = group * kKeyGroup; d < end; d += kVector) {
        const __m512i codes = codes_of(source + d, end - d, inverse, limit);
        const __m512i upper = _mm512_srai_epi32(_mm512_add_epi32(codes, _mm512_set1_epi32(64)), 7);
        const __m512i lower = _mm512_sub_epi32(codes, _mm512_slli_epi32(upper, 7));
        high_sum = _mm512_add_epi32(high_sum, upper);
        low_sum = _mm512_add_epi32(low_sum, lower);
        put_quads(high + d / kQuad * rows + row, upper, quads - d / kQuad);
        put_quads(low + d / kQuad * rows + row, lower, quads - d / kQuad);
      }
      corrections[2 * group * rows + row] = -128 * _mm512_reduce_add_epi32(high_sum);
      corrections[(2 * group + 1) * rows + row] = -128 * _mm512_reduce_add_epi32(low_sum);
    }
    factors[row] = (most / limit) * args.scale;
  }

  // Sixteen codes as up to four quads, `rows` apart.
  void put_quads(int32_t* place, __m512i codes, int64_t count) const {
    alignas(16) int32_t four[kQuad];
    _mm_store_si128(reinterpret_cast<__m128i*>(four), _mm512_cvtepi32_epi8(codes));
    for (int64_t i = 0; i < kQuad && i < count; ++i) place[i * rows] = four[i];
  }
};

// Scaled scores of the 32 keys of one page for `Rows` rows, those out of sight among them.
template <int Rows>
inline void score_block(const IntegerTile& tile, int64_t row, int64_t page) {
  // The instruction multiplies unsigned by signed bytes: keys go in with 128 added, and that much of q goes out.
  const __m512i offset = _mm512_set1_epi8(-128);
  const int32_t* high_q = tile.high + row;
  const int32_t* low_q = tile.low + row;
  const int8_t* keys = tile.keys<int8_t>(page);
  const float* key_scales = tile.key_scales(page);
  float* scores = tile.scores_of(row, page);
  for (int64_t group = 0; group < key_groups(tile.args.head_dim); ++group, key_scales += kPageTokens) {
    const int32_t* corrections = tile.corrections + 2 * group * tile.rows + row;
    Lanes high[2 * Rows];
    Lanes low[2 * Rows];
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
      high[2 * r] = high[2 * r + 1] = Lanes(_mm512_set1_epi32(corrections[r]));
      low[2 * r] = low[2 * r + 1] = Lanes(_mm512_set1_epi32(corrections[tile.rows + r]));
    }
    const int64_t end = (group + 1) * kGroupQuads < tile.quads ? (group + 1) * kGroupQuads : tile.quads;
    for (int64_t quad = group * kGroupQuads; quad < end; ++quad, high_q += tile.rows, low_q += tile.rows) {
      tile.stream.ask<2>();
      __m512i key[2];
      key[0] = _mm512_xor_si512(_mm512_loadu_si512(keys + quad * kQuadBytes), offset);
      key[1] = _mm512_xor_si512(_mm512_loadu_si512(keys + quad * kQuadBytes + kQuadBytes / 2), offset);
#pragma GCC unroll 6
      for (int r = 0; r < Rows; ++r) {
        const __m512i upper = _mm512_set1_epi32(high_q[r]);
        const __m512i lower = _mm512_set1_epi32(low_q[r]);
#pragma GCC unroll 2
        for (int v = 0; v < 2; ++v) {
          high[2 * r + v] = dot_quads(high[2 * r + v], key[v], upper);
          low[2 * r + v] = dot_quads(low[2 * r + v], key[v], lower);
        }
      }
    }
    const bool last = group + 1 == key_groups(tile.args.head_dim);
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
      const __m512 factor = _mm512_set1_ps(tile.factors[row + r]);
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v) {
        float* place = scores + r * kScoreStride + v * kVector;
        const __m512 before = group == 0 ? _mm512_setzero_ps() : _mm512_loadu_ps(place);
        const __m512 scale = _mm512_loadu_ps(key_scales + v * kVector);
        const __m512 dot = _mm512_fmadd_ps(whole(high[2 * r + v], low[2 * r + v]), scale, before);
        _mm512_storeu_ps(place, last ? _mm512_mul_ps(dot, factor) : dot);
      }
    }
  }
}

void score(const IntegerTile& tile) {
  for (int64_t page = tile.page_begin; page < tile.page_end; ++page) {
    for_even_blocks<kScoreRows>(tile.rows, [&]<int Rows>(int64_t row) { score_block<Rows>(tile, row, page); });
  }
}

// 32 codes of weights, the high bytes and behind them the low ones.
inline void put_codes(int8_t* place, __m512i first, __m512i second) {
  const __m256i narrow = _mm512_cvtepi32_epi16(first);
  const __m512i codes = _mm512_inserti64x4(_mm512_castsi256_si512(narrow), _mm512_cvtepi32_epi16(second), 1);
  auto* const high = reinterpret_cast<__m256i*>(place);
  _mm256_storeu_si256(high, _mm512_cvtepi16_epi8(_mm512_srli_epi16(codes, 7)));
  _mm256_storeu_si256(high + 1, _mm512_cvtepi16_epi8(_mm512_and_si512(codes, _mm512_set1_epi16(127))));
}

// One row of a tile, its keys counted within the span.
struct Row {
  const IntegerTile& tile;
  float* scores;
  int64_t first;
  int64_t end;

  Row(const IntegerTile& of, int64_t row)
      : tile(of), scores(of.scores_of(row)), first(of.first(row) - of.span_first),
        end(of.last(row) + 1 - of.span_first) {}
  int64_t page_begin() const { return first / kPageTokens; }
  int64_t page_end() const { return (end + kPageTokens - 1) / kPageTokens; }
  // Calls body.operator()<Whole>(page) for the pages of which the row sees keys; Whole: all of them.
  template <typename Body>
  void for_pages(const Body& body) const {
    for (int64_t page = page_begin(); page < page_end(); ++page) {
      if (page * kPageTokens >= first && (page + 1) * kPageTokens <= end) body.template operator()<true>(page);
      else body.template operator()<false>(page);
    }
  }
  template <bool Whole>
  __mmask16 visible(int64_t key) const {
    if constexpr (Whole) return 0xffff;
    return lanes_within(key, first, end);
  }
};

// The largest score, a zero without its sign.
inline float largest_score(const Row& row) {
  __m512 largest[2];
  largest[0] = largest[1] = _mm512_set1_ps(-__builtin_inff());
  row.for_pages([&]<bool Whole>(int64_t page) {
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      const int64_t key = page * kPageTokens + v * kVector;
      const __m512 score = _mm512_loadu_ps(row.scores + key);
      largest[v] = _mm512_mask_max_ps(largest[v], row.visible<Whole>(key), largest[v], score);
    }
  });
  return _mm512_reduce_max_ps(_mm512_max_ps(largest[0], largest[1])) + 0.0f;  // of two zeros either could be it
}

// Scores of one row become codes of weights, zero for keys out of sight; its largest score and the sum of
// exp(score - largest) go to the partial.
void weights_of(const IntegerTile& tile, int64_t index) {
  const Row row(tile, index);
  const float peak = largest_score(row);
  const __m512 shift = _mm512_set1_ps(peak);
  __m512 lanes = _mm512_setzero_ps();
  static_assert(kSpanPages == kReduced);
  __m512 largest[kSpanPages];  // of the weights of each page
  for (__m512& weights : largest) weights = _mm512_setzero_ps();
  row.for_pages([&]<bool Whole>(int64_t page) {
    const float* value_scales = tile.value_scales(tile.span_first / kPageTokens + page);
    __m512 weight[2];
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      const int64_t key = page * kPageTokens + v * kVector;
      const __mmask16 visible = row.visible<Whole>(key);
      const __m512 p = shared::exp<Vector>(_mm512_sub_ps(_mm512_loadu_ps(row.scores + key), shift));
      lanes = _mm512_mask_add_ps(lanes, visible, lanes, p);
      weight[v] = _mm512_maskz_mul_ps(visible, p, _mm512_maskz_loadu_ps(visible, value_scales + v * kVector));
      _mm512_storeu_ps(row.scores + key, weight[v]);
    }
    largest[page] = _mm512_max_ps(weight[0], weight[1]);
    tile.stream.ask<8>();
  });
  const __m512 limit = _mm512_set1_ps(static_cast<float>(kWeightCodes));
  const __m512 most = largest_of_eight(largest);
  const __mmask16 some = _mm512_cmp_ps_mask(most, _mm512_setzero_ps(), _CMP_GT_OQ);
  alignas(64) float inverses[kVector];
  alignas(64) float steps[kVector];
  _mm512_store_ps(inverses, _mm512_maskz_div_ps(some, limit, most));
  _mm512_store_ps(steps, _mm512_div_ps(most, limit));
  int8_t* codes = tile.weight_codes(index);  // never past the weights that are still to be read
  const int64_t first_page = tile.page_begin - tile.span_first / kPageTokens;
  for (int64_t page = first_page; page < row.page_begin(); ++page) {
    put_codes(codes + page * kCodeBytes, _mm512_setzero_si512(), _mm512_setzero_si512());
  }
  row.for_pages([&]<bool Whole>(int64_t page) {
    const __m512 inverse = _mm512_set1_ps(inverses[page]);
    __m512i code[2];
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      const int64_t key = page * kPageTokens + v * kVector;
      const __m512 value = _mm512_min_ps(_mm512_mul_ps(_mm512_loadu_ps(row.scores + key), inverse), limit);
      code[v] = _mm512_maskz_cvtps_epi32(row.visible<Whole>(key), value);
    }
    put_codes(codes + page * kCodeBytes, code[0], code[1]);
  });
  const int64_t last_page = tile.page_end - tile.span_first / kPageTokens;
  for (int64_t page = row.page_end(); page < last_page; ++page) {
    put_codes(codes + page * kCodeBytes, _mm512_setzero_si512(), _mm512_setzero_si512());
  }
  for (int64_t page = first_page; page < last_page; ++page) tile.steps_of(index)[page] = steps[page];
  tile.partial(index)[0] = peak;
  tile.partial(index)[1] = Vector::fold({lanes});
}

// One page for `Rows` rows: a stretch of `Vectors` registers of head_dim from d on, of which the last may be masked,
// onto the sums in the partials.
template <int Rows, int Vectors>
inline void weigh_block(const IntegerTile& tile, int64_t d, int64_t row, const int8_t* values, int64_t index) {
  const int64_t head_dim = tile.args.head_dim;
  const int64_t stride = kPartialValues + head_dim;
  const __mmask16 last_lanes = first_lanes(head_dim - d - (Vectors - 1) * kVector);
  Lanes high[Rows * Vectors];
  Lanes low[Rows * Vectors];
#pragma GCC unroll 3
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) high[r * Vectors + v] = low[r * Vectors + v] = Lanes(_mm512_setzero_si512());
  }
  const int8_t* codes = tile.weight_codes(row) + index * kCodeBytes;
  constexpr int64_t kRowBytes = kScoreStride * static_cast<int64_t>(sizeof(float));
  for (int64_t quad = 0; quad < kPageTokens / kQuad; ++quad) {
    const int8_t* cells = values + (quad * head_dim + d) * kQuad;
    tile.stream.ask<4>();
    __m512i value[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      const int8_t* place = cells + v * kVector * kQuad;
      value[v] = v + 1 < Vectors ? _mm512_loadu_si512(place) : _mm512_maskz_loadu_epi32(last_lanes, place);
    }
#pragma GCC unroll 3
    for (int r = 0; r < Rows; ++r) {
      const __m512i upper = broadcast_quad(codes + r * kRowBytes + quad * kQuad);
      const __m512i lower = broadcast_quad(codes + r * kRowBytes + quad * kQuad + kPageTokens);
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) {
        high[r * Vectors + v] = dot_quads(high[r * Vectors + v], upper, value[v]);
        low[r * Vectors + v] = dot_quads(low[r * Vectors + v], lower, value[v]);
      }
    }
  }
#pragma GCC unroll 3
  for (int r = 0; r < Rows; ++r) {
    const __m512 step = _mm512_set1_ps(tile.steps_of(row + r)[index]);
    float* sums = tile.sums_of(row) + r * stride + d;
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      const __m512 sum = whole(high[r * Vectors + v], low[r * Vectors + v]);
      float* place = sums + v * kVector;
      if (v + 1 < Vectors || last_lanes == 0xffff) {
        _mm512_storeu_ps(place, _mm512_fmadd_ps(sum, step, _mm512_loadu_ps(place)));
      } else {
        _mm512_mask_storeu_ps(place, last_lanes, _mm512_fmadd_ps(sum, step, _mm512_maskz_loadu_ps(last_lanes, place)));
      }
    }
  }
}

void weigh(const IntegerTile& tile) {
  tile.clear_sums();
  const int64_t vectors = (tile.args.head_dim + kVector - 1) / kVector;
  for (int64_t page = tile.page_begin; page < tile.page_end; ++page) {
    const int64_t index = page - tile.span_first / kPageTokens;
    const int8_t* values = tile.values<int8_t>(page);
    for_even_blocks<kValueRows>(tile.rows, [&]<int Rows>(int64_t row) {
      for_blocks<kMostVectors>(0, vectors, [&]<int Vectors>(int64_t vector) {
        weigh_block<Rows, Vectors>(tile, vector * kVector, row, values, index);
      });
    });
  }
}

}  // namespace

void attend_int8(const AttentionArgs& args) {
  const IntegerTile tile(args);
  tile.prefetch_first();
  score(tile);
  shared::adjust_scores<Vector>(tile);
  for (int64_t row = 0; row < tile.rows; ++row) weights_of(tile, row);
  weigh(tile);
}

}  // namespace honed::avx512vnni
