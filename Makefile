# geodynamo: `make demo` and `make test` do all the set-up a fresh Debian 12 machine needs.
# Everything that is built or downloaded lives outside the clone, in $(CACHE), so a second clone starts warm.

SHELL := /bin/bash
CACHE := $(HOME)/.cache/geodynamo
# Where `make package` puts its files.
PACKAGES ?= $(CACHE)/packages

export CARGO_TARGET_DIR ?= $(CACHE)/target
export CCACHE_DIR ?= $(CACHE)/ccache
export CCACHE_MAXSIZE ?= 3G
# What other crates compile of C and C++; the compiler cache keeps it across clones and profiles.
export CC := ccache gcc
export CXX := ccache g++
export CARGO_TERM_PROGRESS_WHEN ?= auto

# RocksDB is the longest compilation by far: it is built once, apart from cargo, and linked by every profile.
export ROCKSDB_STATIC := 1
WITH_ROCKSDB = ROCKSDB_LIB_DIR="$$(python3 scripts/rocksdb.py)"

CARGO := nice -n 5 cargo

.PHONY: help demo check test-fast pictures netns-demo netns-test docker-test test bench soak soak-zones soak-recovery soak-damage compare package book fmt build setup setup-python setup-rocksdb setup-test setup-cassandra

help:
	@echo "make demo    three regions on this machine, one table; stays up until Ctrl-C"
	@echo "make test    every check and test; ends in 'N passed, N failed'"
	@echo "make check   format, tidy, clippy; make test-fast the tests that need no process: a change's quick loop"
	@echo "make bench   speed against the machine's own limit (release build; BENCH_QUICK=1 for a short run,"
	@echo "             BENCH_ONLY=one,two,query,transaction,policies,growth,recovery,telemetry for parts)"
	@echo "make soak    5 million items under a memory limit (release build)"
	@echo "make compare the same workloads on geodynamo and other servers of DynamoDB's API; writes docs/comparison.md"
	@echo "make package a Debian package, a tarball, their checksums and bill of materials (release build)"
	@echo "make book    the pages of docs/ as a book, by mdBook, in target/book"
	@echo "make fmt     format the code"
	@echo "make pictures     keep the console's pages as they look now (docs/pictures/console)"
	@echo "make netns-demo   three regions in three network namespaces (as root); make netns-test checks them"
	@echo "make docker-test  compose.yaml from building over load and a cut to volumes that survive, where a Docker engine answers"

demo: setup setup-python build
	@AIRPORTS_CSV="$$(scripts/data-set)" exec "$(CARGO_TARGET_DIR)/debug/geodynamo" demo

check: setup setup-rocksdb
	$(CARGO) fmt --all --check
	python3 scripts/tidy.py
	$(WITH_ROCKSDB) $(CARGO) clippy --quiet --workspace --all-targets -- -D warnings

# Crates whose tests need no process, no network and no RocksDB.
FAST := topology replicator-core simulation histogram json item exchange expression policy storage seal table
test-fast: setup
	$(CARGO) test --quiet --lib --tests $(FAST:%=-p geodynamo-%)

netns-demo netns-test: setup setup-python setup-test build
	@"$$(scripts/python-env --path)/bin/python" scripts/netns.py $(@:netns-%=%)

docker-test: setup setup-python
	@"$$(scripts/python-env --path)/bin/python" scripts/docker_test.py

test: setup setup-python setup-test setup-rocksdb setup-cassandra
	@$(WITH_ROCKSDB) "$$(scripts/python-env --path)/bin/python" scripts/test.py

bench: setup setup-rocksdb
	@echo "== building release binaries"
	$(WITH_ROCKSDB) $(CARGO) build --release -p geodynamo -p geodynamo-loadgen --bins
	"$(CARGO_TARGET_DIR)/release/bench" $(if $(BENCH_QUICK),--quick) $(if $(BENCH_ONLY),--only $(BENCH_ONLY))

soak: setup setup-rocksdb
	@echo "== building release binaries"
	$(WITH_ROCKSDB) $(CARGO) build --release -p geodynamo -p geodynamo-loadgen --bins
	"$(CARGO_TARGET_DIR)/release/soak" $(if $(SOAK_ITEMS),--items $(SOAK_ITEMS))

# A zone of Cassandra and the node that writes are lost at once, again and again: `make test` does it once.
soak-zones: setup setup-python setup-rocksdb setup-cassandra
	@$(WITH_ROCKSDB) $(CARGO) build --workspace --all-targets
	GEODYNAMO_ZONE_ROUNDS=$(or $(ZONE_ROUNDS),10) "$$(scripts/python-env --path)/bin/python" -m pytest -p no:cacheprovider -s \
	  tests/cassandra/test_zones.py

# What fails while a region archives, takes backups, restores and imports, 30 times: `make test` does it three times.
soak-recovery: setup setup-python setup-rocksdb
	@$(WITH_ROCKSDB) $(CARGO) build -p geodynamo --bin geodynamo
	GEODYNAMO_RECOVERY_ROUNDS=$(or $(RECOVERY_ROUNDS),30) "$$(scripts/python-env --path)/bin/python" -m pytest -p no:cacheprovider -s \
	  tests/sdk/test_recovery_faults.py

# Each kind of a region's files is damaged in each way, 500 times: `make test` does each once.
soak-damage: setup setup-rocksdb
	@$(WITH_ROCKSDB) $(CARGO) build --workspace --all-targets
	GEODYNAMO_DAMAGE_CASES=$(or $(DAMAGE_CASES),500) $(WITH_ROCKSDB) $(CARGO) test --workspace --test damage -- --test-threads=1 --nocapture

compare: setup setup-python setup-rocksdb
	@echo "== building release binaries"
	$(WITH_ROCKSDB) $(CARGO) build --release -p geodynamo -p geodynamo-loadgen --bins
	@"$$(scripts/python-env --path)/bin/python" scripts/compare.py "$(CARGO_TARGET_DIR)/release" $(if $(BENCH_QUICK),--quick)

package: setup setup-rocksdb
	@echo "== building release binaries"
	GEODYNAMO_COMMIT="$$(git rev-parse --short HEAD)" GEODYNAMO_BUILD_DATE="$$(date -u +%F)" $(WITH_ROCKSDB) \
	  $(CARGO) build --release -p geodynamo -p geodynamo-wan -p geodynamo-loadgen --bins
	python3 scripts/package.py "$(CARGO_TARGET_DIR)/release" "$(PACKAGES)"

pictures: setup setup-python setup-test build
	@"$$(scripts/python-env --path tests/console/requirements.txt)/bin/python" -m pytest -p no:cacheprovider \
	  tests/console/test_pictures.py --renew-pictures

book: setup setup-python
	@scripts/book.py target/book && echo "== target/book/docs/start.html"

fmt: setup
	cargo fmt --all

build: setup setup-rocksdb
	@echo "== building geodynamo"
	@$(WITH_ROCKSDB) $(CARGO) build --bin geodynamo --bin geodynamo-wan

setup:
	@scripts/setup

# Fails here, with a reason, if the library cannot be built.
setup-rocksdb: setup
	@python3 scripts/rocksdb.py >/dev/null

setup-python: setup
	@scripts/python-env

setup-cassandra: setup-test
	@python3 scripts/cassandra.py setup >/dev/null

setup-test: setup
	@scripts/setup test
	@scripts/library-envs >/dev/null
