#!/usr/bin/env bash
# Runs clang-tidy over the sources, two files at a time.
set -euo pipefail
cd "$(dirname "$0")/.."
cmake --preset tidy -DWALVAULT_TESTS=OFF -DWALVAULT_BENCH=OFF >/dev/null
git ls-files -z -- 'src/*.cpp' 'archive_command/*.cpp' 'basebackup/*.cpp' 'restore/*.cpp' \
  'maintenance/*.cpp' |
  xargs -0 -n 4 -P "$(nproc)" clang-tidy -p build/tidy --quiet
