"""ADBC's PostgreSQL driver and pyarrow into a Parquet file, batch by batch: export_adbc.py DATABASE_URL SQL DIRECTORY"""

import pathlib
import sys

import adbc_driver_postgresql.dbapi
import pyarrow.parquet

from clock import Clock

url, sql, out = sys.argv[1:]
clock, rows = Clock(), 0
pathlib.Path(out).mkdir()
with adbc_driver_postgresql.dbapi.connect(url) as database, database.cursor() as cursor:
    cursor.execute(sql)
    batches = cursor.fetch_record_batch()
    with pyarrow.parquet.ParquetWriter(pathlib.Path(out) / "all.parquet", batches.schema, compression="zstd") as writer:
        for batch in batches:
            clock.first()
            writer.write_batch(batch)
            rows += batch.num_rows
clock.tell(rows)
