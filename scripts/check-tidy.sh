#!/usr/bin/env bash
# Runs clang-tidy over the sources, a file for each core at a time. The analyzer
# may look at 50,000 states of a function: four times as many took half as long
# again and found nothing more.
set -euo pipefail
cd "$(dirname "$0")/.."
cmake --preset tidy -DWALVAULT_TESTS=OFF -DWALVAULT_BENCH=OFF >/dev/null
git ls-files -z -- 'src/*.cpp' 'archive_command/*.cpp' 'basebackup/*.cpp' 'restore/*.cpp' \
  'maintenance/*.cpp' |
  xargs -0 -n 4 -P "$(nproc)" clang-tidy -p build/tidy --quiet \
    --extra-arg=-Xclang --extra-arg=-analyzer-config \
    --extra-arg=-Xclang --extra-arg=max-nodes=50000
