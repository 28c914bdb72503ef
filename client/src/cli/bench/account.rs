//! From what was recorded to the report.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{
    generator,
    latency::Latency,
    machine::Machine,
    numbers::float,
    recorded::{self, Recorded},
    recorder::Recorder,
    report::{
        Calls, Ended, Format, Generator, Latencies, Report, Server, Settings, Step, Throughput, VERSION, Verdict,
    },
};

/// The share of its one thread at which the generator is told to be busy: there are always some moments left to wait.
const BUSY: f64 = 0.8;
/// Being late shows once it is this part of what is measured.
const LATE: u64 = 10;
/// A lag below this is not told, whatever it is beside the latency: timers and threads are no more exact, in µs.
const LATE_ABOVE: u64 = 1_000;

/// The report of a run that has ended now.
pub(super) fn report(
    settings: Settings,
    recorder: &Recorder,
    ended: &generator::Ended,
    rates: &[(f64, f64)],
    started: SystemTime,
) -> Report {
    let mut recorded = recorder.lock();
    let measured = recorded.measured(Instant::now());
    let over_time = std::mem::take(&mut recorded.slicer).finish();
    let (calls, latency) = (&recorded.calls, &recorded.latencies);
    let is_open = settings.load.is_open();
    let main = if is_open { &latency.response } else { &latency.service };
    // Nothing is measured if the warm-up was not survived.
    let cpu_share = if measured.is_zero() { 0.0 } else { ended.cpu.as_secs_f64() / measured.as_secs_f64() };
    let lag = is_open.then(|| latency.lag.clone());
    Report {
        format: Format::Bench,
        version: VERSION,
        rowstream: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: humantime::format_rfc3339_seconds(started).to_string(),
        machine: Machine::this(),
        ended: match ended.ending {
            generator::Ending::Complete => Ended::Complete,
            generator::Ending::Interrupted(_) => Ended::Interrupted,
            generator::Ending::Hopeless => Ended::Failed,
        },
        measured_s: seconds(measured),
        calls: self::calls(calls),
        failures: recorded.failures.kinds(),
        throughput: throughput(&recorded.throughput, measured),
        server: server(&recorded.server),
        generator: Generator {
            cpu_s: seconds(ended.cpu),
            cpu_share: (cpu_share * 1e3).round() / 1e3,
            verdict: verdict(cpu_share, lag.as_ref(), main),
            lag,
        },
        latency: Latencies {
            response: is_open.then(|| latency.response.clone()),
            service: latency.service.clone(),
            header: latency.header.clone(),
            first_row: latency.first_row.clone(),
            gap: latency.gap.clone(),
            failure: latency.failure.clone(),
        },
        steps: if settings.has_steps() { steps(&recorded, rates) } else { Vec::new() },
        over_time,
        settings,
    }
}

fn calls(calls: &recorded::Calls) -> Calls {
    let recorded::Calls { begun, succeeded, failed, unfinished, never_begun, held, at_least, most_in_flight } = *calls;
    let due = begun + never_begun;
    Calls { due, begun, succeeded, failed, unfinished, never_begun, held, at_least, most_in_flight }
}

fn throughput(counted: &recorded::Throughput, measured: Duration) -> Throughput {
    let recorded::Throughput { calls, rows, bytes } = *counted;
    let per_second = |count: f64| (count / measured.as_secs_f64().max(1e-9) * 1e3).round() / 1e3;
    Throughput {
        calls,
        rows,
        bytes,
        calls_per_s: per_second(float(calls)),
        rows_per_s: per_second(float(rows)),
        mb_per_s: per_second(float(bytes) / 1e6),
    }
}

fn server(server: &recorded::Server) -> Server {
    Server {
        calls: server.calls,
        queued_s: seconds(server.queued),
        database_s: seconds(server.database),
        encode_s: seconds(server.encode),
        client_wait_s: seconds(server.client_wait),
        strategy: server.strategy.map(|strategy| strategy.to_string()),
    }
}

fn steps(recorded: &Recorded, rates: &[(f64, f64)]) -> Vec<Step> {
    let step = |(recorded::Step { due, succeeded, response }, (rate_from, rate_to)): (&recorded::Step, &(f64, f64))| {
        let (due, succeeded, response) = (*due, *succeeded, response.clone());
        Step { rate_from: *rate_from, rate_to: *rate_to, due, succeeded, response }
    };
    recorded.steps.iter().zip(rates).map(step).collect()
}

fn verdict(cpu_share: f64, lag: Option<&Latency>, main: &Latency) -> Verdict {
    let lag = lag.map_or(0, |lag| lag.percentile(99.0));
    match () {
        () if cpu_share >= BUSY => Verdict::Busy,
        () if lag > LATE_ABOVE && lag.saturating_mul(LATE) > main.percentile(99.0) => Verdict::Late,
        () => Verdict::Unhindered,
    }
}

/// To the microsecond.
pub(super) fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(millis: u64) -> Latency {
        let mut latency = Latency::default();
        latency.record(Duration::from_millis(millis));
        latency
    }

    #[test]
    fn the_generator_is_the_bottleneck_if_it_is_busy_or_so_late_that_it_shows() {
        for (cpu, lag, latency, expected) in [
            (0.5, 0, 10, Verdict::Unhindered),
            (0.9, 0, 10, Verdict::Busy),
            (0.5, 2, 10, Verdict::Late),
            (0.5, 2, 100, Verdict::Unhindered),
            (0.5, 1, 1, Verdict::Unhindered),
        ] {
            assert_eq!(verdict(cpu, Some(&of(lag)), &of(latency)), expected, "{cpu} {lag} {latency}");
        }
        assert_eq!(verdict(0.1, None, &of(1)), Verdict::Unhindered);
    }
}
