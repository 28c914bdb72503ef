//! Parameters as typed: text, which the server reads as the parameter's type.

use rowstream_client::{Call, Value};

use super::failure::Failure;

/// What `rowstream query --help` says about them.
pub(crate) const HELP: &str = "\
Parameters:
  rowstream query --query orders -p customer=42 -p since=2024-01-01 --null region
  rowstream query 'select $1::int, $2::text, $3::text' -p 1 --null 2 -p three

  Values are text, read as PostgreSQL reads the parameter's type. For a named query
  everything behind the first = is the value, and `name=` is the empty string. For SQL
  the whole of -p is the value; positions that --null names are left out when the others
  are counted.";

/// Binds the values to a call of a named query.
pub(crate) fn by_name(mut call: Call, params: &[String], nulls: &[String]) -> Result<Call, Failure> {
    let mut seen = std::collections::HashSet::new();
    let mut once = |name: &str| match seen.insert(name.to_owned()) {
        true => Ok(()),
        false => Err(Failure::Usage(format!("the parameter {name:?} is given twice"))),
    };
    for param in params {
        let (name, value) = param.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
            Failure::Usage(format!("-p {param:?}: a named query takes its parameters as -p name=value"))
        })?;
        once(name)?;
        call = call.bind_named(name, value);
    }
    for name in nulls {
        once(name)?;
        call = call.bind_named(name, Value::null());
    }
    Ok(call)
}

/// Binds the values to a call of ad-hoc SQL, `$1` first.
pub(crate) fn by_position(mut call: Call, params: &[String], nulls: &[String]) -> Result<Call, Failure> {
    let count = params.len() + nulls.len();
    let mut is_null = vec![false; count];
    for null in nulls {
        let position = null.trim_start_matches('$').parse::<usize>().ok().and_then(|position| position.checked_sub(1));
        let place = position.and_then(|index| is_null.get_mut(index)).ok_or_else(|| {
            Failure::Usage(format!("--null {null}: for SQL it takes a position, 1 to {count} with what else is given"))
        })?;
        if std::mem::replace(place, true) {
            return Err(Failure::Usage(format!("--null {null} is given twice")));
        }
    }
    let mut params = params.iter();
    for null in is_null {
        let value = if null { None } else { params.next() };
        call = call.bind(value);
    }
    Ok(call)
}

#[cfg(test)]
mod tests {
    use rowstream_client::Client;

    use super::*;

    fn client() -> Client {
        Client::builder(["http://h:1"]).build().unwrap()
    }

    fn strings(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn what_makes_no_sense_is_told_before_anything_is_sent() {
        for (params, nulls, told) in [
            (&["value"][..], &[][..], "-p name=value"),
            (&["=value"], &[], "-p name=value"),
            (&["a=1", "a=2"], &[], "given twice"),
            (&["a=1"], &["a"], "given twice"),
        ] {
            let failure = by_name(client().query("q"), &strings(params), &strings(nulls)).unwrap_err();
            assert!(matches!(&failure, Failure::Usage(message) if message.contains(told)), "{failure:?}");
        }
        for (params, nulls) in [(&["x"][..], &["3"][..]), (&["x"], &["0"]), (&["x"], &["name"]), (&["x"], &["1", "1"])]
        {
            assert!(by_position(client().sql("select"), &strings(params), &strings(nulls)).is_err(), "{nulls:?}");
        }
    }
}
