# nestwalk: `make help` lists what there is.
CONFIG ?= release
B := build/$(CONFIG)
VERSION := 0.1.0
PREFIX ?= /usr/local

CC ?= cc
# Whole-program optimization, where the compiler's own archiver is there to go with it.
lto := $(if $(shell command -v gcc-ar 2>/dev/null),$(if $(findstring clang,$(CC)),,yes))
AR := $(if $(lto),gcc-ar,ar)
CSTD := -std=c11 -D_GNU_SOURCE -DNESTWALK_VERSION='"$(VERSION)"'
WARN := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes -Wmissing-prototypes
FLAGS.release := -O2 -g $(if $(lto),-flto=auto)
FLAGS.silent := $(FLAGS.release) -DRECORDING=0
FLAGS.debug := -O0 -g3
FLAGS.asan := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FLAGS.cov := -O0 -g --coverage
FLAGS.lint := -O2 -Werror
FLAGS.fuzz := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
# No contraction of a*b+c and no fast-math: the same scenario gives the same bytes everywhere.
CFLAGS += $(CSTD) $(WARN) $(FLAGS.$(CONFIG)) -ffp-contract=off -fno-strict-aliasing -MMD -MP -I.
LDLIBS := -lcjson -lz -llzma -lzstd -lm
ifneq ($(V),1)
Q := @
endif

