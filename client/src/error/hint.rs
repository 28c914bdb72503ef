//! What to try after an error: one place for the advice, so that the library's users and the program
//! give the same.

use std::{error::Error as StdError, io};

use rowstream_contract::reason::Reason;
use tonic::Code;

use super::{Error, ServerError, find};
use crate::tls;

impl Error {
    /// What to try, where there is something better to say than "try again".
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Connect { endpoint, source, .. } => Some(connect_hint(endpoint, source.as_ref())),
            Self::Transport { endpoint, source, .. } => Some(transport_hint(endpoint, source.as_ref())),
            Self::Status(status) => server_hint(status),
            Self::DeadlineExceeded { .. } => Some("give it a longer deadline, or ask for less".to_owned()),
            Self::Truncated { .. } | Self::Checksum { .. } => {
                Some("the rows are not the whole result: discard them and run the query again".to_owned())
            }
            Self::Protocol(_) => Some("are the client and the server of the same version?".to_owned()),
            Self::InvalidEndpoint { .. }
            | Self::InvalidSetting { .. }
            | Self::Start(_)
            | Self::Superseded
            | Self::Decode(_) => None,
        }
    }
}

fn connect_hint(endpoint: &str, source: &(dyn StdError + 'static)) -> String {
    if let Some(hint) = tls::hint(endpoint, source) {
        return hint;
    }
    match find::<io::Error>(source).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => format!("is rowstream-server running at {endpoint}?"),
        Some(io::ErrorKind::TimedOut) => {
            format!("nothing answers at {endpoint}: check the address and the firewall, or allow more time to connect")
        }
        _ => format!("check the address {endpoint}"),
    }
}

/// rowstream-server says it if its port speaks TLS. Another TLS server answers our preface with an alert, an HTTP/1 server with text, and both close. From
/// here that is a broken HTTP/2 frame, or just a connection closed at once, as by a server that died.
fn transport_hint(endpoint: &str, source: &(dyn StdError + 'static)) -> String {
    let chain = std::iter::successors(Some(source), |error| (*error).source());
    let told = chain.map(|error| error.to_string().to_lowercase()).collect::<Vec<_>>().join("; ");
    if told.contains("this port speaks tls") {
        return format!("write {} instead", endpoint.replacen("http:", "https:", 1));
    }
    let not_http2 = ["frame with invalid size", "protocol error", "frame_size_error"];
    if not_http2.iter().any(|sign| told.contains(sign)) {
        format!("{endpoint} does not speak plaintext HTTP/2: is it rowstream-server's port? With TLS, write https://")
    } else {
        format!("the server went away, or {endpoint} does not speak plaintext HTTP/2: does it want https://?")
    }
}

fn server_hint(error: &ServerError) -> Option<String> {
    let hint = match error.reason() {
        Some(Reason::UnknownQuery) => "`rowstream queries` lists the named queries".to_owned(),
        Some(Reason::UnknownTable) => "`rowstream tables` lists the tables that the server has opened".to_owned(),
        Some(Reason::SqlNotAllowed) => "start rowstream-server with --allow-sql, or use a named query".to_owned(),
        Some(Reason::StatementRefused) => "only one SELECT, VALUES, TABLE or WITH that changes nothing runs".to_owned(),
        Some(Reason::RowTooLarge) => "raise rowstream-server's --max-row-bytes, or select less of the row".to_owned(),
        Some(Reason::DeadlineExceeded) => "give it a longer deadline, or ask for less".to_owned(),
        Some(Reason::QueryIdInUse) => "choose another query id, or cancel the running call".to_owned(),
        Some(Reason::ConsumerStalled) => "take rows faster, or raise rowstream-server's --stall-timeout".to_owned(),
        Some(Reason::InvalidToken) => {
            "do all endpoints have the same --token-keys, and are they servers of one database?".to_owned()
        }
        Some(Reason::QueryBroken) => "the operator must mend the named query's file".to_owned(),
        None if error.code() == Code::Unimplemented => "is this a rowstream-server of the same version?".to_owned(),
        None if error.code() == Code::OutOfRange => "raise the client's limit on a message's size".to_owned(),
        _ => format!("try again in {}", humantime::format_duration(error.retry_delay()?)),
    };
    Some(hint)
}
