//! A failure in words, on stderr: what happened, where in the SQL, how to find it in the server's log,
//! and what to try.

use std::{
    io::{self, Write},
    path::Path,
};

use rowstream_client::{Error, Reason, ServerError, sink::Visible};

use super::{
    failure::{Failure, Remedies, Restart, Unusable},
    fanout::Refused,
};

/// How much of a long line of SQL is shown around the error, in characters each side.
const SHOWN_AROUND: usize = 40;

/// Writes the report; nothing for what is no error to people.
pub(crate) fn write(failure: &Failure, out: &mut impl Write) -> io::Result<()> {
    match failure {
        Failure::ClosedPipe => Ok(()),
        Failure::Usage(message) => writeln!(out, "rowstream: {message}"),
        Failure::Config(message) => writeln!(out, "rowstream: {}", Visible(message)),
        Failure::Call { error, sql } => write_call(error, sql.as_deref(), out),
        Failure::NotServing(told) => writeln!(out, "rowstream: the server says {told}"),
        Failure::Start(source) => writeln!(out, "rowstream: cannot start: {source}"),
        Failure::Input(source) => writeln!(out, "rowstream: cannot read stdin: {source}"),
        Failure::Params { name, source } => writeln!(out, "rowstream: cannot read {}: {source}", Visible(name)),
        Failure::Unusable(unusable) => write_unusable(unusable, out),
        Failure::Checkpoint(refused) => write_refused(refused, out),
        Failure::Export { directory, problems } => write_export(directory, problems, out),
        Failure::ExportBusy(directory) => {
            writeln!(out, "rowstream: another process exports into {}", shown(directory))
        }
        Failure::SnapshotLost { error, directory, remedies } => {
            write_snapshot_lost(error.as_ref(), directory, *remedies, out)
        }
        Failure::PartitionTooLong { error, partition } => {
            writeln!(out, "rowstream: partition {partition}: {}", Visible(&error.to_string()))?;
            writeln!(
                out,
                "hint: it cannot go on where it was, and took longer than the server lets any call take \
                 (--max-deadline): export more and smaller partitions, or ones that can be resumed"
            )
        }
        Failure::CallsFailed { all: 0, .. } => writeln!(out, "rowstream: there was no input to run a call for"),
        Failure::CallsFailed { failed, all } => writeln!(out, "rowstream: {failed} of {all} calls failed"),
        Failure::Report { path, problem } => {
            writeln!(out, "rowstream: {} cannot be compared: {}", shown(path), Visible(problem))
        }
        Failure::Worse { told, allowed } => writeln!(out, "rowstream: {told}; --fail-over allows {allowed}"),
        Failure::TotalDeadline => writeln!(out, "rowstream: the time for all calls together was over"),
        Failure::Output { path: Some(path), source } => {
            writeln!(out, "rowstream: cannot write {}: {source}", Visible(&path.to_string_lossy()))
        }
        Failure::Output { path: None, source } => writeln!(out, "rowstream: cannot write to stdout: {source}"),
        Failure::Interrupted { rows: Some(1), .. } => writeln!(out, "rowstream: interrupted after 1 row"),
        Failure::Interrupted { rows: Some(rows), .. } => writeln!(out, "rowstream: interrupted after {rows} rows"),
        Failure::Interrupted { rows: None, .. } => writeln!(out, "rowstream: interrupted"),
    }
}

fn write_call(error: &Error, sql: Option<&str>, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "rowstream: {}", Visible(&error.to_string()))?;
    if let Some(server) = error.server() {
        if let Some((sql, position)) = sql.zip(server.position()) {
            write_position(sql, position, out)?;
        }
        let facts = facts(server);
        if !facts.is_empty() {
            writeln!(out, "{}", Visible(&facts.join(", ")))?;
        }
    }
    match error.hint() {
        Some(hint) => writeln!(out, "hint: {}", Visible(&hint)),
        None => Ok(()),
    }
}

fn write_unusable(unusable: &Unusable, out: &mut impl Write) -> io::Result<()> {
    let Unusable { input, lines, count, begun, can_reject } = unusable;
    let what = if *count == 1 { "a line".to_owned() } else { format!("{count} lines") };
    let run = if *begun { "no further call has begun" } else { "no call was run" };
    writeln!(out, "rowstream: {what} of {} cannot be used; {run}", Visible(input))?;
    for (line, problem) in lines {
        writeln!(out, "line {line}: {}", Visible(problem))?;
    }
    let shown = u64::try_from(lines.len()).unwrap_or(u64::MAX);
    if *count > shown {
        writeln!(out, "and {} more", count - shown)?;
    }
    if *can_reject {
        writeln!(out, "hint: mend the input, or set such lines aside with --rejects FILE")?;
    }
    Ok(())
}

