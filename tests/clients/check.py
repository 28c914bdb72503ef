"""Runs all checks of real clients: check.py POSTGRES SERVER ROWSTREAM SERVICE_RUST (the paths of four programs)."""

import sys
import traceback

import grpc

import arrow_checks
import buf_checks
import metrics_checks
import programs
import python_checks
import service_checks
import tls_checks
from reflected import wait_until_reachable


def run(client, checks):
    """Runs every public method of `checks`, prints a line for each, and returns how many failed."""
    failed = 0
    for name, check in vars(type(checks)).items():
        if name.startswith("_"):
            continue
        try:
            check(checks)
            print(f"ok    {client}: {check.__doc__}", flush=True)
        except Exception:
            failed += 1
            traceback.print_exc()
            print(f"FAIL  {client}: {check.__doc__}", flush=True)
    return failed


def main(postgres, server, rowstream, service_rust):
    with programs.postgres(postgres) as url:
        failed = check_plain(server, url, rowstream, service_rust) + check_tls(server, url)
    sys.exit(1 if failed else 0)


def check_tls(server, url):
    with programs.certificate() as (certificate, key):
        flags = ["--tls-cert", certificate, "--tls-key", key]
        with programs.server(server, url, *flags) as (address, _):
            return run("TLS", tls_checks.Checks(address, certificate))


def check_plain(server, url, rowstream, service_rust):
    with programs.server(server, url) as (address, admin):
        with grpc.insecure_channel(address) as channel:
            wait_until_reachable(channel)
            failed = run("grpcio", python_checks.Checks(channel))
            failed += run("pyarrow, polars", arrow_checks.Checks(channel, url))
        failed += run("buf curl", buf_checks.Checks(address))
        failed += run("example", service_checks.Checks(address, rowstream, service_rust))
        return failed + run("prometheus_client", metrics_checks.Checks(admin))


if __name__ == "__main__":
    main(*sys.argv[1:])
