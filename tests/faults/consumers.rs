//! Consumers that are slow or stand still, by the hundred: memory for each is small and constant, none reads ahead,
//! and each loses its connection in time (figures 1 and 2).

use std::time::Duration;

use futures_util::future::join_all;
use rowstream_contract::v1::stream_query_response::Event;
use rowstream_testkit::{PATIENCE, Postgres, eventually};
use tonic::Code;

use crate::{
    calls::{Client, Events, is, open, outcome, read, row_of, rows},
    frames::Raw,
    harness::{Server, metric},
    size::{Size, figure},
};

const KIB: u64 = 1024;
const MIB: u64 = 1 << 20;
/// A batch of the default size, and how far its last row may run over.
const BATCH: u64 = 98 * KIB;
/// Rows of a kilobyte each, 20 MB: more than all buffers between the server and a consumer that does not read.
const WIDE: &str = "select i, repeat('row-data-7f3a ', 72) from generate_series(1, 20000) i";

/// A database of a PostgreSQL with as many connections as are needed.
fn roomy() -> &'static Postgres {
    static ROOMY: std::sync::OnceLock<Postgres> = std::sync::OnceLock::new();
    ROOMY.get_or_init(|| Postgres::builder().setting("max_connections", "450").start().expect("it starts"))
}

async fn server(flags: &[&str]) -> Server {
    Server::over(roomy().create_database().expect("a database"), flags).await
}

/// Opens streams, each on a connection of its own, takes nothing, and waits until none of them moves.
async fn stall(server: &Server, held: &mut Vec<(Client, Events)>, count: usize) {
    let opening = (held.len()..count).map(|_| async {
        let client = server.new_client();
        let events = open(&client, WIDE).await;
        (client, events)
    });
    held.extend(join_all(opening).await);
    let mut watch = server.watch().await;
    eventually("no stream moves any more", PATIENCE * 4, async || {
        let resting = "(state = 'idle in transaction' or wait_event = 'ClientWrite') \
                       and state_change < clock_timestamp() - interval '1 second'";
        watch.count(resting).await == count
    })
    .await;
}

#[tokio::test]
async fn stalled_streams_queued_calls_and_idle_connections_take_little() {
    let size = Size::asked();
    let (streams, queued, idle) = (size.count(20, 200), size.count(100, 2000), size.count(200, 5000));
    let count = streams.to_string();
    let more = (streams * 3 / 2).to_string();
    let waits =
        ["--queue-timeout", "10m", "--stall-timeout", "10m", "--keepalive-timeout", "5m", "--max-queue", "2000"];
    let more_flags = ["--pool-max", &more, "--max-streams", &more, "--admin-listen", "127.0.0.1:0"];
    let server = server(&[&waits[..], &more_flags[..]].concat()).await;
    let admin = server.admin();
    let before = server.program.memory();

    let mut held = Vec::new();
    stall(&server, &mut held, streams).await;
    let stalled = server.program.memory();
    println!("{count} stalled streams: {} KiB each", (stalled - before) / KIB / streams as u64);

    stall(&server, &mut held, streams * 3 / 2).await;
    let further = server.program.memory();
    let each = (further.saturating_sub(stalled)) / (streams as u64 / 2);

    // A connection takes no more calls than --max-connection-streams.
    let clients: Vec<_> = (0..=queued / 200).map(|_| server.new_client()).collect();
    let waiting = join_all((0..queued).map(|i| {
        let mut client = clients[i % clients.len()].clone();
        async move { client.query_row(row_of("select 1")).await }
    }));
    let connecting = async {
        let mut connections = Vec::new();
        for _ in 0..idle {
            connections.push(Raw::connect(server.address).await.expect("a connection"));
        }
        connections
    };
    let mut waiting = std::pin::pin!(waiting);
    let connections = tokio::select! {
        _ = &mut waiting => panic!("calls that must wait have ended"),
        connections = connecting => connections,
    };
    let settled = eventually("memory is settled", PATIENCE * 4, async || {
        let now = server.program.memory();
        tokio::time::sleep(Duration::from_millis(500)).await;
        server.program.memory().abs_diff(now) < 64 * KIB
    });
    tokio::select! {
        _ = &mut waiting => panic!("calls that must wait have ended"),
        _ = settled => {}
    }
    let all = server.program.memory();
    assert_eq!(metric(admin, "rowstream_queue_length").await, queued as u64, "every call waits");
    let open = metric(admin, "rowstream_connections_open").await;
    assert!(open >= (streams * 3 / 2 + idle) as u64, "{open} connections are open");
    let without_further = all - (further - stalled);
    figure(
        1,
        without_further <= 256 * MIB && each <= 512 * KIB,
        format!(
            "{streams} stalled streams + {queued} queued calls + {idle} idle connections: resident {} MiB ({} MiB \
             before); {} KiB for each further stream",
            without_further / MIB,
            before / MIB,
            each / KIB
        ),
    );
    drop(held);
    let served = waiting.await;
    assert_eq!(served.iter().filter(|row| row.is_ok()).count(), queued, "every queued call is served in the end");
    drop((connections, clients));
    server.watch().await.until_idle(PATIENCE).await;
}

