//! The `rowstream-server` program: settings, telemetry, signals, serve, exit status.
//!
//! Exit status: 0 after a drain, 64 for a wrong command line, 78 for settings that cannot be used,
//! 69 if the address cannot be listened on, 70 if serving failed, 1 on a second signal.

use std::process::ExitCode;

use rowstream_server::{Config, ConfigError, ServeError, init_telemetry, on_signals, serve};
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
    runtime.block_on(run(config))
}

async fn run(config: Config) -> ExitCode {
    let shutdown = CancellationToken::new();
    if let Err(error) = on_signals(shutdown.clone()) {
        return fail(SOFTWARE, &format!("signals: {error}"));
    }
    let address = config.listen();
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => return fail(UNAVAILABLE, &format!("--listen {address}: {error}")),
    };
    match serve(config, listener, shutdown).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ ServeError::Admin { .. }) => fail(UNAVAILABLE, &error.to_string()),
        Err(error @ ServeError::Queries { .. }) => fail(CONFIG, &error.to_string()),
        Err(error) => fail(SOFTWARE, &error.to_string()),
    }
}

fn fail(status: u8, message: &str) -> ExitCode {
    eprintln!("rowstream-server: {message}");
    ExitCode::from(status)
}
