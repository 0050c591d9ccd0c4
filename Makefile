# Only Rust, Python 3 with pip, and make are assumed; everything else is fetched into .tools/.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
PYTHON ?= python3
TARGET := $(or $(CARGO_TARGET_DIR),target)
# DEMO=1 make run: plays the tour instead of waiting for you.
VERB := $(if $(filter-out 0,$(DEMO)),demo,run)

.PHONY: help
help: ## Show this
	@echo "make TARGET:"
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-9s %s\n", $$1, $$2}'
	@echo "DEMO=1 make run plays the tour by itself and exits 0 only when every step did what it says."

.PHONY: tools
tools: ## Install the pinned Envoy into .tools/ (unless it is there, or on the PATH), and an OpenID provider for tests where there is npm
	@$(PYTHON) scripts/tools

.PHONY: run
run: tools ## Build and start the sample set-up: upstream, identity provider, Portcullis, Envoy
	@$(CARGO) build --locked -p portcullis -p portcullis-sample
	@exec $(TARGET)/debug/portcullis-sample $(VERB)

.PHONY: test
test: tools ## All tests that this machine can run; names those it can't
	@$(PYTHON) -B -m unittest discover -q scripts
	@$(PYTHON) scripts/tools postgres || test -z "$${PORTCULLIS_REQUIRE_POSTGRES:-}"
	@mkdir -p $(TARGET)
	@$(CARGO) test --workspace --locked 2>&1 | tee $(TARGET)/test.log
	@$(PYTHON) scripts/skipped $(TARGET)/test.log

.PHONY: bench
bench: ## Micro benchmarks: a table, and target/report/bench.json
	@$(CARGO) bench --locked -p portcullis -p portcullis-mask --bench '*'

.PHONY: load
load: tools ## The load test: a table, and target/report/load.json
	@$(CARGO) build --locked --release -p portcullis -p portcullis-loadtest
	@$(TARGET)/release/portcullis-loadtest run --portcullis $(TARGET)/release/portcullis

.PHONY: reloads
reloads: tools ## 1,000 reloads within ten minutes under load through Envoy, and every decision replayed
	@$(CARGO) build --locked --release -p portcullis -p portcullis-loadtest
	@$(TARGET)/release/portcullis-loadtest reloads --portcullis $(TARGET)/release/portcullis

.PHONY: issuers
issuers: ## Calls of one issuer's tokens while another one is down, slow, huge, rotating or lying: a table, and target/report/issuers.json
	@$(CARGO) build --locked --release -p portcullis -p portcullis-loadtest
	@$(TARGET)/release/portcullis-loadtest issuers --portcullis $(TARGET)/release/portcullis

.PHONY: holds
holds: tools ## 10,000 calls held at once through Envoy, 50,000 on gRPC, then approved: a table, and target/report/holds.json
	@$(CARGO) build --locked --release -p portcullis -p portcullis-loadtest
	@$(TARGET)/release/portcullis-loadtest holds --portcullis $(TARGET)/release/portcullis

.PHONY: streams
streams: tools ## Masked bodies through Envoy beside an echo, and 1,000 streams open at once: a table, and target/report/streams.json
	@$(CARGO) build --locked --release -p portcullis -p portcullis-loadtest
	@$(TARGET)/release/portcullis-loadtest streams --portcullis $(TARGET)/release/portcullis

.PHONY: crashes
crashes: ## 200 times kill -9 with 1,000 calls held, then PostgreSQL killed, paused and cut off: a table, and target/report/crashes.json
	@$(PYTHON) scripts/tools postgres
	@$(CARGO) build --locked --release -p portcullis -p portcullis-loadtest
	@$(TARGET)/release/portcullis-loadtest crashes --portcullis $(TARGET)/release/portcullis --postgres

.PHONY: replicas
replicas: ## 1,000 calls held by one server and approved at another, on PostgreSQL: a table, and target/report/replicas.json
	@$(PYTHON) scripts/tools postgres
	@$(CARGO) build --locked --release -p portcullis -p portcullis-loadtest
	@$(TARGET)/release/portcullis-loadtest replicas --portcullis $(TARGET)/release/portcullis

.PHONY: soak
soak: ## Minutes: the decision cache against deciding on 3 million random calls; 10 million keys, no two alike
	@PORTCULLIS_CACHE_PAIRS=$${PORTCULLIS_CACHE_PAIRS:-3000000} PORTCULLIS_CACHE_KEYS=$${PORTCULLIS_CACHE_KEYS:-10000000} \
	  $(CARGO) test --locked --release -p portcullis --lib engine::cache -- --nocapture

.PHONY: splits
splits: ## A minute: bodies of every format cut a million times at random (PORTCULLIS_SPLITS), masked as the whole each time
	@PORTCULLIS_SPLITS=$${PORTCULLIS_SPLITS:-1000000} $(CARGO) test --locked --release -p portcullis-mask --test splits -- --nocapture

.PHONY: fuzz
fuzz: ## Fuzz the masker (nightly compiler): FUZZ_SECONDS for each target, 600 by default; what is found goes to fuzz/found
	@cargo fuzz --version >/dev/null 2>&1 || $(CARGO) install --quiet --locked cargo-fuzz
	@cd fuzz && for target in json ndjson sse text detect form grpc coding; do \
	  mkdir -p found/$$target && \
	  $(CARGO) +nightly fuzz run --fuzz-dir . $$target found/$$target corpus/$$target -- \
	    -max_total_time=$${FUZZ_SECONDS:-600} -max_len=4096 -timeout=20 || exit 1; \
	done

.PHONY: envoy
envoy: ## Write the Envoy configurations of the shipped policies again: envoy/ext-*.yaml, envoy/both.yaml
	@for service in ext_authz ext_proc both; do \
	  $(CARGO) run --locked --quiet -p portcullis -- envoy config --policies policies --service $$service \
	    --listen 0.0.0.0:10000 --out envoy/$$(echo $$service | tr _ -).yaml; \
	done

.PHONY: docs
docs: ## Write docs/doctor/ and docs/openapi.json anew from the code
	@WRITE_DOCS=1 $(CARGO) test --locked -q -p portcullis --lib -- \
	  the_pages_are_those_that_the_code_makes the_description_is_the_one_that_the_code_makes

.PHONY: fmt
fmt: ## Format the code
	@$(CARGO) fmt --all

.PHONY: lint
lint: ## Formatting, clippy without a warning, dependencies
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	@$(PYTHON) scripts/check-dependencies

.PHONY: clean
clean: ## Remove what was built, and what ran (the tools stay)
	@$(CARGO) clean
	@rm -rf .run
