//! The program as a process of its own: see the testkit, which the fault tests of the root package share.

pub(crate) use rowstream_testkit::{Ended, Line, Program};
