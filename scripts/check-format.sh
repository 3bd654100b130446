#!/usr/bin/env bash
# Fails when a source file is not formatted as .clang-format says.
#   check-format.sh         names the files
#   check-format.sh --fix   formats them
set -euo pipefail
cd "$(dirname "$0")/.."
mode=(--dry-run --Werror)
[ "${1:-}" = --fix ] && mode=(-i)
git ls-files -z --cached --others --exclude-standard -- '*.h' '*.cpp' | xargs -0 clang-format "${mode[@]}"
