// Attention over an int8 cache: both products are of integers, four bytes of the cache and four codes to a lane, and
// what a page adds to them becomes float once. Keys or features are in lanes, and no sum is ever folded over lanes.
// Whatever the cells out of sight hold, the codes of their weights are 0.
#include <utility>

#include "kernels/avx2/attention_int8.h"
#include "kernels/avx2/cells.h"
#include "kernels/avx2/slots.h"
#include "kernels/avx2/softmax.h"
#include "kernels/paging/head.h"

namespace honed::avx2 {
namespace {

constexpr int kMostRows = 5;
constexpr int64_t kVectorBytes = 32;
constexpr int64_t kQuadBytes = kPageTokens * 4;
constexpr int64_t kGroupQuads = kKeyGroup / 4;
constexpr int64_t kQuads = kPageTokens / 4;  // of the tokens of a page
constexpr int kPageVectors = kPageTokens / kVector;

// Behind the scores of a row: the steps of its weights, page by page, and what its products with keys are scaled by.
constexpr int64_t kWeightSteps = kSpanTokens;
constexpr int64_t kQueryStep = kWeightSteps + kSpanTokens / kPageTokens;
static_assert(kQueryStep < kScoreStride);

// Sums of up to three rows by four vectors or of more by two: in 12 of 16 registers at most.
template <int Rows>
constexpr int kVectorsOf = Rows <= 3 ? 4 : 2;

// Codes, int16, of features or tokens 0, 2, 1, 3 of each four: two of them to a lane meet the even bytes of cells,
// widened by shifts in place, the other two the odd ones.
static inline __m256i in_pairs(__m256i four_a_lane) {
  const __m256i order = _mm256_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15,  //
                                         0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
  return _mm256_shuffle_epi8(four_a_lane, order);
}

static inline __m256i broadcast_pair(const std::byte* codes) {
  int32_t pair;
  __builtin_memcpy(&pair, codes, sizeof pair);
  return _mm256_set1_epi32(pair);
}

// Calls body.operator()<I>() for I from 0 to `Count` - 1. A loop over an array of sums is unrolled too late for gcc to
// keep the array in registers from one quad to the next, and so is whatever is not inlined first of all.
template <int Count, typename Body>
[[gnu::always_inline]] static inline void unrolled(const Body& body) {
  [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
    (body.template operator()<I>(), ...);
  }(std::make_integer_sequence<int, Count>());
}

template <int Rows, int Vectors>
[[gnu::always_inline]] static inline void clear(__m256i (&sums)[Rows][Vectors]) {
  unrolled<Rows>([&]<int r>() __attribute__((always_inline)) {
    unrolled<Vectors>([&]<int v>() __attribute__((always_inline)) { sums[r][v] = _mm256_setzero_si256(); });
  });
}

// Adds the products of half a quad to the sums of each row; its codes lie `row_bytes` behind those of the row before.
template <int Rows, int Vectors>
[[gnu::always_inline]] static inline void add_half(const __m256i (&half)[Vectors], const std::byte* codes,
                                                   int64_t row_bytes, __m256i (&sums)[Rows][Vectors]) {
  unrolled<Rows>([&]<int r>() __attribute__((always_inline)) {
    const __m256i pair = broadcast_pair(codes + r * row_bytes);
    unrolled<Vectors>([&]<int v>() __attribute__((always_inline)) {
      sums[r][v] = _mm256_add_epi32(sums[r][v], _mm256_madd_epi16(half[v], pair));
      // As pin(), and the codes of the next row are read afterwards: otherwise gcc takes all products of a quad first,
      // which pushes the sums out of the registers. Not for clang, which cannot name a captured variable in an asm.
#ifndef __clang__
      asm("" : "+x"(sums[r][v]), "+r"(codes));
#endif
    });
  });
}

// The same of a whole quad; cells of vector v come from load(v).
template <int Rows, int Vectors, typename Load>
[[gnu::always_inline]] static inline void add_quad(const Load& load, const std::byte* codes, int64_t row_bytes,
                                                   __m256i (&sums)[Rows][Vectors]) {
  __m256i cells[Vectors];
  __m256i half[Vectors];
  unrolled<Vectors>([&]<int v>() __attribute__((always_inline)) {
    cells[v] = load(v);
    half[v] = _mm256_srai_epi16(_mm256_slli_epi16(cells[v], 8), 8);
  });
  add_half(half, codes, row_bytes, sums);
  unrolled<Vectors>([&]<int v>() __attribute__((always_inline)) { half[v] = _mm256_srai_epi16(cells[v], 8); });
  add_half(half, codes + 4, row_bytes, sums);
}

static inline std::byte* query_codes(const Tile& tile) { return reinterpret_cast<std::byte*>(tile.q); }

// The codes of q as [head_dim / 4, up][rows][4] int16, zeros behind the last feature.
void encode_query(const Tile& tile, int64_t row) {
  const int64_t head_dim = tile.args.head_dim;
  const float* q = tile.query(row);
  const float largest = largest_magnitude(q, head_dim);
  const __m256 inverse = inverse_step<kQueryCodes>(largest);
  std::byte* place = query_codes(tile) + row * 8;
  for (int64_t d = 0; d < head_dim; d += kVector, place += tile.rows * 16) {
    const int64_t left = head_dim - d;
    __m256i codes = codes_within<kQueryCodes>(load_first(q + d, left), inverse);
    if (left < kVector) codes = _mm256_and_si256(codes, first_lanes(left));  // 0 * infinity is not a zero
    const __m256i words = in_pairs(_mm256_packs_epi32(codes, codes));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(place), _mm256_castsi256_si128(words));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(place + tile.rows * 8), _mm256_extracti128_si256(words, 1));
  }
  tile.scores_of(row)[kQueryStep] = largest / static_cast<float>(kQueryCodes) * tile.args.scale;
}

