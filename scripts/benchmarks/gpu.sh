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
import importlib.util, sys
found = importlib.util.find_spec
if found("torch") is None: sys.exit("error: no GPU: torch is not installed; nothing was measured")
print(*(name for name in ("numpy", "scipy", "threadpoolctl") if found(name) is None))')
if [ -n "$missing" ]; then
    # shellcheck disable=SC2086 # several names
    "$python" -m pip install --quiet --no-deps --target "$root/build/gpu-packages" $missing
fi
exec "$python" -m scripts.benchmarks.gpu "$@"
