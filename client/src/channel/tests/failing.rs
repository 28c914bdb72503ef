//! What a server that fails costs, and how it comes back.

use std::sync::atomic::Ordering::SeqCst;

use futures_util::future::join_all;

use super::*;

#[tokio::test]
async fn a_name_with_an_address_that_nobody_listens_at_costs_no_call() {
    let a = Server::start("127.0.0.3");
    let urls = [format!("http://localhost:{}", a.address.port())];
    for seed in 0..8 {
        let settings = Settings { seed: Some(seed), ..settings(2) };
        let client = client_where(&urls, &settings, &["127.0.0.2", "127.0.0.3"]);
        join_all((0..10).map(|_| ask(&client))).await.into_iter().collect::<Result<(), _>>().unwrap();
        assert!(client.sql("endless").stream().await.unwrap().next_batch().await.unwrap().is_some());
    }
}

#[tokio::test]
async fn when_no_server_can_be_reached_the_call_says_so_and_names_the_endpoint() {
    let (mut a, mut b) = (Server::start("127.0.0.2"), Server::start("127.0.0.2"));
    a.kill().await;
    b.kill().await;
    let error = ask(&client(&[&a, &b], &settings(2))).await.unwrap_err();
    assert!(matches!(&error, Error::Connect { endpoint, .. } if *endpoint == a.url() || *endpoint == b.url()));
    assert!(error.to_string().contains("onnection refused"), "{error}");
}

#[tokio::test]
async fn a_server_that_dies_is_left_out_and_used_again_when_it_is_back() {
    let (mut a, b) = (Server::start("127.0.0.2"), Server::start("127.0.0.2"));
    let client = client(&[&a, &b], &settings(2));
    ask_until(&client, "both are used", || a.answered() > 0 && b.answered() > 0).await;
    a.kill().await;
    ask_until(&client, "the dead one is left out", || !is_available(&client, &a)).await;
    for _ in 0..20 {
        ask(&client).await.unwrap();
    }
    a.run();
    let before = a.answered();
    ask_until(&client, "it is used again", || a.answered() > before).await;
    assert!(is_available(&client, &a));
}

#[tokio::test]
async fn a_server_that_answers_unavailable_comes_back_when_its_health_service_says_so() {
    let (a, b) = (Server::start("127.0.0.2"), Server::start("127.0.0.2"));
    let client = client(&[&a, &b], &settings(2));
    a.script.fails.store(true, SeqCst);
    a.script.not_serving.store(true, SeqCst);
    ask_until(&client, "it is left out", || !is_available(&client, &a)).await;
    assert_eq!(a.answered(), 3, "the third time in a row");
    ask_until(&client, "it was asked for its health", || a.script.probes.load(SeqCst) > 1).await;
    assert_eq!(a.answered(), 3, "its time is over, but it is not healthy");
    a.script.fails.store(false, SeqCst);
    a.script.not_serving.store(false, SeqCst);
    ask_until(&client, "it is used again", || a.answered() > 3).await;
}

#[tokio::test]
async fn a_server_that_is_slow_beside_the_others_is_left_out_for_a_while() {
    let (a, b, c) = (Server::start("127.0.0.2"), Server::start("127.0.0.2"), Server::start("127.0.0.2"));
    let client = client(&[&a, &b, &c], &settings(2));
    a.script.delay_millis.store(100, SeqCst);
    let asking = || async {
        loop {
            ask(&client).await.unwrap();
        }
    };
    let left_out = ask_until(&client, "it is left out", || !is_available(&client, &a));
    tokio::select! {
        () = left_out => {}
        _ = join_all((0..15).map(|_| asking())) => {}
    }
    assert!(known(&client, &a, |backend| backend.standing.is_slow()));
    assert!(is_available(&client, &b) && is_available(&client, &c));
    a.script.delay_millis.store(0, SeqCst);
    let before = a.answered();
    ask_until(&client, "it has another chance", || is_available(&client, &a) && a.answered() > before).await;
}

#[tokio::test]
async fn when_all_are_left_out_calls_are_sent_all_the_same_and_one_that_works_brings_its_server_back() {
    let (a, b) = (Server::start("127.0.0.2"), Server::start("127.0.0.2"));
    let client = client(&[&a, &b], &settings(2));
    for server in [&a, &b] {
        server.script.fails.store(true, SeqCst);
        server.script.not_serving.store(true, SeqCst);
    }
    ask_until(&client, "both are left out", || !is_available(&client, &a) && !is_available(&client, &b)).await;
    let before = a.answered() + b.answered();
    assert_eq!(ask(&client).await.unwrap_err().to_string(), "as told (UNAVAILABLE)");
    assert_eq!(a.answered() + b.answered(), before + 1);
    b.script.fails.store(false, SeqCst);
    // Health still says no: it is the call that tells.
    ask_until(&client, "one that works is back", || is_available(&client, &b)).await;
    ask(&client).await.unwrap();
    assert!(!is_available(&client, &a));
}

#[tokio::test]
async fn a_client_that_is_dropped_leaves_no_probe_behind() {
    let mut a = Server::start("127.0.0.2");
    a.kill().await;
    let client = client(&[&a], &settings(2));
    ask(&client).await.unwrap_err();
    assert!(known(&client, &a, |backend| backend.probe.is_some()));
    drop(client);
    let metrics = tokio::runtime::Handle::current().metrics();
    let gone = async {
        while metrics.num_alive_tasks() > 0 {
            tokio::task::yield_now().await;
        }
    };
    guarded("no task is left", gone).await;
}
