// Cache and Executor.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <memory>
#include <new>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/choosing.h"
#include "bindings/handles.h"
#include "bindings/names.h"
#include "executor/executor.h"
#include "plan/names.h"

namespace honed::bindings {
namespace {

using Rows2d = nb::ndarray<nb::numpy, float, nb::ndim<2>>;
constexpr std::align_val_t kRowsAlignment{64};

void free_rows(void* memory) noexcept { operator delete(memory, kRowsAlignment); }

void make_cache(CacheHandle* self, const GivenShapes& shapes, const std::vector<int64_t>& pages,
                const std::string& dtype, std::optional<std::vector<int64_t>> groups) {
  const auto type = static_cast<KvType>(index_of(kKvNames, "dtype", dtype));
  if (!groups) groups.emplace(shapes.size(), 0);
  new (self) CacheHandle{std::make_shared<Cache>(cache_shapes(shapes), std::move(*groups), pages, type)};
}

void make_executor(Executor* self, const PlanHandle& plan, const CacheHandle* cache, int64_t max_tokens,
                   int64_t max_selected, int threads, const std::optional<std::string>& isa) {
  if (isa && isa->empty()) throw std::invalid_argument("isa = '': must be the name of an instruction set, or None");
  new (self) Executor(plan.plan, cache == nullptr ? nullptr : cache->cache, max_tokens, max_selected, threads,
                      isa.value_or(""));
}

// What a batch has for some plans only.
void require_given(const char* name, bool given, bool needed, const char* plans) {
  if (given == needed) return;
  throw std::invalid_argument(std::string("batch: ") + name + (given ? " is given: must be None for" : " is None: must be given for") +
                              " a plan " + (needed ? "with " : "without ") + plans);
}

// A batch over arrays of Python, which outlive it.
class ArrayBatch {
 public:
  ArrayBatch(const Plan& plan, const nb::dict& inputs, const AnyArray& positions, const AnyArray& sequences,
             const std::optional<AnyArray>& page_tables, const std::optional<AnyArray>& selected) {
    operands_.reserve(4 + plan.inputs.size());  // they stay where they are
    batch_.positions = ints(positions, "positions", 1);
    batch_.rows = size(positions, 0);
    batch_.sequences = ints(sequences, "sequences", 1);
    require_size(sequences, "sequences", 0, batch_.rows);
    require_given("page_tables", page_tables.has_value(), !plan.caches.empty(), "caches");
    if (page_tables) {
      const std::size_t first = page_tables->ndim() == 3 ? 1 : 0;
      batch_.page_tables = ints(*page_tables, "page_tables", first + 2);
      batch_.table_groups = first == 0 ? 1 : size(*page_tables, 0);
      batch_.tables = size(*page_tables, first);
      batch_.pages_per_table = size(*page_tables, first + 1);
    }
    require_given("selected", selected.has_value(), plan.has_rows(Rows::selected), "selected rows");
    if (selected) {
      batch_.selected = ints(*selected, "selected", 1);
      batch_.selected_rows = size(*selected, 0);
    }
    read_inputs(plan, inputs);
  }

  const Batch& operator*() const { return batch_; }
  const Batch* operator->() const { return &batch_; }

 private:
  const int32_t* ints(const AnyArray& array, const char* name, std::size_t dimensions) {
    return operands_.emplace_back(array, name, Element::int32, dimensions).as<int32_t>();
  }

  void read_inputs(const Plan& plan, const nb::dict& given) {
    std::size_t read = 0;
    batch_.inputs.reserve(plan.inputs.size());
    for (const Input& input : plan.inputs) {
      if (input.name == kPositions) {
        batch_.inputs.push_back(batch_.positions);
        continue;
      }
      const nb::str name(input.name.c_str(), input.name.size());
      if (!given.contains(name)) throw std::invalid_argument("batch: inputs: '" + input.name + "' is missing");
      batch_.inputs.push_back(read_input(input, given[name]));
      ++read;
    }
    if (read != given.size()) reject_others(plan, given);
  }

