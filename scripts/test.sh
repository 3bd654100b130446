#!/usr/bin/env bash
# Installs what is needed, builds, and runs the tests.
#   scripts/test.sh           all but the longest
#   scripts/test.sh --quick   without those that start PostgreSQL servers
#   scripts/test.sh --long    the longest too
set -euo pipefail
cd "$(dirname "$0")/.."

selection=()
export WALVAULT_TEST_LONG=0
for option in "$@"; do
  case $option in
    --quick) selection=(-L quick) ;;
    --long) WALVAULT_TEST_LONG=1 ;;
    *) echo "usage: $0 [--quick | --long]" >&2; exit 2 ;;
  esac
done

dependencies=--test
[ "$WALVAULT_TEST_LONG" = 0 ] || dependencies=--long
bash scripts/install-deps.sh $dependencies
if [ ${#selection[@]} -eq 0 ]; then bash scripts/install-servers.sh 13 14 16 17 18; fi
cmake --preset dev >/dev/null
cmake --build --preset dev
ctest --test-dir build/dev --output-on-failure --parallel 5 "${selection[@]}"
if [ "$WALVAULT_TEST_LONG" = 1 ]; then bash scripts/fuzz.sh 60; fi
