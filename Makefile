# Changeover. `make` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Debian keeps nginx where only root looks for commands.
export PATH := $(PATH):/usr/sbin:/sbin

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -X main.version=$(VERSION)

PKG ?= ./...
COUNT ?= 5
FUZZTIME ?= 30s
SEEDS ?= 1-1000
# Two packages at a time, as there are two processors: more share what measures. go vet has looked at
# all before.
TESTFLAGS ?= -race -vet=off -count=1 -p=2 -timeout=30m
# The packages that take longest, which begin first: go test keeps the order, and
# at the end no one of them runs alone.
LONG := $(addprefix ./,test/kube test/e2e reconciler reconciler/git test/install reconciler/kube test/script \
	reconciler/kube/record reconciler/nginx reconciler/backup test/page test/docs reconciler/kube/route test/gatewaytest)

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/changeover/bin
GOLANGCI_VERSION := v2.15.0
GOLANGCI := $(CACHE)/$(GOLANGCI_VERSION)/golangci-lint

.PHONY: help
help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: ## Build the binaries into bin/.
	mkdir -p bin
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

.PHONY: deps
deps: ## Install the components that the tests need and that are missing (Debian).
	@test/setup/components.sh

.PHONY: components
components: ## Build the Kubernetes control plane and an S3 service for tests into the cache, once (12 minutes on two cores).
	@go run ./test/cluster/cmd/cluster build

.PHONY: test
test: deps components ## Run all tests on real components, race detector on; a skipped test fails.
	go vet ./...
	test/setup/gotest.sh $(TESTFLAGS) $(LONG) ./...

.PHONY: race
race: ## Hunt for races: PKG=./... COUNT=5.
	go test -race -count=$(COUNT) -p=2 -timeout=60m $(PKG)

.PHONY: lint
lint: $(GOLANGCI) ## Run golangci-lint, built once into the cache.
	$(GOLANGCI) run ./...

$(GOLANGCI):
	@echo "lint: building golangci-lint $(GOLANGCI_VERSION) into $(@D), once"
	mkdir -p $(@D)
	GOBIN=$(@D) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

.PHONY: sim
sim: ## Play simulated histories: SEEDS=1-1000.
	go test ./test/sim -count=1 -v -timeout=24h -run '^TestSeeds$$' -args -seeds=$(SEEDS)

.PHONY: fuzz
fuzz: ## Fuzz every target: FUZZTIME=30s each.
	FUZZTIME=$(FUZZTIME) test/setup/fuzz.sh

.PHONY: golden
golden: ## Rewrite golden files from what the code does now; read the diff.
	test/setup/golden.sh

.PHONY: generate
generate: ## Run the code generators.
	go generate ./...

.PHONY: verify
verify: ## Fail if gofmt, go mod tidy or the generators would change a file.
	test/setup/verify.sh

.PHONY: demo
demo: build ## Play the story on this machine: ARGS=--stay keeps it up.
	bin/changeover-demo $(ARGS)

.PHONY: picture
picture: deps ## Take the README's picture of the page anew, examples/page.png.
	go test ./test/page -count=1 -run '^TestPicture$$' -picture=$(CURDIR)/examples/page.png

.PHONY: cluster
cluster: components ## Run a Kubernetes control plane until Ctrl-C: ARGS=none|standard|experimental (Gateway API).
	@mkdir -p bin && go build -o bin/test-cluster ./test/cluster/cmd/cluster
	@exec bin/test-cluster run $(ARGS)

.PHONY: accept
accept: deps components ## Run everything at full counts (hours) and write accept.log.
	@{ \
	  set -x; \
	  CHANGEOVER_ACCEPT=1 test/setup/gotest.sh -race -count=1 -p=1 -timeout=5h ./... && \
	  go test -run '^$$' -bench . -benchmem -p=1 -timeout=2h ./... && \
	  FUZZTIME=5m test/setup/fuzz.sh; \
	} 2>&1 | tee accept.log

.PHONY: clean
clean: ## Remove what was built here; the cache stays.
	rm -rf bin accept.log
