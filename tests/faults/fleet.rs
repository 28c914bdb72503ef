//! Several servers as processes, over one database, and a client of all of them.

use std::net::SocketAddr;

use futures_util::future::join_all;
use rowstream_client::{Client, Health};
use rowstream_testkit::{Database, PATIENCE, Postgres, Program, eventually};

use crate::{
    harness::{admin, assert_log, metric},
    watch::Watch,
};

const POOL_MAX: usize = 10;

/// Servers of the same data.
#[derive(Debug)]
pub(crate) struct Fleet {
    // The programs end before their database is dropped.
    members: Vec<Member>,
    pub(crate) database: Database,
}

/// One of them.
#[derive(Debug)]
struct Member {
    program: Program,
    address: SocketAddr,
    database_url: String,
}

impl Member {
    async fn start(database_url: &str, listen: &str) -> Self {
        let mut command = Program::command();
        command.args(["--listen", listen, "--admin-listen", "127.0.0.1:0", "--allow-sql", "--log", "info"]);
        command.args(["--pool-max", &POOL_MAX.to_string(), "--database-url", database_url]);
        let mut program = Program::spawn(&mut command);
        let address = program.address().await;
        let member = Self { program, address, database_url: database_url.to_owned() };
        eventually("the server serves", PATIENCE, async || {
            matches!(client_of([member.address]).health().await, Ok(Health::Serving))
        })
        .await;
        member
    }
}

impl Fleet {
    /// Three servers over a database of the shared PostgreSQL.
    pub(crate) async fn start() -> Self {
        let database = Postgres::shared().create_database().expect("a database");
        let url = database.url();
        let members = join_all((0..3).map(|_| Member::start(&url, "127.0.0.1:0"))).await;
        Self { members, database }
    }

    /// Adds a server, over a database of its own, and tells its URL.
    pub(crate) async fn add(&mut self, database: &Database) -> String {
        self.members.push(Member::start(&database.url(), "127.0.0.1:0").await);
        self.url(self.members.len() - 1)
    }

    pub(crate) fn url(&self, index: usize) -> String {
        format!("http://{}", self.members[index].address)
    }

    pub(crate) fn client(&self) -> Client {
        client_of(self.members.iter().map(|member| member.address))
    }

    /// Kills a server with SIGKILL.
    pub(crate) async fn kill(&mut self, index: usize) {
        let program = &mut self.members[index].program;
        program.signal("KILL");
        eventually("the program has ended", PATIENCE, async || program.has_ended()).await;
    }

    /// Starts a server that was killed again, on the same port.
    pub(crate) async fn restart(&mut self, index: usize) {
        let Member { database_url, address, .. } = &self.members[index];
        self.members[index] = Member::start(&database_url.clone(), &address.to_string()).await;
    }

    /// How many calls a server has.
    pub(crate) async fn in_flight(&self, index: usize) -> u64 {
        metric(admin(&self.members[index].program), "rowstream_calls_in_flight").await
    }

    pub(crate) async fn watch(&self) -> Watch {
        Watch::of(&self.database).await
    }

    /// Waits until no server has a call and no backend works, and checks that every server still has its whole pool
    /// and that its log is in order.
    pub(crate) async fn assert_settled(&self) {
        self.watch().await.until_idle(PATIENCE).await;
        for (index, Member { program, address, .. }) in self.members.iter().enumerate() {
            eventually("the server has no call", PATIENCE, async || self.in_flight(index).await == 0).await;
            let client = client_of([*address]);
            let calls = (0..POOL_MAX * 2).map(|_| {
                let call = client.sql("select pg_sleep(0.01)").deadline(PATIENCE);
                async move { call.query_row().await }
            });
            for row in join_all(calls).await {
                row.expect("the whole pool serves");
            }
            assert_log(program);
        }
    }
}

fn client_of(addresses: impl IntoIterator<Item = SocketAddr>) -> Client {
    let urls = addresses.into_iter().map(|address| format!("http://{address}"));
    Client::builder(urls).build().expect("valid endpoints")
}
