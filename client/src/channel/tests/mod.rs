//! The whole of it over real sockets. The decisions one by one, on a clock of their own, are tested beside them.
//!
//! - `balance`: which server and which connection a call takes
//! - `failing`: what a server that fails costs, and how it comes back
//! - `windows`: streams that are not read

mod balance;
mod failing;
mod server;
mod windows;

use std::{io, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tonic::transport::Endpoint;

use self::server::Server;
use super::{Channels, Settings, Target, backend::Backend, resolve::Resolver};
use crate::{Client, Error};

/// Not a limit on how long anything may take: a guard against waiting for ever for what does not come.
const GUARD: Duration = Duration::from_secs(60);

fn settings(connections_per_endpoint: usize) -> Settings {
    Settings { connections_per_endpoint, seed: Some(4), ..Settings::default() }
}

/// A client of these URLs, where every name leads to these addresses.
fn client_where(urls: &[String], settings: &Settings, hosts: &'static [&'static str]) -> Client {
    let lookup = move |name: Arc<str>| {
        let port: u16 = name.rsplit(':').next().unwrap().parse().unwrap();
        let addresses = hosts.iter().map(|host| (host.parse::<std::net::IpAddr>().unwrap(), port).into());
        let answer: io::Result<Vec<_>> = Ok(addresses.collect());
        async move { answer }.boxed()
    };
    let target = |url: &String| Target::new(url, Endpoint::from_shared(url.clone()).unwrap());
    let targets = urls.iter().map(target).collect();
    Client::new(Channels::with_resolver(targets, settings, Resolver::new(lookup)), 64 << 20)
}

fn client(servers: &[&Server], settings: &Settings) -> Client {
    let urls: Vec<_> = servers.iter().map(|server| server.url()).collect();
    client_where(&urls, settings, &[])
}

/// A call like any other.
async fn ask(client: &Client) -> Result<(), Error> {
    client.list_queries().await.map(drop)
}

/// Looks at what is known of a server.
fn known<T>(client: &Client, server: &Server, look: impl FnOnce(&Backend) -> T) -> T {
    client.channels().inner.with(|pool, _| look(pool.iter().find(|backend| backend.address == server.address).unwrap()))
}

fn is_available(client: &Client, server: &Server) -> bool {
    known(client, server, |backend| backend.standing.is_available())
}

/// Calls until this holds; how the calls end does not matter.
async fn ask_until(client: &Client, what: &str, holds: impl Fn() -> bool) {
    let asking = async {
        while !holds() {
            let _ = ask(client).await;
            tokio::task::yield_now().await;
        }
    };
    guarded(what, asking).await;
}

async fn guarded<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(GUARD, work).await.unwrap_or_else(|_| panic!("not so: {what}"))
}
