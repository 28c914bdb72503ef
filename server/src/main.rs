//! The `rowstream-server` program: settings, telemetry, signals, serve, exit status.
//!
//! Exit status: 0 after a drain, 64 for a wrong command line, 78 for settings that cannot be read or used,
//! 69 if the address cannot be listened on, 70 if serving failed, 1 on a second signal.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use rowstream_server::{Config, ConfigError, ServeError, Task, init_telemetry, on_signals, preflight, serve};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const USAGE: u8 = 64;
const UNAVAILABLE: u8 = 69;
const SOFTWARE: u8 = 70;
const CONFIG: u8 = 78;

fn main() -> ExitCode {
    let config = match Config::try_from_command_line().and_then(|config| init_telemetry(&config).map(|()| config)) {
        Ok(config) => config,
        Err(ConfigError::Usage(error)) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
        Err(error) => return fail(CONFIG, &error.to_string()),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(SOFTWARE, &error.to_string()),
    };
    match config.task() {
        Task::Serve => runtime.block_on(run(config)),
        Task::Check => runtime.block_on(check(&config)),
        Task::Print => {
            // Nobody is left to be told that stdout is closed.
            let _ = io::stdout().write_all(config.print().as_bytes());
            ExitCode::SUCCESS
        }
    }
}

async fn check(config: &Config) -> ExitCode {
    let checked = preflight(config).await;
    for note in checked.notes {
        eprintln!("rowstream-server: {note}");
    }
    if checked.problems.is_empty() {
        return ExitCode::SUCCESS;
    }
    fail(CONFIG, &config.as_written(&checked.problems.join("\nrowstream-server: ")))
}

async fn run(config: Config) -> ExitCode {
    let shutdown = CancellationToken::new();
    if let Err(error) = on_signals(shutdown.clone()) {
        return fail(SOFTWARE, &format!("signals: {error}"));
    }
    let (address, written) = (config.listen(), config.clone());
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => return fail(UNAVAILABLE, &written.as_written(&format!("--listen {address}: {error}"))),
    };
    match serve(config, listener, shutdown).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ ServeError::Admin { .. }) => fail(UNAVAILABLE, &error.to_string()),
        Err(error @ (ServeError::Queries { .. } | ServeError::Tls(_) | ServeError::Pool(_))) => {
            fail(CONFIG, &written.as_written(&error.to_string()))
        }
        Err(error) => fail(SOFTWARE, &error.to_string()),
    }
}

fn fail(status: u8, message: &str) -> ExitCode {
    eprintln!("rowstream-server: {message}");
    ExitCode::from(status)
}
