// The greatest value of each row: eight lanes keep the first of theirs, then the lanes and the rest are compared.
#include "kernels/avx2/slots.h"
#include "kernels/avx2/vector.h"

namespace honed::avx2 {

void argmax(const ArgmaxArgs& args) {
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  const __m256i most_finite = _mm256_set1_epi32(0x7f7fffff);
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* x = args.x + row * args.x_stride;
    __m256 best = _mm256_set1_ps(x[args.column_begin]);
    __m256i columns = _mm256_set1_epi32(static_cast<int32_t>(args.column_begin));
    __m256i here = _mm256_add_epi32(columns, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    __m256i not_finite = _mm256_setzero_si256();
    int64_t c = args.column_begin;
    for (; c + kVector <= args.column_end; c += kVector) {
      const __m256 value = _mm256_loadu_ps(x + c);
      const __m256i bits = _mm256_and_si256(_mm256_castps_si256(value), magnitude);
      not_finite = _mm256_or_si256(not_finite, _mm256_cmpgt_epi32(bits, most_finite));
      const __m256 greater = _mm256_cmp_ps(value, best, _CMP_GT_OQ);
      best = _mm256_blendv_ps(best, value, greater);
      columns = _mm256_blendv_epi8(columns, here, _mm256_castps_si256(greater));
      here = _mm256_add_epi32(here, _mm256_set1_epi32(kVector));
    }
    alignas(32) float values[kVector];
    alignas(32) int32_t firsts[kVector];
    _mm256_store_ps(values, best);
    _mm256_store_si256(reinterpret_cast<__m256i*>(firsts), columns);
    Choice choice{values[0], firsts[0], _mm256_testz_si256(not_finite, not_finite)};
    for (int lane = 1; lane < kVector; ++lane) {
      const bool first_of_equals = values[lane] == choice.value && firsts[lane] < choice.column;
      if (values[lane] > choice.value || first_of_equals) choice = {values[lane], firsts[lane], choice.all_finite};
    }
    for (; c < args.column_end; ++c) {
      if (!(__builtin_fabsf(x[c]) < __builtin_inff())) choice.all_finite = 0;
      if (x[c] > choice.value) choice = {x[c], static_cast<int32_t>(c), choice.all_finite};
    }
    args.choices[row] = choice;
  }
}

}  // namespace honed::avx2
