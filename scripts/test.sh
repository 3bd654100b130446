#!/usr/bin/env bash
# Installs what is needed, builds, and runs the tests.
#   scripts/test.sh           all but the longest
#   scripts/test.sh --quick   without those that start PostgreSQL servers
#   scripts/test.sh --long    the longest too, for at most 150 minutes: what passed is in a
#                             file of results, and the next run of the same commit goes on there
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
# Servers and repositories of tests lie in memory where there is plenty: thousands of files are made
# and deleted, which some file systems (ext4 without a journal) make slow for minutes.
free_mb() { df --output=avail -m "$1" 2>/dev/null | tail -1; }
available_mb=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
if [ -z "${WALVAULT_TEST_DIR:-}" ] && [ "$(free_mb /dev/shm || echo 0)" -ge 8192 ] &&
  [ "$available_mb" -ge 12288 ]; then
  export WALVAULT_TEST_DIR=/dev/shm
fi

if [ "$WALVAULT_TEST_LONG" = 0 ]; then
  exec ctest --test-dir build/dev --output-on-failure --parallel 5 -LE long "${selection[@]}"
fi

# One test after another, each as long as it takes.
minutes_max=150
results=build/long/$(git describe --always --dirty --abbrev=40).passed
mkdir -p build/long
touch "$results"
# Random walks 20 to 519; those before are among the tests.
walks=$(for first in $(seq 20 10 510); do echo "walks_$first-$((first + 9))"; done)
for test in $(ctest --test-dir build/dev -N | sed -n 's/^ *Test *#[0-9]*: //p') fuzzing \
  postgres_15 postgres_18 $walks; do
  if grep -qx "$test" "$results"; then
    echo "$test passed before"
    continue
  fi
  left=$((minutes_max * 60 - SECONDS))
  if [ "$left" -le 0 ]; then
    echo "$minutes_max minutes are over; run this again to go on with $test"
    exit 1
  fi
  case $test in
    fuzzing) timeout "$left" bash scripts/fuzz.sh 60 ;;
    postgres_*) timeout "$left" bash tests/postgres/run.sh "${test#postgres_}" ;;
    walks_*) WALVAULT_WALKS=${test#walks_} timeout "$left" \
      build/dev/bin/integration --gtest_brief=1 --gtest_filter='MoreWalks.*' ;;
    *) timeout "$left" ctest --test-dir build/dev --output-on-failure --timeout "$left" \
         -R "^$test\$" ;;
  esac
  echo "$test" >>"$results"
done
