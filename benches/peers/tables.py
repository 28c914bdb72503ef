"""A report as tables: plain text for the terminal, Markdown for the documents."""

from contenders import ALL
from figures import MIB, WHO

LABELS = {contender.name: contender.label for contender in ALL}
HEAD = ["Reader", "Ratio", "Rows/s", "MB/s", "CPU s per million rows: database / server / client", "Peak MiB: server + client", "First row, ms"]


def turn(label, result):
    rate = result["rows"] / result["seconds"]
    cpu = " / ".join(f"{result['cpu_seconds'][who]:.2f}" for who in WHO if who in result["cpu_seconds"])
    peak = " + ".join(f"{result['peak_kib'][who] / MIB:.0f}" for who in ("server", "client") if who in result["peak_kib"])
    return f"{label:<44}{rate:>12,.0f} rows/s   CPU s {cpu:<22} peak MiB {peak}"


def stream_turn(encoding, count, result):
    rate = result["rows"] / result["seconds"]
    seconds = result["more"]["stream_seconds"]
    server = result["peak_kib"]["server"] / MIB
    return f"{encoding:<6}{count:>4} streams {rate:>12,.0f} rows/s   slowest/fastest {min(seconds) / max(seconds):.2f}   server's peak {server:.0f} MiB"


def rows(medians):
    """The cells of each reader's line."""
    for name, row in medians.items():
        cpu = [f"{row['cpu_seconds_per_million_rows'][who]['median']:.2f}" if who in row["cpu_seconds_per_million_rows"] else "-" for who in WHO]
        peak = [f"{row['peak_mib'][who]:,.0f}" for who in ("server", "client") if who in row["peak_mib"]]
        first = row["first_row_ms"]
        ratio = row["ratio"]
        few = "" if row["rows"] == max(other["rows"] for other in medians.values()) else f" ({row['rows']:,} rows)"
        yield [
            LABELS[name] + few,
            f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})",
            f"{row['rows_per_second']['median']:,.0f}",
            f"{row['mb_per_second']:,.0f}",
            " / ".join(cpu),
            " + ".join(peak),
            f"{first['median']:,.1f}" if first else "-",
        ]


STREAM_HEAD = ["Encoding", "Streams", "Rows each", "Rows/s in all", "Slowest / fastest", "First row of the last, ms", "Server's peak MiB", "a stream", "Client's peak MiB"]


def stream_rows(medians):
    for row in medians:
        yield [
            row["encoding"].upper(),
            str(row["streams"]),
            f"{row['rows_each']:,}",
            f"{row['rows_per_second']['median']:,.0f}",
            f"{row['fairness']['median']:.2f}",
            f"{row['first_row_ms_slowest']['median']:,.1f}",
            f"{row['peak_mib']['server']:,.0f}",
            f"{row['server_mib_per_stream']:.1f}",
            f"{row['peak_mib']['client']:,.0f}",
        ]


FIGURE_HEAD = ["Figure", "What", "Measured", "Bar", "Met"]


def figure_rows(figures):
    for key, figure in figures.items():
        low, high = figure["at_least"], figure["at_most"]
        bar = f"{low:g} to {high:g}" if low and high else f"at least {low:g}" if low else f"at most {high:.3g}"
        value = f"{figure['median']:.3g}"
        if figure["min"] != figure["max"]:
            value += f" ({figure['min']:.3g} to {figure['max']:.3g})"
        yield [key, figure["what"], value, bar, "yes" if figure["met"] else "no"]


def text(report):
    parts = []
    for table, medians in report["medians"].items():
        if medians:
            parts += [f"\n{table}", aligned([HEAD, *rows(medians)])]
    if report["stream_medians"]:
        parts += ["\nstreams at once", aligned([STREAM_HEAD, *stream_rows(report["stream_medians"])])]
    parts += ["\nfigures", aligned([FIGURE_HEAD, *figure_rows(report["figures"])])]
    for item in report["not_measured"]:
        parts.append(f"not measured: {item['name']} on {item['table']}: {item['reason']}")
    return "\n".join(parts)


def aligned(lines):
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def markdown(head, lines):
    line = lambda cells: f"| {' | '.join(cells)} |"  # noqa: E731
    return "\n".join([line(head), line(["---"] * len(head)), *map(line, lines)])
