#!/bin/sh
# The contract test over the amx kernels on a machine without AMX: their intrinsics, tiles and AVX-512, are computed
# by native/tests/emulation. Needs a C++20 compiler, nothing else. Arguments go to the test (--quick, --slot NAME).
# CXX chooses the compiler, BUILD the folder for what it makes.
set -eu
cd "$(dirname "$0")/.."
compiler=${CXX:-c++}
if ! command -v "$compiler" >/dev/null; then
  echo "no C++ compiler '$compiler': install g++ or clang, or set CXX" >&2
  exit 2
fi
build=${BUILD:-build/amx-emulated}
mkdir -p "$build"
flags="-std=c++20 -O2 -Wall -Wextra -Werror -ffp-contract=off -fno-math-errno -Inative"
flags="$flags -DHONED_HAVE_AVX512VNNI -DHONED_HAVE_AVX512BF16 -DHONED_HAVE_AMX"

objects=
for source in native/cpu/select.cpp native/cpu/features.cpp native/tests/kernels_test.cpp \
  native/kernels/portable/*.cpp native/kernels/avx512vnni/*.cpp native/kernels/avx512bf16/*.cpp native/kernels/amx/*.cpp; do
  object=$build/$(echo "$source" | tr / _).o
  shadow=
  case $source in */avx512vnni/* | */avx512bf16/* | */amx/*) shadow=-Inative/tests/emulation ;; esac
  # shellcheck disable=SC2086
  "$compiler" $flags $shadow -c "$source" -o "$object"
  objects="$objects $object"
done
# shellcheck disable=SC2086
"$compiler" $objects -o "$build/kernels_test"
# The machine does not announce the set, so the test must not ask for it.
exec "$build/kernels_test" --unchecked --isa amx "$@"
