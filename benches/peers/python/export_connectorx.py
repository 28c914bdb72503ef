"""ConnectorX and pyarrow into a Parquet file: export_connectorx.py DATABASE_URL SQL KEY PARTITIONS DIRECTORY"""

import pathlib
import sys

import connectorx
import pyarrow.parquet

from clock import Clock

url, sql, key, partitions, out = sys.argv[1:]
# Without a partition column it reads by one query.
split = {"partition_on": key, "partition_num": int(partitions)} if int(partitions) > 1 else {}
clock = Clock()
pathlib.Path(out).mkdir()
table = connectorx.read_sql(url, sql, return_type="arrow", **split)
clock.first()
pyarrow.parquet.write_table(table, pathlib.Path(out) / "all.parquet", compression="zstd")
clock.tell(table.num_rows)