// Scaled scores of `Vectors` vectors of keys of one page for `Rows` rows, those out of sight among them. `next` is what
// will be read a while after this page.
template <int Rows, int Vectors>
static inline void score_block(const Tile& tile, int64_t row, const int8_t* keys, const int8_t* next,
                               const float* scales, float* row_scores, int64_t slot) {
  const int64_t quads = (tile.args.head_dim + 3) / 4;
  const std::byte* codes = query_codes(tile) + row * 8;
  const int64_t next_codes = tile.rows * 8;
  const float* steps = tile.scores_of(row) + kQueryStep;
  for (int64_t begin = 0; begin < quads; begin += kGroupQuads, scales += kPageTokens) {
    const int64_t end = begin + kGroupQuads < quads ? begin + kGroupQuads : quads;
    __m256i products[Rows][Vectors];
    clear(products);
    for (int64_t quad = begin; quad < end; ++quad, codes += next_codes) {
      const int8_t* cells = keys + quad * kQuadBytes + slot * 4;
      prefetch(next, quad * kQuadBytes + slot * 4, Vectors * kVectorBytes);
      const auto load = [&](int v) __attribute__((always_inline)) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(cells + v * kVectorBytes));
      };
      add_quad(load, codes, 8, products);
    }
    unrolled<Rows>([&]<int r>() __attribute__((always_inline)) {
      const __m256 step = _mm256_broadcast_ss(steps + r * kScoreStride);
      unrolled<Vectors>([&]<int v>() __attribute__((always_inline)) {
        float* place = row_scores + r * kScoreStride + slot + v * kVector;
        const __m256 before = begin == 0 ? _mm256_setzero_ps() : _mm256_loadu_ps(place);
        const __m256 scale = _mm256_loadu_ps(scales + slot + v * kVector);
        const __m256 dot = _mm256_fmadd_ps(_mm256_cvtepi32_ps(products[r][v]), scale, before);
        _mm256_storeu_ps(place, end == quads ? _mm256_mul_ps(dot, step) : dot);
      });
    });
  }
}

void score(const Tile& tile) {
  for (int64_t page = tile.page_begin; page < tile.page_end; ++page) {
    const int8_t* keys = tile.keys<int8_t>(page);
    const int8_t* next = tile.after_keys<int8_t>(page);
    const float* scales = paging::scales_of(keys, tile.args.head_dim);
    prefetch(paging::scales_of(next, tile.args.head_dim), 0, key_groups(tile.args.head_dim) * kPageTokens);
    float* scores = tile.scores_of(0, page);
    for_even_blocks<kMostRows>(tile.rows, [&]<int Rows>(int64_t row) {
      constexpr int kVectors = kVectorsOf<Rows>;
      for (int64_t slot = 0; slot < kPageTokens; slot += kVectors * kVector) {
        score_block<Rows, kVectors>(tile, row, keys, next, scales, scores + row * kScoreStride, slot);
      }
    });
  }
}

static inline float& weight_step(const Tile& tile, int64_t row, int64_t page) {
  return tile.scores_of(row)[kWeightSteps + page - tile.span_first / kPageTokens];
}

