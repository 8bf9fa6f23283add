# Everything a person or CI runs. What the targets need beyond Rust, Python 3 and Node.js they install into .cache/.

PROFILE_DIR := target/debug
VENV := .cache/venv
NODE := .cache/node

.PHONY: build test demo bench lint rust-test conformance runtimes-test clean-cache

build:
	cargo build --locked --bin mayfly

## The whole suite: unit, store conformance, sandbox, language clients, and real SDKs against the built binary.
test: rust-test runtimes-test conformance

rust-test:
	cargo test --locked --workspace

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

conformance: build $(VENV)/.ready $(NODE)/.ready
	$(VENV)/bin/python -m pytest -q -p no:cacheprovider tests/conformance

lint:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

## Builds, starts, deploys examples/photos, drives it once and leaves it running.
demo:
	cargo build --locked --release --bin mayfly
	python3 examples/photos/demo.py target/release/mayfly

bench: $(VENV)/.ready
	cargo build --locked --release --bin mayfly
	$(VENV)/bin/python bench/run.py target/release/mayfly

clean-cache:
	rm -rf .cache
