//! When a name's addresses are asked for, and whom.
//!
//! A name is asked for when a call needs it: at first use, again when the answer is half a minute old, and sooner after
//! a connection to one of its addresses failed, because a server that moved is found that way. An answer that fails
//! changes nothing if addresses are known. There is no timer: a client that is not used asks for nothing.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::time::Instant;

use super::connection::timed_out;

/// How old an answer may be. DNS does not tell a resolver's user how long it holds.
const MAX_AGE: Duration = Duration::from_secs(30);
/// A name is asked for no more often than this, however many connections fail.
const MIN_AGE: Duration = Duration::from_secs(1);

/// When to ask for one name.
#[derive(Debug, Default)]
pub(super) struct Refresh {
    running: bool,
    asked: Option<Instant>,
    wanted: bool,
}

impl Refresh {
    /// Whether to ask now; if so it counts as asked.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        let min_age = if self.wanted { MIN_AGE } else { MAX_AGE };
        let due = self.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= min_age);
        if self.running || !due {
            return false;
        }
        *self = Self { running: true, asked: Some(now), wanted: false };
        true
    }

    /// An answer is here; `failed` if it names no address.
    pub(super) fn end(&mut self, failed: bool) {
        self.running = false;
        self.wanted |= failed;
    }

    /// A connection failed: the addresses may be of yesterday.
    pub(super) fn want(&mut self) {
        self.wanted = true;
    }
}

type Answer = BoxFuture<'static, io::Result<Vec<SocketAddr>>>;

/// Whom to ask.
#[derive(Clone)]
pub(super) struct Resolver(Arc<dyn Fn(Arc<str>) -> Answer + Send + Sync>);

impl Resolver {
    /// The operating system: the hosts file, DNS, and what else it is set up to ask.
    pub(super) fn system() -> Self {
        Self::new(|name| async move { Ok(tokio::net::lookup_host(&*name).await?.collect()) }.boxed())
    }

    pub(super) fn new(ask: impl Fn(Arc<str>) -> Answer + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    /// The addresses of a name, each once and never none.
    pub(super) async fn addresses(&self, name: Arc<str>, timeout: Duration) -> io::Result<Vec<SocketAddr>> {
        let answer = tokio::time::timeout(timeout, (self.0)(name)).await;
        let answered = answer.unwrap_or_else(|_| Err(timed_out("looking up the name", timeout)))?;
        let mut addresses = Vec::with_capacity(answered.len());
        for address in answered {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        match addresses.is_empty() {
            true => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
            false => Ok(addresses),
        }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_asked_for_at_first_use_again_after_half_a_minute_and_sooner_after_a_failure() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut refresh = Refresh::default();
        assert!(refresh.begin(at(0)));
        assert!(!refresh.begin(at(40_000)), "one is under way");
        refresh.end(false);
        assert!(refresh.begin(at(40_001)));
        refresh.end(false);
        assert!(!refresh.begin(at(70_000)));
        assert!(refresh.begin(at(70_001)));
        refresh.end(false);
        refresh.want();
        assert!(!refresh.begin(at(71_000)), "not twice within a second");
        assert!(refresh.begin(at(71_001)));
        refresh.end(true);
        assert!(!refresh.begin(at(72_000)));
        assert!(refresh.begin(at(72_001)), "no answer is asked for again after a second");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_has_each_address_once_and_no_answer_is_an_error() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let ask = move |name: Arc<str>| {
            async move {
                match &*name {
                    "none" => Ok(vec![]),
                    "silent" => std::future::pending().await,
                    _ => Ok(vec![address(2), address(1), address(2)]),
                }
            }
            .boxed()
        };
        let resolver = Resolver::new(ask);
        let second = Duration::from_secs(1);
        assert_eq!(resolver.addresses("some".into(), second).await.unwrap(), [address(2), address(1)]);
        let error = resolver.addresses("none".into(), second).await.unwrap_err();
        assert_eq!(error.to_string(), "the name has no address");
        let error = resolver.addresses("silent".into(), second).await.unwrap_err();
        assert_eq!(
            (error.kind(), &*error.to_string()),
            (io::ErrorKind::TimedOut, "looking up the name took longer than 1s")
        );
    }
}
