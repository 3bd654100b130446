#!/usr/bin/env bash
# Fuzzes every parser of foreign bytes that has a fuzzer, for so many seconds
# each (default 20), from the corpus in tests/fuzz/corpus. What is found anew is
# kept in build/fuzz; an input that fails is left there, and named.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-20}

cmake --preset asan >/dev/null
targets=()
for source in tests/fuzz/*_fuzz.cpp; do targets+=("$(basename "$source" .cpp)"); done
cmake --build --preset asan --target "${targets[@]}"
for target in "${targets[@]}"; do
  work=build/fuzz/$target
  mkdir -p "$work"
  echo "== $target, $seconds s"
  # Memory and time of one input are bounded: what goes beyond is a failure too.
  build/asan/bin/"$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 \
    -malloc_limit_mb=600 -max_len=65536 -print_final_stats=1 -artifact_prefix="$work/failed-" \
    "$work" tests/fuzz/corpus/"${target%_fuzz}" 2>&1 | grep -E "cov:|stat::|ERROR|SUMMARY|Test unit" | tail -8
done
