"""Who is compared: how each reads a statement, and through which server.

Slow ones read fewer rows, `limit`, and say so. Those that are `large` read the table of ten times the size too.
"""

import dataclasses
import fnmatch
import pathlib
import typing

from processes import python

PYTHON = pathlib.Path(__file__).parent / "python"
KEYS = {"lineitem": "l_orderkey", "lineitem_10x": "l_orderkey", "events": "id"}
BASE = "copy-binary"
LARGE_TABLE = "lineitem_10x"


@dataclasses.dataclass
class Setting:
    """What commands are made from."""

    programs: pathlib.Path
    psql: str
    url: str
    sql: str
    table: str
    address: str = ""
    # A directory that is not there yet, for what is written.
    out: pathlib.Path | None = None


@dataclasses.dataclass
class Contender:
    name: str
    label: str
    # What it is, for the plots: postgresql, in-process, service or rowstream.
    kind: str
    client: typing.Callable
    server: typing.Callable | None = None
    limit: int | None = None
    large: bool = False
    # Packages of requirements.txt that it needs.
    needs: tuple = ()


def psql(form):
    return lambda s: [s.psql, "--no-psqlrc", "--quiet", "--dbname", s.url,
                      "--output", "/dev/null", "--command", f"COPY ({s.sql}) TO STDOUT (FORMAT {form})"]  # fmt: skip


def connectorx(partitions, form="whole"):
    return lambda s: python(PYTHON / "read_connectorx.py", s.url, s.sql, KEYS[s.table], partitions, form)


def asyncpg(prefetch):
    return lambda s: python(PYTHON / "read_asyncpg.py", s.url, s.sql, prefetch)


def ours(encoding, strategy):
    return lambda s: [s.programs / "examples" / "peers-reader", "rowstream", f"http://{s.address}", s.sql,
                      "--encoding", encoding, "--strategy", strategy]  # fmt: skip


def ours_in_partitions(count):
    return lambda s: [*ours("arrow", "auto")(s), "--partitions", count, *(["--table", s.table] if s.sql.endswith(s.table) else [])]


def our_export(partitions):
    what = lambda s: ["--table", s.table] if s.sql.endswith(s.table) else ["--sql", s.sql]  # noqa: E731
    return lambda s: [s.programs / "rowstream", "export", "--endpoint", f"http://{s.address}", *what(s),
                      "--partitions", partitions, "--quiet", "-o", s.out]  # fmt: skip


def our_server(s, *flags):
    return [s.programs / "rowstream-server", "--database-url", s.url, "--listen", s.address, "--allow-sql",
            "--tables", "public.*", "--max-deadline", "1h", "--log", "warn", *flags]  # fmt: skip


def grpc_server(s):
    return python(PYTHON / "serve_grpc.py", s.address, s.url)


def http_server(s):
    return python(PYTHON / "serve_http.py", s.address, s.url)


def grpc(form):
    return lambda s: python(PYTHON / "read_grpc.py", s.address, s.sql, form)


def http(batch):
    return lambda s: python(PYTHON / "read_http.py", s.address, s.sql, batch)


STRATEGIES = ["auto", "cursor", "portal", "copy"]
GRPC = {"kind": "service", "server": grpc_server, "needs": ("grpcio", "grpcio-tools", "asyncpg", "uvloop")}
HTTP = {"kind": "service", "server": http_server,
        "needs": ("fastapi", "uvicorn", "httptools", "orjson", "aiohttp", "asyncpg", "uvloop")}  # fmt: skip
CONNECTORX = {"kind": "in-process", "needs": ("connectorx", "pyarrow")}
ASYNCPG = {"kind": "in-process", "needs": ("asyncpg", "uvloop")}

