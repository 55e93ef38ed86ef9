// Memory straight from the system: zero at first touch, in huge pages where it pays.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <limits>
#include <new>
#include <utility>

#include "plan/weight.h"

namespace honed {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

std::size_t round_up(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

AlignedBuffer::AlignedBuffer(std::size_t bytes, PageSize pages) {
  if (bytes == 0) return;
  if (bytes > std::numeric_limits<std::size_t>::max() / 2) throw std::bad_alloc();
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t wanted = round_up(bytes, page);
  const bool huge = pages == PageSize::huge && bytes >= kHugePage;
  const std::size_t reserved = huge ? wanted + kHugePage : wanted;
  void* memory = mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  auto* first = static_cast<std::byte*>(memory);
  if (huge) {
    // The tail is given back too: a huge page for the rest of the last one would be memory never used.
    const auto address = reinterpret_cast<std::uintptr_t>(first);
    const std::size_t skip = round_up(address, kHugePage) - address;
    if (skip > 0) munmap(first, skip);
    if (kHugePage > skip) munmap(first + skip + wanted, kHugePage - skip);
    first += skip;
    madvise(first, wanted, MADV_HUGEPAGE);
  } else if (pages == PageSize::small) {
    madvise(first, wanted, MADV_NOHUGEPAGE);
  }
  data_ = first;
  size_ = bytes;
  mapped_ = wanted;
}

AlignedBuffer::AlignedBuffer(AlignedBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      mapped_(std::exchange(other.mapped_, 0)) {}

AlignedBuffer& AlignedBuffer::operator=(AlignedBuffer&& other) noexcept {
  if (this != &other) {
    if (data_ != nullptr) munmap(data_, mapped_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    mapped_ = std::exchange(other.mapped_, 0);
  }
  return *this;
}

AlignedBuffer::~AlignedBuffer() {
  if (data_ != nullptr) munmap(data_, mapped_);
}

}  // namespace honed