#[tokio::test]
async fn a_consumer_of_a_kilobyte_a_second_keeps_the_server_two_batches_ahead() {
    // Ten gigabytes, of which nothing is on a disk.
    const HUGE: &str = "select i, repeat('row-data-7f3a ', 72) from generate_series(1, 10000000) i";
    let flags = [
        "--stall-timeout",
        "10m",
        "--default-deadline",
        "1h",
        "--keepalive-interval",
        "1h",
        "--admin-listen",
        "127.0.0.1:0",
    ];
    let server = server(&flags).await;
    let admin = server.admin();
    drop(read(open(&server.new_client(), &rows(50_000)).await).await);
    let before = server.program.memory();
    let handed_over = metric(admin, "rowstream_row_bytes_sent_total").await;
    let mut raw = Raw::with_window(server.address, 1024).await.expect("a connection");
    let request = crate::calls::stream_of(HUGE);
    raw.send_call(1, crate::frames::STREAM_QUERY, &crate::frames::message(&request)).await.expect("sent");
    let seconds = Size::asked().count(5, 120);
    let (mut received, mut most, mut ahead, mut waiting) = (0, before, 0, 0);
    for _ in 0..seconds {
        // A kilobyte, and room for the next one.
        let mut taken = 0;
        while taken < KIB {
            let data = raw.receive_data().await.expect("rows");
            taken += data.payload.len() as u64;
        }
        received += taken;
        let mut out = Vec::new();
        let room = u32::try_from(taken).expect("a kilobyte").to_be_bytes();
        for stream in [0, 1] {
            crate::frames::frame(crate::frames::kind::WINDOW_UPDATE, 0, stream, &room, &mut out);
        }
        raw.write(&out).await.expect("the connection lives");
        tokio::time::sleep(Duration::from_secs(1)).await;
        most = most.max(server.program.memory());
        let sent = metric(admin, "rowstream_row_bytes_sent_total").await - handed_over;
        ahead = ahead.max(sent.saturating_sub(received));
        waiting = waiting.max(metric(admin, "rowstream_row_memory_bytes").await);
    }
    let delta = most.saturating_sub(before);
    figure(
        2,
        delta <= 4 * MIB,
        format!(
            "{received} bytes in {seconds} s of 10 GB: resident {} KiB before, {} KiB more at most; {} KiB handed over \
             and not received at most, {} KiB in line",
            before / KIB,
            delta / KIB,
            ahead / KIB,
            waiting / KIB
        ),
    );
    // One that waits, and two that the transport holds: it asks for the next before the last is sent.
    assert!(ahead <= 3 * BATCH && waiting <= 2 * BATCH, "{ahead} bytes ahead, memory for {waiting}");
    assert!(delta <= 16 * MIB, "resident memory grew by {delta} bytes");
    drop(raw);
    server.assert_settled().await;
}

#[tokio::test]
async fn of_hundreds_that_stand_still_each_is_ended_in_time_and_the_others_go_on() {
    let size = Size::asked();
    let count = size.count(30, 300);
    let half = count / 2;
    let pool = count.to_string();
    let server = server(&["--pool-max", &pool, "--max-streams", &pool, "--stall-timeout", "10s"]).await;
    let standing = (0..half).map(|_| async {
        let client = server.new_client();
        let events = open(&client, WIDE).await;
        (client, events)
    });
    let standing = join_all(standing).await;
    // The others read on, slower than the server could send.
    let going = (0..half).map(|_| async {
        let client = server.new_client();
        let mut events = open(&client, &rows(20_000)).await;
        let mut read = 0;
        while let Some(message) = events.message().await.expect("a caller that reads is served") {
            if let Some(Event::Batch(batch)) = message.event {
                read += batch.row_count;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        assert_eq!(read, 20_000);
    });
    join_all(going).await;
    // Whether or not anybody reads, the connections are free.
    let mut watch = server.watch().await;
    let freed = watch.until_idle(PATIENCE * 2).await;
    println!("{half} stalled consumers: all backends idle {freed:.1?} after the others had read everything");
    for (_client, events) in standing {
        let status = read(events).await.error();
        assert_eq!(outcome(&status), is(Code::Aborted, "CONSUMER_STALLED"));
    }
    // Of what the streams took together the allocator keeps a part, for the next ones.
    let kept = (24 * MIB).max(count as u64 * 512 * KIB);
    server.assert_settled_keeping(kept).await;
}