ALL = [
    Contender(BASE, "psql, COPY binary", "postgresql", psql("binary"), large=True),
    Contender("copy-text", "psql, COPY text", "postgresql", psql("text")),
    Contender("sqlx-fetch", "sqlx fetch, raw bytes (Rust)", "in-process",
              lambda s: [s.programs / "examples" / "peers-reader", "sqlx", s.url, s.sql]),  # fmt: skip
    *(
        Contender(f"connectorx-{n}", f"ConnectorX, {n} partition{'s' * (n > 1)}, Arrow", client=connectorx(n), **CONNECTORX)
        for n in (1, 2, 4)
    ),
    Contender("connectorx-stream", "ConnectorX, stream of Arrow batches", client=connectorx(1, "stream"), **CONNECTORX),
    Contender("adbc", "ADBC PostgreSQL, Arrow", "in-process",
              lambda s: python(PYTHON / "read_adbc.py", s.url, s.sql), needs=("adbc-driver-postgresql", "pyarrow")),  # fmt: skip
    Contender("asyncpg-cursor-5000", "asyncpg cursor, prefetch 5,000", client=asyncpg(5000), limit=1_000_000, **ASYNCPG),
    Contender("asyncpg-cursor", "asyncpg cursor, default prefetch", client=asyncpg(50), limit=1_000_000, **ASYNCPG),
    # All rows are Python objects at once: 6 million would take more memory than many machines have.
    Contender("asyncpg-fetch", "asyncpg fetch", client=asyncpg(0), limit=1_000_000, **ASYNCPG),
    Contender("psycopg-cursor", "psycopg 3 server-side cursor, 5,000, binary", "in-process",
              lambda s: python(PYTHON / "read_psycopg.py", s.url, s.sql), limit=1_000_000, needs=("psycopg[binary]",)),  # fmt: skip
    Contender("grpc-row", "grpc.aio + asyncpg, a message a row", client=grpc("rows"), limit=200_000, **GRPC),
    Contender("grpc-1000", "grpc.aio + asyncpg, 1,000 rows a message", client=grpc("batches"), limit=500_000, **GRPC),
    Contender("fastapi-row", "FastAPI NDJSON, a row a chunk", client=http(0), limit=500_000, **HTTP),
    Contender("fastapi-1000", "FastAPI NDJSON, 1,000 rows a chunk", client=http(1), limit=500_000, **HTTP),
    *(
        Contender(f"rowstream-{encoding}-{strategy}", f"rowstream, {encoding.upper()}, {strategy.upper()}", "rowstream",
                  ours(encoding, strategy), our_server, large=strategy == "auto")  # fmt: skip
        for encoding in ("rows", "arrow")
        for strategy in STRATEGIES
    ),
    *(
        Contender(f"rowstream-session-{n}", f"rowstream, ARROW, {n} partitions of one snapshot", "rowstream",
                  ours_in_partitions(n), our_server)  # fmt: skip
        for n in (2, 4)
    ),
    # Into Parquet files, compressed by zstd.
    *(
        Contender(f"export-rowstream-{n}", f"rowstream export, {n} partition{'s' * (n > 1)}, Parquet", "rowstream",
                  our_export(n), our_server)  # fmt: skip
        for n in (1, 4)
    ),
    *(
        Contender(f"export-connectorx-{n}", f"ConnectorX, {n} partition{'s' * (n > 1)}, and pyarrow: Parquet", "in-process",
                  lambda s, n=n: python(PYTHON / "export_connectorx.py", s.url, s.sql, KEYS[s.table], n, s.out), needs=("connectorx", "pyarrow"))  # fmt: skip
        for n in (1, 4)
    ),
    Contender("export-adbc", "ADBC PostgreSQL and pyarrow: Parquet", "in-process",
              lambda s: python(PYTHON / "export_adbc.py", s.url, s.sql, s.out), needs=("adbc-driver-postgresql", "pyarrow")),  # fmt: skip
]


def chosen(patterns):
    """The base, and those whose name one of the patterns matches."""
    for pattern in patterns:
        if not any(fnmatch.fnmatch(contender.name, pattern) for contender in ALL):
            names = " ".join(contender.name for contender in ALL)
            raise SystemExit(f"--only {pattern}: no reader has such a name; there are {names}")
    wanted = [c for c in ALL if c.name == BASE or any(fnmatch.fnmatch(c.name, pattern) for pattern in patterns)]
    return wanted if patterns else ALL
