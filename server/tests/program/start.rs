//! The program starts whether or not PostgreSQL does.

use rowstream_testkit::{Postgres, StopMode, eventually};
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::{
    harness::{PATIENCE, client, health, is, outcome, row_of, until_serving},
    process::Program,
};

#[tokio::test]
async fn without_postgresql_it_starts_says_so_and_serves_once_postgresql_is_there() {
    let postgres = Postgres::start().expect("a cluster of its own");
    let url = postgres.url("postgres");
    postgres.stop(StopMode::Fast).expect("stopped");

    let args = ["--listen", "127.0.0.1:0", "--allow-sql", "--database-url", &url];
    let mut program = Program::spawn(Program::command().args(args));
    let address = program.address().await;
    program.until_logged("PostgreSQL does not answer; trying again").await;
    assert_eq!(health(address).await.expect("health is served"), ServingStatus::NotServing);
    let status = client(address).query_row(row_of("select 1")).await.expect_err("PostgreSQL is down");
    assert_eq!(outcome(&status), is(Code::Unavailable, "DATABASE_UNAVAILABLE"));

    postgres.restart().expect("started");
    until_serving(address).await;
    client(address).query_row(row_of("select 1")).await.expect("PostgreSQL is up");

    postgres.stop(StopMode::Immediate).expect("stopped");
    eventually("health tells that PostgreSQL is gone", PATIENCE, async || {
        matches!(health(address).await, Ok(ServingStatus::NotServing))
    })
    .await;
    // Ending needs no PostgreSQL.
    assert_eq!(program.terminate().await.status, Some(0));
}
