# To be sourced by the scripts beside it, with NAME and PORT set: a throw-away
# PostgreSQL 15 in a directory of its own, which is the current one from here on, and
# the release build's programs in its bin. All of it goes when the script ends.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
programs=/usr/lib/postgresql/15/bin
# Runs a command as a user whom PostgreSQL's programs accept.
[ "$(id -u)" = 0 ] && run=(setpriv --reuid postgres --regid postgres --clear-groups) || run=()
work=$(mktemp -d "/tmp/walvault-$NAME-XXXXXX")
chmod 755 "$work"
install -d -m 755 "$work/bin"
install -m 755 "$here"/build/release/bin/walvault* "$work/bin"
[ "$(id -u)" = 0 ] && chown -R postgres: "$work"
cd "$work"
stop_all() {
  local id
  for id in "$work"/*/postmaster.pid; do
    [ -e "$id" ] || continue
    "${run[@]}" "$programs/pg_ctl" -D "${id%/*}" -m immediate stop >/dev/null 2>&1 || true
  done
  rm -rf "$work"
}
trap stop_all EXIT

export PGHOST=$work PGPORT=$PORT PGUSER=postgres PGDATABASE=postgres
conninfo="host=$work port=$PORT user=postgres"

# start_server: with further settings from standard input.
start_server() {
  "${run[@]}" "$programs/initdb" -A trust -U postgres -D data --no-sync >/dev/null
  {
    printf "unix_socket_directories = '%s'\nlisten_addresses = ''\nport = %s\n" "$work" "$PORT"
    cat
  } >>data/postgresql.conf
  "${run[@]}" "$programs/pg_ctl" -D data -w -l log start >/dev/null
}
