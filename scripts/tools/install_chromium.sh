#!/usr/bin/env bash
# Chromium for the tests of the page, from the system's packages; without it, and without the right to
# install it, these tests are skipped.
set -euo pipefail
if command -v chromium >/dev/null || command -v chromium-browser >/dev/null; then
    exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "install_chromium: no chromium, and no right or no apt-get to install it: its tests are skipped"
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq --yes --no-install-recommends chromium >/dev/null
chromium --version
