# What a person does with this repository, one line each: `make help`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON := .deps/venv/bin/python
# A step announces itself, so that a long run shows where it is.
say = @printf '\n== %s\n' "$(1)"

.PHONY: help deps page build models demo test fuzz smoke bench-proxy bench-collector bench-analyzer gpu-check chaos simulate screenshots clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 16

deps: ## what the demo and the tests need, into .deps/ (idempotent; pinned and verified)
	@deploy/setup/deps.sh

page: ## the web page, into dashboards/page/dist/ (needs Node; quick when nothing changed)
	@deploy/setup/page.sh

build: page ## the release binary, target/release/driftline
	$(call say,building)
	@cargo build --release --locked

models: deps ## the demo's models, into models/
	@$(PYTHON) deploy/demo/models.py

demo: deps build models ## everything on this machine under live traffic; Ctrl-C ends it
	@exec $(PYTHON) deploy/demo/demo.py $(DEMO_FLAGS)

smoke: build models ## the demo without a person: two minutes of traffic, every number asserted
	@deploy/setup/deps.sh browser
	@exec $(PYTHON) deploy/demo/smoke.py --write docs/SMOKE.md

screenshots: build models ## the pictures of docs/page.md, from a demo that drifts (two minutes)
	@deploy/setup/deps.sh browser
	@exec $(PYTHON) deploy/demo/shots.py

bench-proxy: build models ## the proxy's promises, measured (about half an hour; leave the machine alone meanwhile)
	@cargo run --release --locked -p bench --bin bench-proxy -- --write docs/BENCHMARKS.md $(BENCH_FLAGS)

bench-collector: build ## the collector's, the store's and the masker's promises, measured
	@cargo run --release --locked -p bench --bin bench-collector -- --write docs/BENCHMARKS.md $(BENCH_FLAGS)

gpu-check: ## on a machine with an NVIDIA card: its answers beside the processor's, and the proxy's speed beside the bare session's
	@cargo run --release --locked -p bench --bin gpu-check -- --look
	@$(MAKE) build models
	@cargo run --release --locked -p bench --bin gpu-check -- --write docs/BENCHMARKS.md $(BENCH_FLAGS)

bench-analyzer: build ## the analyzer's promises, measured: judging, what is stored, files beside scipy (ten minutes, 10 GB of disk)
	@cargo run --release --locked -p bench --bin bench-analyzer -- --write docs/BENCHMARKS.md $(BENCH_FLAGS)

FUZZ_SECONDS ?= 60
fuzz: ## the readers of clients' bytes and the masker under libFuzzer, FUZZ_SECONDS each (60; needs a C++ compiler)
	@deploy/setup/fuzz.sh $(FUZZ_SECONDS)

chaos: build ## kill -9 at random moments, and full disks
	@cargo run --release --locked -p bench --bin chaos -- --write docs/BENCHMARKS.md $(BENCH_FLAGS)

simulate: ## how often verdicts are wrong and how late they are right, on streams of which the truth is known
	@cargo run --release --locked -p bench --bin simulate -- --write docs/STATISTICS.md $(BENCH_FLAGS)

test: deps page ## format, lints, all tests (end-to-end ones with real processes)
	@deploy/setup/deps.sh browser
	$(call say,format)
	@cargo fmt --all --check
	$(call say,lints)
	@cargo clippy --workspace --all-targets --locked -- -D warnings
	$(call say,the demo's own tests)
	@$(PYTHON) -m unittest discover --quiet --start-directory deploy/demo/tests
	$(call say,tests)
	@cargo test --workspace --locked

clean: ## remove what was built and what the demo left (.deps/ stays)
	@rm -rf target rendered data/demo data/smoke* data/shots models/support-router models/digits
