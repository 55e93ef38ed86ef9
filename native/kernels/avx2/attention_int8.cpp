// Attention over an int8 cache: codes are int16, and a cell is widened where it lies, by shifts.
#include "kernels/shared/attention_int8.h"

#include "kernels/avx2/attention_int8.h"
#include "kernels/avx2/vector.h"

namespace honed::avx2 {
namespace {

using shared::kQuadBytes;
using shared::kRowBytes;
using shared::unrolled;

constexpr int64_t kVectorBytes = 32;

// Codes, int16, of features or tokens 0, 2, 1, 3 of each four: two of them to a lane meet the even bytes of cells,
// widened by shifts in place, the other two the odd ones.
inline __m256i in_pairs(__m256i four_a_lane) {
  const __m256i order = _mm256_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15,  //
                                         0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
  return _mm256_shuffle_epi8(four_a_lane, order);
}

inline __m256i broadcast_pair(const std::byte* codes) {
  int32_t pair;
  std::memcpy(&pair, codes, sizeof pair);
  return _mm256_set1_epi32(pair);
}

template <int Rows, int Vectors>
struct Sums {
  __m256i of[Rows][Vectors];

  [[gnu::always_inline]] void clear() {
    unrolled<Rows>([&]<int r>() __attribute__((always_inline)) {
      unrolled<Vectors>([&]<int v>() __attribute__((always_inline)) { of[r][v] = _mm256_setzero_si256(); });
    });
  }
  [[gnu::always_inline]] __m256 total(int r, int v) const { return _mm256_cvtepi32_ps(of[r][v]); }
};

// Adds the products of half a quad to the sums of each row; its codes lie `row_bytes` behind those of the row before.
template <int Rows, int Vectors>
[[gnu::always_inline]] inline void add_half(const __m256i (&half)[Vectors], const std::byte* codes, int64_t row_bytes,
                                            Sums<Rows, Vectors>& sums) {
  unrolled<Rows>([&]<int r>() __attribute__((always_inline)) {
    const __m256i pair = broadcast_pair(codes + r * row_bytes);
    unrolled<Vectors>([&]<int v>() __attribute__((always_inline)) {
      sums.of[r][v] = _mm256_add_epi32(sums.of[r][v], _mm256_madd_epi16(half[v], pair));
      // As pin(), and the codes of the next row are read afterwards: otherwise gcc takes all products of a quad first,
      // which pushes the sums out of the registers. Not for clang, which cannot name a captured variable in an asm.
#ifndef __clang__
      asm("" : "+x"(sums.of[r][v]), "+r"(codes));
#endif
    });
  });
}

// The same of a whole quad; cells of vector v come from load(v).
template <int Rows, int Vectors, typename Load>
[[gnu::always_inline]] inline void add_quad(const Load& load, const std::byte* codes, int64_t row_bytes,
                                            Sums<Rows, Vectors>& sums) {
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

struct Integers {
  using Vector = avx2::Vector;
  static constexpr int kMostRows = 5;
  // Sums of up to three rows by four vectors or of more by two: in 12 of 16 registers at most.
  template <int Rows>
  static constexpr int kVectors = Rows <= 3 ? 4 : 2;
  template <int Rows, int Vectors>
  using Products = Sums<Rows, Vectors>;

  // Of q: [head_dim / 4, up][rows] quads, four int16 each.
  static constexpr int64_t kCodeBytes = 8;
  static std::byte* query(const shared::Tile& tile, int64_t row, int64_t quad) {
    return reinterpret_cast<std::byte*>(tile.q) + (quad * tile.rows + row) * kCodeBytes;
  }
  static void put_query(const shared::Tile& tile, int64_t row, int64_t d, const __m256i (&codes)[2]) {
    for (int v = 0; v < 2; ++v) {
      const int64_t quad = (d + v * kVector) / 4;
      const __m256i words = in_pairs(_mm256_packs_epi32(codes[v], codes[v]));
      _mm_storel_epi64(reinterpret_cast<__m128i*>(query(tile, row, quad)), _mm256_castsi256_si128(words));
      _mm_storel_epi64(reinterpret_cast<__m128i*>(query(tile, row, quad + 1)), _mm256_extracti128_si256(words, 1));
    }
  }

  // 32 int16.
  static void put_weights(float* place, const __m256i (&codes)[4]) {
    for (int v = 0; v < 4; v += 2) {
      const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(codes[v], codes[v + 1]), 0xd8);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(place + v * kVector / 2), in_pairs(words));
    }
  }

  template <int Rows, int Vectors>
  [[gnu::always_inline]] static void add_keys(const shared::Tile& tile, int64_t row, const int8_t* keys,
                                              const int8_t* next, int64_t begin, int64_t end, int64_t slot,
                                              Sums<Rows, Vectors>& sums) {
    const std::byte* codes = query(tile, row, begin);
    for (int64_t quad = begin; quad < end; ++quad, codes += tile.rows * kCodeBytes) {
      const int64_t from = quad * kQuadBytes + slot * 4;
      paging::prefetch(next, from, Vectors * kVectorBytes);
      const auto load = [&](int v) __attribute__((always_inline)) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(keys + from + v * kVectorBytes));
      };
      add_quad(load, codes, kCodeBytes, sums);
    }
  }

  template <int Rows, int Vectors>
  [[gnu::always_inline]] static void add_values(const shared::Tile& tile, int64_t row, int64_t page,
                                                const int8_t* values, const int8_t* next, int64_t d, int64_t last,
                                                Sums<Rows, Vectors>& sums) {
    const std::byte* codes = reinterpret_cast<const std::byte*>(tile.scores_of(row, page));
    for (int64_t quad = 0; quad < shared::kPageQuads; ++quad, codes += kCodeBytes) {
      const int64_t from = (quad * tile.args.head_dim + d) * 4;
      paging::prefetch(next, from, Vectors * kVectorBytes);
      const auto load = [&](int v) __attribute__((always_inline)) {
        const int8_t* place = values + from + v * kVectorBytes;
        if (v + 1 < Vectors || last >= kVector) return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(place));
        return _mm256_maskload_epi32(reinterpret_cast<const int*>(place), first_lanes(last));
      };
      add_quad(load, codes, kRowBytes, sums);
    }
  }
};

}  // namespace

void attend_int8(const AttentionArgs& args) { shared::attend_int8<Integers>(args); }

}  // namespace honed::avx2
