// Weight, the plain weights, and the builders of packed ones.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

#include "bindings/arrays.h"
#include "bindings/handles.h"
#include "bindings/names.h"
#include "packing/blocks.h"
#include "packing/checked.h"
#include "packing/dense.h"
#include "packing/int4.h"
#include "packing/int8.h"
#include "packing/plain.h"
#include "packing/prepacked.h"
#include "plan/names.h"

namespace honed::bindings {
namespace {

constexpr std::array kFloatNames{"float32", "bfloat16", "float16"};
constexpr std::array kBlockNames{"Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0",   "Q4_K",
                                 "Q5_K", "Q6_K", "Q2_K", "Q3_K", "IQ4_NL", "IQ4_XS"};
constexpr std::array kFormNames{"Q4_K",  "Q5_K",    "Q5_1",    "Q6_K",  "Q2_K",   "Q3_K",  "IQ4_XS",
                                "IQ3_S", "IQ3_XXS", "IQ2_XXS", "IQ1_S", "IQ2_XS", "IQ2_S", "IQ1_M"};
constexpr std::array kOffsetNames{"symmetric", "zero_point", "minimum"};

FloatType float_type(const std::string& dtype) { return static_cast<FloatType>(index_of(kFloatNames, "dtype", dtype)); }

Element element_of(FloatType type) {
  return type == FloatType::f32 ? Element::float32 : type == FloatType::bf16 ? Element::uint16 : Element::float16;
}

// A builder with a lock: while the GIL is released another Python thread could call it.
template <typename Builder>
class Locked {
 public:
  template <typename... Args>
  explicit Locked(Args... args) : builder_(args...) {}
  const Builder& shape() const { return builder_; }
  template <typename Fn>
  auto use(const Fn& fn) {
    const nb::gil_scoped_release released;
    const std::lock_guard<std::mutex> lock(mutex_);
    return fn(builder_);
  }

