//! What to try while the demo serves.

/// Prints lines for another terminal.
pub(crate) fn print(endpoint: &str, database_url: &str) {
    let address = endpoint.trim_start_matches("http://");
    println!(
        r#"
== serving until Ctrl-C. At another terminal:

rowstream, from this folder:
  alias rowstream='cargo run --release --quiet -p rowstream-client -- --endpoint {endpoint}'
  rowstream queries
  rowstream query --query orders_of_customer -p customer_id=4 -p since=1996-01-01
  rowstream query --query revenue_by_month --format csv
  rowstream query 'SELECT * FROM tpch.lineitem' --format jsonl -o lineitem.jsonl
  rowstream --deadline 2s query 'SELECT pg_sleep(60)'

grpcurl:
  grpcurl -plaintext {address} list
  grpcurl -plaintext -d '{{"statement": {{"query": "orders_of_customer", "named_parameters": {{"customer_id": {{"int64": 4}}}}}}}}' \
    {address} rowstream.v1.QueryService/StreamQuery

buf curl:
  buf curl --http2-prior-knowledge --protocol grpc \
    -d '{{"statement": {{"sql": "SELECT * FROM tpch.customer LIMIT 2"}}}}' {endpoint}/rowstream.v1.QueryService/StreamQuery

psql, on the same database:
  psql {database_url} -c "SELECT pid, state, application_name FROM pg_stat_activity WHERE application_name LIKE 'rowstream%'"
"#
    );
}
