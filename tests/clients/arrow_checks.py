"""What pyarrow and polars must read of a stream in Arrow. Every function here is one check; its docstring is the claim."""

import datetime
import io
import subprocess

import polars
import pyarrow
import pyarrow.ipc

from reflected import Service

END = b"\xff\xff\xff\xff\x00\x00\x00\x00"
# One of each kind that both read, and NULLs; what psql prints of them is the measure.
TABLE = """
    CREATE TABLE of_arrow AS SELECT n AS i, n::int8 * 10000000000 AS l, (n % 7)::int2 AS s, n / 8.0::float8 AS f,
        (n * 12345.678)::numeric(15, 2) AS amount, n % 2 = 0 AS b, repeat('ä', n % 5) || n AS t,
        decode(md5(n::text), 'hex') AS raw, date '1960-01-01' + n AS d,
        timestamp '1969-12-31 23:59:59.5' + n * interval '1.000001 s' AS ts,
        timestamptz '2000-01-01 00:00:00+00' - n * interval '1 day' AS tz, md5(n::text)::uuid AS u,
        jsonb_build_object('n', n) AS j, CASE WHEN n % 3 = 0 THEN NULL ELSE ARRAY[n, NULL, -n] END AS a
    FROM generate_series(1, 20000) AS n;
    UPDATE of_arrow SET l = NULL, f = NULL, amount = NULL, t = NULL, d = NULL, ts = NULL WHERE i % 11 = 0
"""
PRINTED = """
    SELECT i, l, s, f::numeric(20, 3), amount, b, t, encode(raw, 'hex'), d, to_char(ts, 'YYYY-MM-DD HH24:MI:SS.US'),
        to_char(tz AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), u, j, a FROM of_arrow ORDER BY i
"""


class Checks:
    def __init__(self, channel, url):
        self._query = Service(channel, "rowstream.v1.QueryService")
        self._psql = ["psql", url, "--quiet", "--no-align", "--tuples-only", "--field-separator=|", "--command"]
        subprocess.run([*self._psql, TABLE], check=True)

    def pyarrow_agrees_with_psql(self):
        """pyarrow reads what psql prints, by every strategy and compression"""
        expected = subprocess.run([*self._psql, PRINTED], check=True, capture_output=True, text=True).stdout.splitlines()
        for strategy in ("STRATEGY_CURSOR", "STRATEGY_PORTAL", "STRATEGY_COPY"):
            for compression in ("ARROW_COMPRESSION_NONE", "ARROW_COMPRESSION_LZ4", "ARROW_COMPRESSION_ZSTD"):
                table = pyarrow.ipc.open_stream(self._stream(strategy, compression)).read_all()
                table.validate(full=True)
                assert [printed(row) for row in table.to_pylist()] == expected, (strategy, compression)

    def polars_agrees_with_pyarrow(self):
        """polars reads the same as pyarrow"""
        stream = self._stream("STRATEGY_AUTO", "ARROW_COMPRESSION_ZSTD")
        table = pyarrow.ipc.open_stream(stream).read_all()
        frame = polars.read_ipc_stream(io.BytesIO(stream))
        assert frame.columns == table.column_names
        for name in frame.columns:
            if name not in ("u", "j"):
                assert frame[name].to_list() == table[name].to_pylist(), name

    def intervals(self):
        """an interval is months, days and nanoseconds"""
        sql = "SELECT interval '1 year 2 mons -3 days 04:05:06.789' AS iv"
        table = pyarrow.ipc.open_stream(self._stream("STRATEGY_AUTO", "ARROW_COMPRESSION_NONE", sql)).read_all()
        assert tuple(table["iv"][0].as_py()) == (14, -3, 14_706_789_000_000), table

    def _stream(self, strategy, compression, sql="SELECT * FROM of_arrow ORDER BY i"):
        request = {"statement": {"sql": sql}, "encoding": "ENCODING_ARROW", "strategy": strategy}
        request["arrow"] = {"compression": compression}
        header, *batches, summary = self._query.StreamQuery(request, timeout=60)
        messages = [header.header.arrow_schema, *(event.batch.arrow_ipc for event in batches)]
        assert summary.summary.byte_count == sum(map(len, messages[1:])), summary
        return b"".join([*messages, END])


def printed(row):
    """A row as psql prints that of PRINTED."""
    return "|".join(text(name, value) for name, value in row.items())


def text(name, value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return "t" if value else "f"
    if name == "f":
        return f"{value:.3f}"
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    if isinstance(value, list):
        return "{" + ",".join("NULL" if item is None else str(item) for item in value) + "}"
    return value.hex() if isinstance(value, bytes) else str(value)
