"""What buf curl must see. Every function here is one check; its docstring is the claim."""

import base64
import json
import subprocess

from google.rpc import error_details_pb2

QUERY_SERVICE = "rowstream.v1.QueryService"


class Checks:
    def __init__(self, address):
        self.address = address

    def list_methods(self):
        """the methods are listed, by both versions of reflection"""
        for version in ("grpc-v1", "grpc-v1alpha"):
            done = self._curl("--reflect-protocol", version, "--list-methods", path="")
            assert done.returncode == 0, done.stderr
            assert f"{QUERY_SERVICE}/StreamQuery" in done.stdout.split(), done.stdout

    def health_check(self):
        """health tells SERVING"""
        assert self._call("grpc.health.v1.Health/Check", {}) == [{"status": "SERVING"}]

    def stream(self):
        """a stream prints as JSON, from the header to the summary"""
        request = {"statement": {"sql": "SELECT n, 'a' || n AS t FROM generate_series(1, 3) AS n"}}
        events = self._call(f"{QUERY_SERVICE}/StreamQuery", request)
        assert [list(event) for event in events] == [["header"], ["batch"], ["summary"]], events
        rows = [row["values"] for row in events[1]["batch"]["rows"]["rows"]]
        assert rows == [[{"int64": str(n)}, {"text": f"a{n}"}] for n in (1, 2, 3)], rows
        assert events[2]["summary"]["rowCount"] == "3", events[2]

    def query_row(self):
        """a named query answers one row"""
        statement = {"query": "numbers", "namedParameters": {"first": {"int64": 12}, "last": {"int64": 12}}}
        (response,) = self._call(f"{QUERY_SERVICE}/QueryRow", {"statement": statement})
        assert response["row"]["values"] == [{"int64": "12"}, {"int64": "144"}], response

    def table_read(self):
        """a table is listed, and read through a filter in JSON"""
        (listed,) = self._call(f"{QUERY_SERVICE}/ListTables", {})
        assert [table["table"] for table in listed["tables"]] == ["pg_catalog.pg_am"], listed
        name = {"in": {"column": "amname", "values": [{"text": "btree"}, {"text": "' OR TRUE --"}]}}
        kind = {"comparison": {"column": "amtype", "operator": "COMPARISON_OPERATOR_EQUAL", "value": {"text": "i"}}}
        table = {"table": "pg_catalog.pg_am", "columns": ["oid"], "filter": {"and": {"filters": [name, {"not": {"not": kind}}]}}}
        (response,) = self._call(f"{QUERY_SERVICE}/QueryRow", {"statement": {"table": table}})
        assert response["row"]["values"] == [{"text": "403"}], response
        assert response["columns"] == [{"name": "oid", "typeName": "oid", "typeOid": 26, "nullable": False}], response

    def error_details(self):
        """an error prints with its code, PostgreSQL's message and its details"""
        done = self._curl("--data", json.dumps({"statement": {"sql": "SELECT nothing"}}), path=f"{QUERY_SERVICE}/QueryRow")
        error = json.loads(done.stderr)
        assert error["code"] == "invalid_argument" and "nothing" in error["message"], error
        values = [detail["value"] for detail in error["details"] if detail["type"] == "google.rpc.ErrorInfo"]
        # buf curl prints details in base64, without the padding.
        info = error_details_pb2.ErrorInfo.FromString(base64.b64decode(values[0] + "=="))
        assert (info.domain, info.reason) == ("rowstream", "SQL_ERROR"), info

    def _call(self, method, request):
        done = self._curl("--data", json.dumps(request), path=method)
        assert done.returncode == 0, done.stderr
        return list(_documents(done.stdout))

    def _curl(self, *options, path):
        command = ["buf", "curl", "--http2-prior-knowledge", "--protocol", "grpc", *options]
        return subprocess.run([*command, f"http://{self.address}/{path}"], capture_output=True, text=True, timeout=60)


def _documents(text):
    """The JSON documents of a text, one after another."""
    decoder = json.JSONDecoder()
    text = text.strip()
    while text:
        document, end = decoder.raw_decode(text)
        yield document
        text = text[end:].strip()
