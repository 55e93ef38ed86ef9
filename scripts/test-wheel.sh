#!/bin/sh
# Installs the wheel of this machine from dist/ as a user does who has no compiler, and runs it: in a new environment in a
# temporary folder, with the checkout out of sight. PYTHON chooses the interpreter.
set -eu
cd "$(dirname "$0")/.."
checkout=$PWD
dist=$PWD/dist
python=${PYTHON:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"

# Nothing but the environment and the plainest tools; whatever would compile fails.
mkdir "$folder/bin"
for tool in sh uname ldd cat env rm; do ln -s "$(command -v "$tool")" "$folder/bin/$tool"; done
export PATH="$folder/env/bin:$folder/bin" CC=/bin/false CXX=/bin/false XDG_CACHE_HOME="$folder/cache"
cd "$folder"
python -m pip install --quiet --disable-pip-version-check --only-binary :all: --find-links "$dist" --no-index --no-deps honed
python -m pip install --quiet --disable-pip-version-check --only-binary :all: honed --find-links "$dist"

python - <<'CHECK'
import importlib.metadata as metadata
import pathlib

import honed
from honed.native import extension

files = [str(file) for file in metadata.files("honed")]
stray = [name for name in files if name.endswith((".cpp", ".h", ".o", ".cmake")) or name.split("/")[0] in ("tests", "native")]
assert not stray, stray
modules = [name for name in files if "/_native" in name and name.endswith(".so")]
assert len(modules) == 1, modules
for name in ("honed/py.typed", "honed/_native.pyi"):
    assert name in files, name
assert any(name.endswith("licenses/LICENSE") for name in files), "no licence"
about = metadata.metadata("honed")
assert about["License-Expression"] == "Apache-2.0" and about.get_payload().strip(), "no licence or no readme"
assert [entry.name for entry in metadata.entry_points(group="console_scripts") if entry.value.startswith("honed")] == ["honed"]
print("installed", about["Version"], pathlib.Path(extension.__file__).name, *extension.isas())
CHECK
honed doctor >/dev/null
python "$checkout/scripts/tiny_checkpoint.py" tiny
honed inspect tiny >/dev/null
first=$(honed generate tiny "the a of" --max-tokens 8)
second=$(HONED_ISA=portable honed generate tiny "the a of" --max-tokens 8)
echo "generates: $first"
[ -n "$first" ] && [ "$first" = "$second" ]
echo "the wheel runs"
