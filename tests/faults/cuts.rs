//! The connection to PostgreSQL cut after any number of bytes: in the handshake, in the session's settings, in the
//! middle of a row. A call then is complete or fails; nothing is wrong, and nothing is lost for the next.

use rowstream_testkit::{PATIENCE, eventually};

use crate::{
    calls::{read_all, row_of},
    harness::Server,
    reference::Reference,
    size::Size,
};

const ROWS: usize = 1_000;
/// The rows are about 60 bytes each.
const ALL_BYTES: u64 = ROWS as u64 * 80;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_cut_at_any_byte_never_gives_wrong_rows() {
    let each = Size::asked().count(25, 1);
    let random = Size::asked().count(30, 2_000);
    let (server, proxy) = Server::through_proxy(&["--pool-max", "1", "--pool-min", "0"]).await;
    Reference::create(&server.database, ROWS);
    let reference = Reference::read(&server.client(), ROWS).await;
    let (mut complete, mut lost) = (0, 0);
    let first = (0..600_u64).step_by(each);
    for bytes in first.chain((0..random).map(|_| fastrand::u64(0..ALL_BYTES))) {
        // Over a connection that is there, or over one that is to be made first.
        for fresh in [false, true] {
            if fresh {
                proxy.reset_all();
            }
            proxy.cut_after(bytes);
            let reading = read_all(&server.client(), Reference::request()).await;
            if reference.check_complete_or_lost(&reading) { complete += 1 } else { lost += 1 }
        }
    }
    println!(
        "the connection to PostgreSQL cut {} times: {complete} streams complete, {lost} failed, 0 wrong",
        complete + lost
    );
    // The last cut may be still to come.
    eventually("calls are served", PATIENCE, async || {
        let calls = [(); 3].map(|()| async { server.client().query_row(row_of("select 1")).await.is_ok() });
        futures_util::future::join_all(calls).await.into_iter().all(|served| served)
    })
    .await;
    let reading = read_all(&server.client(), Reference::request()).await;
    reference.check(&reading).expect("a whole stream");
    server.assert_settled().await;
}
