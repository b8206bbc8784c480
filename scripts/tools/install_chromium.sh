#!/usr/bin/env bash
# Install Chromium for the tests of the page from the system's packages. If that is not allowed, the
# tests are skipped.
set -euo pipefail
if command -v chromium >/dev/null || command -v chromium-browser >/dev/null; then
    exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "install_chromium: chromium is missing and cannot be installed (no permission or no apt-get); its tests are skipped"
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq --yes --no-install-recommends chromium >/dev/null
chromium --version
