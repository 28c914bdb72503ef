//! The fake server itself: started, scripted, stopped, cut off and asked what it saw.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use rowstream_contract::v1::{
    query_service_server::QueryServiceServer, read_session_service_server::ReadSessionServiceServer,
};
use tokio::{
    net::{TcpListener, TcpSocket},
    task::JoinHandle,
};
use tonic::transport::Server;
use tonic_health::{ServingStatus, server::HealthReporter};

use super::{
    Answer, Answers, CallRecord, FakeQuery, Request,
    script::{Decide, Rule},
    service::Service,
    wire::Switchboard,
};
use crate::{Client, health::SERVICE};

/// How many connections may wait for being accepted.
const BACKLOG: u32 = 1024;

/// A server of scripted answers, on a port of its own; gone when dropped.
///
/// The [module](super) tells how it is used.
#[derive(Debug)]
pub struct FakeServer {
    url: String,
    address: SocketAddr,
    service: Service,
    switchboard: Arc<Switchboard>,
    health: HealthReporter,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Running(JoinHandle<()>),
    /// Keeps the port, on which nobody listens.
    Stopped(TcpSocket),
    /// In between.
    Changing,
}

impl FakeServer {
    /// Starts a server on a free port of the loopback interface, in the tokio runtime that it is called in.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start() -> Self {
        let socket = bind((Ipv4Addr::LOCALHOST, 0).into());
        let address = socket.local_addr().expect("a bound socket has an address");
        let (health, _) = tonic_health::server::health_reporter();
        let server = Self {
            url: format!("http://{address}"),
            address,
            service: Service::default(),
            switchboard: Switchboard::new(address),
            health,
            state: Mutex::new(State::Changing),
        };
        server.set_serving(true).await;
        server.run(listen(socket));
        server
    }

    /// Where it is reached, by any client: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A client of this server, with default settings.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::builder([self.url.as_str()]).build().expect("the URL of a fake server is one")
    }

    /// Scripts the answers for a query: the name of a named query, the text of a statement, or the name of a table.
    /// Several are given one after the other, and the last one from then on. Replaces what was scripted for it before.
    pub fn on(&self, query: impl Into<String>, answers: impl Into<Answers>) -> &Self {
        self.service.script().set(query.into(), Rule::Answers(answers.into()));
        self
    }

    /// As [`on`](Self::on), with an answer that depends on the call.
    pub fn on_request(
        &self,
        query: impl Into<String>,
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> &Self {
        self.service.script().set(query.into(), Rule::Decide(Arc::new(answer)));
        self
    }

    /// Scripts the answers for all queries that have none of their own. Without it they get NOT_FOUND, reason
    /// UNKNOWN_QUERY.
    pub fn otherwise(&self, answers: impl Into<Answers>) -> &Self {
        self.service.script().set_otherwise(Rule::Answers(answers.into()));
        self
    }

    /// As [`otherwise`](Self::otherwise), with an answer that depends on the call.
    pub fn otherwise_request(&self, answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> &Self {
        let decide: Decide = Arc::new(answer);
        self.service.script().set_otherwise(Rule::Decide(decide));
        self
    }

    /// Adds a query to those that it lists and describes, or replaces the one of that name.
    pub fn query(&self, query: FakeQuery) -> &Self {
        let (name, mut catalog) = (query.named().name, self.service.catalog());
        catalog.retain(|other| other.named().name != name);
        catalog.push(query);
        drop(catalog);
        self
    }

    /// What it answers to health checks: SERVING, which it begins with, or NOT_SERVING. Calls are answered either way.
    pub async fn set_serving(&self, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in ["", SERVICE] {
            self.health.set_service_status(service, status).await;
        }
    }

    /// Cuts all connections, and refuses new ones until [`restart`](Self::restart): as a server that was killed.
    pub async fn stop(&self) {
        self.switchboard.close();
        let before = self.change(State::Changing);
        if let State::Running(task) = before {
            task.abort();
            // It fails because it was aborted; what counts is that the port is free now.
            let _ = task.await;
            self.change(State::Stopped(bind(self.address)));
        } else {
            self.change(before);
        }
        self.switchboard.cut_all();
    }

    /// Listens again, on the same port, with the same script and record. Without effect on a server that runs.
    ///
    /// # Panics
    /// If another process has taken the port.
    pub async fn restart(&self) {
        match self.change(State::Changing) {
            State::Stopped(socket) => self.run(listen(socket)),
            before => drop(self.change(before)),
        }
    }

    /// Cuts all connections there are, with the calls on them; new ones are accepted.
    pub fn cut_connections(&self) {
        self.switchboard.cut_all();
    }

    /// Every call since the start or the last [`take_calls`](Self::take_calls), in the order of arrival. Asking for
    /// lists, for health, or for a call's end is no call.
    #[must_use]
    pub fn calls(&self) -> Vec<CallRecord> {
        self.service.record.calls()
    }

    /// As [`calls`](Self::calls), and forgets them: for a test of so many that they fill memory.
    #[must_use]
    pub fn take_calls(&self) -> Vec<CallRecord> {
        self.service.record.take_calls()
    }

    /// How many calls are under way now.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.service.record.in_flight()
    }

    /// The most calls that were under way at once.
    #[must_use]
    pub fn most_in_flight(&self) -> usize {
        self.service.record.most_in_flight()
    }

    /// How many calls their callers gave up before the end, by cancelling them or by their deadline.
    #[must_use]
    pub fn cancelled(&self) -> u64 {
        self.service.record.cancelled()
    }

    /// The query ids that [`Client::cancel`] asked to cancel, in order.
    #[must_use]
    pub fn cancel_requests(&self) -> Vec<String> {
        self.service.record.cancel_requests()
    }

    /// Waits until what it has seen fulfils a condition.
    pub async fn until(&self, mut condition: impl FnMut(&Self) -> bool) {
        let mut changes = self.service.record.changes();
        while !condition(self) {
            // The other side lives as long as we do.
            let _ = changes.changed().await;
        }
    }

    /// Waits until no call is under way.
    pub async fn until_idle(&self) {
        self.until(|server| server.in_flight() == 0).await;
    }

    fn run(&self, listener: TcpListener) {
        let health = tonic_health::server::HealthService::from_health_reporter(self.health.clone());
        let routes = Server::builder()
            .add_service(QueryServiceServer::new(self.service.clone()))
            .add_service(ReadSessionServiceServer::new(self.service.clone()))
            .add_service(tonic_health::pb::health_server::HealthServer::new(health));
        let incoming = self.switchboard.listen(listener);
        let task = tokio::spawn(async move {
            // It ends when it is aborted, and not before.
            let _ = routes.serve_with_incoming(incoming).await;
        });
        self.change(State::Running(task));
    }

    fn change(&self, state: State) -> State {
        std::mem::replace(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner), state)
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.switchboard.close();
        if let State::Running(task) = self.change(State::Changing) {
            task.abort();
        }
        self.switchboard.cut_all();
    }
}

fn bind(address: SocketAddr) -> TcpSocket {
    let bound = TcpSocket::new_v4().and_then(|socket| {
        // The port's old connections may linger.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    });
    bound.unwrap_or_else(|error| panic!("a fake server cannot have {address}: {error}"))
}

fn listen(socket: TcpSocket) -> TcpListener {
    socket.listen(BACKLOG).unwrap_or_else(|error| panic!("a fake server cannot listen: {error}"))
}
