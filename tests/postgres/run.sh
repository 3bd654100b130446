#!/usr/bin/env bash
# PostgreSQL's own recovery tests (src/test/recovery), with walvault in place of cp and
# pg_basebackup: tests/postgres/run.sh 15|18 [TEST...]. Its sources are Debian's, patched here.
# Ends with the number of tests that failed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
major=${1:?15 or 18}
shift
. "$root/scripts/apt-root.sh"
servers_dir=$(bash "$root/scripts/servers-dir.sh")
case $major in
  15) suite=bookworm programs=/usr/lib/postgresql/15/bin ;;
  18) suite=forky programs=$servers_dir/18/usr/lib/postgresql/18/bin ;;
  *) echo "usage: $0 15|18 [TEST...]" >&2; exit 2 ;;
esac
work=$(mktemp -d "${WALVAULT_TEST_DIR:-/tmp}/walvault-postgres-XXXXXX")
trap 'rm -rf "$work"' EXIT

make_apt_root "$suite" "$work/apt"
sed -i 's/^deb /deb-src /' "$work/apt/etc/sources.list"
export APT_CONFIG=$work/apt/apt.conf
apt-get -qq update
(cd "$work" && apt-get -qq source --download-only "postgresql-$major" 2>/dev/null)
tar -C "$work" -xf "$work"/postgresql-"$major"_*.orig.tar.* --wildcards '*/src/test/recovery' \
  '*/src/test/perl' '*/src/test/regress'
sources=$(echo "$work"/postgresql-*/src/test)
cluster=$sources/perl/PostgreSQL/Test/Cluster.pm
python3 "$here/patch.py" "$cluster"

# What some of them load into the server, and the headers that others read.
headers=/usr/include/postgresql/$major/server
if [ "$major" != 15 ]; then
  sed -i 's/^deb-src /deb /' "$work/apt/etc/sources.list"
  apt-get -qq update
  (cd "$work" && apt-get -qq download "postgresql-server-dev-$major" 2>/dev/null)
  dpkg -x "$work"/postgresql-server-dev-"$major"_*.deb "$work/dev"
  headers=$work/dev$headers
fi
gcc -shared -fPIC -O1 -I"$headers" "$sources/regress/regress.c" -o "$sources/regress/regress.so"
cat >"$work/pg_config" <<CONFIG
#!/bin/sh
case \$1 in --includedir-server) echo "$headers" ;; *) exec "$programs/pg_config" "\$@" ;; esac
CONFIG
chmod a+x "$work/pg_config"

# What the regression tests print depends on the minor version: where the sources are of another one
# than the server, 027 says nothing of it, and goes on to compare primary and standby.
version=$(basename "$(dirname "$(dirname "$sources")")")
if [ "$("$programs/postgres" --version | awk '{ print $3 }')" != "${version#postgresql-}" ]; then
  echo "sources are of ${version#postgresql-}: what the regression tests of 027 print is not compared"
  sed -i "s/^is(\$rc, 0, 'regression tests pass');/ok(1, 'regression tests ran');/" \
    "$sources/recovery/t/027_stream_regress.pl"
fi

mkdir "$work/programs"
cp "$root"/build/dev/bin/walvault "$root"/build/dev/bin/walvault-{archive,fetch} "$work/programs"
cp "$here"/{archive,fetch,basebackup,repository.sh} "$work"
chmod -R a+rX "$work"
as_server=()
if [ "$(id -u)" = 0 ]; then
  chown -R postgres "$work"
  as_server=(setpriv --reuid postgres --regid postgres --init-groups)
fi
tests=("$@")
[ ${#tests[@]} -gt 0 ] || tests=("$sources"/recovery/t/*.pl)
failed=0
cd "$sources/recovery"
for test in "${tests[@]}"; do
  name=$(basename "$test" .pl)
  log=$work/$name.log
  "${as_server[@]}" mkdir -p "$work/data/$name/log"
  if "${as_server[@]}" env PATH="$work:$programs:$PATH" LC_ALL=C HOME="$work" TESTDATADIR="$work/data/$name" \
    TESTLOGDIR="$work/data/$name/log" TESTDIR="$sources/recovery" PG_TEST_EXTRA= enable_injection_points=no \
    REGRESS_SHLIB="$sources/regress/regress.so" \
    PG_REGRESS=/usr/lib/postgresql/15/lib/pgxs/src/test/regress/pg_regress \
    WALVAULT_PROGRAMS="$work/programs" WALVAULT_TOOLS="$work" \
    timeout 600 prove -I "$sources/perl" -I "$sources/recovery" "t/$name.pl" >"$log" 2>&1; then
    echo "$name: $(tail -n 1 "$log" | sed 's/^Result: //')"
  else
    failed=$((failed + 1))
    echo "$name: FAILED"
    tail -n 20 "$log"
    find "$sources" "$work/data" \( -name "regress_log_$name" -o -name "${name}_*.log" -o -name regression.diffs \) -exec tail -n 60 {} + 2>/dev/null || true
  fi
  rm -rf "$work/data/$name" "$sources/recovery/tmp_check"
done
exit "$failed"