core_src := $(wildcard core/*.c)
sim_src := $(wildcard sim/*.c sim/*/*.c)
# KVM's harness needs Linux on x86-64; elsewhere one file says so.
kvm_here := $(shell $(CC) -dumpmachine 2>/dev/null | grep '^x86_64.*linux')
kvm_src := $(if $(kvm_here),$(filter-out %/absent.c,$(wildcard sim/backend/kvm/*.c)) sim/backend/kvm/guest.S,\
	sim/backend/kvm/absent.c)
cli_src := $(filter sim/cli/%,$(sim_src))
lib_src := $(core_src) $(filter-out sim/cli/main.c,$(sim_src)) $(kvm_src)
test_src := $(filter-out tests/fuzz/% tests/bench/% tests/reproduce/%,$(wildcard tests/*.c tests/*/*.c))
obj = $(addprefix $(B)/,$(addsuffix .o,$(basename $(1))))

.PHONY: all
all: $(B)/nestwalk ## build the release into build/release (CONFIG=debug, asan, cov for others)

# What was built with other flags is built again.
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(CFLAGS) $(AR)' | cmp -s - $@ || echo '$(CC) $(CFLAGS) $(AR)' > $@
.PHONY: FORCE
FORCE:

$(B)/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(if $(Q),@echo "  CC    $<")
	$(Q)$(CC) $(CFLAGS) -c $< -o $@

$(B)/%.o: %.S $(B)/flags
	@mkdir -p $(@D)
	$(if $(Q),@echo "  AS    $<")
	$(Q)$(CC) $(CFLAGS) -c $< -o $@

$(B)/libcore.a: $(call obj,$(core_src))
	$(Q)rm -f $@ && $(AR) rcs $@ $^

# The machine profiles that ship become part of the program: see sim/scenario/profiles.h.
profiles := $(sort $(wildcard scenarios/machines/*.json))
$(B)/gen/profiles.c: $(profiles) Makefile
	@mkdir -p $(@D)
	$(Q){ echo '#include "sim/scenario/profiles.h"'; \
	for f in $(profiles); do n=$$(basename $$f .json | tr -c 'a-z0-9\n' _); \
	echo "static const char text_$$n[] = {"; od -An -v -tu1 $$f | sed 's/ *\([0-9][0-9]*\)/\1,/g'; \
	echo '0};'; done; \
	echo 'const char *const shipped_names[] = {'; \
	for f in $(profiles); do echo "\"$$(basename $$f .json)\","; done; echo '0};'; \
	echo 'const char *const shipped_texts[] = {'; \
	for f in $(profiles); do echo "text_$$(basename $$f .json | tr -c 'a-z0-9\n' _),"; done; echo '0};'; \
	echo 'const size_t shipped_lengths[] = {'; \
	for f in $(profiles); do echo "$$(wc -c < $$f),"; done; echo '0};'; } > $@

$(B)/gen/profiles.o: $(B)/gen/profiles.c
	$(Q)$(CC) $(CFLAGS) -c $< -o $@

$(B)/libnestwalk.a: $(call obj,$(lib_src)) $(B)/gen/profiles.o
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(B)/nestwalk: $(B)/sim/cli/main.o $(B)/libnestwalk.a
	$(if $(Q),@echo "  LINK  $@")
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(B)/unit: $(call obj,$(test_src)) $(B)/libnestwalk.a
	$(if $(Q),@echo "  LINK  $@")
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -lcriterion -o $@

# ---- set-up, demo, tests ----

# As many jobs as there are processors, unless the caller said how many.
jobs = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc 2>/dev/null || echo 2))
again = $(MAKE) --no-print-directory $(jobs)

# These set up first and then call make again; nothing else may build meanwhile.
ifneq ($(filter demo test validate asan cov lint bench reproduce fuzz docs,$(MAKECMDGOALS)),)
.NOTPARALLEL:
endif

.PHONY: demo
demo: ## installs what it lacks, builds, records a real program, and compares machines and modes on it
	$(Q)tools/setup demo
	+$(Q)$(again) all
	$(Q)tools/demo $(B)/nestwalk

.PHONY: test
test: ## installs what it lacks, builds, and runs every test there is (ONLY=part of a script's name)
	$(Q)tools/setup test
	+$(Q)$(again) test-programs
	$(Q)CONFIG=$(CONFIG) tests/run $(B) $(ONLY)

.PHONY: test-programs
test-programs: $(B)/nestwalk $(B)/unit $(B)/reproduce
	@:

.PHONY: validate
validate: ## the model beside real KVM, here and on emulated computers, and docs/VALIDATION.md
	$(Q)tools/setup validate
	+$(Q)$(again) all
	$(Q)code=0; tools/validate $(B) nestwalk validate --all --trace scenarios/traces/gzip.nwtrace.xz \
		--format json || code=$$?; \
	tools/validate $(B) nestwalk fuzz --seed 2 --count 200000 --format json || code=$$?; \
	[ $$code = 3 ] || $(B)/nestwalk validate --write docs/VALIDATION.md $(B)/validate/*/*.out; \
	exit $$code

.PHONY: unit
unit: $(B)/unit ## run the unit tests alone (ARGS='--filter memo/*' picks some)
	$(Q)$(B)/unit $(ARGS)

.PHONY: asan
asan: ## run every test under the address and undefined-behaviour sanitizers
	$(Q)$(MAKE) --no-print-directory CONFIG=asan test

.PHONY: cov
cov: ## which lines the tests reach, file by file
	$(Q)tools/setup cov
	$(Q)find build/cov -name '*.gcda' -delete 2>/dev/null || true
	$(Q)$(MAKE) --no-print-directory CONFIG=cov test
	$(Q)tools/coverage build/cov

.PHONY: lint
lint: ## warnings as errors, layers, form of the code, cppcheck, shellcheck
	$(Q)tools/setup lint
	+$(Q)$(again) CONFIG=lint lint-objects
	$(Q)tools/lint build/lint

.PHONY: lint-objects
lint-objects: $(call obj,$(lib_src) $(test_src) sim/cli/main.c $(wildcard tests/bench/*.c tests/reproduce/*.c)) $(B)/libcore.a

# ---- bench, reproduce, fuzz ----

$(B)/bench: $(call obj,$(wildcard tests/bench/*.c)) $(B)/libnestwalk.a
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

.PHONY: bench
bench: ## accesses per second, beside a yardstick measured in the same run
	$(Q)tools/setup build
	+$(Q)$(again) $(B)/bench
	+$(Q)$(again) CONFIG=silent build/silent/bench
	$(Q)$(B)/bench --beside build/silent/bench

# The rigs of the unit tests, which the invalidation matrix stands on.
reproduce_src := $(wildcard tests/reproduce/*.c) $(addprefix tests/core/,rig.c nest.c matrix.c)
$(B)/reproduce: $(call obj,$(reproduce_src)) $(B)/libnestwalk.a
	$(if $(Q),@echo "  LINK  $@")
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

.PHONY: reproduce
reproduce: ## published results beside ours, and docs/REPRODUCTION.md; fails if one differs
	$(Q)tools/setup build
	+$(Q)$(again) $(B)/reproduce
	$(Q)$(B)/reproduce docs/REPRODUCTION.md

fuzz_src := $(wildcard tests/fuzz/*.c)
FUZZ_SECONDS ?= 600

$(B)/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(B)/libnestwalk.a
	$(Q)$(CC) $(CFLAGS) -fsanitize=fuzzer $(LDFLAGS) $^ $(LDLIBS) -o $@

.SECONDARY: $(patsubst %.c,$(B)/%.o,$(fuzz_src))
.PHONY: fuzzers
fuzzers: $(patsubst tests/fuzz/%.c,$(B)/%,$(fuzz_src))

.PHONY: fuzz
fuzz: ## ten minutes of fuzzing with each harness of tests/fuzz (FUZZ_SECONDS=60)
	$(Q)tools/setup fuzz
	+$(Q)$(again) CC=clang CONFIG=fuzz fuzzers
	$(Q)tools/fuzz build/fuzz $(FUZZ_SECONDS)

# ---- documentation, installation ----

.PHONY: docs
docs: ## the reference of the code, into docs/html; a warning is an error
	$(Q)tools/setup docs
	$(Q)doxygen -q docs/Doxyfile

.PHONY: install
install: all ## install program, man pages, completion, schemas (PREFIX=/usr/local DESTDIR=)
	$(Q)tools/install $(B)/nestwalk '$(DESTDIR)' '$(PREFIX)'

.PHONY: clean
clean: ## remove everything built
	$(Q)rm -rf build docs/html

.PHONY: help
help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

-include $(shell find $(B) -name '*.d' 2>/dev/null)
