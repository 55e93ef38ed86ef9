#!/bin/sh
# The contract test over the portable, neon and neon_i8mm kernels for aarch64: run as it is on an aarch64 machine, cross compiled
# and under emulation elsewhere. Arguments go to the test (--quick, --isa NAME, --slot NAME). CXX chooses the compiler,
# BUILD the folder for what it makes.
set -eu
cd "$(dirname "$0")/.."
if [ "$(uname -m)" = aarch64 ]; then
  compiler=${CXX:-c++} emulator=
else
  compiler=${CXX:-aarch64-linux-gnu-g++} emulator=qemu-aarch64
  command -v "$emulator" >/dev/null || emulator=qemu-aarch64-static
  if ! command -v "$emulator" >/dev/null; then
    echo "no qemu-aarch64: install qemu-user (Debian, Ubuntu) or qemu-user-static" >&2
    exit 2
  fi
fi
if ! command -v "$compiler" >/dev/null; then
  echo "no compiler '$compiler': install g++-aarch64-linux-gnu (Debian, Ubuntu), or set CXX" >&2
  exit 2
fi
build=${BUILD:-build/neon}
mkdir -p "$build"
flags="-std=c++20 -O2 -Wall -Wextra -Werror -ffp-contract=off -fno-math-errno -Inative"
flags="$flags -DHONED_HAVE_NEON -DHONED_HAVE_NEON_I8MM"

objects=
for source in native/cpu/select.cpp native/cpu/features.cpp native/tests/kernels_test.cpp \
  native/kernels/portable/*.cpp native/kernels/neon/*.cpp native/kernels/neon_i8mm/*.cpp; do
  object=$build/$(echo "$source" | tr / _).o
  extension=
  case $source in
    */neon/*) extension=-march=armv8.2-a+dotprod ;;
    */neon_i8mm/*) extension=-march=armv8.2-a+dotprod+i8mm ;;
  esac
  # shellcheck disable=SC2086
  "$compiler" $flags $extension -c "$source" -o "$object"
  objects="$objects $object"
done
# shellcheck disable=SC2086
"$compiler" -static $objects -o "$build/kernels_test"
# shellcheck disable=SC2086
exec $emulator "$build/kernels_test" "$@"
