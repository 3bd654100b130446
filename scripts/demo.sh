#!/usr/bin/env bash
# The main job from nothing, in a temporary directory: installs what is missing,
# builds a release, starts a throw-away server, archives its WAL, backs it up
# under load, drops a table, restores to the second before, and compares.
# Exits non-zero when anything differs. Leaves nothing behind but the build.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
timings=()
# timed WHAT COMMAND...: runs it and remembers how long it took.
timed() {
  local what=$1 began ended
  shift
  say "$what"
  began=$(date +%s%N)
  "$@"
  ended=$(date +%s%N)
  timings+=("$(printf '%7.1f s  %s' "$(((ended - began) / 100000000))e-1" "$what")")
}

install_and_build() {
  bash scripts/install-deps.sh
  cmake --preset release >/dev/null
  cmake --build --preset release --target walvault walvault-archive walvault-fetch
}
timed "Install what is missing and build a release" install_and_build

# PostgreSQL refuses to run as root: then everything below runs as postgres.
as_user() {
  if [ "$(id -u)" -eq 0 ]; then
    setpriv --reuid=postgres --regid=postgres --init-groups "$@"
  else
    "$@"
  fi
}

work=$(mktemp -d /tmp/walvault-demo-XXXXXX)
if [ "$(id -u)" -eq 0 ]; then chown postgres:postgres "$work"; fi
chmod 755 "$work"
server=/usr/lib/postgresql/15/bin
mkdir "$work/bin"
cp build/release/bin/walvault build/release/bin/walvault-archive build/release/bin/walvault-fetch "$work/bin/"
chmod -R a+rX "$work/bin"
export LC_ALL=C PATH="$work/bin:$server:$PATH"
export PGHOST=$work PGPORT=54329 PGUSER=postgres PGDATABASE=postgres
export WALVAULT_REPO=$work/repository WALVAULT_CLUSTER=demo
conninfo="host=$work port=$PGPORT user=postgres"

clean_up() {
  local status=$?
  for data in "$work/original" "$work/restored"; do
    if [ -f "$data/postmaster.pid" ]; then
      as_user pg_ctl -D "$data" -m immediate -w stop >/dev/null 2>&1 || true
    fi
  done
  if [ $status -ne 0 ]; then
    for log in "$work"/*.log; do
      if [ -f "$log" ]; then echo "--- $log" >&2; tail -n 15 "$log" >&2; fi
    done
  fi
  cd /
  rm -rf "$work"
}
trap clean_up EXIT
cd "$work"

start_server() {
  as_user initdb --no-sync -A trust --no-locale -k -U postgres -D "$work/original" >/dev/null
  cat >>"$work/original/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$work'
port = $PGPORT
archive_mode = on
archive_command = '$work/bin/walvault-archive --repo $WALVAULT_REPO --cluster $WALVAULT_CLUSTER %p'
CONF
  as_user pg_ctl -D "$work/original" -l "$work/original.log" -w start >/dev/null
  as_user pgbench -i -q -s 20 2>&1 | tail -n 1
}

register() {
  as_user walvault init
  as_user walvault cluster add demo --pg "$conninfo"
}

back_up_under_load() {
  as_user pgbench -c 2 -T 8 -n >"$work/pgbench.log" 2>&1 &
  local load=$!
  sleep 1
  as_user walvault backup --pg "$conninfo" --label "demo, under load"
  wait "$load"
  grep -E '^(number of transactions actually|tps)' "$work/pgbench.log"
}

checksums() {
  as_user psql -XAtq -p "$1" -c "
    SELECT 'accounts', count(*), sum(hashtext(t::text)::bigint) FROM pgbench_accounts t
    UNION ALL SELECT 'tellers', count(*), sum(hashtext(t::text)::bigint) FROM pgbench_tellers t
    UNION ALL SELECT 'branches', count(*), sum(hashtext(t::text)::bigint) FROM pgbench_branches t
    UNION ALL SELECT 'history', count(*), sum(hashtext(t::text)::bigint) FROM pgbench_history t
    ORDER BY 1"
}

note_and_drop() {
  sleep 1.5 # the moment asked for has whole seconds to both sides
  checksums "$PGPORT" >"$work/expected"
  cat "$work/expected"
  moment=$(as_user psql -XAtqc "SELECT clock_timestamp()")
  echo "The moment before the mistake: $moment"
  sleep 1.5
  as_user psql -Xqc "DROP TABLE pgbench_accounts"
  echo "Dropped pgbench_accounts."
  local segment
  segment=$(as_user psql -XAtqc "SELECT pg_walfile_name(pg_current_wal_lsn())")
  as_user psql -XAtqc "SELECT pg_switch_wal()" >/dev/null
  for _ in $(seq 100); do
    if as_user psql -XAtqc "SELECT last_archived_wal >= '$segment' FROM pg_stat_archiver" |
      grep -q t; then
      return
    fi
    sleep 0.1
  done
  echo "error: the WAL was not archived" >&2
  return 1
}

restore() {
  as_user walvault info
  echo
  as_user walvault restore --pgdata "$work/restored" --to "$moment"
}

start_restored() {
  as_user pg_ctl -D "$work/restored" -l "$work/restored.log" -o "-c port=$((PGPORT + 1))" -w start \
    >/dev/null
  for _ in $(seq 300); do
    if as_user psql -XAtq -p $((PGPORT + 1)) -c "SELECT pg_is_in_recovery()" | grep -q f; then
      grep -E 'recovery stopping|archive recovery complete' "$work/restored.log"
      return
    fi
    sleep 0.1
  done
  echo "error: recovery did not end" >&2
  return 1
}

compare() {
  checksums $((PGPORT + 1)) >"$work/found"
  diff "$work/expected" "$work/found"
  cat "$work/found"
  echo "All tables are what they were at $moment."
}

timed "Start a server and fill it" start_server
timed "Create a repository and register the server" register
timed "Back up under load" back_up_under_load
timed "Note the moment, then drop a table" note_and_drop
timed "Restore to that moment" restore
timed "Start the restored server and let it recover" start_restored
timed "Compare all tables" compare

say "Done"
printf '%s\n' "${timings[@]}"
