// The greatest value of each row: sixteen lanes keep the first of theirs, then the lanes are compared.
#include "kernels/avx512vnni/slots.h"
#include "kernels/avx512vnni/vector.h"

namespace honed::avx512vnni {
namespace {

constexpr int32_t kLaneNumbers[kVector] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

}  // namespace

void argmax(const ArgmaxArgs& args) {
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  const __m512i infinite = _mm512_set1_epi32(0x7f800000);
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* x = args.x + row * args.x_stride;
    // Lanes past the end repeat the first column, which changes nothing.
    const __m512 first = _mm512_set1_ps(x[args.column_begin]);
    __m512 best = first;
    __m512i columns = _mm512_set1_epi32(static_cast<int32_t>(args.column_begin));
    __m512i here = _mm512_add_epi32(columns, _mm512_loadu_si512(kLaneNumbers));
    __mmask16 not_finite = 0;
    for (int64_t c = args.column_begin; c < args.column_end; c += kVector) {
      const __m512 value = _mm512_mask_loadu_ps(first, first_lanes(args.column_end - c), x + c);
      const __m512i bits = _mm512_and_si512(_mm512_castps_si512(value), magnitude);
      not_finite = static_cast<__mmask16>(not_finite | _mm512_cmpge_epi32_mask(bits, infinite));
      const __mmask16 greater = _mm512_cmp_ps_mask(value, best, _CMP_GT_OQ);
      best = _mm512_mask_mov_ps(best, greater, value);
      columns = _mm512_mask_mov_epi32(columns, greater, here);
      here = _mm512_add_epi32(here, _mm512_set1_epi32(kVector));
    }
    float values[kVector];
    int32_t firsts[kVector];
    _mm512_storeu_ps(values, best);
    std::memcpy(firsts, &columns, sizeof firsts);
    Choice choice{values[0], firsts[0], not_finite == 0 ? 1 : 0};
    for (int lane = 1; lane < kVector; ++lane) {
      const bool first_of_equals = values[lane] == choice.value && firsts[lane] < choice.column;
      if (values[lane] > choice.value || first_of_equals) choice = {values[lane], firsts[lane], choice.all_finite};
    }
    args.choices[row] = choice;
  }
}

}  // namespace honed::avx512vnni
