"""ADBC's PostgreSQL driver, record batch by record batch: read_adbc.py DATABASE_URL SQL"""

import sys

import adbc_driver_postgresql.dbapi
import pyarrow  # noqa: F401, imported before the clock starts

from clock import Clock

url, sql = sys.argv[1:]
clock, rows = Clock(), 0
with adbc_driver_postgresql.dbapi.connect(url) as database, database.cursor() as cursor:
    cursor.execute(sql)
    for batch in cursor.fetch_record_batch():
        clock.first()
        rows += batch.num_rows
clock.tell(rows)
