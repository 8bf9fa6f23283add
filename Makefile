# Everything a person or CI runs. What the targets need beyond Rust, Python 3 and Node.js they install into .cache/.

PROFILE_DIR := target/debug
VENV := .cache/venv
NODE := .cache/node
NUMPY := .cache/numpy
KAFKA := .cache/kafka

.PHONY: build test tools deny demo bench lint rust-test conformance runtimes-test clean-cache

build:
	cargo build --locked --bin mayfly

## The whole suite: unit, store conformance, sandbox, language clients, and real SDKs against the built binary.
test: tools rust-test runtimes-test conformance

## Compilers and interpreters that are missing; see the script.
tools:
	./tests/setup.sh

rust-test:
	cargo test --locked --workspace --no-fail-fast

runtimes-test:
	python3 -m unittest discover -s tests/runtimes -t tests/runtimes

$(VENV)/.ready: tests/conformance/requirements.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r tests/conformance/requirements.txt
	touch $@

$(NODE)/.ready: tests/conformance/package.json
	mkdir -p $(NODE)
	cp tests/conformance/package.json $(NODE)/
	cd $(NODE) && npm install --silent --no-audit --no-fund
	touch $@

## What heavy functions of the benchmark import.
$(NUMPY)/.ready: $(VENV)/.ready
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --target $(NUMPY) numpy==2.4.1
	touch $@

## A broker of Kafka from Maven Central, for tests. Without mvn they are skipped.
$(KAFKA)/.ready: tests/conformance/kafka-pom.xml
	mkdir -p $(KAFKA)
	command -v mvn >/dev/null && mvn -q -B -f tests/conformance/kafka-pom.xml dependency:copy-dependencies \
		-DoutputDirectory=$(abspath $(KAFKA))/lib -DincludeScope=runtime && touch $@ \
		|| echo "Kafka was not fetched: its tests will be skipped" >&2

conformance: build $(VENV)/.ready $(NODE)/.ready $(KAFKA)/.ready
	$(VENV)/bin/python -m pytest -q -p no:cacheprovider tests/conformance

lint:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

## The lists of deny.toml over everything that is linked in, and with `cargo deny` installed the advisories too.
deny:
	cargo test --locked --test deny
	@if cargo deny --version >/dev/null 2>&1; then cargo deny check; fi

## Builds, starts, deploys examples/photos, drives it once and leaves it running.
demo:
	cargo build --locked --release --bin mayfly
	python3 examples/photos/demo.py target/release/mayfly

bench: $(VENV)/.ready $(NODE)/.ready $(NUMPY)/.ready
	cargo build --locked --release --bin mayfly
	$(VENV)/bin/python bench/run.py target/release/mayfly

clean-cache:
	rm -rf .cache
