#!/usr/bin/env bash
# Check and time the analysis on a GPU, in under five minutes, and write one JSON.
#
#   scripts/benchmarks/gpu.sh OUTPUT.json [--device cuda:0] [--quick] [--seconds 270]
#
# PYTHON names the interpreter that has torch (default: python3). Of the packages that it needs besides,
# those that are missing are installed into build/gpu-packages.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-python3}
export PYTHONPATH=$root:$root/build/gpu-packages${PYTHONPATH:+:$PYTHONPATH}

missing=$("$python" -c '
import importlib.util
names = ("numpy", "scipy", "threadpoolctl")
print(*(name for name in names if importlib.util.find_spec(name) is None))')
if [ -n "$missing" ]; then
    # shellcheck disable=SC2086 # several names
    "$python" -m pip install --quiet --no-deps --constraint "$root/constraints-standalone.txt" \
        --target "$root/build/gpu-packages" $missing
fi
exec "$python" -m scripts.benchmarks.gpu "$@"
