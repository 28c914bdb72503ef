"""What a report's rounds come to: medians with their spread, and the figures that the project promises.

Every ratio is taken within a round, against COPY's of the same round: drifts of the machine do not count.
"""

import collections
import statistics

from contenders import ALL, BASE, LARGE_TABLE

MIB = 1024
WHO = ("database", "server", "client")


def add(report):
    report["medians"] = {
        table: medians([item for item in report["rounds"] if item["table"] == table], size)
        for table, size in report["tables"].items()
    }
    report["stream_medians"] = stream_medians(report["streams"])
    report["figures"] = promises(report)


def medians(rounds, size):
    base = {item["round"]: rate(item) for item in rounds if item["name"] == BASE}
    by_name = collections.defaultdict(list)
    for item in rounds:
        by_name[item["name"]].append(item)
    bytes_per_row = size["copy_bytes"] / size["rows"]
    result = {}
    # In the order of the list, whichever ran first.
    for name in (contender.name for contender in ALL if contender.name in by_name):
        items = by_name[name]
        ratios = [rate(item) / base[item["round"]] for item in items if item["round"] in base]
        rates = [rate(item) for item in items]
        result[name] = {
            "rounds": len(items),
            "rows": items[0]["rows"],
            "rows_per_second": spread(rates),
            "mb_per_second": statistics.median(rates) * bytes_per_row / 1e6,
            "ratio": spread(ratios),
            "cpu_seconds_per_million_rows": {
                who: spread([item["cpu_seconds"][who] / item["rows"] * 1e6 for item in items])
                for who in WHO
                if who in items[0]["cpu_seconds"]
            },
            "peak_mib": {who: max(item["peak_kib"][who] for item in items) / MIB for who in WHO if who in items[0]["peak_kib"]},
            "first_row_ms": spread([item["first_row_seconds"] * 1e3 for item in items if item["first_row_seconds"]]),
        }
    return result


def stream_medians(items):
    groups = collections.defaultdict(list)
    for item in items:
        groups[item["encoding"], item["streams"]].append(item)
    result = []
    for (encoding, streams), items in groups.items():
        fairness = [min(item["more"]["stream_seconds"]) / max(item["more"]["stream_seconds"]) for item in items]
        result.append(
            {
                "encoding": encoding,
                "streams": streams,
                "rows_each": items[0]["rows"] // streams,
                "rows_per_second": spread([rate(item) for item in items]),
                # The slowest stream's rate as a share of the fastest's.
                "fairness": spread(fairness),
                "first_row_ms_slowest": spread([max(item["more"]["stream_first_row_seconds"]) * 1e3 for item in items]),
                "peak_mib": {who: max(item["peak_kib"][who] for item in items) / MIB for who in WHO},
                "server_mib_per_stream": max(item["peak_kib"]["server"] for item in items) / MIB / streams,
            }
        )
    return result


def promises(report):
    """P1 to P10 as far as this comparison shows them; what was not measured is absent."""
    lineitem = report["medians"].get("lineitem", {})
    found = {}
    for key, name, least in (("P1", "arrow-auto", 1.0), ("P2", "arrow-cursor", 0.85), ("P3", "rows-auto", 0.75)):
        if ratio := lineitem.get(f"rowstream-{name}", {}).get("ratio"):
            found[key] = promise(f"rowstream-{name} on lineitem, ratio to COPY binary", ratio, at_least=least)
    for key, count, least in (("P4 two", 2, 1.25), ("P4 four", 4, 1.35)):
        if ratio := lineitem.get(f"rowstream-session-{count}", {}).get("ratio"):
            found[key] = promise(f"rowstream-session-{count} on lineitem, ratio to COPY binary", ratio, at_least=least)
    found |= memory(report, lineitem) | server_cpu(lineitem) | growth(report) | beside_peers(report)
    return found


