// Affinity from the scheduler, quotas from the control group files, cores and caches from sysfs.
#include "cpu/topology.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
#include <utility>

namespace honed {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::optional<double> number(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (end == text.c_str()) return std::nullopt;
  return value;
}

std::optional<double> ratio(const std::string& quota, const std::string& period) {
  const auto q = number(quota);
  const auto p = number(period);
  if (!q || !p || *q <= 0 || *p <= 0) return std::nullopt;
  return *q / *p;
}

// A directory of a control group tree and its parents: every level may limit.
std::vector<std::string> levels(const std::string& mount, std::string path) {
  std::vector<std::string> result;
  while (!path.empty() && path != "/") {
    result.push_back(mount + path);
    path.erase(path.find_last_of('/'));
  }
  result.push_back(mount);
  return result;
}

std::optional<double> quota_v2(const std::string& directory) {
  std::istringstream line(first_line(directory + "/cpu.max"));
  std::string quota;
  std::string period;
  line >> quota >> period;
  return quota == "max" ? std::nullopt : ratio(quota, period);
}

std::optional<double> quota_v1(const std::string& directory) {
  return ratio(first_line(directory + "/cpu.cfs_quota_us"), first_line(directory + "/cpu.cfs_period_us"));
}

}  // namespace

int online_cpus() { return std::max(1, static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN))); }

int allowed_cpus() {
  // The kernel refuses a mask smaller than its own, so grow until it fits.
  for (int cpus = 1024; cpus <= (1 << 18); cpus *= 2) {
    cpu_set_t* set = CPU_ALLOC(static_cast<std::size_t>(cpus));
    if (set == nullptr) break;
    const std::size_t bytes = CPU_ALLOC_SIZE(static_cast<std::size_t>(cpus));
    const bool known = sched_getaffinity(0, bytes, set) == 0;
    const int count = known ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (known) return std::max(1, count);
  }
  return online_cpus();
}

int physical_cores() {
  std::set<std::pair<std::string, std::string>> cores;
  const int cpus = online_cpus();
  for (int cpu = 0; cpu < cpus; ++cpu) {
    const std::string topology = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    const std::string core = first_line(topology + "core_id");
    if (core.empty()) return cpus;
    cores.emplace(first_line(topology + "physical_package_id"), core);
  }
  return static_cast<int>(cores.size());
}

std::optional<double> cgroup_cpu_quota() {
  std::optional<double> least;
  const auto take = [&least](std::optional<double> quota) {
    if (quota && (!least || *quota < *least)) least = quota;
  };
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    std::string controllers(1, ',');
    controllers.append(line, first + 1, second - first - 1).push_back(',');
    const std::string path = line.substr(second + 1);
    if (controllers == ",,") {
      for (const auto& directory : levels("/sys/fs/cgroup", path)) take(quota_v2(directory));
    } else if (controllers.find(",cpu,") != std::string::npos) {
      for (const auto& directory : levels("/sys/fs/cgroup/cpu", path)) take(quota_v1(directory));
    }
  }
  return least;
}

std::vector<CpuCache> cpu_caches() {
  std::vector<CpuCache> caches;
  for (int index = 0;; ++index) {
    const std::string directory = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/";
    const auto level = number(first_line(directory + "level"));
    if (!level) break;
    const std::string size = first_line(directory + "size");
    const double unit = size.ends_with('M') ? 1048576.0 : size.ends_with('K') ? 1024.0 : 1.0;
    std::string kind = first_line(directory + "type");
    if (!kind.empty()) kind[0] = static_cast<char>(kind[0] | 0x20);
    caches.push_back({static_cast<int>(*level), kind, static_cast<int64_t>(number(size).value_or(0) * unit)});
  }
  return caches;
}

int default_threads() {
  const int allowed = allowed_cpus();
  const auto quota = cgroup_cpu_quota();
  return quota ? static_cast<int>(std::clamp(*quota, 1.0, static_cast<double>(allowed))) : allowed;
}

}  // namespace honed