  const void* read_input(const Input& input, nb::handle value) {
    AnyArray array;
    if (!nb::try_cast(value, array, false)) throw nb::type_error((input.name + " must be an array").c_str());
    const bool ids = input.kind == InputKind::ids;
    const Operand& operand = operands_.emplace_back(array, input.name.c_str(), ids ? Element::int32 : Element::float32,
                                                    ids ? std::size_t{1} : std::size_t{2});
    require_size(array, input.name.c_str(), 0, batch_.rows);
    if (!ids) require_size(array, input.name.c_str(), 1, input.size);
    arrays_.push_back(std::move(array));
    return operand.data();
  }

  [[noreturn]] static void reject_others(const Plan& plan, const nb::dict& given) {
    std::string names;
    for (const Input& input : plan.inputs) {
      if (input.name != kPositions) names += (names.empty() ? "" : ", ") + input.name;
    }
    throw std::invalid_argument("batch: inputs: " + std::to_string(given.size()) + " are given: this plan has " +
                                (names.empty() ? "none" : "only " + names));
  }

  std::vector<AnyArray> arrays_;  // of inputs
  std::vector<Operand> operands_;
  Batch batch_{};
};

nb::dict run(Executor& self, const nb::dict& inputs, const AnyArray& positions, const AnyArray& sequences,
             const std::optional<AnyArray>& page_tables, const std::optional<AnyArray>& selected) {
  const ArrayBatch batch(self.plan(), inputs, positions, sequences, page_tables, selected);
  struct Result {
    std::unique_ptr<void, decltype(&free_rows)> memory;
    int64_t rows, width;
  };
  std::vector<Result> results;
  results.reserve(self.plan().outputs.size());
  {
    const nb::gil_scoped_release released;
    self.run(*batch, [&](std::size_t, int64_t rows, int64_t width) {
      const auto floats = static_cast<std::size_t>(std::max<int64_t>(1, rows * width));
      void* memory = operator new(floats * sizeof(float), kRowsAlignment);
      results.push_back({{memory, free_rows}, rows, width});
      return static_cast<float*>(memory);
    });
  }
  nb::dict outputs;
  for (std::size_t i = 0; i < results.size(); ++i) {
    Result& result = results[i];
    const nb::capsule owner(result.memory.get(), free_rows);
    void* memory = result.memory.release();
    const std::string& name = self.plan().outputs[i].name;
    outputs[nb::str(name.c_str(), name.size())] =
        Rows2d(memory, {static_cast<std::size_t>(result.rows), static_cast<std::size_t>(result.width)}, owner);
  }
  return outputs;
}

// Of selected rows, the columns to penalize and the factor.
void compute(Executor& self, const nb::dict& inputs, const AnyArray& positions, const AnyArray& sequences,
             const std::optional<AnyArray>& page_tables, const std::optional<AnyArray>& selected) {
  const ArrayBatch batch(self.plan(), inputs, positions, sequences, page_tables, selected);
  const nb::gil_scoped_release released;
  self.compute(*batch);
}

}  // namespace

void bind_executor(nb::module_& module) {
  using nb::literals::operator""_a;
  const auto array = [](const char* name) { return nb::arg(name).noconvert(); };
  nb::class_<CacheHandle>(module, "Cache")
      .def("__init__", make_cache, "shapes"_a, "pages"_a, "dtype"_a = "float32", "groups"_a = nb::none())
      .def_prop_ro("dtype",
                   [](const CacheHandle& self) { return kKvNames[static_cast<std::size_t>(self.cache->type())]; })
      .def_prop_ro("pages", [](const CacheHandle& self) { return self.cache->pages(); })
      .def_prop_ro("page_bytes", [](const CacheHandle& self) { return self.cache->page_bytes(); });
  nb::class_<Executor>(module, "Executor")
      .def("__init__", make_executor, "plan"_a, "cache"_a.none(), "max_tokens"_a, "max_selected"_a, "threads"_a,
           "isa"_a = nb::none())
      .def_prop_ro("isa", &Executor::isa)
      .def_prop_ro("threads", &Executor::threads)
      .def_prop_ro("arena_bytes", &Executor::arena_bytes)
      .def("run", run, "inputs"_a, array("positions"), array("sequences"), array("page_tables").none(),
           array("selected").none())
      .def("compute", compute, "inputs"_a, array("positions"), array("sequences"), array("page_tables").none(),
           array("selected").none())
      .def("choose", choose_rows, "rows"_a)
      .def("timings", &Executor::timings, nb::call_guard<nb::gil_scoped_release>())
      .def("set_profiling", &Executor::set_profiling, "on"_a, nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace honed::bindings
