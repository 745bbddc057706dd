# nestwalk: `make help` lists what there is.
CONFIG ?= release
B := build/$(CONFIG)
VERSION := 0.1.0
PREFIX ?= /usr/local

CC ?= cc
CSTD := -std=c11 -D_GNU_SOURCE -DNESTWALK_VERSION='"$(VERSION)"'
WARN := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes -Wmissing-prototypes
FLAGS.release := -O2 -g
FLAGS.debug := -O0 -g3
FLAGS.asan := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FLAGS.cov := -O0 -g --coverage
# No contraction of a*b+c and no fast-math: the same scenario gives the same bytes everywhere.
CFLAGS += $(CSTD) $(WARN) $(FLAGS.$(CONFIG)) -ffp-contract=off -fno-strict-aliasing -MMD -MP -I.
LDLIBS := -lcjson -lz -llzma -lzstd -lm
ifneq ($(V),1)
Q := @
endif

core_src := $(wildcard core/*.c)
sim_src := $(wildcard sim/*.c sim/*/*.c)
cli_src := $(filter sim/cli/%,$(sim_src))
lib_src := $(core_src) $(filter-out sim/cli/main.c,$(sim_src))
test_src := $(wildcard tests/*.c tests/core/*.c tests/sim/*.c)
obj = $(patsubst %.c,$(B)/%.o,$(1))

.PHONY: all
all: $(B)/nestwalk ## build the release into build/release (CONFIG=debug, asan, cov for others)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(if $(Q),@echo "  CC    $<")
	$(Q)$(CC) $(CFLAGS) -c $< -o $@

$(B)/libcore.a: $(call obj,$(core_src))
	$(Q)rm -f $@ && ar rcs $@ $^

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
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/nestwalk: $(B)/sim/cli/main.o $(B)/libnestwalk.a
	$(if $(Q),@echo "  LINK  $@")
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(B)/unit: $(call obj,$(test_src)) $(B)/libnestwalk.a
	$(if $(Q),@echo "  LINK  $@")
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -lcriterion -o $@

.PHONY: unit
unit: $(B)/unit ## run the unit tests alone (ARGS='--filter memo/*' picks some)
	$(Q)$(B)/unit $(ARGS)

.PHONY: clean
clean: ## remove everything built
	$(Q)rm -rf build docs/html

.PHONY: help
help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

-include $(shell find $(B) -name '*.d' 2>/dev/null)
