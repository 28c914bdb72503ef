//! What EXPLAIN (FORMAT JSON) says of a plan: the figures of its top, and its text within a bound.

use serde_json::Value;

use crate::error::Error;

/// The longest text of a plan that is told.
pub(crate) const MAX_JSON_BYTES: usize = 256 * 1024;

/// PostgreSQL's estimate.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) rows: f64,
    pub(crate) width_bytes: i32,
    pub(crate) startup_cost: f64,
    pub(crate) total_cost: f64,
    pub(crate) parallel_workers: i32,
    /// For any values, not for those of the call.
    pub(crate) generic: bool,
    /// The plan's text; empty if it is too long.
    pub(crate) json: String,
}

impl Estimate {
    /// Reads what PostgreSQL has printed.
    pub(crate) fn parse(json: &str, generic: bool) -> Result<Self, Error> {
        let unknown = |what: &str| Error::Internal(format!("EXPLAIN printed no {what}"));
        let document: Value = serde_json::from_str(json).map_err(|error| Error::Internal(error.to_string()))?;
        let plan = document.pointer("/0/Plan").ok_or_else(|| unknown("plan"))?;
        let number = |key: &str| plan[key].as_f64().ok_or_else(|| unknown(key));
        Ok(Self {
            rows: number("Plan Rows")?,
            width_bytes: plan["Plan Width"].as_i64().and_then(|width| width.try_into().ok()).unwrap_or(i32::MAX),
            startup_cost: number("Startup Cost")?,
            total_cost: number("Total Cost")?,
            parallel_workers: workers(plan).try_into().unwrap_or(i32::MAX),
            generic,
            json: if json.len() <= MAX_JSON_BYTES { json.to_owned() } else { String::new() },
        })
    }
}

/// The workers of a plan and the plans below it. serde_json bounds how deep they can be.
fn workers(plan: &Value) -> i64 {
    let below = plan["Plans"].as_array().into_iter().flatten().map(workers);
    plan["Workers Planned"].as_i64().unwrap_or(0) + below.sum::<i64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_those_of_the_top_and_workers_are_summed() {
        let json = r#"[{"Plan": {"Node Type": "Append", "Startup Cost": 1.5, "Total Cost": 2e10, "Plan Rows": 5000000000,
            "Plan Width": 8, "Plans": [{"Node Type": "Gather", "Workers Planned": 2, "Plan Rows": 1},
            {"Node Type": "Gather", "Workers Planned": 3}]}}]"#;
        let estimate = Estimate::parse(json, true).expect("a plan");
        assert_eq!((estimate.rows, estimate.width_bytes, estimate.parallel_workers), (5e9, 8, 5));
        assert_eq!((estimate.startup_cost, estimate.total_cost, estimate.generic), (1.5, 2e10, true));
        assert_eq!(estimate.json, json);
        let long = format!("{json}{}", " ".repeat(MAX_JSON_BYTES));
        assert_eq!(Estimate::parse(&long, true).expect("a plan").json, "");
    }

    #[test]
    fn what_is_no_plan_is_an_internal_error() {
        for json in ["", "{}", "[]", r#"[{"Plan": {"Plan Rows": 1}}]"#] {
            assert!(matches!(Estimate::parse(json, false), Err(Error::Internal(_))), "{json}");
        }
    }
}
