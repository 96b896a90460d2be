# otpgw: build, demonstrate, check, test. `make help` lists the targets.

GO          ?= go
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unversioned)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
LDFLAGS     := -s -w -X main.version=$(VERSION)
# The race detector needs cgo and a C compiler; CI fails without one, a bare machine is told.
RACE        := $(if $(shell command -v $${CC:-gcc} 2>/dev/null),-race,)
FUZZTIME    ?= 5m
CYCLES      ?= 10000
CRASHES     ?= 20000
CUTS        ?= 200
LIVE        ?= 10000,1000000,10000000
CROWD       ?= 1000000
CROWDLOAD   ?= 30m

# The date of every file that is given away.
EPOCH       := $(shell git log -1 --format=%ct 2>/dev/null || echo 1)

.PHONY: help build demo check test packages dist bench scale guest soak fuzz clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

build: ## static binaries in bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

demo: build ## the main job for real, in one process (KEEP=1 stays up)
	@bin/otpgw demo $(if $(KEEP),--keep)

check: ## formatting, vet, staticcheck, tidy go.mod, import directions
	@unformatted=$$(gofmt -l cmd config docs httpapi otpstore packaging smpp); test -z "$$unformatted" || { echo "gofmt: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) mod tidy -diff
	$(GO) test -count=1 -run '^TestImport' ./cmd/otpgw

test: check build ## check, unit and race tests, conformance, end to end with the real binary
	@if [ -z "$(RACE)" ]; then echo "NO C COMPILER: the tests run WITHOUT the race detector (apt-get install gcc)"; test "$$CI" != true; fi
	@for p in tshark node npm bearerbox perl chromium curl ip tc fusermount3 systemd-analyze promtool prometheus dpkg-deb rpm logrotate; do command -v $$p >/dev/null || { \
	  echo "$$p IS MISSING: some tests against real counterparts are SKIPPED (docs/development.md)"; test "$$CI" != true || exit 1; }; done
	@test -f "$${XDG_CACHE_HOME:-$$HOME/.cache}/otpgw-test/debian-12.tar" || echo "NO DEBIAN TREE: the scripts of the package are NOT TESTED (sh testdata/debian/make-tree)"
	$(GO) test $(RACE) -shuffle=on -count=1 -timeout 9m ./...

packages: ## .deb, .rpm and .tar.gz for this architecture in dist/
	GO='$(GO)' VERSION='$(VERSION)' SOURCE_DATE_EPOCH=$(EPOCH) packaging/build $$($(GO) env GOARCH) dist

dist: ## what a release consists of in dist/: amd64 and arm64, bills of materials, licences, SHA256SUMS
	rm -rf dist
	@set -e; for arch in amd64 arm64; do GO='$(GO)' VERSION='$(VERSION)' SOURCE_DATE_EPOCH=$(EPOCH) packaging/build $$arch dist; done
	@test $$(ls dist/*.deb dist/*.rpm dist/*.tar.gz | wc -l) = 6
	cd dist && sha256sum otpgw* >SHA256SUMS

bench: build ## benchmarks of every package and of the daemon over loopback
	$(GO) test -run '^$$' -bench . -benchmem -count=1 -timeout 30m ./...

scale: ## the store with many records (LIVE=10000,1000000,10000000 CROWD=1000000 CROWDLOAD=30m)
	$(GO) test -run '^$$' -bench 'Designs|Layouts' -benchtime 1x -v -timeout 2h ./otpstore -live $(LIVE)
	$(GO) test -run '^$$' -bench ManyRecords -benchtime 1x -v -timeout 2h ./cmd/otpgw -crowd $(CROWD) -crowd-load $(CROWDLOAD)

guest: ## the package in a virtual machine: systemd, clock, disk, power cuts (CUTS=200)
	$(GO) test -count=1 -timeout 4h -run 'TestGuest' -v ./cmd/otpgw -guest -cuts $(CUTS)

soak: build fuzz guest ## the long forms: kills, power failures and fuzzing (CYCLES=10000 CRASHES=20000 CUTS=200 FUZZTIME=5m)
	$(GO) test -count=1 -timeout 4h -run 'TestKill|TestParallel|TestDrain|TestRestarts|TestReloads' ./cmd/otpgw -cycles $(CYCLES) -kill-within 4h -restarts 20
	$(GO) test -count=1 -timeout 4h -run 'TestPowerLoss|TestHistories|TestThousandGuesses' -v ./otpstore -crashes $(CRASHES) -histories $(CRASHES) -repeats $(CRASHES)
	$(GO) test -count=1 -timeout 1h -run 'TestOutage|TestReceiptFlood' -v ./cmd/otpgw -outage 2m -receipts 50000
	$(GO) test -count=1 -timeout 1h -run 'TestChaos' -v ./smpp -messages 100000
	$(GO) test -count=1 -timeout 1h -run 'TestDamage' -v ./otpstore -mutations 50000

fuzz: ## every fuzz target for FUZZTIME
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "== $$pkg $$target"; $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; done

clean: ## remove what was built
	rm -rf bin dist
