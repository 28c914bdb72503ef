-- description: A value of each kind, a number of times, with a wait before each
-- param: count bigint = '1'
-- param: wait float8 = '0'
SELECT i, 1.5::float8 AS double, 0.10::numeric AS numeric, true AS bool, 'ä' AS text, '\x00ff'::bytea AS bytes,
       NULL::int AS null, ARRAY[1.0, NULL]::numeric[] AS list, date '2024-02-29' AS date, date 'infinity' AS never,
       '00000000-0000-0000-0000-000000000001'::uuid AS uuid, pg_sleep($2)::text AS slept
FROM generate_series(1, $1) AS i
