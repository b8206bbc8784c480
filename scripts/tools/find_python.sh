#!/usr/bin/env bash
# Print the path of a Python that can create a virtual environment.
#
#   scripts/tools/find_python.sh 3.10        a Python 3.10 (PYTHON310 overrides)
#   scripts/tools/find_python.sh standalone  the newest from 3.11 on for which pip offers the pinned torch
#                                      (PYTHON_STANDALONE overrides)
#
# Searches PATH, pyenv's versions and uv's.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Newest first. A name on PATH may be a pyenv shim that fails, so every candidate is tried.
newest_first=(3.14 3.13 3.12 3.11)

fail() {
    echo "find_python: $1" >&2
    exit 1
}

# The real path of interpreter $1, when it runs, is version $2 and can make environments.
check() {
    "$1" -c '
import sys, venv, ensurepip
if "%d.%d" % sys.version_info[:2] != sys.argv[1]: sys.exit(1)
print(sys.executable)' "$2" 2>/dev/null
}

candidates() {
    local version=$1 name
    type -ap "python$version" || true
    if command -v pyenv >/dev/null; then
        for name in $(pyenv versions --bare 2>/dev/null | grep -E "^${version//./\\.}(\.[0-9]+)?$"); do
            echo "$(PYENV_VERSION=$name pyenv prefix)/bin/python"
        done
    fi
    if command -v uv >/dev/null; then
        uv python find --no-project "$version" 2>/dev/null || true
    fi
}

find_version() {
    local candidate
    while read -r candidate; do
        check "$candidate" "$1" && return 0
    done < <(candidates "$1")
    return 1
}

# The version of torch that pip would install for interpreter $1; empty if unknown.
torch_versions() {
    "$1" -m pip index versions torch 2>/dev/null | sed -n 's/^Available versions: //p'
}

find_310() {
    if [ -n "${PYTHON310:-}" ]; then
        check "$PYTHON310" 3.10 || fail "PYTHON310=$PYTHON310 is not a Python 3.10 with venv"
        return
    fi
    find_version 3.10 && return
    if command -v uv >/dev/null && uv python install 3.10 >&2; then
        find_version 3.10 && return
    fi
    fail "no Python 3.10 on PATH, in pyenv or in uv: install one (pyenv install 3.10, or uv python install 3.10) or set PYTHON310="
}

find_standalone() {
    if [ -n "${PYTHON_STANDALONE:-}" ]; then
        "$PYTHON_STANDALONE" -c 'import sys, venv, ensurepip; assert sys.version_info >= (3, 11); print(sys.executable)' 2>/dev/null ||
            fail "PYTHON_STANDALONE=$PYTHON_STANDALONE is not a Python from 3.11 on with venv"
        return
    fi
    local torch version python offered newest="" offering=""
    torch=$(sed -n 's/^torch==//p' constraints-standalone.txt)
    for version in "${newest_first[@]}"; do
        python=$(find_version "$version") || continue
        newest=${newest:-$python}
        offered=", $(torch_versions "$python"),"
        # A CPU build spares gigabytes of CUDA: it decides where there is one.
        case $offered in
            *", $torch+cpu,"*)
                echo "$python"
                return
                ;;
            *", $torch,"*) offering=${offering:-$python} ;;
        esac
    done
    python=${offering:-$newest}
    [ -n "$python" ] ||
        fail "no Python from 3.11 on found on PATH, in pyenv or in uv: install one or set PYTHON_STANDALONE="
    echo "$python"
}

case ${1:-} in
    3.10) find_310 ;;
    standalone) find_standalone ;;
    *) fail "say which: 3.10 or standalone" ;;
esac
