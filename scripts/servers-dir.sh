#!/usr/bin/env bash
# Where install-servers.sh keeps PostgreSQL servers: a place that the server's
# user may read, which root's home is not.
if [ -n "${WALVAULT_SERVERS:-}" ]; then
  echo "$WALVAULT_SERVERS"
elif [ "$(id -u)" -eq 0 ]; then
  echo /var/cache/walvault-servers
else
  echo "${XDG_CACHE_HOME:-$HOME/.cache}/walvault-servers"
fi
