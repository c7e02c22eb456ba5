# A short front for Meson. `make` builds, `make demo` shows it, `make test` runs everything.
PREFIX ?= /usr/local
DESTDIR ?=
ARGS ?=
BUILD ?= build
WITH_ALIASES ?=
SCOPE ?=
WERROR := $(if $(CI),true,false)

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@scripts/install-deps --check
	meson setup $(BUILD) --buildtype=debugoptimized --prefix=$(PREFIX) -Dwerror=$(WERROR)

build-test: deps
	@test -f build-test/build.ninja || \
	    meson setup build-test --buildtype=debugoptimized -Dfault_points=true -Dwerror=$(WERROR)
	ninja -C build-test

deps:
	@scripts/install-deps

demo: deps
	@$(MAKE) --no-print-directory all
	@$(BUILD)/src/trunkline demo $(ARGS)

# The two servers of the tutorials, in the foreground: ports 5432 and 7654.
pg2pg:
	@scripts/pg2pg $(ARGS)

# Static checks, unit tests, end-to-end tests; the last line counts them all.
# SCOPE=ci: and the tests about versions between servers of other versions.
test: build-test
	@scripts/run-tests $(SCOPE)

# All cases of the long lists, all kills.
test-long: build-test
	@scripts/run-tests long

# The tests about versions between all versions, 14 to 18. ARGS="17-15 18-14": between these;
# ARGS="--whole 17-15": all end-to-end tests.
test-matrix: build-test
	@scripts/run-tests matrix $(ARGS)

check: build-test
	@scripts/run-tests checks

# Side by side with psql, pg_dump and pg_restore, pgcopydb and PostgreSQL's own replication.
bench:
	@scripts/install-deps bench
	@test -f build-release/build.ninja || \
	    meson setup build-release --buildtype=release -Dtests=false -Dwerror=$(WERROR)
	ninja -C build-release
	bench/run $(ARGS)

# Reference, manual page and completion, written anew from the tables in the code.
docs: build-test
	@scripts/generate-docs

# WITH_ALIASES=1 adds a link of the name pgstream.
install: all
	meson configure $(BUILD) -Dprefix=$(PREFIX) -Daliases=$(if $(filter 1 yes true,$(WITH_ALIASES)),true,false)
	DESTDIR=$(abspath $(DESTDIR)) meson install -C $(BUILD)

clean:
	rm -rf $(BUILD) build-test build-release

.PHONY: all build-test deps demo pg2pg docs test test-long test-matrix check bench install clean
