#!/usr/bin/env bash
# Installs what walvault needs on Debian 12, and nothing that is there already.
#   install-deps.sh          to build it and run the demo
#   install-deps.sh --test   also what tests and checks need
#   install-deps.sh --long   and what only the longest tests do
#   install-deps.sh --bench  also the programs it is compared with
set -euo pipefail

packages=(
  g++ cmake ninja-build ccache git ca-certificates
  libpq-dev liblz4-dev libzstd-dev libssl-dev libcurl4 libcurl4-openssl-dev libpugixml-dev libboost-filesystem-dev libspdlog-dev
  libcli11-dev libtomlplusplus-dev nlohmann-json3-dev libgtest-dev libgmock-dev libbenchmark-dev
  postgresql-15 postgresql-client-15
)
test_packages=(
  clang clang-format clang-tidy libclang-rt-14-dev python3 patchelf strace e2fsprogs procps curl gcovr
  ceph-mon ceph-osd ceph-mgr radosgw ceph-common
)
long_packages=(
  swift-proxy swift-account swift-container swift-object memcached
  libipc-run-perl postgresql-server-dev-15
)
bench_packages=(pgbackrest barman zstd)

for option in "$@"; do
  case $option in
    --test) packages+=("${test_packages[@]}") ;;
    --long) packages+=("${test_packages[@]}" "${long_packages[@]}") ;;
    --bench) packages+=("${bench_packages[@]}") ;;
    *) echo "usage: $0 [--test] [--long] [--bench]" >&2; exit 2 ;;
  esac
done

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
    missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "error: run as root, or install sudo" >&2; exit 1; }
  root=(sudo)
fi
echo "installing: ${missing[*]}"
# The tests and the demo start servers of their own; Debian's packages need not
# make and start one.
if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
  "${root[@]}" mkdir -p /etc/postgresql-common
  echo 'create_main_cluster = false' |
    "${root[@]}" tee /etc/postgresql-common/createcluster.conf >/dev/null
fi
"${root[@]}" apt-get update -qq
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
  -o Dpkg::Options::=--force-confold "${missing[@]}" >/dev/null
