#!/usr/bin/env bash
# What packs that are needed in part cost: eleven backups of a database of which a fifth
# changes between them, then expire and gc, beside repositories that never held what was
# expired: bench/compare/waste.sh [SCALE]. Prints bytes of packs.
set -euo pipefail
scale=${1:-20}
NAME=waste PORT=6995
# shellcheck source=bench/compare/server.sh
source "$(dirname "$0")/server.sh"

start_server <<CONF
fsync = off
max_wal_size = 4GB
CONF
"${run[@]}" pgbench -i -s "$scale" -q >/dev/null 2>&1
# The repository kept-N holds the last N backups only; all-11 all of them.
repositories="all-11 kept-6 kept-3 kept-1"
for day in $(seq 11); do
  if [ "$day" -gt 1 ]; then
    psql -qc "UPDATE pgbench_accounts SET abalance = $day WHERE aid / 1000 % 5 = $((day % 5))" \
      -c "VACUUM pgbench_accounts" -c CHECKPOINT
  fi
  for repository in $repositories; do
    [ "$day" -gt $((11 - ${repository#*-})) ] || continue
    if [ ! -d "$repository" ]; then
      "${run[@]}" bin/walvault init --repo "$work/$repository" >/dev/null
      "${run[@]}" bin/walvault cluster add main --repo "$work/$repository" --pg "$conninfo" >/dev/null
    fi
    "${run[@]}" bin/walvault backup --repo "$work/$repository" --cluster main --wal stream \
      --pg "$conninfo" --no-progress >/dev/null 2>&1
  done
done
for keep in 6 3 1; do
  cp -a all-11 copy
  "${run[@]}" bin/walvault expire --repo "$work/copy" --cluster main --keep-last "$keep" >/dev/null
  "${run[@]}" bin/walvault gc --repo "$work/copy" --grace 0s --give-up-after 1s >/dev/null 2>&1
  with=$(du -sb copy/packs | cut -f1) without=$(du -sb "kept-$keep/packs" | cut -f1)
  echo "the last $keep of 11: $with bytes of packs; had there been no others, $without"
  rm -rf copy
done
