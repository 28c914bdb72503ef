"""A report in docs/performance.md: what stands between the two marks is replaced, and the plots go to docs/images."""

import pathlib

import plots
import tables

DOCS = pathlib.Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- benches/peers/run --docs writes from here -->\n", "<!-- to here -->\n"
PREFIX = "peers-"


def write(report):
    page = DOCS / "performance.md"
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    if not rest or not after:
        raise SystemExit(f"{page} has lost the marks between which the figures go: {BEGIN.strip()} and {END.strip()}")
    pictures = dict(plots.pictures(report))
    for name, picture in pictures.items():
        (DOCS / "images" / f"{PREFIX}{name}").write_text(picture)
    page.write_text(before + BEGIN + section(report, pictures) + END + after)
    print(f"written: {page}")


def section(report, pictures):
    parts = ["", *about(report)]
    for table, medians in report["medians"].items():
        if not medians:
            continue
        size = report["tables"][table]
        parts += [f"### {table}: {size['rows']:,} rows, {size['copy_bytes'] / 1e6:,.0f} MB in COPY's binary form", ""]
        parts += [tables.markdown(tables.HEAD, tables.rows(medians)), ""]
        parts += [f"![{name}](images/{PREFIX}{name})\n" for name in pictures if name.rpartition("-")[0] == table]
    if report["stream_medians"]:
        parts += ["### Many streams at once", "", tables.markdown(tables.STREAM_HEAD, tables.stream_rows(report["stream_medians"])), ""]
        parts += [f"![{name}](images/{PREFIX}{name})\n" for name in pictures if name == "streams.svg"]
    if report["figures"]:
        parts += ["### What the project promises", "", tables.markdown(tables.FIGURE_HEAD, tables.figure_rows(report["figures"])), ""]
    if report["not_measured"]:
        parts += ["### Not measured", ""]
        parts += [f"- {item['name']} on {item['table']}: {item['reason']}" for item in report["not_measured"]] + [""]
    return "\n".join(parts)


def about(report):
    machine, versions = report["machine"], report["versions"]
    rounds = {}
    for item in report["rounds"]:
        rounds.setdefault(item["table"], set()).add(item["round"])
    rounds = {table: len(numbers) for table, numbers in rounds.items()}
    if report["streams"]:
        rounds["many streams"] = len({item["round"] for item in report["streams"]})
    rounds = ", ".join(f"{count} of {table}" for table, count in rounds.items())
    # Where the programs are is said by `run`, and is of no use to others.
    words = iter(report["command"])
    command = " ".join(["benches/peers/run", *(word for word in words if word != "--programs" or not next(words))])
    packages = ", ".join(f"{name} {version}" for name, version in versions.items() if name not in ("rowstream", "rustc", "python", "postgresql"))
    return [
        f"Measured on {report['at'][:10]} at commit {versions['rowstream']} by `{command}`: {machine['cores']} cores of {machine['cpu']},"
        f" {machine['memory_mib'] // 1024} GiB, {machine['system']}, PostgreSQL {versions['postgresql']}, {versions['rustc']},"
        f" Python {versions['python']}. Median of the rounds ({rounds}), and from the lowest to the highest. {packages}.",
        "",
    ]
