//! One call of the fan-out: a statement with the values of one input.

use std::sync::Arc;

use rowstream_client::{
    Call, Client, Columns, Description, Error,
    fanout::{FanoutCall, ResultSet},
};

use super::{inputs::Ready, mapping::Mapping};

/// What runs for every input.
#[derive(Clone, Debug)]
pub(crate) enum Statement {
    Query(String),
    Sql(String),
}

impl Statement {
    pub(crate) fn is_named(&self) -> bool {
        matches!(self, Self::Query(_))
    }

    /// The SQL, to show in it where an error is.
    pub(crate) fn sql(&self) -> Option<String> {
        match self {
            Self::Query(_) => None,
            Self::Sql(sql) => Some(sql.clone()),
        }
    }

    fn call(&self, client: &Client) -> Call {
        match self {
            Self::Query(name) => client.query(name),
            Self::Sql(sql) => client.sql(sql),
        }
    }
}

/// Asks what the statement takes and gives.
#[derive(Debug)]
pub(crate) struct Describe(pub(crate) Statement);

impl FanoutCall for Describe {
    type Output = Description;

    async fn attempt(&self, client: Client) -> Result<Description, Error> {
        self.0.call(&client).describe().await
    }
}

/// What all calls of a run have in common.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) statement: Statement,
    pub(crate) mapping: Mapping,
    pub(crate) max_rows: u64,
    /// The columns that every result must have, where the output depends on them.
    pub(crate) columns: Option<Columns>,
}

/// The call for one input.
#[derive(Debug)]
pub(crate) struct Lookup {
    pub(crate) input: Ready,
    pub(crate) template: Arc<Template>,
}

impl FanoutCall for Lookup {
    type Output = ResultSet;

    async fn attempt(&self, client: Client) -> Result<ResultSet, Error> {
        let Template { statement, mapping, max_rows, columns } = &*self.template;
        let call = statement.call(&client).max_rows(*max_rows);
        let call = mapping.bind(&self.input.resolved, &self.input.record, call);
        let result = call.attempt(client).await?;
        match columns {
            Some(columns) if !same_names(columns, result.columns()) => {
                Err(Error::Protocol("the result has other columns than the query had at the start".to_owned()))
            }
            _ => Ok(result),
        }
    }
}

fn same_names(ours: &Columns, theirs: &Columns) -> bool {
    ours.len() == theirs.len() && ours.iter().zip(theirs.iter()).all(|(ours, theirs)| ours.name == theirs.name)
}
