// The slots that compute each value of a row from those in its place: activations, sum and multiple.
#pragma once

#include "kernels/shared/math.h"

namespace honed::shared {
namespace {

// Calls body.operator()<Kind>().
template <typename Body>
inline void with_activation(Activation kind, const Body& body) {
  switch (kind) {
    case Activation::silu: return body.template operator()<Activation::silu>();
    case Activation::gelu_tanh: return body.template operator()<Activation::gelu_tanh>();
    case Activation::gelu: return body.template operator()<Activation::gelu>();
    case Activation::tanh: return body.template operator()<Activation::tanh>();
    case Activation::relu: return body.template operator()<Activation::relu>();
  }
}

// The same with a gate.
template <typename Body>
inline void with_gate(Gate kind, const Body& body) {
  switch (kind) {
    case Gate::silu: return body.template operator()<Gate::silu>();
    case Gate::gelu_tanh: return body.template operator()<Gate::gelu_tanh>();
    case Gate::gelu: return body.template operator()<Gate::gelu>();
    case Gate::clamped_silu: return body.template operator()<Gate::clamped_silu>();
  }
}

template <FloatVector V>
void activate(const ActivateArgs& args) {
  with_activation(args.activation, [&]<Activation Kind>() {
    for (int64_t row = args.row_begin; row < args.row_end; ++row) {
      const float* x = args.x + row * args.x_stride;
      float* y = args.y + row * args.y_stride;
      for_vectors<V>(args.width, [&](int64_t i, auto lanes) {
        V::store(y + i, lanes, activation<V, Kind>(V::load(x + i, lanes)));
      });
    }
  });
}

template <FloatVector V>
void gated(const GatedArgs& args) {
  with_gate(args.gate, [&]<Gate Kind>() {
    for (int64_t row = args.row_begin; row < args.row_end; ++row) {
      const float* x = args.x + row * args.x_stride;
      const float* up = x + args.width;
      float* y = args.y + row * args.y_stride;
      for_vectors<V>(args.width, [&](int64_t i, auto lanes) {
        V::store(y + i, lanes, gate<V, Kind>(V::load(x + i, lanes), V::load(up + i, lanes)));
      });
    }
  });
}

template <FloatVector V>
void add(const AddArgs& args) {
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* x = args.x + row * args.x_stride;
    float* y = args.y + row * args.y_stride;
    for_vectors<V>(args.width, [&](int64_t i, auto lanes) {
      V::store(y + i, lanes, V::add(V::load(y + i, lanes), V::load(x + i, lanes)));
    });
  }
}

template <FloatVector V>
void scale(const ScaleArgs& args) {
  const Floats<V> factor = V::all(args.factor);
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* x = args.x + row * args.x_stride;
    float* y = args.y + row * args.y_stride;
    for_vectors<V>(args.width, [&](int64_t i, auto lanes) {
      V::store(y + i, lanes, V::mul(V::load(x + i, lanes), factor));
    });
  }
}

}  // namespace
}  // namespace honed::shared
