# make_repository DIRECTORY CONNINFO: where PostgreSQL's tests have a directory of archived files,
# one that walvault archives to and backs up into.
make_repository() {
  [ ! -d "$1/walvault/clusters" ] || return 0
  "$WALVAULT_PROGRAMS/walvault" init --repo "$1/walvault" >/dev/null
  "$WALVAULT_PROGRAMS/walvault" cluster add main --repo "$1/walvault" --pg "$2 dbname=postgres" >/dev/null
}
