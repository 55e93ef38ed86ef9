#!/bin/sh
# Imports the aarch64 wheel of Python 3.11 and lets it generate, under qemu-user, with Debian's Python for that processor
# unpacked into build/aarch64 (nothing is installed on this system). Needs qemu-user-static, apt-get and dpkg; without
# them it says so and tests nothing. The wheel of the stable ABI holds the same objects and is not tried: Debian 12 has no
# later Python.
set -eu
cd "$(dirname "$0")/.."
for tool in qemu-aarch64-static apt-get dpkg; do
  if ! command -v "$tool" >/dev/null; then
    echo "the aarch64 wheel was built and not run: there is no $tool (Debian: apt-get install qemu-user-static)"
    exit 0
  fi
done
wheel=$(echo "$PWD"/dist/honed-*-cp311-cp311-*aarch64*.whl)
[ -f "$wheel" ] || { echo "no aarch64 wheel of Python 3.11 in dist/: scripts/build-wheels.sh aarch64 makes it" >&2; exit 2; }
work=$PWD/build/aarch64
root=$work/root
site=$work/site
python=${PYTHON:-python3}
mkdir -p "$work/lists/partial" "$work/debs" "$root"

if [ ! -x "$root/usr/bin/python3.11" ]; then
  apt="-oAPT::Architecture=arm64 -oAPT::Architectures=arm64 -oDir::State::Lists=$work/lists -oDir::State::Status=/dev/null"
  # shellcheck disable=SC2086
  apt-get $apt -qq update
  # shellcheck disable=SC2086
  (cd "$work/debs" && apt-get $apt -qq download libc6 libgcc-s1 libstdc++6 zlib1g libexpat1 libssl3 libffi8 liblzma5 \
    libbz2-1.0 libsqlite3-0 libuuid1 python3.11-minimal libpython3.11-minimal libpython3.11-stdlib)
  for deb in "$work"/debs/*.deb; do dpkg -x "$deb" "$root"; done
fi

rm -rf "$site"
"$python" -m pip install --quiet --ignore-installed --no-warn-conflicts --root-user-action ignore --disable-pip-version-check --target "$site" --only-binary :all: --python-version 3.11 \
  --implementation cp --abi cp311 --abi abi3 --abi none --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 \
  --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 "$wheel"

# Honed starts its interpreter again, so that has to be something that runs on this system.
emulated=$work/python
cat >"$emulated" <<WRAPPER
#!/bin/sh
exec $(command -v qemu-aarch64-static) -0 "$emulated" -L "$root" "$root/usr/bin/python3.11" "\$@"
WRAPPER
chmod +x "$emulated"

run() {
  env -i PATH=/usr/bin:/bin HOME="$work/home" PYTHONPATH="$site" "$@"
}
mkdir -p "$work/home"
run "$emulated" -c 'import platform; from honed.native import extension as e; print(platform.machine(), *e.isas())'
rm -rf "$work/tiny"
"$python" scripts/tiny_checkpoint.py "$work/tiny"
first=$(run "$emulated" -m honed.cli.main generate "$work/tiny" "the a of" --max-tokens 8)
second=$(run HONED_ISA=portable "$emulated" -m honed.cli.main generate "$work/tiny" "the a of" --max-tokens 8)
echo "generates: $first"
[ -n "$first" ] && [ "$first" = "$second" ]
echo "the aarch64 wheel runs"
