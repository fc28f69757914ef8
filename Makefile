# make check is what must pass before a change is merged; .ci/run runs the same on a bare machine.

GO       ?= go
FUZZTIME ?= 10s
COUNT    ?= 3
SCREENS  ?= $(CURDIR)/bin/screens
RACE     ?= -race# empty: without the race detector, which needs a C compiler

# Packages with goroutines of their own or used by many.
CONCURRENT = ./device/... ./guard ./voucher ./sig ./internal/api/... ./internal/consensus/... ./internal/cosign ./internal/ingest/... ./internal/kv ./internal/notify \
	./internal/node/... ./internal/replica/... ./internal/witness

.PHONY: build test check fmt vet lint race fuzz bench cover screenshots small wasm

build:
	$(GO) build -trimpath -o bin/ ./cmd/lamppost

# The program for gateways on site: no C, no CometBFT, no Parquet, and at most 40 MB on the boards they run on.
small:
	@for arch in arm64 arm; do \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch GOARM=7 $(GO) build -trimpath -tags small -ldflags '-s -w' -o bin/lamppost-linux-$$arch ./cmd/lamppost || exit 1; \
		size=$$(wc -c < bin/lamppost-linux-$$arch); echo "linux/$$arch: $$size bytes"; \
		if [ $$size -gt 40000000 ]; then echo "more than 40 MB"; exit 1; fi; \
	done

test:
	$(GO) test ./...

check: fmt vet lint small race test

fmt:
	@out=$$(gofmt -l .); if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi

vet:
	$(GO) vet ./...

lint:
	$(GO) tool -modfile=tools/go.mod staticcheck ./...

race:
	@if [ -n "$(RACE)" ]; then set -x; $(GO) test $(RACE) -short $(CONCURRENT); fi

# Every fuzz target for FUZZTIME, one after the other, as go test runs only one at a time.
fuzz:
	@grep -roE --include='*_test.go' '^func Fuzz\w+' . | sed -E 's|/[^/]*_test\.go:func | |' | sort -u | \
	while read -r dir target; do \
		echo "== $$dir $$target"; \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$dir" || exit 1; \
	done

# Benchmarks only, COUNT times each to show the spread.
bench:
	$(GO) test -run '^$$' -bench . -count $(COUNT) ./...

cover:
	$(GO) test -coverprofile cover.out ./... && $(GO) tool cover -func cover.out | tail -1

# Pictures of all pages at both sizes and in both schemes, taken by a headless chromium.
screenshots:
	$(GO) test -count 1 -run '^TestScreens$$' ./internal/dashboard ./internal/checkpage ./internal/render -screens $(SCREENS)

# The checker that pages run in a browser, as it is committed. A test says when it is not what its sources give any more.
wasm:
	@touch internal/checkpage/check.wasm.gz # what is not there cannot be embedded, not even by the test that makes it
	$(GO) test -count 1 -run '^TestCheckerIsCurrent$$' ./internal/checkpage -rewrite