def memory(report, lineitem):
    """P5: one stream, and each further one."""
    one = ("rowstream-rows-", "rowstream-arrow-")
    ours = [row["peak_mib"] for table in report["medians"].values() for name, row in table.items() if name.startswith(one)]
    found = {}
    if ours:
        found["P5 server"] = promise("peak MiB of the server, one stream", exactly(max(row["server"] for row in ours)), at_most=32)
        found["P5 client"] = promise("peak MiB of the client, one stream", exactly(max(row["client"] for row in ours)), at_most=24)
    for row in report["stream_medians"]:
        if row["streams"] > 1:
            most = 24 + 2 * (row["streams"] - 1)
            what = f"peak MiB of the server, {row['streams']} streams, {row['encoding']}"
            found[f"P5 {row['streams']} streams {row['encoding']}"] = promise(what, exactly(row["peak_mib"]["server"]), at_most=most)
    return found


def server_cpu(lineitem):
    """P6: the best way of each encoding."""
    found = {}
    for encoding, most in (("arrow", 0.9), ("rows", 1.5)):
        ways = {n: row["cpu_seconds_per_million_rows"]["server"] for n, row in lineitem.items() if n.startswith(f"rowstream-{encoding}-")}
        if ways:
            best = min(ways, key=lambda name: ways[name]["median"])
            found[f"P6 {encoding}"] = promise(f"server's CPU seconds per million rows of lineitem, {best}", ways[best], at_most=most)
    return found


def growth(report):
    """P9: ten times the rows, at the same rate and in the same memory."""
    small, large = (report["medians"].get(table, {}) for table in ("lineitem", LARGE_TABLE))
    found = {}
    for name in sorted(set(small) & set(large)):
        if not name.startswith("rowstream-"):
            continue
        rates = [rows[name]["rows_per_second"]["median"] for rows in (large, small)]
        found[f"P9 rate {name}"] = promise("rows/s at ten times the size, as a share", exactly(rates[0] / rates[1]), 0.95, 1.05)
        ratios = [rows[name]["ratio"]["median"] for rows in (large, small)]
        found[f"P9 ratio {name}"] = promise("ratio to COPY at ten times the size, as a share", exactly(ratios[0] / ratios[1]), 0.95, 1.05)
        peaks = [rows[name]["peak_mib"]["server"] for rows in (large, small)]
        found[f"P9 memory {name}"] = promise("server's peak at ten times the size, as a share", exactly(peaks[0] / peaks[1]), at_most=1.05)
    return found


def beside_peers(report):
    """P10: through gRPC in another process, faster than peers in process, in a part of their memory."""
    found = {}
    for table in ("lineitem", "events"):
        rows = report["medians"].get(table, {})
        ours = rows.get("rowstream-arrow-auto")
        for peer, part in (("connectorx", 30), ("adbc", 5)):
            theirs = {name: row for name, row in rows.items() if name.startswith(peer) and name != "connectorx-stream"}
            if not ours or not theirs:
                continue
            fastest = max(theirs, key=lambda name: theirs[name]["rows_per_second"]["median"])
            rates = [row["rows_per_second"]["median"] for row in (ours, theirs[fastest])]
            found[f"P10 rate {peer} {table}"] = promise(f"rows/s, times those of {fastest}, {table}", exactly(rates[0] / rates[1]), at_least=1)
            peaks = sum(ours["peak_mib"][who] for who in ("server", "client")), min(row["peak_mib"]["client"] for row in theirs.values())
            found[f"P10 memory {peer} {table}"] = promise(
                f"server + client, share of {peer}'s memory, {table}", exactly(peaks[0] / peaks[1]), at_most=1 / part
            )
    return found


def promise(what, measured, at_least=None, at_most=None):
    value = measured["median"]
    met = (at_least is None or value >= at_least) and (at_most is None or value <= at_most)
    return {"what": what, **measured, "at_least": at_least, "at_most": at_most, "met": met}


def rate(item):
    return item["rows"] / item["seconds"]


def spread(values):
    values = list(values)
    return {"median": statistics.median(values), "min": min(values), "max": max(values)} if values else None


def exactly(value):
    return {"median": value, "min": value, "max": value}
