"""Compares what a page shows with what a command printed.

Equal but for what differs from run to run: times, ids, process ids. A line `...` stands for any lines.
"""

import re

VARYING = [
    (re.compile(r"\b\d{4}-\d\d-\d\dT[\d:.]+Z"), "TIME"),
    (re.compile(r"\b[0-9a-f]{8}-?[0-9a-f]{4}-?7[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}\b"), "ID"),
    (re.compile(r"\b\d+(\.\d+)?( ?)(ns|us|µs|ms|s)\b"), "DURATION"),
    (re.compile(r"(_ms\"?: ?)[\d.]+"), r"\1DURATION"),
    (re.compile(r"(\bpid +\| *|\bpid[=: ]+)\d+"), r"\1PID"),
]


def difference(expected, printed):
    """None if the two say the same; else a sketch of where they part."""
    expected, printed = [_plain(line) for line in expected], [_plain(line) for line in printed]
    if _matches(expected, printed):
        return None
    return "      the page says:\n" + _indented(expected) + "      it printed:\n" + _indented(printed)


def _matches(expected, printed):
    if not expected:
        return not printed
    if expected[0] == "...":
        return any(_matches(expected[1:], printed[skipped:]) for skipped in range(len(printed) + 1))
    return bool(printed) and expected[0] == printed[0] and _matches(expected[1:], printed[1:])


def _plain(line):
    for pattern, name in VARYING:
        line = pattern.sub(name, line)
    return line.rstrip()


def _indented(lines):
    return "".join(f"        {line}\n" for line in lines[:40])
