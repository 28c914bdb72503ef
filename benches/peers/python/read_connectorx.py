"""ConnectorX: read_connectorx.py DATABASE_URL SQL KEY PARTITIONS whole|stream

The whole result as one Arrow table, or a stream of record batches (which takes one partition).
"""

import sys

import connectorx
import pyarrow  # noqa: F401, imported before the clock starts

from clock import Clock

url, sql, key, partitions, form = sys.argv[1:]
# Without a partition column it reads by one query.
split = {"partition_on": key, "partition_num": int(partitions)} if int(partitions) > 1 else {}
clock = Clock()
if form == "stream":
    rows = 0
    for batch in connectorx.read_sql(url, sql, return_type="arrow_stream", batch_size=10_000):
        clock.first()
        rows += batch.num_rows
else:
    rows = connectorx.read_sql(url, sql, return_type="arrow", **split).num_rows
    clock.first()
clock.tell(rows)
