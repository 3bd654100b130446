#!/usr/bin/env bash
# Replay of archived WAL through walvault-fetch beside the same replay with cp from
# a local directory: bench/compare/replay.sh [SEGMENTS [ROUNDS]]. Prints the seconds
# that recovery took, as the server's log tells, and the medians.
set -euo pipefail
segments=${1:-200} rounds=${2:-3}
NAME=replay PORT=6999
# shellcheck source=bench/compare/server.sh
source "$(dirname "$0")/server.sh"

export WALVAULT_REPO=$work/repo WALVAULT_CLUSTER=main
"${run[@]}" mkdir plain
"${run[@]}" bin/walvault init >/dev/null
start_server <<CONF
archive_mode = on
archive_command = 'cp %p $work/plain/%f && $work/bin/walvault-archive --repo $work/repo --cluster main %p'
max_wal_size = 8GB
shared_buffers = 512MB
checkpoint_timeout = 1h
CONF
"${run[@]}" bin/walvault cluster add main --pg "$conninfo" >/dev/null
"${run[@]}" pgbench -i -s 50 -q 2>/dev/null >/dev/null
"${run[@]}" bin/walvault backup --pg "$conninfo" --no-progress >/dev/null
began=$(psql -Atc "SELECT count(*) FROM pg_ls_dir('$work/plain') f WHERE length(f) = 24")
while [ $(($(psql -Atc "SELECT count(*) FROM pg_ls_dir('$work/plain') f WHERE length(f) = 24") - began)) -lt "$segments" ]; do
  # Small transactions, and a load: those alone make ten segments a minute.
  "${run[@]}" pgbench -c 4 -j 2 -T 5 -n >/dev/null 2>&1
  "${run[@]}" pgbench -i -s 20 -q >/dev/null 2>&1
done
psql -Atqc "SELECT pg_create_restore_point('end')" -c "SELECT pg_switch_wal()" >/dev/null
sleep 5
"${run[@]}" "$programs/pg_ctl" -D data -w -m fast stop >/dev/null

# Seconds from the start of redo to its end.
replay() {
  local name=$1 command=$2
  "${run[@]}" bin/walvault restore --pgdata "$work/new-$name" --to-name end --no-progress >/dev/null 2>&1
  [ -z "$command" ] || echo "restore_command = '$command'" >>"new-$name/postgresql.auto.conf"
  echo "fsync = off" >>"new-$name/postgresql.conf"
  "${run[@]}" "$programs/pg_ctl" -D "new-$name" -w -t 600 -l "log-$name" -o "-c port=6998" start >/dev/null
  for _ in $(seq 6000); do
    grep -q "redo done" "log-$name" && break
    sleep 0.1
  done
  grep -o "elapsed: [0-9.]*" "log-$name" | tail -1 | cut -d' ' -f2
  "${run[@]}" "$programs/pg_ctl" -D "new-$name" -m immediate stop >/dev/null
  rm -rf "new-$name" "log-$name"
}
for round in $(seq "$rounds"); do
  echo "walvault-fetch $(replay fetch "")"
  echo "without-prefetch $(replay none "$work/bin/walvault-fetch --repo $work/repo --cluster main --prefetch 0 %f %p")"
  echo "cp $(replay cp "cp $work/plain/%f %p")"
done | tee times
for way in walvault-fetch without-prefetch cp; do
  echo "median of $way: $(grep "^$way " times | cut -d' ' -f2 | sort -n | sed -n "$(((rounds + 1) / 2))p") s"
done
