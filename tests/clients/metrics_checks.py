"""What Prometheus's own Python parser must see. Runs after the other checks: they have made calls of every kind."""

import urllib.request

from prometheus_client.parser import text_string_to_metric_families


class Checks:
    def __init__(self, admin):
        with urllib.request.urlopen(f"http://{admin}/metrics", timeout=10) as response:
            self.content_type = response.headers["content-type"]
            self.families = {family.name: family for family in text_string_to_metric_families(response.read().decode())}

    def format(self):
        """the metrics are in Prometheus's text format, each with a type and help"""
        assert self.content_type.startswith("text/plain; version=0.0.4"), self.content_type
        ours = [family for name, family in self.families.items() if name.startswith("rowstream_")]
        assert len(ours) > 30, len(ours)
        for family in ours:
            assert family.type in ("counter", "gauge", "histogram"), family
            assert family.documentation, family

    def calls(self):
        """calls that went well and calls that failed are told apart, by code and reason"""
        # The parser takes the ending _total off the name of a family.
        samples = self.families["rowstream_calls"].samples
        assert any(s.labels["code"] == "OK" and s.value > 0 for s in samples), samples
        assert any(s.labels["reason"] == "SQL_ERROR" and s.value > 0 for s in samples), samples

    def histograms(self):
        """buckets only grow, and the last one holds the count"""
        samples = self.families["rowstream_call_duration_seconds"].samples
        for labels in {(s.labels["method"], s.labels["statement"]) for s in samples}:
            own = [s for s in samples if (s.labels["method"], s.labels["statement"]) == labels]
            buckets = [s.value for s in own if s.name.endswith("_bucket")]
            assert buckets == sorted(buckets), own
            assert buckets[-1] == next(s.value for s in own if s.name.endswith("_count")), own
