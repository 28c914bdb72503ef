"""A report as pictures: SVG that is readable on light and on dark pages, with no dependency.

Three of each table (rows a second, memory, processor time), and one of many streams.
"""

import html
import math
import statistics

from contenders import ALL

KINDS = {contender.name: contender.kind for contender in ALL}
LABELS = {contender.name: contender.label for contender in ALL}
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 15px }
.quiet { fill: #57606a }
.grid { stroke: #8c959f; stroke-opacity: .35 }
.postgresql, .database { fill: #8c959f }
.in-process, .client { fill: #bf8700 }
.service { fill: #a475f9 }
.rowstream, .server { fill: #1f883d }
.line { fill: none; stroke-width: 2 }
.line.rows { stroke: #bf8700 } .dot.rows { fill: #bf8700 }
.line.arrow { stroke: #1f883d } .dot.arrow { fill: #1f883d }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .quiet { fill: #9198a1 }
  .rowstream, .server { fill: #3fb950 }
  .line.arrow { stroke: #3fb950 } .dot.arrow { fill: #3fb950 }
  .in-process, .client, .dot.rows { fill: #d29922 }
  .line.rows { stroke: #d29922 }
}
"""
WIDTH, LEFT, RIGHT, TOP, BAR = 900, 350, 90, 70, 24
# A bar that is so many times the middle one would leave no room to tell the others apart.
LONG = 3
FAMILIES = {"postgresql": "PostgreSQL's own psql", "in-process": "in the reader's process", "service": "a service written by hand", "rowstream": "rowstream: server and client"}
PARTS = {"database": "database", "server": "server", "client": "client"}


def write(report, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures(report):
        (folder / name).write_text(picture)


def pictures(report):
    for table, medians in report["medians"].items():
        if len(medians) < 2:
            continue
        ratios = [(name, [(KINDS[name], row["ratio"]["median"])]) for name, row in medians.items()]
        yield f"{table}-speed.svg", bars(f"{table}: rows a second, as a share of COPY binary", by_value(ratios), FAMILIES, "{:.2f}")
        memory = [(name, [(KINDS[name], reader_mib(row))]) for name, row in medians.items()]
        title = f"{table}: peak memory of server and client, MiB"
        yield f"{table}-memory.svg", bars(title, by_value(memory, -1), FAMILIES, "{:,.0f}", logarithmic=True)
        cpu = [
            (name, [(who, seconds["median"]) for who, seconds in row["cpu_seconds_per_million_rows"].items()])
            for name, row in medians.items()
        ]
        ordered = [(name, sorted(parts, key=lambda part: list(PARTS).index(part[0]))) for name, parts in by_value(cpu, -1)]
        yield f"{table}-cpu.svg", bars(f"{table}: processor seconds for a million rows", ordered, PARTS, "{:.2f}", cut=True)
    if len({row["streams"] for row in report["stream_medians"]}) > 1:
        yield "streams.svg", lines(report["stream_medians"])


def reader_mib(row):
    return sum(row["peak_mib"].get(who, 0) for who in ("server", "client"))


def by_value(rows, sign=1):
    return sorted(rows, key=lambda row: -sign * sum(value for _, value in row[1]))


def bars(title, rows, legend, form, logarithmic=False, cut=False):
    """Horizontal bars, one a reader, of one or several parts. With `cut`, those that are far longer than others end early."""
    totals = [sum(value for _, value in parts) for _, parts in rows]
    room = WIDTH - LEFT - RIGHT
    most = max(totals) or 1
    if cut:
        most = min(most, LONG * statistics.median(totals))
        title += " (\u00bb: longer than can be shown)" if max(totals) > most else ""
    scale = (lambda v: math.log10(max(v, 1)) / math.log10(max(most, 10)) * room) if logarithmic else (lambda v: v / most * room)
    height = TOP + BAR * len(rows) + 10
    out = [text(10, 22, title + (" (logarithmic)" if logarithmic else ""), "title"), *keys(legend)]
    for i, ((name, parts), total) in enumerate(zip(rows, totals)):
        y, x = TOP + i * BAR, LEFT
        out.append(text(LEFT - 8, y + 15, LABELS[name], anchor="end"))
        for kind, value in parts:
            width = min(max(scale(value), 1), LEFT + room - x)
            out.append(f'<rect class="{kind}" x="{x:.1f}" y="{y + 3}" width="{width:.1f}" height="{BAR - 6}" rx="2"/>')
            x += width
        out.append(text(x + 6, y + 15, ("\u00bb " if total > most else "") + form.format(total), "quiet"))
    return svg(height, title, out)


def lines(rows):
    """Rows a second over the number of streams, a line an encoding."""
    title, height = "Rows a second in all, by streams at once", 320
    counts = sorted({row["streams"] for row in rows})
    most = max(row["rows_per_second"]["median"] for row in rows)
    step = next(step for power in range(9) for step in (10**power, 2 * 10**power, 5 * 10**power) if step * 5 >= most)
    most = math.ceil(most / step) * step
    left, bottom = 90, height - 40
    x = lambda count: left + counts.index(count) / max(len(counts) - 1, 1) * (WIDTH - left - 60)  # noqa: E731
    y = lambda value: bottom - value / most * (bottom - TOP)  # noqa: E731
    out = [text(10, 22, title, "title"), *keys({row["encoding"]: row["encoding"].upper() for row in rows}, "dot ")]
    for value in range(0, most + 1, step):
        out.append(f'<line class="grid" x1="{left}" x2="{WIDTH - 40}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        out.append(text(left - 8, y(value) + 4, f"{value / 1e3:,.0f} k", "quiet", "end"))
    out += [text(x(count), bottom + 22, f"{count}", "quiet", "middle") for count in counts]
    for encoding in sorted({row["encoding"] for row in rows}):
        points = [(x(row["streams"]), y(row["rows_per_second"]["median"])) for row in sorted(rows, key=lambda r: r["streams"]) if row["encoding"] == encoding]
        out.append(f'<polyline class="line {encoding}" points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in points)}"/>')
        out += [f'<circle class="dot {encoding}" cx="{a:.1f}" cy="{b:.1f}" r="4"/>' for a, b in points]
    return svg(height, title, out)


def keys(legend, prefix=""):
    x = 10
    for kind, label in legend.items():
        yield f'<rect class="{prefix}{kind}" x="{x}" y="38" width="12" height="12" rx="2"/>'
        yield text(x + 18, 49, label, "quiet")
        x += 34 + 7.2 * len(label)


def text(x, y, content, style="", anchor="start"):
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(content)}</text>'


def svg(height, title, content):
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">'
    return "\n".join([head, f"<title>{html.escape(title)}</title>", f"<style>{STYLE}</style>", *content, "</svg>\n"])
