//! Chooses the port.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
};

use crate::Error;

/// Below every system's ephemeral range (Linux 32768, macOS 49152): a client that keeps trying to reach a
/// stopped server could otherwise be given this very port, connect to itself, and keep the server out.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// Moves on with every port given, because the server that it is for does not listen yet.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port on 127.0.0.1 that nobody listens on; another one each time, and in each process.
pub(crate) fn free() -> Result<u16, Error> {
    let spread = std::process::id().wrapping_mul(7_919);
    (0..COUNT)
        .map(|_| spread.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed).into()) % u32::from(COUNT))
        .filter_map(|step| u16::try_from(step).ok().map(|step| FIRST + step))
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or(Error::NoPort)
}
