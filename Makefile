# SPDX-License-Identifier: MIT
#
# vifd: a userspace network backend for Xen.
#
# One make reads the whole tree. Each directory describes itself in a *.mk file
# (what it compiles, what it links, which tests it brings); this file holds the
# rules they share. Everything is built into $(BUILD), programs directly in it.
#
#   PROGRAMS          programs to build; NAME-objs and NAME-libs say from what
#   TESTS             test programs run by 'make check', same two variables
#   SCRIPT_TESTS      executable scripts run by 'make check'
#   ALONE_TESTS       the same, with nothing beside them: they measure
#   FULL_TESTS        scripts that take minutes, run by 'make check-full' besides

BUILD  ?= build
prefix ?= /usr/local
DESTDIR ?=
CC     ?= cc
SAN    ?=

# Programs run against Debian's Xen libraries; the hosted stand-ins have the
# same sonames and are found through LD_LIBRARY_PATH, so nothing here differs
# between the two.
VERSION  := $(shell cat VERSION)
CPPFLAGS += -D_GNU_SOURCE -D__XEN_INTERFACE_VERSION__=0x00040e00 \
	    -DVIFD_VERSION='"$(VERSION)"' -iquote . -iquote libvif
CFLAGS   ?= -O2 -g
CFLAGS   += -std=gnu11 -Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes \
	    -Wshadow -Wpointer-arith -fno-common -pthread
LDFLAGS  += -pthread -Wl,-z,relro,-z,now

ifneq ($(SAN),)
# gcc's flow warnings misjudge instrumented code; the plain build has them all.
CFLAGS  += -fsanitize=$(SAN) -fno-omit-frame-pointer -O1 -Wno-format-truncation \
	   -Wno-maybe-uninitialized -Wno-stringop-overflow -Wno-restrict -Wno-nonnull
LDFLAGS += -fsanitize=$(SAN)
ifneq ($(findstring address,$(SAN)),)
# As shared libraries gcc's two runtimes know nothing of each other's options.
LDFLAGS += -static-libasan -static-libubsan
endif
endif

PROGRAMS     :=
TESTS        :=
SCRIPT_TESTS :=
ALONE_TESTS  :=
FULL_TESTS   :=

.DEFAULT_GOAL := all

