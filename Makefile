# gander: everything a person or CI does with the source tree. `make` alone lists it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

LISTEN ?= 127.0.0.1:8000
# Agents reach the hub where the page is reached, on another port.
GRPC_LISTEN ?= $(shell printf '%s' '$(LISTEN)' | sed 's/:[0-9]*$$//'):8001
DATA ?= ./data
ONLY ?=

WEB_SOURCES := $(shell find web -type f -not -path 'web/node_modules/*' -not -path 'web/dist/*' 2>/dev/null)
say = @printf '\033[1m==> %s\033[0m\n' "$(1)"

## run: build what changed and start the hub on http://127.0.0.1:8000 with its data in ./data
.PHONY: run
run: packages web
	$(call say,Building the hub (the first time takes some minutes; after that seconds))
	@cargo build --locked -p gander-hub
	$(call say,Starting on http://$(LISTEN) with data in $(DATA) — stop with Ctrl-C)
	@mkdir -p "$(DATA)"
	@echo "    On the first start the hub prints a one-time link below: open it to create the first account."
	@DATABASE_PATH="$${DATABASE_PATH:-$(DATA)/gander.db}" GANDER_HTTP_LISTEN="$${GANDER_HTTP_LISTEN:-$(LISTEN)}" \
	  GANDER_GRPC_LISTEN="$${GANDER_GRPC_LISTEN:-$(GRPC_LISTEN)}" \
	  exec target/debug/gander-hub serve

## web: build the dashboard into web/dist (nothing to do when no source changed)
.PHONY: web
web: web/dist/index.html

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	@deploy/check-tools.sh node
	$(call say,Installing the dashboard's packages)
	@cd web && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

web/dist/index.html: web/node_modules/.package-lock.json $(WEB_SOURCES)
	$(call say,Building the dashboard)
	@cd web && npm run --silent build
	@touch $@

## build: release build of the dashboard and the hub: target/release/gander-hub (6 to 8 minutes on 2 cores)
.PHONY: build
build: packages web
	$(call say,Building the release hub)
	@cargo build --locked --release -p gander-hub
	@ls -lh target/release/gander-hub

## agent: the agent as one static program that runs on any Linux of this architecture: target/release-agent/gander-agent
.PHONY: agent
agent: packages
	$(call say,Building the agent)
	@deploy/build-agent.sh

## packages-agent: the agent as .deb and .rpm in target/packages (whichever of dpkg-deb and rpmbuild is here)
.PHONY: packages-agent
packages-agent: agent
	@deploy/packages/build.sh target/release-agent/gander-agent target/packages

## test: everything CI runs: formats, lints, licences, unit, web, end-to-end and browser tests (ONLY="fmt clippy" picks stages)
.PHONY: test
test:
	@tests/run.sh $(ONLY)

## lint: the fast half of `make test`: formats and lints, no test is run
.PHONY: lint
lint:
	@tests/run.sh fmt scripts clippy deny web-lint

## test-deploy: the compose stack on a Docker engine of its own and the unit under a real systemd (5 minutes; FULL=1 compiles the image too: 10 to 20 more)
.PHONY: test-deploy
test-deploy:
	@tests/deploy/run.sh

## bench: the benchmarks (figures depend on the machine; nothing is asserted); ONLY="poll store micro fleet agents agent" picks some, RECORDING=FILE their samples
.PHONY: bench
bench: packages web
	@deploy/install-packages.sh bench
	@tests/bench/run.sh $(ONLY)

## recording: what this machine tells a probe, each second for SECONDS (7200), into RECORDING (recording.answers), for `make bench`
.PHONY: recording
recording: packages
	@cargo run --locked --release -p gander-probe --example record -- \
	  --seconds $(or $(SECONDS),7200) --out "$(or $(RECORDING),recording.answers)"

## soak: real sshds for SOAK_MINUTES (10), then CRASH_KILLS (1000) kills and CRASH_CUTS (200) power cuts, then 75 minutes of cut, lossy and silent lines to real sshds (SSH_SOAK_PHASE=600 SSH_SOAK_IDLE=4500), then faults between agents and the hub (AGENT_KILLS=100); ONLY="sessions", "crash", "ssh" or "agents" picks one
.PHONY: soak
soak: packages web
	@deploy/install-packages.sh test
	@cargo build --locked -p gander-hub -p gander-agent -p gander-e2e
	@for part in $(or $(ONLY),sessions crash ssh agents); do \
	  case $$part in \
	    sessions) tests/as-root.sh target/debug/soak ;; \
	    crash) tests/as-root.sh target/debug/crash ;; \
	    ssh) tests/as-root.sh unshare --net target/debug/ssh_soak ;; \
	    agents) tests/as-root.sh target/debug/agent_soak ;; \
	    *) echo "There is no soak \"$$part\": sessions, crash, ssh, agents" >&2; exit 1 ;; \
	  esac; \
	done

## fleet-page: what the fleet page costs a browser while 1,000 servers report (FLEET_SERVERS, FLEET_INTERVAL)
.PHONY: fleet-page
fleet-page: packages web
	@deploy/install-packages.sh test
	@cargo build --locked -p gander-hub -p gander-e2e
	@cd tests/browser && npm ci --no-audit --no-fund --loglevel=error
	@target/debug/fleet_page

## screenshots: make docs/screenshots/*.png anew with a real hub, real sshds and a real browser
.PHONY: screenshots
screenshots: packages web
	@deploy/install-packages.sh test
	@cargo build --locked -p gander-hub -p gander-e2e
	@cd tests/browser && npm ci --no-audit --no-fund --loglevel=error
	@tests/as-root.sh target/debug/screenshots

## clean: remove what was built (never ./data)
.PHONY: clean
clean:
	cargo clean
	rm -rf web/dist web/node_modules tests/{browser,s3}/node_modules
	rm -f deploy/prebuilt/gander-hub

.PHONY: packages
packages:
	@deploy/install-packages.sh build
	@deploy/check-tools.sh cargo

## help: this list
.PHONY: help
help:
	@echo "make TARGET, where TARGET is one of"; echo
	@sed -n 's/^## \([a-z-]*\): \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name text; do printf '  %-12s %s\n' "$$name" "$$text"; done
	@echo; echo "make run LISTEN=0.0.0.0:8000 opens the hub to the network; DATA=DIR keeps its data elsewhere."
