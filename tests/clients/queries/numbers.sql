-- description: The numbers from one to another, with their squares
-- param: first bigint
-- param: last bigint = '3'
-- max_rows: 1000
SELECT n, n * n AS square FROM generate_series($1, $2) AS n ORDER BY n
