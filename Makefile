# Common uses: make run-all, make test-sub, make stop-all; make test; make help lists everything.

SHELL := /bin/bash
.DEFAULT_GOAL := help
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GOBUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w -X quotes/src/service.version=$(VERSION)' -o bin/
export REPLAY SNAPSHOTS CHAOS SYMBOLS RATE

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 18

.PHONY: build
build: ## build all binaries into bin/
	@mkdir -p bin && $(GOBUILD) ./src/cmd/... ./hack/run

.PHONY: run-all
run-all: build ## start all seven processes in the background (REPLAY=file, SNAPSHOTS=file, CHAOS=calm, SYMBOLS=A,B, RATE=n)
	@bin/run up

.PHONY: stop-all
stop-all: ## end what run-all started
	@mkdir -p bin && $(GOBUILD) ./hack/run && bin/run down

.PHONY: run
run: build ## run all seven before your eyes; Ctrl-C ends them
	@bin/run fg

.PHONY: test-sub
test-sub: build ## watch live quotes of PETR4
	@bin/quotectl sub PETR4

.PHONY: test-aggregator
test-aggregator: build ## get a report of PETR4
	@bin/quotectl report PETR4

.PHONY: test
test: ## run the tests, with the race detector where a C compiler is at hand
	@hack/test.sh

.PHONY: test-faults
test-faults: ## the shards' fault tests at full length: 1,000 power cuts, 100 kill -9, long random histories
	@QUOTES_FAULTS=all go test ./src/shard -count 1 -timeout 580s -run 'PowerCuts|Killed|Random|Damaged|DiskFull|OthersFill'

.PHONY: test-chart
test-chart: ## render the chart in process and test what it says; part of make test
	@PKG=./charts hack/test.sh

.PHONY: k8s
k8s: ## write k8s/quotes.yaml and the chart's table of values
	@go test ./charts -count 1 -update -run 'TestManifestsAreTheChart|TestReadmeDescribesEveryValue'

.PHONY: bench bench-breaker bench-broker bench-pipeline bench-report bench-shard
bench: ## run all benchmarks beside their peers; bench-breaker, bench-broker, bench-pipeline, bench-report, bench-shard run one
	@hack/bench.sh
bench-breaker bench-broker bench-pipeline bench-report bench-shard:
	@hack/bench.sh $(@:bench-%=%)

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (default 10s)
	@hack/fuzz.sh

.PHONY: kind-up
kind-up: ## make the kind cluster, load the images; NODE_IMAGE=ref decides the node image
	@hack/tools.sh kind ko helm kubectl
	@VERSION=$(VERSION) hack/kind.sh up

.PHONY: e2e
e2e: ## prove the failure table on the kind cluster (RUN=name: one scenario; KEEP=1 leaves the namespace)
	@E2E_TREE=$$(hack/kind.sh tag) go test -tags e2e -count 1 -timeout 20m -v -run '^TestE2E$$' ./hack/e2e

.PHONY: kind-down
kind-down: ## remove the kind cluster
	@hack/tools.sh kind
	@hack/kind.sh down

.PHONY: tools
tools: ## build the pinned tools into bin/
	@hack/tools.sh

.PHONY: lint
lint: tools ## lint all modules
	@hack/lint.sh

.PHONY: clean
clean: stop-all ## remove what was built and all data of run-all
	@rm -rf bin out
