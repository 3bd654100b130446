#!/usr/bin/env bash
# Line coverage by all tests: of every folder, and line by line of the storage, the
# repository and the catalog. docs/coverage.md says why the rest of theirs is not run.
#   scripts/coverage.sh          by all tests, about half an hour on two cores
#   scripts/coverage.sh --quick  without those that start PostgreSQL servers
set -euo pipefail
cd "$(dirname "$0")/.."
selection=()
for option in "$@"; do
  case $option in
    --quick) selection=(-L quick) ;;
    *) echo "usage: $0 [--quick]" >&2; exit 2 ;;
  esac
done
bash scripts/install-deps.sh --test
if [ ${#selection[@]} -eq 0 ]; then bash scripts/install-servers.sh 13 14 16 17 18; fi
cmake --preset coverage >/dev/null
cmake --build --preset coverage
# The servers run programs as a user of their own, who counts as well.
# What one user counts into, another must be able to.
umask 000
find build/coverage -name '*.gcda' -delete
chmod -R a+rwX build/coverage
ctest --test-dir build/coverage --output-on-failure --parallel 3 -LE long "${selection[@]}"

report() {
  gcovr --root . "$@" </dev/null
}
objects=(build/coverage/CMakeFiles/walvault*.dir)
report "${objects[@]}" --filter '(src|archive_command|basebackup|restore|maintenance)/' \
  --print-summary --output build/coverage/lines.txt
for layer in storage repository catalog; do
  report "build/coverage/CMakeFiles/walvault_$layer.dir" --filter "src/$layer/"
done
