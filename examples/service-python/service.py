"""A small service that stands on rowstream-server: revenue by month, read anew for every request.

    GET /revenue?from=1994-01-01&until=1995-01-01

The caller's patience becomes the query's deadline, and a failure becomes the HTTP status that tells the
caller whether to try again.
"""

import argparse
import json
import pathlib
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

sys.path.append(str(pathlib.Path(__file__).parent / "generated"))

import grpc

from rows import Client, Query, QueryFailed

PARAMETERS = {"from", "until"}
STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 503,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}


def handler(client, deadline):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            url = urlsplit(self.path)
            parameters = dict(parse_qsl(url.query, keep_blank_values=True))
            if url.path != "/revenue" or not parameters.keys() <= PARAMETERS:
                return self.answer(404, {"error": "try GET /revenue?from=1994-01-01&until=1995-01-01"})
            try:
                # Read to the end before anything is sent: a failure in the middle is still a clean answer.
                months = list(client.rows(Query("revenue_by_month", parameters), deadline))
            except QueryFailed as failure:
                return self.answer_failure(failure)
            self.answer(200, {"months": months, "revenue": sum(month["revenue"] for month in months)})

        def answer_failure(self, failure):
            told = {"error": str(failure), "reason": failure.reason}
            told |= {key: failure.metadata[key] for key in ("query_id", "phase") if key in failure.metadata}
            headers = {} if failure.retry_seconds is None else {"Retry-After": max(1, round(failure.retry_seconds))}
            self.answer(STATUS.get(failure.code, 502), told, headers)

        def answer(self, status, content, headers=None):
            # str keeps a Decimal's digits and writes a date as ISO.
            body = json.dumps(content, default=str).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", "Content-Length": len(body), **(headers or {})}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", default="127.0.0.1:50051", help="HOST:PORT of rowstream-server")
    parser.add_argument("--port", type=int, default=8081, help="the port to serve on; 0 takes a free one")
    parser.add_argument("--deadline", type=float, default=10.0, help="seconds that a query may take")
    arguments = parser.parse_args()
    client = Client(arguments.endpoint)
    server = ThreadingHTTPServer(("127.0.0.1", arguments.port), handler(client, arguments.deadline))
    print(f"listening on 127.0.0.1:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
        client.close()


if __name__ == "__main__":
    main()
