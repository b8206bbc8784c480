#!/usr/bin/env bash
# Make a virtual environment and install this package into it, in editable mode, with pinned versions.
#
#   scripts/tools/make_venv.sh DIRECTORY 3.10|standalone CONSTRAINTS EXTRAS [BASE]
#
# DIRECTORY/installed is written last: without it the environment is half made. What a half-made
# environment already has is kept if its pip runs and its Python is the wanted one. With BASE, a finished
# environment of the same Python, pip uses the packages that it has instead of installing them again.
set -euo pipefail
cd "$(dirname "$0")/../.."
directory=$1 which=$2 constraints=$3 extras=$4 base=${5:-}
export PIP_DISABLE_PIP_VERSION_CHECK=1
# Packages without a wheel are built with the pinned setuptools too.
export PIP_BUILD_CONSTRAINT=$PWD/$constraints

python=$(scripts/tools/find_python.sh "$which")
rm -f "$directory/installed"

# Is what stands in $directory an environment of its own, whose pip runs, of the wanted Python?
usable() {
    [ -f "$directory/pyvenv.cfg" ] && "$directory/bin/python" -c '
import pathlib, sys, pip
here = pathlib.Path(sys.argv[1]).resolve()
inside = here == pathlib.Path(sys.prefix) and here in pathlib.Path(pip.__file__).parents
if not inside or str(sys.version_info[:3]) != sys.argv[2]: sys.exit(1)
' "$directory" "$("$python" -c 'import sys; print(sys.version_info[:3])')" 2>/dev/null
}

if ! usable; then
    echo "make_venv: $directory with $python"
    rm -rf "$directory"
    "$python" -m venv "$directory"
fi

echo "make_venv: installing into $directory with the versions of $constraints; this may take minutes"
pip() { "$directory/bin/python" -m pip install -qq --constraint "$constraints" "$@"; }
# setuptools first: packages of AllenNLP's time import pkg_resources, which new ones lack.
pip pip setuptools wheel

# uv takes seconds where pip takes minutes, but does not read pip's settings: where it finds no
# index, or another one, pip does the work.
with_uv() {
    local links=()
    [ -z "${PIP_FIND_LINKS:-}" ] || links=(--find-links "$PIP_FIND_LINKS")
    pip uv && timeout 600 "$directory/bin/uv" pip install --quiet --python "$directory/bin/python" \
        --constraint "$constraints" --build-constraint "$constraints" ${links[@]+"${links[@]}"} --editable ".[$extras]"
}

with_pip() {
    if [ -n "$base" ]; then
        "$directory/bin/python" -c '
import sysconfig, pathlib, sys
own = pathlib.Path(sysconfig.get_path("purelib"))
lent = pathlib.Path(sys.argv[1]).resolve() / own.relative_to(sys.prefix)
(own / "base.pth").write_text(f"{lent}\n")
' "$base"
    fi
    pip --editable ".[$extras]"
}

with_uv || with_pip
touch "$directory/installed"
