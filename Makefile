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
CFLAGS  += -fsanitize=$(SAN) -fno-omit-frame-pointer -O1
LDFLAGS += -fsanitize=$(SAN)
endif

PROGRAMS     :=
TESTS        :=
SCRIPT_TESTS :=
INSTALL_SBIN :=
INSTALL_BIN  :=
MAN_PAGES    :=

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
