# For install-servers.sh and install-peers.sh: packages of other Debian suites, unpacked beside
# the system without being installed.

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

# run_with_own_libraries TARGET PROGRAM...: programs run with the C library and the libraries that
# were unpacked with them.
run_with_own_libraries() {
  local target=$1 loader program
  shift
  loader=$(find "$target" -name 'ld-*.so*' -type f | head -n 1)
  for program in "$@"; do
    head -c 4 "$program" | grep -q ELF || continue
    patchelf --set-interpreter "$loader" --force-rpath \
      --set-rpath "$target/usr/lib/x86_64-linux-gnu:$target/lib/x86_64-linux-gnu" "$program"
  done
}
