// Arrays from Python: exact type, C order, nothing converted. Python lets an array start at any address, as one over a
// file does whose header has an odd length; `Operand` is what native code reads such an array through.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <string>

#include "plan/weight.h"

namespace honed::bindings {

namespace nb = nanobind;

using AnyArray = nb::ndarray<nb::ro>;

enum class Element { int8, uint8, int32, uint16, float16, float32 };

// Throws nanobind::type_error for another element type or layout, std::invalid_argument for another number of
// dimensions or a place that is not in main memory.
void require_array(const AnyArray& array, const char* name, Element element, std::size_t dimensions);

// The element type of the array, among those above. Throws nanobind::type_error for others.
Element element_of(const AnyArray& array, const char* name);

// Throws std::invalid_argument where the size of a dimension is not the one named.
void require_size(const AnyArray& array, const char* name, std::size_t dimension, int64_t expected);

// The elements of an array where native code may read them: where they lie, or in a copy where they do not start at a
// multiple of their size. Lives no longer than the array.
class Operand {
 public:
  // As require_array.
  Operand(const AnyArray& array, const char* name, Element element, std::size_t dimensions);

  const void* data() const { return data_; }
  template <typename T>
  const T* as() const {
    return static_cast<const T*>(data_);
  }

 private:
  AlignedBuffer copy_;
  const void* data_;
};

inline int64_t size(const AnyArray& array, std::size_t dimension) {
  return static_cast<int64_t>(array.shape(dimension));
}

}  // namespace honed::bindings
