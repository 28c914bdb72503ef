"""What both clients must see of a server with TLS. Every function here is one check; its docstring is the claim."""

import json
import subprocess

import grpc

from reflected import Service, wait_until_reachable

QUERY_SERVICE = "rowstream.v1.QueryService"


class Checks:
    def __init__(self, address, certificate):
        self.address = address
        self.certificate = certificate

    def grpcio(self):
        """grpcio streams over TLS, with the certificate as its authority"""
        credentials = grpc.ssl_channel_credentials(self.certificate.read_bytes())
        with grpc.secure_channel(self.address, credentials) as channel:
            wait_until_reachable(channel)
            request = {"statement": {"sql": "SELECT n FROM generate_series(1, 50000) AS n"}}
            events = list(Service(channel, QUERY_SERVICE).StreamQuery(request, timeout=60))
            assert events[-1].summary.row_count == 50000, events[-1]

    def grpcio_without_tls(self):
        """grpcio without TLS is not served: it tries again until its deadline, and logs why"""
        with grpc.insecure_channel(self.address) as channel:
            call = channel.unary_unary(f"/{QUERY_SERVICE}/ListQueries")
            try:
                call(b"", timeout=2)
            except grpc.RpcError as error:
                assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED), error
            else:
                raise AssertionError("the call ended well")

    def buf_curl(self):
        """buf curl asks for health over TLS, by reflection"""
        options = ["--protocol", "grpc", "--cacert", self.certificate, "--data", json.dumps({})]
        url = f"https://{self.address}/grpc.health.v1.Health/Check"
        done = subprocess.run(["buf", "curl", *options, url], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"status": "SERVING"}, done.stdout
