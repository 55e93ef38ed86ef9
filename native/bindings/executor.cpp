// Cache and Executor.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/handles.h"
#include "bindings/names.h"
#include "executor/executor.h"
#include "plan/names.h"

namespace honed::bindings {
namespace {

using Logits = nb::ndarray<nb::numpy, float, nb::ndim<2>>;
constexpr std::align_val_t kLogitsAlignment{64};

void free_logits(void* memory) noexcept { operator delete(memory, kLogitsAlignment); }

void make_cache(CacheHandle* self, int64_t layers, int64_t kv_heads, int64_t head_dim, int64_t pages,
                const std::string& dtype) {
  const auto type = static_cast<KvType>(index_of(kKvNames, "dtype", dtype));
  new (self) CacheHandle{std::make_shared<Cache>(layers, kv_heads, head_dim, pages, type)};
}

void make_executor(Executor* self, const PlanHandle& plan, const CacheHandle& cache, int64_t max_tokens,
                   int64_t max_selected, int threads, const std::optional<std::string>& isa) {
  if (isa && isa->empty()) throw std::invalid_argument("isa = '': must be the name of an instruction set, or None");
  new (self) Executor(plan.plan, cache.cache, max_tokens, max_selected, threads, isa.value_or(""));
}

Batch batch_of(const AnyArray& tokens, const AnyArray& positions, const AnyArray& sequences,
               const AnyArray& page_tables, const AnyArray& selected) {
  require_array(tokens, "tokens", Element::int32, 1);
  require_array(positions, "positions", Element::int32, 1);
  require_array(sequences, "sequences", Element::int32, 1);
  require_array(page_tables, "page_tables", Element::int32, 2);
  require_array(selected, "selected", Element::int32, 1);
  const int64_t rows = size(tokens, 0);
  require_size(positions, "positions", 0, rows);
  require_size(sequences, "sequences", 0, rows);
  return {values<int32_t>(tokens),
          values<int32_t>(positions),
          values<int32_t>(sequences),
          values<int32_t>(page_tables),
          values<int32_t>(selected),
          rows,
          size(page_tables, 0),
          size(page_tables, 1),
          size(selected, 0)};
}

Logits run(Executor& self, const AnyArray& tokens, const AnyArray& positions, const AnyArray& sequences,
           const AnyArray& page_tables, const AnyArray& selected) {
  const Batch batch = batch_of(tokens, positions, sequences, page_tables, selected);
  // Not more than a right batch has: the memory is asked for before the batch is checked.
  const int64_t result_rows = std::min(batch.selected_rows, self.max_selected());
  const auto floats = static_cast<std::size_t>(std::max<int64_t>(1, result_rows * self.logits()));
  void* memory = operator new(floats * sizeof(float), kLogitsAlignment);
  const nb::capsule owner(memory, free_logits);
  {
    const nb::gil_scoped_release released;
    self.run(batch, static_cast<float*>(memory));
  }
  return {memory, {static_cast<std::size_t>(result_rows), static_cast<std::size_t>(self.logits())}, owner};
}

// The greatest logit of each row, or none at all where some are not finite.
std::optional<std::vector<int32_t>> run_greedy(Executor& self, const AnyArray& tokens, const AnyArray& positions,
                                               const AnyArray& sequences, const AnyArray& page_tables,
                                               const AnyArray& selected) {
  const Batch batch = batch_of(tokens, positions, sequences, page_tables, selected);
  const int64_t rows = std::min(batch.selected_rows, self.max_selected());
  std::vector<Choice> choices(static_cast<std::size_t>(rows));
  {
    const nb::gil_scoped_release released;
    self.run_greedy(batch, choices.data());
  }
  std::vector<int32_t> columns;
  columns.reserve(choices.size());
  for (const Choice& choice : choices) {
    if (choice.all_finite == 0) return std::nullopt;
    columns.push_back(choice.column);
  }
  return columns;
}

std::vector<std::pair<std::string, double>> timings(const Executor& self) {
  std::vector<std::pair<std::string, double>> result;
  for (const auto& [code, seconds] : self.timings()) {
    result.emplace_back(kOpNames[static_cast<std::size_t>(code)], seconds);
  }
  return result;
}

}  // namespace

void bind_executor(nb::module_& module) {
  using nb::literals::operator""_a;
  const auto array = [](const char* name) { return nb::arg(name).noconvert(); };
  nb::class_<CacheHandle>(module, "Cache")
      .def("__init__", make_cache, "layers"_a, "kv_heads"_a, "head_dim"_a, "pages"_a,
           "dtype"_a = "float32")
      .def_prop_ro("dtype",
                   [](const CacheHandle& self) { return kKvNames[static_cast<std::size_t>(self.cache->type())]; })
      .def_prop_ro("pages", [](const CacheHandle& self) { return self.cache->pages(); })
      .def_prop_ro("page_bytes", [](const CacheHandle& self) { return self.cache->page_bytes(); });
  nb::class_<Executor>(module, "Executor")
      .def("__init__", make_executor, "plan"_a, "cache"_a, "max_tokens"_a, "max_selected"_a, "threads"_a,
           "isa"_a = nb::none())
      .def_prop_ro("isa", &Executor::isa)
      .def_prop_ro("threads", &Executor::threads)
      .def_prop_ro("arena_bytes", &Executor::arena_bytes)
      .def("run", run, array("tokens"), array("positions"), array("sequences"), array("page_tables"),
           array("selected"))
      .def("run_greedy", run_greedy, array("tokens"), array("positions"), array("sequences"), array("page_tables"),
           array("selected"))
      .def("timings", timings, nb::call_guard<nb::gil_scoped_release>())
      .def("set_profiling", &Executor::set_profiling, "on"_a, nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace honed::bindings
