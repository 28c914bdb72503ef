//! Reading a statement on one connection, in one READ ONLY transaction: through a cursor ([`read`]), by running it
//! whole ([`portal`]), or as a COPY ([`copy`]).
//!
//! The round trips of a cursor, in order (a test counts them):
//! 1. `BEGIN READ ONLY`, settings, `pg_backend_pid()`: together with 4 where 2 and 3 are not needed;
//! 2. for a statement not seen before, [`describe`]: is it one row-returning statement, and what are
//!    its parameters and columns;
//! 3. with parameters: conversion of those that PostgreSQL has to read ([`bind`]), and the bound
//!    `DECLARE`;
//! 4. `SET LOCAL statement_timeout`, the `DECLARE` if it has no parameters, and `FETCH`.
//!
//! [`session`] holds the connection and is the only place that cancels, rolls back, gives back or
//! discards it. A session lives in a task that is never dropped.

pub(crate) mod bind;
pub(crate) mod catalog;
mod composites;
pub(crate) mod copy;
pub(crate) mod describe;
pub(crate) mod estimate;
mod pace;
pub(crate) mod places;
pub(crate) mod portal;
pub(crate) mod read;
pub(crate) mod sample;
pub(crate) mod session;
pub(crate) mod sizing;
pub(crate) mod snapshot;
pub(crate) mod tuples;
