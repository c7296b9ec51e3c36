# The one front door. Meson and ninja do the work; this says which of their build directories a task needs.
#
#   make            build, and leave a tree in build/stage that runs from any directory
#   make demo       the main job end to end, on real parts           (installs what is missing first)
#   make check      everything that can be tested                    (installs what is missing first)
#   make bench      all benchmarks and their page; make bench-NAME for one
#   make asan tsan  unit tests under the sanitizers
#   make lint       format, clang-tidy, cppcheck, rooms              (installs what is missing first)
#   make fuzz       every fuzz target for FUZZ_SECONDS (default 60) each
#   make format     clang-format on all of C
#   make install    into PREFIX (default /usr/local), below DESTDIR
#   make clean      removes build/

# Debian's own, whatever else comes first in PATH: the packages that tools/setup installs belong to these.
MESON := $(firstword $(wildcard /usr/bin/meson) meson)
PYTHON := $(firstword $(wildcard /usr/bin/python3) python3)
PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 60
STAGE := $(CURDIR)/build/stage
# A build waits for the compiler, not for us: as many jobs as CPUs, unless JOBS says otherwise.
NINJA := ninja $(if $(JOBS),-j $(JOBS))

.PHONY: all stage ready demo check bench asan tsan lint fuzz format install clean help
all: stage
	@echo "ready: build/stage/bin/rhodes --help"

help:
	@sed -n '3,/^$$/s/^# \{0,3\}//p' Makefile

ready:
	@tools/setup --check build

build/release/build.ninja: | ready
	@mkdir -p build
	@$(MESON) setup build/release --prefix "$(STAGE)" --libdir lib > build/setup.log 2>&1 \
	  || { cat build/setup.log; exit 1; }

stage: ready build/release/build.ninja
	@$(NINJA) -C build/release
	@$(MESON) install -C build/release --no-rebuild --only-changed --quiet

demo:
	@tools/setup demo
	@$(MAKE) --no-print-directory stage
	@build/stage/bin/rhodes demo

check:
	@tools/setup check
	@$(PYTHON) tools/check.py

asan:
	@tools/setup check
	@$(PYTHON) tools/check.py --only asan

tsan:
	@tools/setup check
	@$(PYTHON) tools/check.py --only tsan

fuzz:
	@tools/setup check
	@$(PYTHON) tools/check.py --only fuzz --fuzz-seconds $(FUZZ_SECONDS)

lint:
	@tools/setup lint
	@$(PYTHON) tools/lint.py

format:
	@git ls-files -z '*.c' '*.h' | xargs -0 clang-format -i

bench: bench-all

bench-%:
	@tools/setup bench
	@$(MAKE) --no-print-directory stage
	@$(PYTHON) bench/run.py $*

install: ready
	@test -f build/install/build.ninja || $(MESON) setup build/install --prefix "$(PREFIX)" --libdir lib
	@$(MESON) configure build/install -Dprefix="$(PREFIX)"
	@$(NINJA) -C build/install
	@DESTDIR="$(DESTDIR)" $(MESON) install -C build/install --no-rebuild

clean:
	@rm -rf build
