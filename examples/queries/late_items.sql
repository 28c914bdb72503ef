-- description: Items received after the date that was promised, in the order of the table's key
-- param: shipmode text = NULL
SELECT l_orderkey, l_linenumber, l_shipmode, l_commitdate, l_receiptdate, l_receiptdate - l_commitdate AS days_late
FROM tpch.lineitem
WHERE l_receiptdate > l_commitdate AND ($1 IS NULL OR l_shipmode = $1)
ORDER BY l_orderkey, l_linenumber
