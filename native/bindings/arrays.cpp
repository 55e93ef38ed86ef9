#include "bindings/arrays.h"

#include <cstring>
#include <stdexcept>

namespace honed::bindings {
namespace {

struct ElementType {
  Element element;
  nb::dlpack::dtype_code code;
  uint8_t bits;
  const char* name;
};

constexpr ElementType kTypes[] = {
    {Element::int8, nb::dlpack::dtype_code::Int, 8, "int8"},
    {Element::uint8, nb::dlpack::dtype_code::UInt, 8, "uint8"},
    {Element::int32, nb::dlpack::dtype_code::Int, 32, "int32"},
    {Element::uint16, nb::dlpack::dtype_code::UInt, 16, "uint16"},
    {Element::float16, nb::dlpack::dtype_code::Float, 16, "float16"},
    {Element::float32, nb::dlpack::dtype_code::Float, 32, "float32"},
};

const char* name_of(Element element) {
  for (const auto& type : kTypes) {
    if (type.element == element) return type.name;
  }
  return "?";
}

void require_c_order(const AnyArray& array, const char* name) {
  int64_t stride = 1;
  if (array.size() == 0) return;
  for (std::size_t i = array.ndim(); i-- > 0;) {
    if (array.shape(i) != 1 && array.stride(i) != stride) {
      throw nb::type_error((std::string(name) + " must be C-contiguous").c_str());
    }
    stride *= static_cast<int64_t>(array.shape(i));
  }
}

}  // namespace

Element element_of(const AnyArray& array, const char* name) {
  const auto dtype = array.dtype();
  for (const auto& type : kTypes) {
    if (dtype.lanes == 1 && dtype.bits == type.bits && dtype.code == static_cast<uint8_t>(type.code)) {
      return type.element;
    }
  }
  throw nb::type_error((std::string(name) + " has an element type that nothing here takes").c_str());
}

void require_array(const AnyArray& array, const char* name, Element element, std::size_t dimensions) {
  if (array.device_type() != nb::device::cpu::value) {
    throw std::invalid_argument(std::string(name) + " must be in main memory");
  }
  const Element found = element_of(array, name);
  if (found != element) {
    throw nb::type_error((std::string(name) + " must be " + name_of(element) + ", not " + name_of(found)).c_str());
  }
  if (array.ndim() != dimensions) {
    throw std::invalid_argument(std::string(name) + " has " + std::to_string(array.ndim()) + " dimensions: must have " +
                                std::to_string(dimensions));
  }
  require_c_order(array, name);
}

Operand::Operand(const AnyArray& array, const char* name, Element element, std::size_t dimensions)
    : data_(array.data()) {
  require_array(array, name, element, dimensions);
  const auto bytes_of_element = static_cast<std::uintptr_t>(array.dtype().bits / 8);
  if (array.nbytes() == 0 || reinterpret_cast<std::uintptr_t>(data_) % bytes_of_element == 0) return;
  copy_ = AlignedBuffer(array.nbytes());
  std::memcpy(copy_.data(), data_, array.nbytes());
  data_ = copy_.data();
}

void require_size(const AnyArray& array, const char* name, std::size_t dimension, int64_t expected) {
  const int64_t found = size(array, dimension);
  if (found != expected) {
    throw std::invalid_argument(std::string(name) + ".shape[" + std::to_string(dimension) +
                                "] = " + std::to_string(found) + ": must be " + std::to_string(expected));
  }
}

}  // namespace honed::bindings
