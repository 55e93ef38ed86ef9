// What the machine is and what its limits are.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>

#include "bindings/handles.h"
#include "cpu/features.h"
#include "cpu/select.h"
#include "cpu/topology.h"
#include "executor/probes.h"

namespace honed::bindings {
namespace {

namespace nb = nanobind;

nb::dict machine_features() {
  nb::dict result;
  const Features& found = features();
  result["architecture"] = found.architecture;
  result["model"] = found.model;
  result["instruction_sets"] = nb::cast(feature_names(found));
  result["online_cpus"] = online_cpus();
  result["physical_cores"] = physical_cores();
  result["allowed_cpus"] = allowed_cpus();
  const auto quota = cgroup_cpu_quota();
  result["cgroup_quota"] = quota ? nb::cast(*quota) : nb::none();
  nb::list caches;
  for (const CpuCache& cache : cpu_caches()) {
    nb::dict entry;
    entry["level"] = cache.level;
    entry["kind"] = cache.kind;
    entry["bytes"] = cache.bytes;
    caches.append(entry);
  }
  result["caches"] = caches;
  return result;
}

}  // namespace

void bind_machine(nb::module_& module) {
  using nb::literals::operator""_a;
  module.def("features", machine_features);
  module.def("isas", available_isas);
  module.def("default_threads", default_threads);
  module.def(
      "measure_read_bandwidth",
      [](int threads, int64_t mebibytes, double seconds, const std::optional<std::string>& isa) {
        const nb::gil_scoped_release released;
        return measure_read_bandwidth(threads, mebibytes, seconds, isa.value_or(""));
      },
      "threads"_a, "mebibytes"_a, "seconds"_a, "isa"_a = nb::none());
  module.def(
      "measure_integer_peak",
      [](int threads, double seconds, const std::optional<std::string>& isa) {
        const nb::gil_scoped_release released;
        return measure_integer_peak(threads, seconds, isa.value_or(""));
      },
      "threads"_a, "seconds"_a, "isa"_a = nb::none());
}

}  // namespace honed::bindings
