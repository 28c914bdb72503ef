//! Exit codes: sysexits where one fits, 124 as of timeout(1), 128 plus the signal for interrupts.

use rowstream_client::{Code, Error};

use super::{failure::Failure, fanout::Refused};

/// What `--help` says about them.
pub(crate) const HELP: &str = "\
Exit codes:
    0  done; also when the reader of the output closed it early
    1  fanout: some calls have failed, or all; bench compare: worse by more than
       --fail-over allows
   64  wrong usage
   65  the request is wrong: INVALID_ARGUMENT, OUT_OF_RANGE, FAILED_PRECONDITION,
       ALREADY_EXISTS, UNIMPLEMENTED; a line of the input, a checkpoint, an
       export's directory or a report cannot be used; export --verify: the
       files are not what was exported
   66  not found: no such named query or table
   69  the server, or its database, cannot be reached or does not serve
   70  something is broken: an incomplete or damaged stream, INTERNAL, UNKNOWN,
       DATA_LOSS
   74  the input or output failed
   75  try again: RESOURCE_EXHAUSTED, ABORTED, or cancelled by someone else;
       another process has the checkpoint or the export; the snapshot of an
       export is gone
   77  not allowed: PERMISSION_DENIED, UNAUTHENTICATED
   78  the profiles file, or a profile in it, cannot be used
  124  the deadline passed
  130  interrupted by Ctrl-C; 143 by SIGTERM";

pub(crate) const USAGE: u8 = 64;

/// The exit code of a failure.
pub(crate) fn code(failure: &Failure) -> u8 {
    match failure {
        Failure::ClosedPipe => 0,
        Failure::Usage(_)
        | Failure::Call { error: Error::InvalidEndpoint { .. } | Error::InvalidSetting { .. }, .. } => USAGE,
        Failure::Call { error, .. } => code_of_call(error.code()),
        Failure::Config(_) => 78,
        Failure::NotServing(_) => 69,
        Failure::Start(_) => 70,
        Failure::CallsFailed { .. } | Failure::Worse { .. } => 1,
        Failure::Unusable(_)
        | Failure::Report { .. }
        | Failure::Export { .. }
        | Failure::Checkpoint(Refused::Unfit { .. }) => 65,
        Failure::ExportBusy(_) | Failure::SnapshotLost { .. } | Failure::Checkpoint(Refused::Busy(_)) => 75,
        Failure::TotalDeadline | Failure::PartitionTooLong { .. } => 124,
        Failure::Input(_)
        | Failure::Params { .. }
        | Failure::Output { .. }
        | Failure::Checkpoint(Refused::Io { .. }) => 74,
        Failure::Interrupted { signal, .. } => signal.exit_code(),
    }
}

fn code_of_call(code: Code) -> u8 {
    match code {
        Code::Ok => 0,
        Code::InvalidArgument
        | Code::OutOfRange
        | Code::FailedPrecondition
        | Code::AlreadyExists
        | Code::Unimplemented => 65,
        Code::NotFound => 66,
        Code::Unavailable => 69,
        Code::Internal | Code::Unknown | Code::DataLoss => 70,
        Code::ResourceExhausted | Code::Aborted | Code::Cancelled => 75,
        Code::PermissionDenied | Code::Unauthenticated => 77,
        Code::DeadlineExceeded => 124,
    }
}
