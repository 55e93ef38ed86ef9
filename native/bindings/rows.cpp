// What is made of rows that an executor gave.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <memory>

#include "bindings/arrays.h"
#include "bindings/handles.h"
#include "executor/column_squares.h"

namespace honed::bindings {
namespace {

using Sums = nb::ndarray<nb::numpy, double, nb::ndim<1>>;

Sums column_squares_of(const AnyArray& rows) {
  const Operand operand(rows, "rows", Element::float32, 2);
  const int64_t columns = size(rows, 1);
  auto sums = std::make_unique<double[]>(static_cast<std::size_t>(columns));
  {
    const nb::gil_scoped_release released;
    column_squares(operand.as<float>(), size(rows, 0), columns, sums.get());
  }
  double* memory = sums.get();
  const nb::capsule owner(memory, [](void* held) noexcept { delete[] static_cast<double*>(held); });
  sums.release();
  return Sums(memory, {static_cast<std::size_t>(columns)}, owner);
}

}  // namespace

void bind_rows(nb::module_& module) {
  module.def("column_squares", column_squares_of, nb::arg("rows").noconvert());
}

}  // namespace honed::bindings