 private:
  std::mutex mutex_;
  Builder builder_;
};

using Dense = Locked<DenseBuilder>;
using Int8 = Locked<Int8Builder>;
using Int4 = Locked<Int4Builder>;
using Blocks = Locked<BlocksBuilder>;

WeightHandle vector(const AnyArray& array) {
  const Operand values(array, "values", Element::float32, 1);
  return {make_vector(values.as<float>(), size(array, 0))};
}

WeightHandle table(const AnyArray& array, const std::string& dtype) {
  const FloatType type = float_type(dtype);
  require_array(array, "values", element_of(type), 2);
  constexpr TableType kTypes[] = {TableType::f32, TableType::bf16, TableType::f16};
  return {make_table(array.data(), kTypes[static_cast<std::size_t>(type)], size(array, 0), size(array, 1),
                     std::make_shared<AnyArray>(array))};
}

WeightHandle block_table(const AnyArray& data, const std::string& type_name, int64_t width) {
  require_array(data, "data", Element::uint8, 2);
  constexpr int kFirst = static_cast<int>(TableType::q4_0);
  const auto type = static_cast<TableType>(kFirst + static_cast<int>(index_of(kBlockNames, "type_name", type_name)));
  const TableBlock block = table_block(type);
  require_size(data, "data", 1, product("width", width / block.values, block.bytes));
  return {make_table(data.data(), type, size(data, 0), width, std::make_shared<AnyArray>(data))};
}

void place_dense(Dense& self, const AnyArray& array, const std::string& dtype, int64_t first, int64_t step) {
  const FloatType type = float_type(dtype);
  const Operand values(array, "values", element_of(type), 2);
  require_size(array, "values", 1, self.shape().k());
  const Placement placement{size(array, 0), first, step};
  self.use([&](DenseBuilder& builder) { builder.place(values.data(), type, placement); });
}

void place_int8(Int8& self, const AnyArray& codes, const AnyArray& scales, int64_t first, int64_t step) {
  const Operand bytes(codes, "codes", Element::int8, 2);
  require_size(codes, "codes", 1, self.shape().k());
  const Placement placement{size(codes, 0), first, step};
  if (self.shape().group() == 0) {
    const Operand factors(scales, "scales", Element::float32, 1);
    require_size(scales, "scales", 0, placement.rows);
    self.use([&](Int8Builder& b) { b.place(bytes.as<int8_t>(), factors.as<float>(), placement); });
  } else {
    const Operand factors(scales, "scales", Element::float16, 2);
    require_size(scales, "scales", 0, placement.rows);
    require_size(scales, "scales", 1, self.shape().groups());
    self.use([&](Int8Builder& b) { b.place(bytes.as<int8_t>(), factors.as<uint16_t>(), placement); });
  }
}

// An array [rows][columns] that may be missing.
std::optional<Operand> matrix(const std::optional<AnyArray>& array, const char* name, Element element, int64_t rows,
                              int64_t columns) {
  if (!array) return std::nullopt;
  std::optional<Operand> operand(std::in_place, *array, name, element, std::size_t{2});
  require_size(*array, name, 0, rows);
  require_size(*array, name, 1, columns);
  return operand;
}

template <typename T>
const T* values_or_null(const std::optional<Operand>& operand) {
  return operand ? operand->as<T>() : nullptr;
}

void place_int4(Int4& self, const AnyArray& codes, const AnyArray& scales, const std::optional<AnyArray>& offsets,
                int64_t first, int64_t step) {
  const Operand bytes(codes, "codes", Element::uint8, 2);
  require_size(codes, "codes", 1, self.shape().k());
  const Placement placement{size(codes, 0), first, step};
  const auto factors = matrix(scales, "scales", Element::float16, placement.rows, self.shape().groups());
  const Element kind = self.shape().offset() == Int4Offset::zero_point ? Element::uint8 : Element::float16;
  const auto shifts = matrix(offsets, "offsets", kind, placement.rows, self.shape().groups());
  self.use([&](Int4Builder& b) {
    b.place(bytes.as<uint8_t>(), factors->as<uint16_t>(), values_or_null<std::byte>(shifts), placement);
  });
}

void place_blocks(Blocks& self, const AnyArray& codes, const AnyArray& d, const std::optional<AnyArray>& m,
                  const std::optional<AnyArray>& levels, int64_t first, int64_t step) {
  const Operand bytes(codes, "codes", Element::uint8, 2);
  const Placement placement{size(codes, 0), first, step};
  const BlocksBuilder& shape = self.shape();
  require_size(codes, "codes", 1, shape.k());
  const auto factors = matrix(d, "d", Element::float16, placement.rows, shape.super_blocks());
  const auto minimums = matrix(m, "m", Element::float16, placement.rows, shape.super_blocks());
  const auto scales = matrix(levels, "levels", Element::uint8, placement.rows, shape.levels());
  const BlockRows rows{bytes.as<uint8_t>(), factors->as<uint16_t>(), values_or_null<uint16_t>(minimums),
                       values_or_null<uint8_t>(scales)};
  self.use([&](BlocksBuilder& builder) { builder.place(rows, placement); });
}

template <typename Builder>
WeightHandle finish(Locked<Builder>& self) {
  return {self.use([](Builder& builder) { return builder.finish(); })};
}

int64_t rows_of(const WeightHandle& self) { return self.weight->rows; }
int64_t columns_of(const WeightHandle& self) { return self.weight->columns; }
const char* kind_of(const WeightHandle& self) { return traits(self.weight->kind).name; }

// What formats of Python say of their kernels: name, whether rows in front are quantized, whether rows are looked up.
nb::dict matrix_formats() {
  nb::dict formats;
  for (const WeightTraits& kind : kWeightTraits) {
    if (kind.is_matrix()) formats[kind.encoding] = nb::make_tuple(kind.quantizes(), kind.codes.has_value());
  }
  return formats;
}

WeightKind dense_kind(const std::string& dtype) {
  constexpr std::array kNames{"float32", "bfloat16"};
  return index_of(kNames, "dtype", dtype) == 0 ? WeightKind::dense_f32 : WeightKind::dense_bf16;
}

int64_t given_group(std::optional<int64_t> group) {
  if (group && *group == 0) throw std::invalid_argument("builder: group = 0: must be None, 32, 64 or 128");
  return group.value_or(0);
}

Int4Offset int4_offset(const std::string& offset) {
  return static_cast<Int4Offset>(index_of(kOffsetNames, "offset", offset));
}

BlockForm block_form(const std::string& type_name) {
  return static_cast<BlockForm>(index_of(kFormNames, "type_name", type_name));
}

Codebook codebook_of(const AnyArray& array) {
  const Operand values(array, "codebook", Element::int8, 1);
  require_size(array, "codebook", 0, 16);
  Codebook codebook{};
  std::copy_n(values.as<int8_t>(), codebook.size(), codebook.begin());
  return codebook;
}

// A class of its own in Python, over the same builder.
class CodebookBuilder : public Int4 {
 public:
  using Int4::Int4;
};

void make_codebook(CodebookBuilder* self, int64_t n, int64_t k, int64_t group, const AnyArray& codebook, int threads) {
  new (self) CodebookBuilder(n, k, group, codebook_of(codebook), threads);
}

void place_codebook(CodebookBuilder& self, const AnyArray& codes, const AnyArray& scales, int64_t first, int64_t step) {
  place_int4(self, codes, scales, std::nullopt, first, step);
}

WeightHandle finish_codebook(CodebookBuilder& self) { return finish<Int4Builder>(self); }

void make_blocks(Blocks* self, int64_t n, int64_t k, const std::string& type_name, int threads) {
  new (self) Blocks(n, k, block_form(type_name), threads);
}

void make_dense(Dense* self, int64_t n, int64_t k, const std::string& dtype, int threads) {
  new (self) Dense(n, k, dense_kind(dtype), threads);
}

void make_int8(Int8* self, int64_t n, int64_t k, std::optional<int64_t> group, int threads) {
  new (self) Int8(n, k, given_group(group), threads);
}

void make_int4(Int4* self, int64_t n, int64_t k, int64_t group, const std::string& offset, int threads) {
  new (self) Int4(n, k, group, int4_offset(offset), threads);
}

// Views whose owner is the Python object of the weight, which they keep alive.
nb::object data_of(nb::handle self) {
  const Weight& weight = *nb::cast<const WeightHandle&>(self).weight;
  const void* data = weight.kind == WeightKind::table    ? weight.borrowed
                     : weight.kind == WeightKind::vector ? weight.buffer.data()
                                                         : weight.panels;
  const auto bytes = static_cast<std::size_t>(weight_bytes(weight)) - weight.column_scales.size() * sizeof(float);
  return nb::cast(nb::ndarray<nb::numpy, const uint8_t, nb::ndim<1>>(data, {bytes}, self));
}

nb::object column_scales_of(nb::handle self) {
  const Weight& weight = *nb::cast<const WeightHandle&>(self).weight;
  return nb::cast(nb::ndarray<nb::numpy, const float, nb::ndim<1>>(weight.column_scales.data(),
                                                                   {weight.column_scales.size()}, self));
}

WeightHandle borrow(Weight&& layout, const AnyArray& panels, const float* scales, int64_t count) {
  require_array(panels, "panels", Element::uint8, 1);
  return {borrow_panels(std::move(layout), static_cast<const std::byte*>(panels.data()), size(panels, 0), scales, count,
                        std::make_shared<AnyArray>(panels))};
}

WeightHandle prepacked_dense(int64_t n, int64_t k, const std::string& dtype, const AnyArray& panels) {
  return borrow(dense_layout(n, k, dense_kind(dtype)), panels, nullptr, 0);
}

WeightHandle prepacked_int8(int64_t n, int64_t k, std::optional<int64_t> group, const AnyArray& panels,
                            const AnyArray& scales) {
  const Operand factors(scales, "column_scales", Element::float32, 1);
  return borrow(int8_layout(n, k, given_group(group)), panels, factors.as<float>(), size(scales, 0));
}

WeightHandle prepacked_int4(int64_t n, int64_t k, int64_t group, const std::string& offset, const AnyArray& panels) {
  return borrow(int4_layout(n, k, group, int4_offset(offset)), panels, nullptr, 0);
}

WeightHandle prepacked_codebook(int64_t n, int64_t k, int64_t group, const AnyArray& codebook, const AnyArray& panels) {
  return borrow(codebook_layout(n, k, group, codebook_of(codebook)), panels, nullptr, 0);
}

WeightHandle prepacked_blocks(int64_t n, int64_t k, const std::string& type_name, const AnyArray& panels) {
  return borrow(blocks_layout(n, k, block_form(type_name)), panels, nullptr, 0);
}

}  // namespace

void bind_weights(nb::module_& module) {
  using nb::literals::operator""_a;
  const auto array = [](const char* name) { return nb::arg(name).noconvert(); };
  nb::class_<WeightHandle>(module, "Weight")
      .def_prop_ro("kind", kind_of)
      .def_prop_ro("nbytes", [](const WeightHandle& self) { return weight_bytes(*self.weight); })
      .def_prop_ro("rows", rows_of)
      .def_prop_ro("columns", columns_of)
      .def_prop_ro("data", data_of)
      .def_prop_ro("column_scales", column_scales_of);
  module.attr("MATRIX_FORMATS") = matrix_formats();
  module.def("vector", vector, array("values"));
  module.def("table", table, array("values"), "dtype"_a);
  module.def("block_table", block_table, array("data"), "type_name"_a, "width"_a);
  module.def("prepacked_dense", prepacked_dense, "n"_a, "k"_a, "dtype"_a, array("panels"));
  module.def("prepacked_int8", prepacked_int8, "n"_a, "k"_a, "group"_a.none(), array("panels"),
             array("column_scales"));
  module.def("prepacked_int4", prepacked_int4, "n"_a, "k"_a, "group"_a, "offset"_a, array("panels"));
  module.def("prepacked_codebook", prepacked_codebook, "n"_a, "k"_a, "group"_a, array("codebook"), array("panels"));
  module.def("prepacked_blocks", prepacked_blocks, "n"_a, "k"_a, "type_name"_a, array("panels"));
  nb::class_<Dense>(module, "DenseBuilder")
      .def("__init__", make_dense, "n"_a, "k"_a, "dtype"_a, "threads"_a = 1)
      .def("place", place_dense, array("values"), "dtype"_a, "first_column"_a, "tile_step"_a)
      .def("finish", finish<DenseBuilder>);
  nb::class_<Int8>(module, "Int8Builder")
      .def("__init__", make_int8, "n"_a, "k"_a, "group"_a.none(), "threads"_a = 1)
      .def("place", place_int8, array("codes"), array("scales"), "first_column"_a, "tile_step"_a)
      .def("finish", finish<Int8Builder>);
  nb::class_<Int4>(module, "Int4Builder")
      .def("__init__", make_int4, "n"_a, "k"_a, "group"_a, "offset"_a, "threads"_a = 1)
      .def("place", place_int4, array("codes"), array("scales"), array("offsets").none(), "first_column"_a,
           "tile_step"_a)
      .def("finish", finish<Int4Builder>);
  nb::class_<CodebookBuilder>(module, "CodebookBuilder")
      .def("__init__", make_codebook, "n"_a, "k"_a, "group"_a, array("codebook"), "threads"_a = 1)
      .def("place", place_codebook, array("codes"), array("scales"), "first_column"_a, "tile_step"_a)
      .def("finish", finish_codebook);
  nb::class_<Blocks>(module, "BlocksBuilder")
      .def("__init__", make_blocks, "n"_a, "k"_a, "type_name"_a, "threads"_a = 1)
      .def("place", place_blocks, array("codes"), array("d"), array("m").none(), array("levels").none(),
           "first_column"_a, "tile_step"_a)
      .def("finish", finish<BlocksBuilder>);
}

}  // namespace honed::bindings
