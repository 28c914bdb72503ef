//! Gives scripts the tests' private PostgreSQL: prints its address, and lives until stdin ends.
//!
//! ```text
//! cargo run -p rowstream-testkit --example postgres
//! ```

use std::io::{self, Read as _};

use rowstream_testkit::{Error, Postgres};

fn main() -> Result<(), Error> {
    let postgres = Postgres::start()?;
    println!("{}", postgres.url("postgres"));
    let mut rest = Vec::new();
    // However stdin ends, the server does too.
    let _ = io::stdin().read_to_end(&mut rest);
    Ok(())
}
