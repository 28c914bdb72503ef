-- description: Revenue by month of shipping, after discount
-- param: from date = '1994-01-01'
-- param: until date = '1995-01-01'
-- max_deadline: 2m
SELECT date_trunc('month', l_shipdate)::date AS month,
       count(*) AS items,
       sum(l_extendedprice * (1 - l_discount)) AS revenue
FROM tpch.lineitem
WHERE l_shipdate >= $1 AND l_shipdate < $2
GROUP BY 1
ORDER BY 1
