"""What Python's grpcio must see. Every function here is one check; its docstring is the claim."""

import time

import grpc
from google.protobuf import descriptor_pool
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from crc32c import crc32c
from reflected import VERSIONS, Reflection, Service

QUERY_SERVICE = "rowstream.v1.QueryService"
SLEEPERS = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'PgSleep'"


class Checks:
    def __init__(self, channel):
        self.channel = channel
        self.query = Service(channel, QUERY_SERVICE)
        self.health = Service(channel, "grpc.health.v1.Health")

    def reflection(self):
        """both versions of reflection list the services, and know the types of error details"""
        expected = {QUERY_SERVICE, "grpc.health.v1.Health"}
        for version in VERSIONS:
            reflection = Reflection(self.channel, version)
            assert expected <= set(reflection.get_services()), version
            assert Service(self.channel, QUERY_SERVICE, version).StreamQuery
            pool = descriptor_pool.DescriptorPool(reflection)
            assert pool.FindMessageTypeByName("google.rpc.ErrorInfo").fields_by_name["reason"]

    def health_check(self):
        """health tells SERVING, for the server and for the service"""
        for service in ("", QUERY_SERVICE):
            response = self.health.Check({"service": service}, timeout=10)
            assert response.status == 1, response

    def stream(self):
        """a stream is a header, batches in order, and a summary whose counts and checksum hold"""
        sql = "SELECT n, n::text AS t, CASE WHEN n % 2 = 0 THEN n / 2.0 END AS half FROM generate_series(1, 50000) AS n"
        header, batches, summary = self._stream({"sql": sql})
        assert [(c.name, c.type_name) for c in header.columns] == [("n", "int4"), ("t", "text"), ("half", "numeric")]
        rows, encoded = [], b""
        for batch in batches:
            assert batch.first_row == len(rows), (batch.first_row, len(rows))
            assert batch.row_count == len(batch.rows.rows)
            rows.extend(batch.rows.rows)
            encoded += batch.rows.SerializeToString()
        assert len(batches) > 1
        assert [row.values[0].int64 for row in rows] == list(range(1, 50001))
        assert rows[6].values[1].text == "7" and rows[6].values[2].WhichOneof("kind") is None
        assert rows[7].values[2].numeric == "4.0000000000000000", rows[7]
        assert (summary.row_count, summary.byte_count, summary.truncated) == (50000, len(encoded), False)
        assert summary.checksum == crc32c(encoded)

    def named_query(self):
        """a named query takes its parameters by name, and its defaults"""
        first = {"first": {"int64": 2}}
        _, batches, summary = self._stream({"query": "numbers", "named_parameters": first})
        rows = [[value.int64 for value in row.values] for batch in batches for row in batch.rows.rows]
        assert rows == [[2, 4], [3, 9]], rows
        assert summary.row_count == 2

    def list_queries(self):
        """the named queries are listed with their parameters"""
        queries = self.query.ListQueries({}, timeout=10).queries
        assert [query.name for query in queries] == ["numbers", "revenue_by_month", "values"]
        assert [(p.position, p.name, p.required) for p in queries[0].parameters] == [(1, "first", True), (2, "last", False)]
        assert queries[0].max_rows == 1000 and queries[0].description

    def describe_query(self):
        """a statement is described without being run"""
        response = self.query.DescribeQuery({"statement": {"sql": "SELECT $1::date AS d, pg_sleep(60)"}}, timeout=10)
        assert [p.type_name for p in response.parameters] == ["date"]
        assert [c.name for c in response.columns] == ["d", "pg_sleep"]

    def query_row(self):
        """one row comes as one message, a NULL as no kind"""
        row = self._row("SELECT $1::int + 1, NULL, ARRAY[1.5, 2.5]::float8[]", [{"text": "41"}])
        assert row.values[0].int64 == 42
        assert row.values[1].WhichOneof("kind") is None
        assert [value.double for value in row.values[2].list.values] == [1.5, 2.5]

    def no_row(self):
        """no row is NOT_FOUND, reason NO_ROW"""
        self._fails({"sql": "SELECT 1 WHERE false"}, grpc.StatusCode.NOT_FOUND, "NO_ROW")

    def sql_error(self):
        """an error of PostgreSQL's comes with its SQLSTATE and its position in the caller's text"""
        metadata = self._fails({"sql": "SELECT nothing"}, grpc.StatusCode.INVALID_ARGUMENT, "SQL_ERROR")
        assert (metadata["sqlstate"], metadata["position"]) == ("42703", "8"), metadata

    def refused(self):
        """what is not one row-returning statement is refused"""
        for sql in ("DELETE FROM pg_class", "SELECT 1; SELECT 2", "COMMIT"):
            self._fails({"sql": sql}, grpc.StatusCode.INVALID_ARGUMENT, "STATEMENT_REFUSED")

    def unknown_query(self):
        """an unknown named query is NOT_FOUND, reason UNKNOWN_QUERY"""
        self._fails({"query": "nothing"}, grpc.StatusCode.NOT_FOUND, "UNKNOWN_QUERY")

    def deadline(self):
        """a deadline ends the call on time, and the statement in PostgreSQL"""
        start = time.monotonic()
        try:
            self._stream({"sql": "SELECT pg_sleep(600)"}, timeout=0.5)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
        else:
            raise AssertionError("the call ended well")
        assert time.monotonic() - start < 2
        self._nothing_sleeps()

    def cancel(self):
        """a cancelled call ends in PostgreSQL too"""
        call = self.query.StreamQuery({"statement": {"sql": "SELECT pg_sleep(600)"}})
        self._wait("it sleeps", lambda: self._count(SLEEPERS) == 1)
        assert call.cancel()
        self._nothing_sleeps()

    def cancel_query(self):
        """CancelQuery ends another call, and says whether there was one"""
        call = self.query.StreamQuery({"statement": {"sql": "SELECT pg_sleep(600)"}, "query_id": "python-1"})
        self._wait("it sleeps", lambda: self._count(SLEEPERS) == 1)
        assert self.query.CancelQuery({"query_id": "python-1"}, timeout=10).running
        try:
            list(call)
        except grpc.RpcError as error:
            assert (error.code(), _info(error).reason) == (grpc.StatusCode.CANCELLED, "CANCEL_REQUESTED"), error
        else:
            raise AssertionError("the call ended well")
        self._nothing_sleeps()
        assert not self.query.CancelQuery({"query_id": "python-1"}, timeout=10).running

    def _stream(self, statement, timeout=60):
        events = list(self.query.StreamQuery({"statement": statement}, timeout=timeout))
        kinds = [event.WhichOneof("event") for event in events]
        assert kinds == ["header"] + ["batch"] * (len(events) - 2) + ["summary"], kinds
        return events[0].header, [event.batch for event in events[1:-1]], events[-1].summary

    def _row(self, sql, parameters=()):
        statement = {"sql": sql, "parameters": parameters}
        return self.query.QueryRow({"statement": statement}, timeout=10).row

    def _count(self, sql):
        return self._row(sql).values[0].int64

    def _nothing_sleeps(self):
        self._wait("PostgreSQL has stopped", lambda: self._count(SLEEPERS) == 0)

    def _wait(self, what, holds):
        limit = time.monotonic() + 5
        while not holds():
            assert time.monotonic() < limit, f"not within 5 s: {what}"
            time.sleep(0.02)

    def _fails(self, statement, code, reason):
        try:
            self.query.QueryRow({"statement": statement}, timeout=10)
        except grpc.RpcError as error:
            info = _info(error)
            assert (error.code(), info.domain, info.reason) == (code, "rowstream", reason), (error, info)
            return info.metadata
        raise AssertionError("the call ended well")


def _info(error):
    """The ErrorInfo of a failed call."""
    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(error)
    assert status is not None, error
    assert any(detail.Unpack(info) for detail in status.details), status
    return info
