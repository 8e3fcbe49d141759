# SPDX-License-Identifier: MIT
#
# The hosted Xen: the stand-in libraries in $(BUILD)/hosted and hosted-xen.
#
# HOSTED_OBJS are the same libraries as plain objects, for a program that runs a
# whole machine in its own process: NAME-objs := ... $(HOSTED_OBJS)

hosted-core := $(addprefix libvif/hosted/,core.c core_domain.c core_evtchn.c core_grant.c \
		 client.c toolstack.c fault.c)
HOSTED_OBJS := $(hosted-core) $(addprefix libvif/hosted/,lib_gnttab.c lib_evtchn.c \
		 lib_foreignmemory.c)

PROGRAMS += hosted-xen
hosted-xen-objs := $(HOSTED_OBJS) $(addprefix libvif/hosted/,tool.c daemon.c tool_xenstored.c \
		     tool_introduce.c tool_proxy.c)
hosted-xen-libs := -lxenstore

hosted-dir  := $(BUILD)/hosted
HOSTED_LIBS := $(addprefix $(hosted-dir)/,libvif-hosted.so.0 libxengnttab.so.1 libxenevtchn.so.1 \
		 libxenforeignmemory.so.1 libxenctrl.so.4.17)

# They are loaded into programs nobody instrumented (xenstored), so never are
# themselves.
hosted-flags = $(filter-out -fsanitize=%,$(1))

$(BUILD)/pic/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(call hosted-flags,$(CFLAGS)) -fPIC -MMD -MP -c -o $@ $<
	$(say) CC $@

# $(1) file in $(hosted-dir), $(2) sources, $(3) version script, $(4) libraries
define hosted-lib-rule
$(hosted-dir)/$(1): $(patsubst %.c,$(BUILD)/pic/%.o,$(2)) libvif/hosted/$(3) $(4)
	@mkdir -p $$(@D)
	$$(Q)$$(CC) -shared $$(call hosted-flags,$$(CFLAGS) $$(LDFLAGS)) -Wl,-z,defs \
		-Wl,-soname,$(1) -Wl,--version-script,libvif/hosted/$(3) \
		-Wl,--enable-new-dtags,-rpath,'$$$$ORIGIN' -o $$@ $$(filter %.o,$$^) $(4)
	$$(say) LINK $$@
endef
$(eval $(call hosted-lib-rule,libvif-hosted.so.0,$(hosted-core),hosted.map,))
hosted-lib = $(eval $(call hosted-lib-rule,$(1),libvif/hosted/$(2).c,$(3),$(hosted-dir)/libvif-hosted.so.0))
$(call hosted-lib,libxengnttab.so.1,lib_gnttab,gnttab.map)
$(call hosted-lib,libxenevtchn.so.1,lib_evtchn,evtchn.map)
$(call hosted-lib,libxenforeignmemory.so.1,lib_foreignmemory,foreignmemory.map)
$(call hosted-lib,libxenctrl.so.4.17,lib_ctrl,ctrl.map)

-include $(shell find $(BUILD)/pic -name '*.d' 2>/dev/null)
