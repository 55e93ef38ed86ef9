// Arrays from Python, taken as they are: exact type, C order, nothing converted.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <string>

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

template <typename T>
const T* values(const AnyArray& array) {
  return static_cast<const T*>(array.data());
}

inline int64_t size(const AnyArray& array, std::size_t dimension) {
  return static_cast<int64_t>(array.shape(dimension));
}

}  // namespace honed::bindings
