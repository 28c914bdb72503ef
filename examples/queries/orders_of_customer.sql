-- description: Orders of one customer, newest first
-- param: customer_id bigint
-- param: since date = '1995-01-01'
-- max_deadline: 30s
-- max_rows: 10000
SELECT o_orderkey, o_orderdate, o_orderstatus, o_totalprice
FROM tpch.orders
WHERE o_custkey = $1 AND o_orderdate >= $2
ORDER BY o_orderdate DESC, o_orderkey
