"""Counts instructions under callgrind, and compares them with the baseline beside this file.

    compare.py PROGRAM [--store]

Another compiler makes other instructions: the baseline says by which it was made, and with another one the difference
says nothing about the code. It is printed all the same.
"""

import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile

BASELINE = pathlib.Path(__file__).with_name("baseline.json")
WARN_PERCENT = 5
COLLECTED = re.compile(r"Collected\s*:\s*(\d+)")


def main():
    program, store = sys.argv[1], sys.argv[2:] == ["--store"]
    cases = subprocess.run([program], check=True, capture_output=True, text=True).stdout.split()
    counts = {case: count(program, case) for case in cases}
    toolchain = made_by()
    if store:
        BASELINE.write_text(json.dumps({**toolchain, "instructions_per_row": counts}, indent=2) + "\n")
        print(f"stored in {BASELINE}")
    baseline = json.loads(BASELINE.read_text())
    comparable = all(baseline[key] == value for key, value in toolchain.items())
    if not comparable:
        theirs = ", ".join(str(baseline[key]) for key in toolchain)
        print(f"the baseline was made by {theirs}; this is {', '.join(toolchain.values())}: differences may be the compiler's")
    for case, now in counts.items():
        print(line(case, now, baseline["instructions_per_row"].get(case), comparable))
    for case in baseline["instructions_per_row"].keys() - counts.keys():
        warn(f"{case} is in the baseline and was not counted: run benches/instructions/run --store")


def count(program, case):
    """Instructions for each row of a case."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", "--toggle-collect=*counted_part*", f"--callgrind-out-file={folder}/out", program, case]
        done = subprocess.run(command, capture_output=True, text=True)
    collected = COLLECTED.search(done.stderr)
    if done.returncode != 0 or not collected or int(collected[1]) == 0:
        sys.exit(f"{case} was not counted: valgrind ended with {done.returncode}\n{done.stderr}")
    return round(int(collected[1]) / int(done.stdout), 1)


def made_by():
    rustc = subprocess.run(["rustc", "--version"], check=True, capture_output=True, text=True).stdout.strip()
    return {"rustc": rustc, "machine": platform.machine(), "libc": " ".join(platform.libc_ver())}


def line(case, now, before, comparable):
    if before is None:
        warn(f"{case} is not in the baseline: run benches/instructions/run --store")
        return f"{case:<24}{now:>10,.1f} instructions a row"
    percent = (now / before - 1) * 100
    if comparable and percent > WARN_PERCENT:
        warn(f"{case} takes {percent:.1f} % more instructions a row than the baseline: {now:,.1f} instead of {before:,.1f}")
    return f"{case:<24}{now:>10,.1f} instructions a row, baseline {before:,.1f}, {percent:+.1f} %"


def warn(message):
    # GitHub shows such a line beside the change; elsewhere it is a line of a log.
    print(f"::warning title=instructions a row::{message}" if os.environ.get("GITHUB_ACTIONS") else f"WARNING: {message}")


if __name__ == "__main__":
    main()
