#!/usr/bin/env bash
# An S3 server without conditional writes for the tests: OpenStack Swift with its s3api, on
# one node and on loopback.
#   swift_store.sh DIRECTORY PORT
# Prints "ready" when http://127.0.0.1:PORT answers (PORT + 1 to PORT + 4 are its own), and
# ends, with all daemons, when its standard input does.
# The user of the store: access key test:tester, secret testing-secret.
set -euo pipefail
directory=$1
port=$2
mkdir -p "$directory"/{etc,disk/one,log}
cd "$directory/etc"
export SWIFT_DIR=$directory/etc

daemons=()
stop() {
  [ ${#daemons[@]} -eq 0 ] || kill "${daemons[@]}" 2>/dev/null || true
  wait
}
trap stop EXIT

cat >swift.conf <<CONFIGURATION
[swift-hash]
swift_hash_path_suffix = walvault
swift_hash_path_prefix = test
[storage-policy:0]
name = one
default = yes
CONFIGURATION

number=0
for kind in account container object; do
  number=$((number + 1))
  {
    swift-ring-builder $kind.builder create 4 1 1
    swift-ring-builder $kind.builder add "r1z1-127.0.0.1:$((port + number))/one" 1
    swift-ring-builder $kind.builder rebalance
  } >>"$directory/log/rings"
  cat >$kind-server.conf <<CONFIGURATION
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $((port + number))
workers = 1
user = $(id -un)
swift_dir = $SWIFT_DIR
devices = $directory/disk
mount_check = false
[pipeline:main]
pipeline = $kind-server
[app:$kind-server]
use = egg:swift#$kind
CONFIGURATION
done

cat >proxy-server.conf <<CONFIGURATION
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $port
workers = 2
user = $(id -un)
swift_dir = $SWIFT_DIR
[pipeline:main]
pipeline = catch_errors cache listing_formats bulk s3api tempauth slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:$((port + 4))
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing-secret .admin
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
CONFIGURATION

memcached -l 127.0.0.1 -p $((port + 4)) -U 0 -u "$(id -un)" &
daemons+=($!)
for kind in account container object proxy; do
  swift-$kind-server "$SWIFT_DIR/$kind-server.conf" >>"$directory/log/$kind" 2>&1 &
  daemons+=($!)
done
for number in 1 2 3 0; do
  for try in $(seq 300); do
    curl --silent --max-time 5 --output /dev/null "http://127.0.0.1:$((port + number))/" && break
    sleep 0.1
  done
  if [ "$try" = 300 ]; then
    echo "failed: $(tail -n 5 "$directory"/log/*)" >&2
    exit 1
  fi
done
echo ready
cat >/dev/null
