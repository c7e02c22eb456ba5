# A short front for Meson. `make` builds, `make demo` shows it, `make test` runs everything.
PREFIX ?= /usr/local
DESTDIR ?=
ARGS ?=
WERROR := $(if $(CI),true,false)

all: build/build.ninja
	ninja -C build

build/build.ninja:
	@scripts/install-deps --check
	meson setup build --buildtype=debugoptimized --prefix=$(PREFIX) -Dwerror=$(WERROR)

build-test: deps
	@test -f build-test/build.ninja || \
	    meson setup build-test --buildtype=debugoptimized -Dfault_points=true -Dwerror=$(WERROR)
	ninja -C build-test

deps:
	@scripts/install-deps

demo: deps
	@$(MAKE) --no-print-directory all
	@build/src/trunkline demo $(ARGS)

# Static checks, unit tests, end-to-end tests; the last line counts them all.
test: build-test
	@scripts/run-tests

# All twenty kills of each kind.
test-long: build-test
	@scripts/run-tests long

check: deps
	@scripts/run-tests checks

bench: deps
	@scripts/install-deps bench
	@$(MAKE) --no-print-directory all
	bench/run $(ARGS)

install: all
	meson configure build -Dprefix=$(PREFIX)
	DESTDIR=$(abspath $(DESTDIR)) meson install -C build

clean:
	rm -rf build build-test

.PHONY: all build-test deps demo test test-long check bench install clean
