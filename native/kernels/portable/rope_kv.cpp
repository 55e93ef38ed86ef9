// Head norms, rotary embedding, and the write of k and v to the page of the token.
#include "kernels/paging/head.h"
#include "kernels/portable/cells.h"
#include "kernels/portable/slots.h"

namespace honed::portable {
namespace {

using paging::Place;

void normalize(float* head, const float* weight, int64_t head_dim, float eps) {
  const float r = inverse_rms(head, head_dim, eps);
  for (int64_t d = 0; d < head_dim; ++d) head[d] = (head[d] * r) * weight[d];
}

void rotate(float* head, const float* cos, const float* sin, int64_t half, bool interleaved) {
  for (int64_t i = 0; i < half; ++i) {
    float& first = head[interleaved ? 2 * i : i];
    float& second = head[interleaved ? 2 * i + 1 : half + i];
    const float x1 = first;
    const float x2 = second;
    first = fma(x1, cos[i], -(x2 * sin[i]));
    second = fma(x2, cos[i], x1 * sin[i]);
  }
}

void write_head(const Place<float>& place, const float* k, const float* v) {
  for (int64_t d = 0; d < place.head_dim; ++d) {
    place.keys[key_cell<float>(place.slot, d)] = k[d];
    place.values[value_cell<float>(place.slot, d, place.head_dim)] = v[d];
  }
}

void write_head(const Place<uint16_t>& place, const float* k, const float* v) {
  for (int64_t d = 0; d < place.head_dim; ++d) {
    place.keys[key_cell<uint16_t>(place.slot, d)] = bf16_from_f32(k[d]);
    place.values[value_cell<uint16_t>(place.slot, d, place.head_dim)] = bf16_from_f32(v[d]);
  }
  if (place.head_dim % 2 != 0) place.keys[key_cell<uint16_t>(place.slot, place.head_dim)] = 0;
}

void write_head(const Place<int8_t>& place, const float* k, const float* v) {
  paging::write_codes(place, k, v, codes_within<127, int8_t>);
}

}  // namespace

void rope_kv(const RopeKvArgs& args) {
  const auto prepare = [&](float* head, const float* norm, const float* cos, const float* sin) {
    if (norm != nullptr) normalize(head, norm, args.head_dim, args.eps);
    rotate(head, cos, sin, args.rotary_dim / 2, args.interleaved);
  };
  paging::rotate_and_write(args, prepare, [](const auto& place, const float* k, const float* v) {
    write_head(place, k, v);
  });
}

}  // namespace honed::portable
