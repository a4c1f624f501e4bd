SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
GOFLAGS_BUILD := -trimpath -ldflags "-s -w -X main.version=$(VERSION)"
# How long `make fuzz` spends on each target, and what `make run` and `make bench` are given besides.
FUZZTIME ?= 30s
ARGS ?=
BENCH ?= .

.PHONY: help run demo test bench fuzz lint e2e build clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## serve on 127.0.0.1:5000 with the embedded defaults; ARGS="--config FILE" for your own
	go run ./cmd/winnow serve $(ARGS)

demo: ## an upstream, Winnow, one image admitted and one refused; needs no network
	go run ./deploy/demo

test: ## everything, real clients included; installs what they need where it may (root and apt)
	@deploy/ci/test.sh

e2e: ## the real-client scenarios only
	go test -count=1 -p 1 -timeout 25m -v ./deploy/e2e/...

bench: ## Go benchmarks and the loopback comparisons; BENCH=pattern chooses
	go test -run '^$$' -bench '$(BENCH)' -benchmem -p 1 -timeout 30m ./...
	go run ./deploy/bench $(ARGS)

fuzz: ## every fuzz target for FUZZTIME (30s)
	@deploy/ci/fuzz.sh $(FUZZTIME)

lint: ## gofmt, go vet, and golangci-lint where it is installed
	@deploy/ci/lint.sh

build: ## the static binary bin/winnow
	CGO_ENABLED=0 go build $(GOFLAGS_BUILD) -o bin/winnow ./cmd/winnow

clean: ## what build and run left: bin/, dist/ (data/ stays)
	rm -rf bin dist
