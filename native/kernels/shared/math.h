// exp and the activations, lane by lane, in the order of operations that kernel_table.h gives.
#pragma once

#include "kernels/shared/vector.h"

namespace honed::shared {
namespace {

template <FloatVector V>
inline Floats<V> exp(Floats<V> x) {
  x = V::max(x, V::all(-87.33654f));
  x = V::min(x, V::all(88.0f));
  const Floats<V> n = V::round(V::mul(x, V::all(1.44269504f)));
  Floats<V> r = V::fma(n, V::all(-0.693359375f), x);
  r = V::fma(n, V::all(2.12194440e-4f), r);
  Floats<V> p = V::all(1.9875691500e-4f);
  p = V::fma(p, r, V::all(1.3981999507e-3f));
  p = V::fma(p, r, V::all(8.3334519073e-3f));
  p = V::fma(p, r, V::all(4.1665795894e-2f));
  p = V::fma(p, r, V::all(1.6666665459e-1f));
  p = V::fma(p, r, V::all(5.0000001201e-1f));
  p = V::add(V::fma(p, V::mul(r, r), r), V::all(1.0f));
  return V::times_power_of_two(p, n);
}

template <FloatVector V, int Count>
inline Floats<V> polynomial(const float (&coefficients)[Count], Floats<V> x) {
  Floats<V> p = V::all(coefficients[0]);
#pragma GCC unroll 8
  for (int i = 1; i < Count; ++i) p = V::fma(p, x, V::all(coefficients[i]));
  return p;
}

// erf or tanh.
template <FloatVector V, typename Terms>
inline Floats<V> rational(Floats<V> x) {
  x = V::max(x, V::all(-Terms::limit));
  x = V::min(x, V::all(Terms::limit));
  const Floats<V> square = V::mul(x, x);
  return V::div(V::mul(x, polynomial<V>(Terms::top, square)), polynomial<V>(Terms::bottom, square));
}

template <FloatVector V>
inline Floats<V> silu(Floats<V> x) {
  return V::div(x, V::add(V::all(1.0f), exp<V>(V::negate(x))));
}

template <FloatVector V>
inline Floats<V> gelu_tanh(Floats<V> x) {
  const Floats<V> square = V::mul(V::mul(V::all(0.044715f), x), x);
  const Floats<V> t = V::mul(V::all(0.7978845608f), V::fma(square, x, x));
  return V::div(x, V::add(V::all(1.0f), exp<V>(V::mul(V::all(-2.0f), t))));
}

template <FloatVector V>
inline Floats<V> gelu(Floats<V> x) {
  const Floats<V> half = V::mul(V::all(0.5f), x);
  return V::fma(half, rational<V, ErfTerms>(V::mul(x, V::all(0.70710678f))), half);
}

template <FloatVector V, Activation Kind>
inline Floats<V> activation(Floats<V> x) {
  if constexpr (Kind == Activation::silu) return silu<V>(x);
  if constexpr (Kind == Activation::gelu_tanh) return gelu_tanh<V>(x);
  if constexpr (Kind == Activation::gelu) return gelu<V>(x);
  if constexpr (Kind == Activation::tanh) return rational<V, TanhTerms>(x);
  if constexpr (Kind == Activation::relu) return V::max(x, V::zero());
}

template <FloatVector V, Gate Kind>
inline Floats<V> gate(Floats<V> g, Floats<V> up) {
  if constexpr (Kind == Gate::silu) return V::mul(silu<V>(g), up);
  if constexpr (Kind == Gate::gelu_tanh) return V::mul(gelu_tanh<V>(g), up);
  if constexpr (Kind == Gate::gelu) return V::mul(gelu<V>(g), up);
  if constexpr (Kind == Gate::clamped_silu) {
    g = V::min(g, V::all(kGateLimit));
    up = V::min(V::max(up, V::all(-kGateLimit)), V::all(kGateLimit));
    const Floats<V> divisor = V::add(V::all(1.0f), exp<V>(V::mul(V::all(-kGateSlope), g)));
    return V::mul(V::div(g, divisor), V::add(up, V::all(1.0f)));
  }
}

}  // namespace
}  // namespace honed::shared
