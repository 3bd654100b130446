#!/usr/bin/env bash
# A real S3 server for the tests: Ceph on one node with its gateway, on loopback.
#   object_store.sh DIRECTORY PORT [memstore|bluestore]
# Prints "ready" when http://127.0.0.1:PORT answers (and https:// at PORT + 1, with
# DIRECTORY/tls.crt as its authority), then takes lines: "restart" starts the daemons that
# are gone, and says "ready" again. Ends, with all daemons, when its standard input does.
# The user of the store: access key test:tester, secret testing-secret; DIRECTORY/run has pids.
set -euo pipefail
directory=$1
port=$2
store=${3:-memstore}
monitor_port=$((port + 2))
fsid=a7f64266-0894-4f1e-a635-d0aeaca0e993
export CEPH_CONF=$directory/ceph.conf

mkdir -p "$directory"/{run,log,mon,mgr/ceph-x,osd}
cat >"$CEPH_CONF" <<CONFIGURATION
[global]
fsid = $fsid
mon host = v1:127.0.0.1:$monitor_port
ms bind msgr2 = false
public network = 127.0.0.0/8
auth cluster required = none
auth service required = none
auth client required = none
auth allow insecure global id reclaim = true
mon warn on insecure global id reclaim = false
mon warn on insecure global id reclaim allowed = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
mon data avail crit = 1
mon data avail warn = 2
run dir = $directory/run
pid file = $directory/run/\$name.pid
admin socket = $directory/run/\$name.asok
log file = $directory/log/\$name.log
log to stderr = false
log to syslog = false
[mon]
mon data = $directory/mon/ceph-\$id
mon cluster log file = $directory/log/cluster.log
mon initial members = a
[mon.a]
host = localhost
mon addr = 127.0.0.1:$monitor_port
[mgr]
mgr data = $directory/mgr/ceph-\$id
mgr module path = /usr/share/ceph/mgr
mgr initial modules =
[osd]
osd data = $directory/osd
osd journal = $directory/osd/journal
osd objectstore = $store
memstore device bytes = ${MEMSTORE_BYTES:-8589934592}
bluestore block create = true
bluestore block size = ${BLUESTORE_BYTES:-6442450944}
bluestore fsck on mount = false
bluestore cache autotune = false
bluestore cache size = 134217728
osd memory target = 939524096
osd class load list = *
osd class default list = *
[client]
rgw frontends = beast endpoint=127.0.0.1:$port ssl_endpoint=127.0.0.1:$((port + 1)) ssl_certificate=$directory/tls.crt ssl_private_key=$directory/tls.key tcp_nodelay=1
rgw dns name = localhost
rgw enable usage log = false
rgw gc max objs = 7
rgw num rados handles = 1
rgw thread pool size = 64
rgw enable apis = s3, admin
rgw zone root pool = .rgw.root
CONFIGURATION

# One that was killed may stay as a zombie, where nobody reaps it.
alive() {
  local pid state
  pid=$(cat "$directory/run/$1.pid" 2>/dev/null) || return
  state=$(ps -o state= -p "$pid") || return
  [ "${state# }" != Z ]
}

stop() {
  local file
  for signal in TERM KILL; do
    for file in "$directory"/run/*.pid; do
      [ -f "$file" ] && kill -"$signal" "$(cat "$file")" 2>/dev/null || true
    done
    [ $signal = KILL ] || sleep 0.5
  done
}
trap stop EXIT

fail() {
  echo "failed: $1" >&2
  tail -n 5 "$directory"/log/*.log >&2 || true
  exit 1
}

# A monitor that has just started refuses commands for a moment.
repeated() {
  local try
  for try in $(seq 20); do
    timeout 30 "$@" >"$directory/log/command" 2>&1 && return
    sleep 0.3
  done
  cat "$directory/log/command" >&2
  fail "$* ($try tries)"
}

# An OSD whose first command to the monitor overtakes the map of monitors is told
# "wrong fsid" and ends: then it is started again. It is asked itself: the monitor takes one
# that was killed for being up for a while.
start_osd() {
  local try
  for try in 1 2 3 4 5 6 7 8 9 10; do
    alive osd.0 || ceph-osd -i 0 >>"$directory/log/osd.start" 2>&1 || true
    for _ in 1 2 3 4 5; do
      timeout 5 ceph --admin-daemon "$directory/run/osd.0.asok" status 2>/dev/null |
        grep -q '"state": "active"' && return
      sleep 0.3
    done
  done
  fail "osd ($try tries)"
}

start_daemons() {
  alive mon.a || ceph-mon -i a >>"$directory/log/mkfs" 2>&1
  alive mgr.x || ceph-mgr -i x
  start_osd
  alive client.rgw || radosgw -n client.rgw --no-mon-config
  for _ in $(seq 300); do
    curl --silent --max-time 5 --output /dev/null "http://127.0.0.1:$port/" && return
    sleep 0.1
  done
  fail "gateway"
}

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost,DNS:*.localhost,IP:127.0.0.1 -keyout "$directory/tls.key" \
  -out "$directory/tls.crt" 2>/dev/null
monmaptool --create --clobber --fsid $fsid --addv a "[v1:127.0.0.1:$monitor_port]" \
  "$directory/monmap" >/dev/null
ceph-mon --mkfs -i a --monmap "$directory/monmap" --no-mon-config >"$directory/log/mkfs" 2>&1
ceph-mon -i a >>"$directory/log/mkfs" 2>&1
ceph-osd -i 0 --mkfs --osd-uuid "$(cat /proc/sys/kernel/random/uuid)" >>"$directory/log/mkfs" 2>&1
# A store in memory chooses its own identity.
uuid=$(cat "$directory/osd/fs_fsid" 2>/dev/null || cat "$directory/osd/fsid")
repeated ceph osd new "$uuid" 0
start_daemons
make_user() {
  radosgw-admin -n client.rgw user create --uid=test --display-name=test --access-key=test:tester \
    --secret-key=testing-secret || radosgw-admin -n client.rgw user info --uid=test
}
for try in 1 2 3 4 5 6 7 8 9 10; do
  make_user >"$directory/log/user" 2>&1 && break
  [ "$try" -lt 10 ] || fail "user"
  sleep 0.5
done
echo ready
while read -r line; do
  [ "$line" = restart ] || continue
  start_daemons
  echo ready
done
