#!/usr/bin/env bash
# What can be known of a change within two minutes, once there is a build: format, layers,
# style, and the quick tests of what was built. bash .ci/run does everything.
set -euo pipefail
cd "$(dirname "$0")/.."

bash scripts/check-format.sh
python3 scripts/check-layers.py
python3 scripts/check-style.py
[ "${1:-}" = --no-tests ] && exit 0
[ -d build/dev ] || cmake --preset dev >/dev/null
cmake --build --preset dev --target quick_tests
ctest --test-dir build/dev --output-on-failure --parallel "$(nproc)" -L quick
