"""Readers of PostgreSQL, in turns, on the same rows. `benches/peers/run` prepares what this needs.

Everything is measured that can be; what cannot is said, in the output and in the report, with the reason.
"""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import sys

import docs
import figures
import machine
import plots
import tables
from contenders import BASE, LARGE_TABLE, chosen
from measure import Bench, measured
from processes import Failed, database

HERE = pathlib.Path(__file__).parent
REQUIREMENTS = [line.split("==")[0] for line in (HERE / "requirements.txt").read_text().split()]
STREAM_ROWS = 3_000_000


def arguments():
    parser = argparse.ArgumentParser(prog="benches/peers/run", description=__doc__)
    names = lambda text: [name for name in text.split(",") if name]  # noqa: E731
    numbers = lambda text: [int(number) for number in names(text)]  # noqa: E731
    parser.add_argument("--scale", type=float, default=1, help="TPC-H's scale factor: 1 is 6 million line items and 5 million events")
    parser.add_argument("--rounds", type=int, default=5, help="how often all take their turns; the median counts")
    parser.add_argument("--tables", type=names, default=["lineitem", "events"], help=f"lineitem,events; {LARGE_TABLE} is lineitem at ten times the scale, read by few")
    parser.add_argument("--only", type=names, default=[], metavar="NAME,...", help="some readers, such as 'rowstream-*,adbc'; COPY is always there")
    parser.add_argument("--rows", type=int, help="read only so many rows of each table")
    parser.add_argument("--streams", type=numbers, default=[1, 8, 64, 200], metavar="N,...", help="how many streams at once are measured; '' for none")
    parser.add_argument("--timeout", type=float, default=1800, metavar="SECONDS", help="what takes longer has failed")
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("target/peers/data"), help="where PostgreSQL's data is kept; user postgres must reach it")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("target/peers/report"), help="where report.json and the plots go")
    parser.add_argument("--from", dest="report", type=pathlib.Path, metavar="JSON", help="measure nothing: tables and plots of this report")
    parser.add_argument("--docs", action="store_true", help="write the tables and plots into docs/, too")
    parser.add_argument("--programs", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    return parser.parse_args()


class Run:
    """A report in the making. It is written after every round: what interrupts a run does not lose it."""

    def __init__(self, options, database_info):
        self._options = options
        self._path = options.out / "report.json"
        versions = machine.versions(REQUIREMENTS, database_info["version"])
        self._missing = {name for name in REQUIREMENTS if versions[name] is None}
        self._bench = Bench(database_info, options.programs, {"PYTHONPATH": os.environ["PYTHONPATH"]}, options.timeout, options.rows)
        self.report = {
            "command": sys.argv[1:],
            "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "scale": options.scale,
            "rows_limit": options.rows,
            "machine": machine.machine(),
            "versions": versions,
            "postgresql_settings": database_info["settings"],
            "tables": {table: database_info["tables"][table] for table in asked(options)},
            "not_measured": [],
            "rounds": [],
            "streams": [],
        }

    def table(self, table):
        running = []
        for contender in chosen(self._options.only):
            missing = sorted(self._missing & set(contender.needs))
            if table == LARGE_TABLE and not contender.large:
                continue
            if missing:
                self._not_measured(table, contender.name, f"could not be installed: {', '.join(missing)}")
            else:
                running.append(contender)
        # Whoever came first would read it from the disk.
        print(f"== {table}, read once before the first round", flush=True)
        self._read_once(table, next(contender for contender in running if contender.name == BASE))
        for number in range(1, self._options.rounds + 1):
            print(f"== {table}, round {number} of {self._options.rounds}", flush=True)
            running = [contender for contender in running if self._turn(table, number, contender)]
            self._write()

    def _read_once(self, table, contender):
        # What fails here fails in its turn, which says so.
        with contextlib.suppress(Failed):
            measured(self._bench, contender, table, self.report["tables"][table]["rows"])

    def _turn(self, table, number, contender):
        try:
            result = measured(self._bench, contender, table, self.report["tables"][table]["rows"])
        except Failed as failed:
            self._not_measured(table, contender.name, str(failed))
            return False
        self.report["rounds"].append({"table": table, "round": number, "name": contender.name, **result})
        print(f"  {tables.turn(contender.label, result)}", flush=True)
        return True

    def streams(self, counts):
        total = min(rows for rows in (STREAM_ROWS, self._options.rows, self.report["tables"]["lineitem"]["rows"]) if rows)
        for encoding in ("rows", "arrow"):
            running = counts
            for number in range(1, self._options.rounds + 1):
                for count in running:
                    if not self._stream_turn(encoding, number, count, max(total // count, 1)):
                        running = [other for other in running if other != count]
                self._write()

    def _stream_turn(self, encoding, number, count, rows):
        try:
            result = self._bench.streams(encoding, count, rows)
        except Failed as failed:
            self._not_measured("lineitem", f"rowstream-{encoding}-auto, {count} streams", str(failed))
            return False
        self.report["streams"].append({"round": number, "encoding": encoding, "streams": count, **result})
        print(f"  {tables.stream_turn(encoding, count, result)}", flush=True)
        return True

    def _not_measured(self, table, name, reason):
        self.report["not_measured"].append({"table": table, "name": name, "reason": reason})
        print(f"  {name} on {table}: NOT MEASURED: {reason}", flush=True)

    def _write(self):
        figures.add(self.report)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps(self.report, indent=1))
        part.rename(self._path)


def asked(options):
    """The tables that must be there. Streams read lineitem."""
    return list(dict.fromkeys([*options.tables, *(["lineitem"] if options.streams else [])]))


def measure(options):
    folder = options.data / f"scale-{options.scale:g}"
    program = options.programs / "examples" / "peers-database"
    with contextlib.ExitStack() as stack:
        info = stack.enter_context(database(program, folder, options.scale, asked(options)))
        run = Run(options, info)
        for table in options.tables:
            run.table(table)
        if options.streams:
            print("== several streams at once", flush=True)
            run.streams(options.streams)
        run._write()
        return run.report


def main():
    options = arguments()
    report = json.loads(options.report.read_text()) if options.report else measure(options)
    figures.add(report)
    print(tables.text(report))
    plots.write(report, options.out)
    if options.docs:
        docs.write(report)
    ours = [item for item in report["not_measured"] if item["name"] == BASE or item["name"].startswith("rowstream")]
    print(f"the whole report is in {options.report or options.out / 'report.json'}, the plots in {options.out}")
    sys.exit(1 if ours else 0)


if __name__ == "__main__":
    main()
