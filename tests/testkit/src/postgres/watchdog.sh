# Owns one PostgreSQL cluster, and lives exactly as long as whoever holds the other end of its stdin.
#
#   sh watchdog.sh BIN DIR KEEP PRIMARY [SETTING...]
#
# KEEP is empty for a cluster that goes with its server, or "keep" for one that is made only if DIR has none, and stays.
# PRIMARY is empty for a new cluster, or the port of the one that this becomes a standby of.
# Commands come as lines on stdin, each is answered by one line on stdout. The end of stdin, which the
# kernel brings about however the other side dies, stops the server and removes DIR unless it is kept.

trap '' PIPE
bin=$1 dir=$2 keep=$3 primary=$4
shift 4
pid=

start() {
    "$bin/postgres" -D "$dir/data" "$@" >>"$dir/log" 2>&1 &
    pid=$!
}

stop() {
    if [ -n "$pid" ]; then
        kill -s "$1" "$pid" 2>/dev/null
        wait "$pid"
        pid=
    fi
}

make() {
    # The mark is set last: without it, what is there is the beginning of a cluster.
    if [ -e "$dir/made" ]; then
        return
    fi
    rm -rf "$dir/data"
    if [ -n "$primary" ]; then
        "$bin/pg_basebackup" -D "$dir/data" -h 127.0.0.1 -p "$primary" -U postgres -R -X stream -c fast --no-sync
    else
        "$bin/initdb" -D "$dir/data" -U postgres --auth=trust --no-sync --locale=C --encoding=UTF8
    fi && touch "$dir/made"
}

if make >"$dir/log" 2>&1; then
    start "$@"
    echo "started $pid"
else
    echo failed
fi

while read -r command signal; do
    case $command in
    stop)
        stop "$signal"
        echo stopped
        ;;
    start)
        start "$@"
        echo "started $pid"
        ;;
    esac
done

# A test may have frozen it.
[ -z "$pid" ] || kill -s CONT "$pid" 2>/dev/null
if [ -n "$keep" ]; then
    stop INT
else
    stop QUIT
    rm -rf "$dir"
fi
