// How many processors this process may use, and the caches in front of memory.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace honed {

struct CpuCache {
  int level = 0;
  std::string kind;  // data, instruction, unified
  int64_t bytes = 0;
};

int online_cpus();

// Processors in the affinity mask of the process.
int allowed_cpus();

// Cores among the online processors; two hardware threads of one core count once.
int physical_cores();

// CPU time that the control groups (v1 or v2) of this process grant, in processors; none where unlimited.
std::optional<double> cgroup_cpu_quota();

// Caches of the first processor, smallest level first; empty where the system does not tell.
std::vector<CpuCache> cpu_caches();

// Affinity and quota together, rounded down, at least one.
int default_threads();

}  // namespace honed
