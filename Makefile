# SPDX-License-Identifier: Apache-2.0
# `make demo` and `make test` are the two commands; everything else is a part of them or for a day at work on the code.
SHELL := /bin/bash
.SHELLFLAGS := -o errexit -o nounset -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

STAGE := tests/setup/stage
PYTHON := build/venv/bin/python
PYTEST := build/venv/bin/pytest
# `current` uses the cluster that kubectl talks to instead of starting one.
CLUSTER ?= own
export CLUSTER
# What the demo records: `room` of a LiveKit server, or `streams` of an RTMP server.
CHANNEL ?= room
export PATH := $(CURDIR)/build/bin:$(PATH)

.PHONY: help
help: ## say what can be made
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo demo-down
demo: tools build ## record a LiveKit room on a real cluster, and look at the result (CHANNEL=streams, CLUSTER=current)
	$(PYTHON) -m tests.demo up --channel=$(CHANNEL)

demo-down: venv ## leave nothing of the demo behind
	$(PYTHON) -m tests.demo down

# What is waited for is mostly real time, of recordings and of clusters: three at once, so that two processors have work.
.PHONY: test test-cluster test-native test-contract
test: ## check and test everything, from the fast to the real cluster
	@$(STAGE) --begin
	@$(STAGE) packages tests/setup/packages
	@$(STAGE) python tests/setup/python
	@$(STAGE) build $(MAKE) --no-print-directory build
	@$(STAGE) programs $(MAKE) --no-print-directory -C native --jobs 2 programs
	@$(STAGE) tools tests/setup/go-tools
	@$(STAGE) javascript tests/setup/javascript browser azurite
	@$(MAKE) --no-print-directory --jobs 3 test-cluster test-native test-contract || { $(STAGE) --report; exit 1; }
	@$(STAGE) --report

test-cluster:
	@$(STAGE) check-operator $(MAKE) --no-print-directory check-operator
	@$(STAGE) unit $(PYTEST) tests/unit
	@$(STAGE) images $(PYTHON) -m tests.cluster.image build-all
	@$(STAGE) cluster $(PYTEST) tests/cluster tests/e2e

test-native:
	@$(STAGE) check-recorder $(MAKE) --no-print-directory check-recorder
	@$(STAGE) native $(PYTEST) tests/native

test-contract:
	@$(STAGE) core $(MAKE) --no-print-directory -C native test
	@$(STAGE) contract $(PYTEST) tests/contract

# MinIO takes longer to compile than these tests to run, so that they are no part of `make test`.
.PHONY: test-minio
test-minio: build tools javascript ## the tests of S3 stores against MinIO, before a release
	tests/setup/go-tools minio
	$(MAKE) -C native programs
	$(PYTEST) tests/minio
	S3_SERVER=minio $(PYTEST) tests/native/test_storage.py tests/native/test_write_once.py

.PHONY: bench-native
bench-native: build ## what recordings cost, beside ffmpeg and the codecs alone; BENCH_SECONDS=60 BENCH_ROUNDS=3 (build/bench)
	$(MAKE) -C native measuring
	$(PYTHON) -m tests.bench.native --programs "$$($(MAKE) --no-print-directory -C native where-measuring)"

.PHONY: bench-live
bench-live: build ## how punctual live recordings are, and how many of them one core holds (build/bench)
	$(MAKE) -C native measuring
	$(PYTHON) -m tests.bench.native.live --programs "$$($(MAKE) --no-print-directory -C native where-measuring)"

.PHONY: bench-livekit
bench-livekit: tools build ## what recordings of LiveKit rooms cost, and how soon they begin; BENCH_SECONDS=60 BENCH_ROUNDS=3 (build/bench)
	$(MAKE) -C native programs
	$(PYTHON) -m tests.bench.rooms

.PHONY: bench-sound
bench-sound: packages venv ## how the AAC encoder's two searches sound, and what they cost (build/bench)
	$(PYTHON) -m tests.bench.native.sound

.PHONY: bench-operator
N ?= 500
bench-operator: tools venv ## what thousands of recordings cost the operator, beside a bare client; N=500 (build/bench)
	$(PYTHON) -m tests.bench.operator $(N)

.PHONY: fuzz tsan
FUZZ_SECONDS ?= 60
export FUZZ_SECONDS
fuzz: packages ## try what others send with whatever comes to mind, FUZZ_SECONDS=60 for each target (build/fuzz)
	$(MAKE) -C native fuzz

tsan: packages ## the library's life cycle under the thread sanitizer
	$(MAKE) -C native tsan

.PHONY: soak
SOAK_MINUTES ?= 60
STORE ?= up
SERVER ?= up
soak: tools build ## record live sources whose clocks drift for SOAK_MINUTES=60, and measure the whole; STORE=down: the store is away so long, SERVER=down: a room's server (build/soak)
	$(MAKE) -C native programs
	$(PYTHON) -m tests.soak --minutes $(SOAK_MINUTES) --store $(STORE) --server $(SERVER)

.PHONY: faults
SEED ?= 1
RUNS ?= 100
faults: tools build ## short recordings under faults and kills, each held to every promise; SEED=1 RUNS=100 (build/faults)
	$(MAKE) -C native programs
	$(PYTHON) -m tests.faults --seed $(SEED) --runs $(RUNS)

.PHONY: build
build: packages venv ## build the library (build/lib) and the Python extension
	$(MAKE) -C native
	$(PYTHON) operator/cloud_recording/runner/recorder/native_build.py

.PHONY: install
install: ## install library, headers and pkg-config file (PREFIX=/usr/local, DESTDIR=)
	$(MAKE) -C native install

.PHONY: check check-operator check-recorder
check: check-operator check-recorder ## formatting, linting, typing, layers, generated files
check-operator: venv
	build/venv/bin/ruff format --check operator tests
	build/venv/bin/ruff check operator tests
	build/venv/bin/mypy
	build/venv/bin/lint-imports
	$(PYTHON) -m cloud_recording.api.generate --check
	shellcheck --external-sources tests/setup/[a-z]* .ci/run
check-recorder:
	$(MAKE) -C native check

.PHONY: format
format: venv ## format what `make check` would refuse
	build/venv/bin/ruff format operator tests
	build/venv/bin/ruff check --fix operator tests
	$(MAKE) -C native format

.PHONY: generate
generate: venv ## write crds/, the chart's copies and the reference from the models
	$(PYTHON) -m cloud_recording.api.generate

.PHONY: packages venv tools javascript
packages:
	@tests/setup/packages
venv:
	@tests/setup/python
tools:
	@tests/setup/go-tools
javascript:
	@tests/setup/javascript browser azurite

.PHONY: lock
lock: venv ## refresh requirements/*.lock from requirements/*.in
	lock="build/venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-emit-find-links --no-header --no-annotate"; \
	$$lock --no-deps requirements/livekit.in -o requirements/livekit.lock; \
	for set in runtime dev testbed; do $$lock requirements/$$set.in -o requirements/$$set.lock; done

.PHONY: clean
clean: demo-down ## delete what was built here (the caches stay)
	rm -rf build
