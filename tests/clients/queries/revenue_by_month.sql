-- description: What examples/queries/revenue_by_month.sql gives, over made-up items instead of TPC-H
-- param: from date = '1994-01-01'
-- param: until date = '1995-01-01'
-- max_deadline: 2m
SELECT month::date AS month, 10::bigint AS items, 12345678901234567.10 AS revenue
FROM generate_series($1::timestamp, $2::timestamp - interval '1 day', interval '1 month') AS month
ORDER BY 1
