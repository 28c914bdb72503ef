#!/bin/sh
# Makes sure that PostgreSQL's programs are on this machine: the tests and the demo start a private server
# with them. Installs them by apt-get or brew if they are missing. Looks where the testkit looks
# (tests/testkit/src/postgres/programs.rs).
set -eu

found() {
    [ -x "$1/initdb" ] && [ -x "$1/postgres" ] && [ -x "$1/psql" ]
}

look() {
    if [ -n "${ROWSTREAM_PG_BIN:-}" ]; then
        found "$ROWSTREAM_PG_BIN"
        return
    fi
    if initdb=$(command -v initdb) && found "$(dirname "$initdb")"; then
        return 0
    fi
    for bin in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin \
        /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin /home/linuxbrew/.linuxbrew/opt/postgresql*/bin; do
        if found "$bin"; then
            return 0
        fi
    done
    return 1
}

# Runs a command as root, saying so if that takes sudo.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        echo "needs root: sudo $*" >&2
        sudo "$@"
    fi
}

if look; then
    exit 0
fi
if [ -n "${ROWSTREAM_PG_BIN:-}" ]; then
    echo "ROWSTREAM_PG_BIN is $ROWSTREAM_PG_BIN, which does not hold initdb, postgres and psql" >&2
    exit 1
fi

echo "PostgreSQL is not installed; installing it" >&2
if command -v apt-get >/dev/null; then
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y postgresql
elif command -v brew >/dev/null; then
    brew install postgresql@17
else
    echo "neither apt-get nor brew is here: install PostgreSQL 14 or later, or set ROWSTREAM_PG_BIN to its bin folder" >&2
    exit 1
fi
look || { echo "PostgreSQL was installed, but its programs are in no folder known to this script" >&2; exit 1; }
