//! Runs against the library's fake server, on a paused clock: minutes take no time, and every wait is exact.

mod documented;
mod loads;
mod pages;
mod stalls;

use std::{sync::Arc, time::Duration, time::SystemTime};

use rowstream_client::testing::{Answer, FakeServer, Request};
use tokio::time::Instant;

use super::{
    account,
    call::{Encoding, Values, Work},
    generator::{Generator, Load, Open},
    pacer::Pacer,
    recorder::Recorder,
    report::{self, Report, Settings, Statement},
    schedule::{Extent, Schedule},
};
use crate::cli::interrupt::Signal;

const MS: Duration = Duration::from_millis(1);

/// A run in the making.
struct Lab {
    server: FakeServer,
    rate: Option<&'static str>,
    steps: Option<usize>,
    concurrency: usize,
    max_in_flight: usize,
    extent: Extent,
    warmup: Duration,
    grace: Duration,
    deadline: Option<Duration>,
    encoding: Encoding,
    values: Values,
    /// When a signal comes.
    signal: Option<Duration>,
}

fn rows() -> Answer {
    Answer::rows([("id", "int8"), ("event", "text")], [(1, "login"), (2, "logout")])
}

impl Lab {
    /// A closed loop of one call for ten seconds, each of which is answered so.
    async fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let server = FakeServer::start().await;
        server.on_request("q", answer);
        Self {
            server,
            rate: None,
            steps: None,
            concurrency: 1,
            max_in_flight: 10_000,
            extent: Extent::Duration(MS * 10_000),
            warmup: Duration::ZERO,
            grace: MS * 10_000,
            deadline: None,
            encoding: Encoding::Rows,
            values: Values::Counted,
            signal: None,
        }
    }

    async fn run(&self) -> Report {
        let mut call = self.server.client().query("q").bind_named("id", 7);
        if let Some(timeout) = self.deadline {
            call = call.deadline(timeout);
        }
        let rate = self.rate.map(|rate| rate.parse().unwrap());
        let schedule = rate.map(|rate| Schedule::new(rate, self.steps, self.warmup, self.extent));
        let rates: Vec<_> = schedule.iter().flat_map(|schedule| schedule.steps().collect::<Vec<_>>()).collect();
        let begin = Instant::now();
        let recorder = Recorder::new(begin + self.warmup, schedule.is_some(), rates.len().max(1));
        let max_in_flight = self.max_in_flight;
        let load = match schedule {
            Some(schedule) => Load::Open(Open { schedule, max_in_flight, pacer: Pacer::of_tokio() }),
            None => Load::Closed { concurrency: self.concurrency },
        };
        let work = Arc::new(Work { call, encoding: self.encoding, values: self.values });
        let recorded = recorder.clone();
        let (warmup, extent, grace) = (self.warmup, self.extent, self.grace);
        let generator = Generator { work, load, warmup, extent, grace, recorder: recorded, begin };
        let signal = self.signal.map(|after| begin + after);
        let interrupted = async || match signal {
            Some(at) => {
                tokio::time::sleep_until(at).await;
                Signal::Interrupt
            }
            None => std::future::pending().await,
        };
        let ended = generator.run(interrupted, || {}).await;
        account::report(self.settings(rate), &recorder, &ended, &rates, SystemTime::UNIX_EPOCH)
    }

    fn settings(&self, rate: Option<super::schedule::RateRange>) -> Settings {
        Settings {
            statement: Statement::Query("q".to_owned()),
            parameters: vec!["-p id=7".to_owned()],
            endpoints: vec![self.server.url().to_owned()],
            connections: 1,
            load: match rate {
                Some(rate) => report::Load::Open {
                    rate_from: rate.first(),
                    rate_to: rate.last(),
                    steps: self.steps.map(|steps| steps as u64),
                    max_in_flight: self.max_in_flight as u64,
                },
                None => report::Load::Closed { concurrency: self.concurrency as u64 },
            },
            duration_s: Some(10.0),
            count: None,
            warmup_s: account::seconds(self.warmup),
            grace_s: account::seconds(self.grace),
            deadline_s: self.deadline.map(account::seconds),
            max_rows: None,
            encoding: self.encoding,
            strategy: None,
            grpc_compression: None,
            values: self.values,
        }
    }
}

/// That a time is what it should be, within what histograms and tokio's timers tell apart.
#[track_caller]
fn assert_about(micros: u64, expected: Duration) {
    let expected = u64::try_from(expected.as_micros()).unwrap();
    assert!(micros.abs_diff(expected) <= 2_000 + expected / 500, "{micros} µs, and not {expected}");
}
