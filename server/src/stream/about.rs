//! The work of DescribeQuery: a statement's parameters and columns, and on request the estimate of its plan.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    calls::Call,
    engine::Engine,
    read::{application_name, of_named_query},
};
use crate::{
    cursor::{bind::bind, describe::describe, estimate, session::Session},
    error::Error,
    metrics::calls::Phase,
    plan::{self, Arguments, Described, Source, estimate::Estimate, request::Statement},
};

/// What there is to tell of a statement.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) described: Arc<Described>,
    /// If it was asked for.
    pub(crate) estimate: Option<Estimate>,
}

/// Describes a statement for its own sake, and estimates its plan if `estimated`.
pub(super) async fn about(
    engine: &Engine,
    call: &Call,
    statement: &Statement,
    estimated: bool,
) -> Result<About, Error> {
    let source = &statement.source;
    let mut session = begin(engine, call, source.label()).await?;
    let asked = async {
        let described = describe(&mut session, &call.stop, source).await;
        let described =
            engine.plans.insert(source, described.map_err(|error| of_named_query(source, error))?).described;
        let estimate = match estimated {
            true => Some(estimate(&mut session, call, statement, &described).await?),
            false => None,
        };
        Ok(About { described, estimate })
    };
    let about = asked.await;
    finish(session, call).await;
    about
}

/// A session to ask something in, whose wait is counted.
pub(super) async fn begin(engine: &Engine, call: &Call, label: &str) -> Result<Session, Error> {
    let waiting = Instant::now();
    let session = Session::begin(&engine.database, &call.stop, &application_name(&call.id, label)).await;
    let acquired = session.as_ref().map_or_else(|_| Instant::now(), Session::acquired);
    call.count.phase(Phase::Connection, acquired - waiting);
    session
}

/// Ends it, and counts what it took.
pub(super) async fn finish(session: Session, call: &Call) {
    call.count.phase(Phase::Plan, session.acquired().elapsed());
    session.finish().await;
}

async fn estimate(
    session: &mut Session,
    call: &Call,
    Statement { source, arguments, .. }: &Statement,
    described: &Described,
) -> Result<Estimate, Error> {
    match values(source, arguments, described)? {
        Some(arguments) => {
            let bound = bind(session, &call.stop, described, &arguments, Vec::new()).await?;
            estimate::bound(session, &call.stop, described, bound).await
        }
        None => estimate::generic(session, &call.stop, described).await,
    }
}

/// The values to estimate for; `None` if there are none for a parameter that needs one.
fn values(source: &Source, arguments: &Arguments, described: &Described) -> Result<Option<Vec<plan::Argument>>, Error> {
    match plan::arrange(source, arguments, described.parameters.len()) {
        Ok(values) => Ok(Some(values)),
        Err(_) if arguments.is_empty() => Ok(None),
        Err(error) => Err(error),
    }
}
