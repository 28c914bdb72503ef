# What there is to do here. Needs cargo and make; installs PostgreSQL if it is missing.

.PHONY: help demo figures test fmt lint doc clients ci postgres

# For instance: make demo DEMO_ARGS="--scale 1 --once"
DEMO_ARGS ?=
# For instance: make figures FIGURES_ARGS="--scale 0.1"
FIGURES_ARGS ?=
# For instance: make test TEST_ARGS=--no-fail-fast
TEST_ARGS ?=

help:
	@echo "make demo      a private PostgreSQL, TPC-H data, the server, and what it does"
	@echo "make figures   what the project promises, measured"
	@echo "make test      all tests"
	@echo "make fmt       format"
	@echo "make lint      formatting, clippy, and who may import whom"
	@echo "make doc       the documentation of the crates, warnings are errors"
	@echo "make clients   the server against buf curl, Python's grpcio and the example services (installs under target/)"
	@echo "make ci        everything above, as CI runs it"

demo: postgres
	cargo run --release --example demo -- $(DEMO_ARGS)

figures: postgres
	cargo build --release --bins
	cargo run --release --example figures -- $(FIGURES_ARGS)

test: postgres
	cargo test --workspace $(TEST_ARGS)

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
