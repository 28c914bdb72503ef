"""psycopg 3, a server-side cursor, 5,000 rows at a time in binary: read_psycopg.py DATABASE_URL SQL"""

import sys

import psycopg

from clock import Clock

url, sql = sys.argv[1:]
clock, rows = Clock(), 0
with psycopg.connect(url) as database, database.cursor("peers", binary=True) as cursor:
    cursor.itersize = 5_000
    for _ in cursor.execute(sql):
        clock.first()
        rows += 1
clock.tell(rows)
