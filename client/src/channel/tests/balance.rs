//! Which server and which connection a call takes.

use std::{collections::HashMap, sync::atomic::Ordering::SeqCst};

use futures_util::future::join_all;

use super::*;

#[tokio::test]
async fn leases_are_load_until_they_are_dropped_and_go_to_the_less_loaded_server() {
    let (a, b) = (Server::start("127.0.0.2"), Server::start("127.0.0.2"));
    let client = client(&[&a, &b], &settings(2));
    let mut leases = Vec::new();
    for _ in 0..10 {
        leases.push(client.channels().lease(&[]).await.unwrap());
    }
    let on = |server: &Server, leases: &[super::super::Lease]| {
        let url = server.url();
        leases.iter().filter(|lease| **lease.endpoint() == *url).count()
    };
    assert_eq!((on(&a, &leases), on(&b, &leases)), (5, 5));
    leases.retain(|lease| **lease.endpoint() == *b.url());
    for _ in 0..5 {
        leases.push(client.channels().lease(&[]).await.unwrap());
    }
    assert_eq!((on(&a, &leases), on(&b, &leases)), (5, 5));
}

#[tokio::test]
async fn open_streams_are_load_to_their_end() {
    let (a, b) = (Server::start("127.0.0.2"), Server::start("127.0.0.2"));
    let client = client(&[&a, &b], &settings(2));
    let streams: Vec<_> = join_all((0..6).map(|_| async { client.sql("endless").stream().await.unwrap() })).await;
    let load = |server| known(&client, server, |backend| backend.load);
    assert_eq!((load(&a), load(&b)), (3, 3));
    assert_eq!((a.answered(), b.answered()), (3, 3));
    drop(streams);
    assert_eq!((load(&a), load(&b)), (0, 0));
}

#[tokio::test]
async fn calls_at_once_share_as_many_connections_as_there_may_be() {
    let a = Server::start("127.0.0.2");
    let client = client(&[&a], &settings(3));
    let outcomes = join_all((0..50).map(|_| ask(&client))).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(a.script.peers.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn every_address_of_a_name_is_a_server_of_its_own() {
    let a = Server::start("127.0.0.2");
    let b = Server::start_at((std::net::Ipv4Addr::new(127, 0, 0, 3), a.address.port()).into());
    let url = format!("http://rows.test:{}", a.address.port());
    let client = client_where(std::slice::from_ref(&url), &settings(2), &["127.0.0.2", "127.0.0.3"]);
    let leases = join_all((0..6).map(|_| client.channels().lease(&[]))).await;
    let mut counts = HashMap::new();
    for lease in leases {
        let lease = lease.unwrap();
        assert_eq!(**lease.endpoint(), *url, "messages name what the user wrote");
        *counts.entry(lease.backend()).or_insert(0) += 1;
    }
    assert_eq!(counts.values().sum::<usize>(), 6);
    let asked = join_all((0..20).map(|_| ask(&client))).await;
    assert!(asked.iter().all(Result::is_ok));
    assert!(a.answered() > 0 && b.answered() > 0);
}

#[tokio::test]
async fn a_call_is_cancelled_on_whichever_server_runs_it() {
    let (a, mut b) = (Server::start("127.0.0.2"), Server::start("127.0.0.2"));
    let client = client(&[&a, &b], &settings(2));
    *b.script.running.lock().unwrap() = "mine".into();
    assert!(client.cancel("mine").await.unwrap());
    assert!(!client.cancel("other").await.unwrap());
    assert_eq!((a.answered(), b.answered()), (2, 2));
    a.script.fails.store(true, SeqCst);
    assert!(client.cancel("mine").await.unwrap());
    let error = client.cancel("other").await.unwrap_err();
    assert_eq!(error.to_string(), "as told (UNAVAILABLE)", "a server that does not answer may be running it");
    a.script.fails.store(false, SeqCst);
    b.kill().await;
    assert!(!super::client(&[&a, &b], &settings(1)).cancel("other").await.unwrap());
    let error = super::client(&[&b], &settings(1)).cancel("other").await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error}");
}
