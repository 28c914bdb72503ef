"""What the example services must do. Every public method here is one check; its docstring is the claim."""

import contextlib
import datetime
import decimal
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
YEAR = 12 * decimal.Decimal("12345678901234567.10")


class Checks:
    def __init__(self, address, program, service_rust):
        self.address = address
        self.program = pathlib.Path(program).resolve()
        self.service_rust = service_rust

    def rust(self):
        """the service in Rust answers from memory, with every month and every digit"""
        command = [self.service_rust, "--endpoint", f"http://{self.address}", "--listen", "127.0.0.1:0", "--every", "1s"]
        with _service(command) as address:
            # 503 until the first refresh is through.
            status, content = _until(lambda: _get(address, "/revenue"), lambda answer: answer[0] == 200)
            months = [month for month in content["months"] if month["month"].startswith("1994")]
            assert len(months) == 12 and months[0]["revenue"] == "12345678901234567.10", content
            assert _get(address, "/other")[0] == 404

    def rust_without_a_server(self):
        """the service in Rust answers 503 as long as it has nothing"""
        command = [self.service_rust, "--endpoint", "http://127.0.0.1:1", "--listen", "127.0.0.1:0"]
        with _service(command) as address:
            assert _get(address, "/revenue") == (503, {"error": "not filled yet"})

    def python(self):
        """the service in Python, over code generated from --print-proto, sums decimals and tells failures"""
        with self._generated() as environment:
            command = [sys.executable, "-B", EXAMPLES / "service-python" / "service.py", "--endpoint", self.address, "--port", "0"]
            with _service(command, environment) as address:
                status, content = _get(address, "/revenue")
                assert status == 200 and len(content["months"]) == 12, content
                assert decimal.Decimal(content["revenue"]) == YEAR, content
                assert datetime.date.fromisoformat(content["months"][0]["month"]) == datetime.date(1994, 1, 1)
                assert len(_get(address, "/revenue?from=1994-11-01")[1]["months"]) == 2
                status, content = _get(address, "/revenue?from=soon")
                assert status == 400 and content["reason"] and content["query_id"], (status, content)
                assert _get(address, "/revenue?other=1")[0] == 404

    def python_values(self):
        """the Python rows are typed, an unfinished loop cancels, and a deadline is told as such"""
        with self._generated() as environment:
            checks = pathlib.Path(__file__).parent / "rows_checks.py"
            done = subprocess.run([sys.executable, "-B", checks, self.address], env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr

    @contextlib.contextmanager
    def _generated(self):
        """Generates the code; gives an environment in which it is found."""
        with tempfile.TemporaryDirectory() as folder:
            environment = os.environ | {"ROWSTREAM": str(self.program)}
            subprocess.run([EXAMPLES / "service-python" / "generate", folder], env=environment, check=True)
            yield environment | {"PYTHONPATH": os.pathsep.join([folder, str(EXAMPLES / "service-python")])}


@contextlib.contextmanager
def _service(command, environment=None):
    """Runs a service; gives the address that its first line tells."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        found = re.search(r"listening on (\S+)", line)
        assert found, line
        yield found[1]
    finally:
        process.terminate()
        process.wait(timeout=60)
        process.stdout.close()


def _get(address, path):
    """The status and the JSON of an answer."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, json.load(answer)


def _until(ask, satisfied, patience=60):
    end = time.monotonic() + patience
    while True:
        answer = ask()
        if satisfied(answer):
            return answer
        assert time.monotonic() < end, answer
        time.sleep(0.05)