# The library every program and test links: libvif, ranks 0-4.
LIBVIF := $(BUILD)/libvif.a
libvif-objs := $(patsubst %.c,$(BUILD)/obj/%.o,$(sort $(wildcard libvif/*.c)))

pkg-cflags = $(shell pkg-config --cflags $(1))
pkg-libs   = $(shell pkg-config --libs $(1))

include $(sort $(wildcard libvif/hosted/*.mk backend/*.mk frontend-compat/*.mk \
			  xenstore-hooks/*.mk tests/*.mk tests/*/*.mk))

ALL_PROGRAMS := $(addprefix $(BUILD)/,$(PROGRAMS) $(TESTS))

# A program is its own objects, then libvif, then its libraries.
define program-rule
$(BUILD)/$(1): $$(patsubst %.c,$(BUILD)/obj/%.o,$$($(1)-objs)) $$(LIBVIF) $$($(1)-deps)
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(CFLAGS) $$(LDFLAGS) -o $$@ $$(filter %.o %.a,$$^) $$($(1)-libs)
	$$(say) LINK $$@
endef
$(foreach p,$(PROGRAMS) $(TESTS),$(eval $(call program-rule,$(p))))

V ?= 0
ifeq ($(V),0)
Q := @
say := @echo "  "
else
say := @true
endif

## all: build everything into $(BUILD)
.PHONY: all
all: $(ALL_PROGRAMS) $(HOSTED_LIBS) $(EXTRA_TARGETS)

$(LIBVIF): $(libvif-objs)
	@mkdir -p $(@D)
	$(Q)rm -f $@ && $(AR) rcs $@ $^
	$(say) AR $@

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
	$(say) CC $<

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

# ---- what a user runs ----

## deps: install the Debian packages that build and test need (root)
.PHONY: deps
deps:
	@.ci/deps build test

## demo: two guests and a wire, real programs, a table at the end (root)
.PHONY: demo
demo: deps
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@tests/lab/run-demo $(BUILD)

## check: build everything and run the tests, some eight minutes (root)
.PHONY: check
check: deps
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@$(MAKE) --no-print-directory run-check

.PHONY: run-check
# Seconds after which a test hangs (the longest takes 100); what is run besides.
LIMIT      = $(if $(SAN),600,300)
LONG_TESTS =
run-check:
	@VIF_SAN=$(SAN) TSAN_OPTIONS=suppressions=$(CURDIR)/tests/tsan.supp tests/run -t $(LIMIT) $(BUILD) $(LONG_TESTS) $(addprefix $(BUILD)/,$(TESTS)) $(SCRIPT_TESTS) --alone $(ALONE_TESTS)

## check-full: check, all offload combinations and the soak tests: some fifteen minutes
.PHONY: check-full
check-full: deps
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@$(MAKE) --no-print-directory run-check LIMIT=1200 LONG_TESTS="$(FULL_TESTS) $(SOAK_TESTS)"

## check-unit: the unit tests alone
.PHONY: check-unit
check-unit: $(addprefix $(BUILD)/,$(UNIT_TESTS))
	@tests/run $(BUILD) $(addprefix $(BUILD)/,$(UNIT_TESTS))

## check-asan: the tests with address and undefined-behaviour sanitizers
.PHONY: check-asan
check-asan: deps
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/asan SAN=address,undefined -j$$(nproc) all && $(MAKE) --no-print-directory BUILD=$(BUILD)/asan SAN=address,undefined run-check

## check-tsan: the tests with the thread sanitizer
.PHONY: check-tsan
check-tsan: deps
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/tsan SAN=thread -j$$(nproc) all && $(MAKE) --no-print-directory BUILD=$(BUILD)/tsan SAN=thread run-check

## check-soak: 1,000 attach/detach cycles and 64 guests: minutes, not in check
.PHONY: check-soak
check-soak: deps
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@tests/run -j 1 -t 1200 $(BUILD) $(SOAK_TESTS)

## check-layers: each file includes its own header and lower ranks only
.PHONY: check-layers
check-layers:
	@tests/layers.sh

## bench: cycles per packet beside native Linux, on this machine (root; under 10 minutes)
.PHONY: bench bench-quick bench-peers performance
bench: deps
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@$(BUILD)/vifbench lab --output $(BUILD)/bench.json

## bench-quick: the same with fewer sizes, bursts and guests (root; under 2 minutes)
bench-quick: deps
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@$(BUILD)/vifbench lab --quick --output $(BUILD)/bench.json

## bench-peers: DPDK's vhost-user and memif beside vifd (root; installs dpdk; minutes)
bench-peers: deps
	@.ci/deps peers
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@$(BUILD)/vifbench peers --output $(BUILD)/peers.json

## performance: backend/docs/performance.md anew, of a quiet machine (root; half an hour)
performance:
	@$(MAKE) --no-print-directory bench
	@$(MAKE) --no-print-directory bench-peers
	@$(BUILD)/vifbench lab --quick --output $(BUILD)/bench-again.json >/dev/null
	@$(MAKE) --no-print-directory bench-xen
	@$(BUILD)/vifbench xen $(BUILD)/bench-xen/result.json --output $(BUILD)/xen.json >/dev/null
	@$(BUILD)/vifbench report $(addprefix $(BUILD)/,bench.json bench-again.json peers.json xen.json) \
		--directory backend/docs

# ---- what a developer runs ----

# Not what is compiled for the kernel's BPF machine.
C_FILES := $(filter-out %.bpf.c,$(sort $(wildcard libvif/*.c libvif/hosted/*.c backend/*.c \
	     backend/*/*.c frontend-compat/*.c tests/*/*.c)))

## compile_commands.json: for editors and clang-tidy
compile_commands.json: Makefile $(C_FILES)
	@{ echo '['; sep=; for f in $(C_FILES); do \
		printf '%s{"directory": "%s", "file": "%s", "command": "%s -c %s"}' "$$sep" \
			'$(CURDIR)' "$$f" '$(json-command)' "$$f"; \
		sep=','; done; echo ']'; } > $@

# The command, its double quotes escaped for JSON, its single ones for the shell.
json-command = $(subst ','\'',$(subst ",\",$(CC) $(CPPFLAGS) $(CFLAGS)))

SHELL_FILES = $(shell git ls-files | xargs grep -lE '^\#!/bin/(ba)?sh' 2>/dev/null)

# shellcheck: tests call functions indirectly (SC2317, SC2119), quote code for later
# (SC2016), use "A && B || true" (SC2015), and source files of an image where they will lie
# (SC1091). cppcheck 2.10's cross-unit analysis takes a buffer to be filled for a read,
# and it knows no json_array_foreach.
## lint: clang-tidy, cppcheck and shellcheck
.PHONY: lint
lint: compile_commands.json check-layers
	@.ci/deps lint
	shellcheck -x -P SCRIPTDIR -e SC2317,SC2015,SC2016,SC2119,SC1091 $(SHELL_FILES)
	cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 --enable=warning,portability \
		--suppress=missingIncludeSystem --suppress=ctuuninitvar --suppress=ctunullpointer --suppress=unknownMacro \
		-D__XEN_INTERFACE_VERSION__=0x00040e00 -D__x86_64__=1 \
		-I. -Ilibvif $(C_FILES)
	printf '%s\n' $(C_FILES) | xargs -P 2 -n 4 clang-tidy --quiet -p .

## clean: remove what was built
.PHONY: clean
clean:
	rm -rf $(BUILD) compile_commands.json

## install: into $(DESTDIR)$(prefix), configuration into $(DESTDIR)/etc/xen
.PHONY: install
sbindir := $(DESTDIR)$(prefix)/sbin
bindir  := $(DESTDIR)$(prefix)/bin
mandir  := $(DESTDIR)$(prefix)/share/man
unitdir := $(DESTDIR)$(prefix)/lib/systemd/system
etcdir  := $(DESTDIR)/etc/xen
INSTALL_SBIN := vifd vifctl
INSTALL_BIN  := vif-guest vifbench
MAN_PAGES    := $(wildcard backend/man/*.[1-8] frontend-compat/man/*.[1-8] tests/*/man/*.[1-8])

install: $(addprefix $(BUILD)/,$(INSTALL_SBIN) $(INSTALL_BIN))
	install -d $(sbindir) $(bindir) $(unitdir) $(etcdir)
	install -m 755 $(addprefix $(BUILD)/,$(INSTALL_SBIN)) $(sbindir)
	install -m 755 $(addprefix $(BUILD)/,$(INSTALL_BIN)) $(bindir)
	for m in $(MAN_PAGES); do \
		install -D -m 644 $$m $(mandir)/man$${m##*.}/$${m##*/}; done
	sed 's|@sbindir@|$(prefix)/sbin|' backend/vifd.service > $(unitdir)/vifd.service
	[ -e $(etcdir)/vifd.conf ] || install -m 644 backend/vifd.conf $(etcdir)

## uninstall: what install put there; a changed vifd.conf stays
.PHONY: uninstall
uninstall:
	rm -f $(addprefix $(sbindir)/,$(INSTALL_SBIN)) $(addprefix $(bindir)/,$(INSTALL_BIN)) \
		$(unitdir)/vifd.service
	for m in $(MAN_PAGES); do rm -f $(mandir)/man$${m##*.}/$${m##*/}; done
	cmp -s backend/vifd.conf $(etcdir)/vifd.conf && rm -f $(etcdir)/vifd.conf || true

## help: this list
.PHONY: help
help:
	@sed -n 's/^## \([^:]*\): \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 26
	@echo "Variables: BUILD=$(BUILD) prefix=$(prefix) DESTDIR= SAN= (address,undefined or thread) V=1"
