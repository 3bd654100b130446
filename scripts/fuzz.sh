#!/usr/bin/env bash
# Fuzzes every parser of foreign bytes, for so many seconds each (default 20), as many
# at a time as there are cores, from the corpus in tests/fuzz/corpus. What is found
# anew is kept in build/fuzz; an input that fails is left there, and named. A second
# argument is the seed: with it a clean checkout tries the same inputs each time, which
# is what a gate has to do; without it each run tries others.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-20}
seed=${2:-0}

cmake --preset asan >/dev/null
targets=()
for source in tests/fuzz/*_fuzz.cpp; do targets+=("$(basename "$source" .cpp)"); done
cmake --build --preset asan --target "${targets[@]}"

fuzz() {
  local target=$1 work=build/fuzz/$1 status=0
  mkdir -p "$work"
  # Memory and time of one input are bounded: what goes beyond is a failure too.
  build/asan/bin/"$target" -max_total_time="$2" -seed="$3" -timeout=10 -rss_limit_mb=1024 \
    -malloc_limit_mb=600 -max_len=65536 -print_final_stats=1 -artifact_prefix="$work/failed-" \
    "$work" tests/fuzz/corpus/"${target%_fuzz}" >"$work.log" 2>&1 || status=$?
  echo "== $target, $2 s"
  grep -E "cov:|stat::|ERROR|SUMMARY|Test unit" "$work.log" | tail -8
  [ "$status" = 0 ] || tail -40 "$work.log"
  return "$status"
}
export -f fuzz
printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I{} bash -c "fuzz {} $seconds $seed"