// The weights of one row and page, times the scales of their values, become codes, in their place: 32 int16.
void encode_weights(const Tile& tile, int64_t row, int64_t page, const float* scales) {
  float* weights = tile.scores_of(row, page);
  const int64_t first = tile.first(row) - page * kPageTokens;
  const int64_t end = tile.last(row) + 1 - page * kPageTokens;
  const __m256 zero = _mm256_setzero_ps();
  __m256 scaled[kPageVectors];
  __m256 largest = zero;
  for (int v = 0; v < kPageVectors; ++v) {
    const int64_t at = v * kVector;
    const __m256 weight = _mm256_mul_ps(_mm256_loadu_ps(weights + at), _mm256_loadu_ps(scales + at));
    scaled[v] = keep_visible(at, first, end, weight, zero);
    largest = _mm256_max_ps(scaled[v], largest);
  }
  const float peak = largest_lane(largest);
  const __m256 inverse = inverse_step<kWeightCodes>(peak);
  __m256i codes[kPageVectors];
  for (int v = 0; v < kPageVectors; ++v) {
    // Hidden again: 0 * infinity is not a zero.
    const __m256i code = codes_within<kWeightCodes>(scaled[v], inverse);
    codes[v] = _mm256_castps_si256(keep_visible(v * kVector, first, end, _mm256_castsi256_ps(code), zero));
  }
  for (int v = 0; v < kPageVectors; v += 2) {
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(codes[v], codes[v + 1]), 0xd8);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(weights + v * kVector / 2), in_pairs(words));
  }
  weight_step(tile, row, page) = peak / static_cast<float>(kWeightCodes);
}

// Adds the values of a page, `Vectors` vectors of features from d on, of which the last holds `last` real ones, to the
// sums in the partials of `Rows` rows.
template <int Rows, int Vectors>
static inline void weigh_block(const Tile& tile, int64_t row, int64_t page, const int8_t* values, const int8_t* next,
                               int64_t d, int64_t last) {
  __m256i products[Rows][Vectors];
  clear(products);
  const int64_t head_dim = tile.args.head_dim;
  const std::byte* codes = reinterpret_cast<const std::byte*>(tile.scores_of(row, page));
  const float* steps = &weight_step(tile, row, page);
  float* sums = tile.sums_of(row) + d;
  for (int64_t quad = 0; quad < kQuads; ++quad, codes += 8) {
    const int8_t* cells = values + (quad * head_dim + d) * 4;
    prefetch(next, (quad * head_dim + d) * 4, Vectors * kVectorBytes);
    const auto load = [&](int v) __attribute__((always_inline)) {
      const int8_t* place = cells + v * kVectorBytes;
      if (v + 1 < Vectors || last >= kVector) return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(place));
      return _mm256_maskload_epi32(reinterpret_cast<const int*>(place), first_lanes(last));
    };
    add_quad(load, codes, kScoreStride * 4, products);
  }
  unrolled<Rows>([&]<int r>() __attribute__((always_inline)) {
    const __m256 step = _mm256_broadcast_ss(steps + r * kScoreStride);
    unrolled<Vectors>([&]<int v>() __attribute__((always_inline)) {
      const int64_t count = v + 1 < Vectors ? kVector : last;
      float* place = sums + r * (kPartialValues + head_dim) + v * kVector;
      const __m256 added = _mm256_cvtepi32_ps(products[r][v]);
      store_first(place, count, _mm256_fmadd_ps(added, step, load_first(place, count)));
    });
  });
}

void weigh(const Tile& tile) {
  const int64_t head_dim = tile.args.head_dim;
  tile.clear_sums();
  for (int64_t page = tile.page_begin; page < tile.page_end; ++page) {
    const int8_t* values = tile.values<int8_t>(page);
    const int8_t* next = tile.after_values<int8_t>(page);
    prefetch(paging::scales_of(next, head_dim), 0, kPageTokens);
    for (int64_t row = 0; row < tile.rows; ++row) encode_weights(tile, row, page, paging::scales_of(values, head_dim));
    for_even_blocks<kMostRows>(tile.rows, [&]<int Rows>(int64_t row) {
      for (int64_t d = 0; d < head_dim; d += kVectorsOf<Rows> * kVector) {
        const int64_t left = (head_dim - d + kVector - 1) / kVector;
        with_count<kVectorsOf<Rows>>(left, [&]<int Vectors>() {
          weigh_block<Rows, Vectors>(tile, row, page, values, next, d, head_dim - d - (Vectors - 1) * kVector);
        });
      }
    });
  }
}

}  // namespace

void attend_int8(const AttentionArgs& args) {
  const Tile tile(args);
  tile.prefetch_first();
  for (int64_t row = 0; row < tile.rows; ++row) encode_query(tile, row);
  score(tile);
  for (int64_t row = 0; row < tile.rows; ++row) weights_of(tile, row);
  weigh(tile);
}

}  // namespace honed::avx2
