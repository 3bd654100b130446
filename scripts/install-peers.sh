#!/usr/bin/env bash
# Puts the newest pgBackRest and Barman that Debian has beside the system, for
# bench/compare: install-peers.sh DIRECTORY. They come from the suite forky, unpacked without
# being installed; pgBackRest runs with that suite's own libraries, Barman with this system's
# Python. Prints what is there. Needs install-deps.sh --test --bench.
set -euo pipefail
[ $# = 1 ] || { echo "usage: $0 DIRECTORY" >&2; exit 2; }
target=$1
# shellcheck source=scripts/apt-root.sh
source "$(dirname "$0")/apt-root.sh"

if [ ! -e "$target/complete" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  rm -rf "$target"
  mkdir -p "$target/bin" "$target/root"
  make_apt_root forky "$work"
  APT_CONFIG=$work/apt.conf apt-get install -qq -y --no-install-recommends --download-only \
    -o Debug::NoLocking=1 pgbackrest barman python3-barman >/dev/null
  for package in "$work"/cache/archives/*.deb; do
    case ${package##*/} in *-doc_* | perl* | systemd* | locales*) continue ;; esac
    dpkg -x "$package" "$target/root"
  done
  # It starts itself again as its workers, so it must be a program and no script.
  cp "$target/root/usr/bin/pgbackrest" "$target/bin/pgbackrest"
  run_with_own_libraries "$target/root" "$target/bin/pgbackrest"
  # What is pure Python of it, with the modules that this system has.
  mkdir "$target/python"
  cp -a "$target/root/usr/lib/python3/dist-packages/barman" "$target/python/"
  cp -a "$target"/root/usr/lib/python3/dist-packages/barman-*info "$target/python/"
  cat >"$target/bin/barman" <<PROGRAM
#!/bin/sh
PYTHONPATH=$target/python exec /usr/bin/python3 -B -c 'from barman.cli import main; main()' "\$@"
PROGRAM
  chmod 755 "$target/bin/barman"
  chmod -R a+rX "$target"
  touch "$target/complete"
fi
"$target/bin/pgbackrest" version
"$target/bin/barman" --version | head -n 1