fn write_export(directory: &Path, problems: &[String], out: &mut impl Write) -> io::Result<()> {
    match problems {
        [problem] => writeln!(out, "rowstream: {}: {}", shown(directory), Visible(problem)),
        problems => {
            writeln!(out, "rowstream: {}: not what was exported", shown(directory))?;
            problems.iter().try_for_each(|problem| writeln!(out, "{}", Visible(problem)))
        }
    }
}

fn write_snapshot_lost(
    error: Option<&Error>,
    directory: &Path,
    remedies: Remedies,
    out: &mut impl Write,
) -> io::Result<()> {
    let reason = error.and_then(Error::server).and_then(ServerError::reason);
    let what = match reason {
        Some(Reason::SchemaChanged) => "what is exported has changed",
        _ => "the snapshot of the export is gone",
    };
    let told = error.map(|error| format!(": {}", Visible(&error.to_string()))).unwrap_or_default();
    writeln!(out, "rowstream: {what} before it was complete{told}")?;
    if reason == Some(Reason::InvalidToken)
        && let Some(hint) = error.and_then(Error::hint)
    {
        writeln!(out, "hint: {}", Visible(&hint))?;
    }
    let restart = match remedies.restart {
        Restart::Helps => "--on-snapshot-lost restart begins anew",
        Restart::Tried => "it was begun anew again and again; the same command tries once more",
        Restart::TooShort => {
            "no snapshot lives as long as the export takes: raise rowstream-server's --max-snapshot-age"
        }
    };
    write!(out, "hint: the files in {} stay; {restart}", shown(directory))?;
    match remedies.continue_live {
        true => writeln!(out, "; continue-live reads what is missing at the present state"),
        false => writeln!(out),
    }
}

fn write_refused(refused: &Refused, out: &mut impl Write) -> io::Result<()> {
    match refused {
        Refused::Busy(path) => {
            writeln!(out, "rowstream: another process goes on with the checkpoint {}", shown(path))
        }
        Refused::Unfit { checkpoint, problem } => {
            writeln!(out, "rowstream: the checkpoint {} cannot be used: {}", shown(checkpoint), Visible(problem))?;
            writeln!(
                out,
                "hint: the same command goes on where it stopped; for another one, name another checkpoint and output"
            )
        }
        Refused::Io { path, source } => writeln!(out, "rowstream: cannot use {}: {source}", shown(path)),
    }
}

/// A path, safe to show.
fn shown(path: &Path) -> String {
    Visible(&path.to_string_lossy()).to_string()
}

fn facts(server: &ServerError) -> Vec<String> {
    let facts = [
        ("reason", server.reason_name()),
        ("SQLSTATE", server.sqlstate()),
        ("phase", server.phase()),
        ("query id", server.query_id()),
    ];
    facts.into_iter().filter_map(|(name, value)| value.map(|value| format!("{name} {value}"))).collect()
}

/// Shows the line of the SQL with a caret under the position (characters from 1), as psql does.
fn write_position(sql: &str, position: usize, out: &mut impl Write) -> io::Result<()> {
    let before: Vec<char> = sql.chars().take(position - 1).collect();
    let number = before.iter().filter(|char| **char == '\n').count() + 1;
    let column = before.iter().rev().take_while(|char| **char != '\n').count();
    let Some(line) = sql.lines().nth(number - 1) else { return Ok(()) };
    let start = column.saturating_sub(SHOWN_AROUND);
    let shown =
        |from: usize, count: usize| Visible(&line.chars().skip(from).take(count).collect::<String>()).to_string();
    let lead = format!("LINE {number}: {}{}", if start > 0 { "..." } else { "" }, shown(start, column - start));
    writeln!(out, "{lead}{}", shown(column, SHOWN_AROUND))?;
    writeln!(out, "{}^", " ".repeat(unicode_width::UnicodeWidthStr::width(lead.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(sql: &str, position: usize) -> String {
        let mut out = Vec::new();
        write_position(sql, position, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_caret_stands_under_the_position() {
        assert_eq!(shown("select foo", 8), "LINE 1: select foo\n               ^\n");
        assert_eq!(shown("select 1,\n  漢, foo", 16), "LINE 2:   漢, foo\n              ^\n");
        assert_eq!(shown("select", 7), "LINE 1: select\n              ^\n");
        assert_eq!(shown("select 1", 99), "LINE 1: select 1\n                ^\n");
        assert_eq!(shown("", 1), "");
    }

    #[test]
    fn a_long_line_is_cut_around_the_position() {
        let sql = format!("select {} foo, {}", "x,".repeat(100), "y,".repeat(100));
        let shown = shown(&sql, 209);
        assert!(shown.starts_with("LINE 1: ...") && shown.lines().all(|line| line.len() < 120), "{shown}");
    }
}
