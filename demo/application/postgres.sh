#!/bin/sh
# Starts Postgres on the data in $PGDATA, which is made first where there is none. The superuser is `demo`, its password
# the content of $PASSWORD_FILE. A start that was cut short leaves only $PGDATA.new behind, and begins it again.
set -eu
umask 077
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  rm -rf "$PGDATA.new"
  initdb --pgdata "$PGDATA.new" --username demo --pwfile "$PASSWORD_FILE" --auth scram-sha-256 \
    --encoding UTF8 --no-locale --no-instructions
  echo "host all all all scram-sha-256" >>"$PGDATA.new/pg_hba.conf"
  rm -rf "$PGDATA"
  mv "$PGDATA.new" "$PGDATA"
fi
# What a board can spare; the socket goes where the root file system may be read-only.
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/tmp \
  -c shared_buffers=32MB -c max_connections=50 -c jit=off
