//! Tables of unusual shapes in parts: as many columns as there can be, keys that are all NULL, keys that are nearly all the
//! same.

use rowstream_contract::v1::{CreateReadSessionRequest, PartitionStrategy};

use crate::{
    harness::Pair,
    read_sessions::{OPEN, all, create, delete, expected, part, read, table, wish},
};

#[tokio::test]
async fn a_table_of_as_many_columns_as_there_can_be_is_read_in_parts() {
    /// PostgreSQL's own limit.
    const COLUMNS: usize = 1_600;
    let pair = Pair::without_sql(&OPEN).await;
    let columns = |of: fn(usize) -> String| (1..=COLUMNS).map(of).collect::<Vec<_>>().join(", ");
    pair.psql(&format!("CREATE TABLE wide ({})", columns(|number| format!("c{number} int2"))));
    let values = columns(|number| if number % 7 == 0 { "NULL".to_owned() } else { format!("(i + {number}) % 1000") });
    pair.psql(&format!("INSERT INTO wide SELECT {values} FROM generate_series(1, 300) i; ANALYZE wide"));
    let mut client = pair.raw_sessions();
    for (strategy, by) in [
        (PartitionStrategy::Unspecified, &[][..]),
        (PartitionStrategy::Ctid, &[]),
        (PartitionStrategy::KeyRange, &["c1600"]),
        (PartitionStrategy::Hash, &["c1", "c1600"]),
        // Of all columns.
        (PartitionStrategy::Hash, &[]),
    ] {
        let partition_by = by.iter().map(|name| (*name).to_owned()).collect();
        let request = CreateReadSessionRequest { partition_by, ..wish(table("wide"), 3, strategy) };
        let session = create(&mut client, request).await;
        assert_eq!((session.columns.len(), session.partitions.len()), (COLUMNS, 3), "{strategy:?}");
        let before = expected(&pair, &session, "SELECT * FROM wide");
        pair.psql("DELETE FROM wide WHERE c1 % 10 = 3; UPDATE wide SET c2 = c2 + 1 WHERE c1 % 10 = 4");
        assert!(all(&mut client, &session).await == before, "{strategy:?} {by:?}");
        delete(&mut client, &session).await;
    }
    pair.stop().await;
}

#[tokio::test]
async fn rows_whose_key_is_null_or_the_same_are_in_exactly_one_part() {
    let pair = Pair::without_sql(&OPEN).await;
    pair.psql(
        "CREATE TABLE nothing (k int, v text); INSERT INTO nothing SELECT NULL, i FROM generate_series(1, 3000) i;
        CREATE TABLE same (k int, v text); INSERT INTO same SELECT 7, i FROM generate_series(1, 3000) i;
        CREATE TABLE skewed (k int, v text);
        INSERT INTO skewed SELECT CASE WHEN i % 10 > 0 THEN 7 WHEN i % 100 > 0 THEN i END, i FROM generate_series(1, 20000) i;
        ANALYZE",
    );
    let mut client = pair.raw_sessions();
    for (name, strategy, parts) in [
        ("nothing", PartitionStrategy::KeyRange, 1),
        ("nothing", PartitionStrategy::Hash, 5),
        ("same", PartitionStrategy::KeyRange, 1),
        ("same", PartitionStrategy::Hash, 5),
        ("skewed", PartitionStrategy::KeyRange, 5),
        ("skewed", PartitionStrategy::Hash, 5),
    ] {
        let request = CreateReadSessionRequest { partition_by: vec!["k".to_owned()], ..wish(table(name), 5, strategy) };
        let session = create(&mut client, request).await;
        assert!(session.partitions.len() <= parts, "{name} {strategy:?}: {} parts", session.partitions.len());
        let before = expected(&pair, &session, &format!("SELECT k, v FROM {name}"));
        pair.psql(&format!("UPDATE {name} SET k = 8 WHERE v::int % 3 = 0; INSERT INTO {name} SELECT NULL, i FROM generate_series(1, 9) i"));
        assert!(all(&mut client, &session).await == before, "{name} {strategy:?}");
        if (name, strategy) == ("skewed", PartitionStrategy::KeyRange) {
            // The value that most rows have is a part of its own, and the others are no burden to it.
            let mut sizes = Vec::new();
            for partition in &session.partitions {
                sizes.push(part(&mut client, read(&partition.token)).await.expect("rows").len());
            }
            let largest = *sizes.iter().max().expect("parts");
            assert!((18_000..18_200).contains(&largest), "{sizes:?}");
        }
        delete(&mut client, &session).await;
    }
    pair.stop().await;
}
