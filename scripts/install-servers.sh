#!/usr/bin/env bash
# Puts PostgreSQL majors that Debian 12 does not have beside the system, for
# the tests: install-servers.sh 18. Prints nothing but errors; does nothing
# when they are there. Needs install-deps.sh --test.
#
# The packages come from a newer Debian suite on the mirror this system uses,
# are unpacked without being installed, and run with that suite's own libc.
set -euo pipefail

base=$(bash "$(dirname "$0")/servers-dir.sh")
declare -A suites=([17]=trixie [18]=forky)

# A private apt root for one suite: its lists and cache, nothing of the system.
make_apt_root() {
  local suite=$1 dir=$2 mirror
  mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -v security | sort -u | head -n 1)
  mkdir -p "$dir"/lists/partial "$dir"/cache/archives/partial "$dir"/etc
  touch "$dir/status"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" \
    >"$dir/etc/sources.list"
  cat >"$dir/apt.conf" <<CONF
Dir::State::lists "$dir/lists";
Dir::State::status "$dir/status";
Dir::Cache "$dir/cache";
Dir::Etc::sourcelist "$dir/etc/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Sandbox::User "root";
CONF
  APT_CONFIG=$dir/apt.conf apt-get -qq update
}

for major in "$@"; do
  suite=${suites[$major]:?no suite is known for PostgreSQL $major}
  target=$base/$major
  [ -e "$target/complete" ] && continue
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  make_apt_root "$suite" "$work"
  APT_CONFIG=$work/apt.conf apt-get install -qq -y --no-install-recommends --download-only \
    -o Debug::NoLocking=1 "postgresql-$major" "postgresql-client-$major" libpq5 >/dev/null
  rm -rf "$target"
  mkdir -p "$target"
  for package in "$work"/cache/archives/*.deb; do
    case ${package##*/} in *-doc_* | perl* | systemd* | locales* | python3*) continue ;; esac
    dpkg -x "$package" "$target"
  done
  loader=$(find "$target" -name 'ld-*.so*' -type f | head -n 1)
  for program in "$target/usr/lib/postgresql/$major/bin"/*; do
    head -c 4 "$program" | grep -q ELF || continue
    patchelf --set-interpreter "$loader" --force-rpath \
      --set-rpath "$target/usr/lib/x86_64-linux-gnu:$target/lib/x86_64-linux-gnu" "$program"
  done
  chmod -R a+rX "$target"
  touch "$target/complete"
done
