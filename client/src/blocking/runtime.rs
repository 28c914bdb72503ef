//! The runtime behind a blocking client.

use std::{fmt, io, sync::Arc};

use tokio::runtime::{self, Handle};

/// A runtime with one thread, shared by a client, its calls and its streams; ended by the last of them.
#[derive(Clone)]
pub(super) struct Runtime {
    owner: Arc<Owner>,
}

/// `Some` until it is dropped.
struct Owner(Option<runtime::Runtime>, Handle);

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Runtime")
    }
}

impl Runtime {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Self> {
        // Of the flavour with several threads: it drives connections and timers by itself, so that any
        // number of callers can block beside each other. One thread is enough, as calls run on the
        // callers' own.
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("rowstream-client")
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        Ok(Self { owner: Arc::new(Owner(Some(runtime), handle)) })
    }

    /// Does what needs the runtime's clock, and does not wait.
    pub(super) fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        let _inside = self.owner.1.enter();
        work()
    }

    /// Waits for the work. Panics in asynchronous code, where waiting would stop other tasks.
    #[track_caller]
    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.owner.1.block_on(work)
    }
}

impl Drop for Owner {
    /// Does not wait, as a drop may happen in asynchronous code, too.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
