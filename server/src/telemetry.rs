//! Where log lines go: to stderr, for people on a terminal and as JSON otherwise.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt};

use crate::{
    config::{Config, ConfigError, LogFormat},
    db::NO_NOTICES,
};

/// Installs the process's subscriber.
///
/// # Errors
/// Fails if the filter cannot be read.
pub fn init(config: &Config) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(&config.args.log)
        .map_err(|error| ConfigError::Value(format!("--log {:?}: {error}", config.args.log)))?;
    // What a caller's statement raises as a notice is row data.
    let filter = filter.add_directive(NO_NOTICES.parse().expect("a valid directive"));
    let on_terminal = std::io::stderr().is_terminal();
    let text = match config.args.log_format {
        LogFormat::Auto => on_terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    // Whoever reads stderr may be gone: complaining about that on stderr would panic, in whichever task logs.
    let subscriber = fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    if text {
        subscriber.with_ansi(on_terminal).with_target(false).init();
    } else {
        subscriber.json().flatten_event(true).init();
    }
    Ok(())
}
