# SPDX-License-Identifier: MIT

## check-xen: vifd under real Xen, dom0 and stock guests, emulated (root for packages)
.PHONY: check-xen
check-xen:
	@.ci/deps build test xen
	@$(MAKE) --no-print-directory -j$$(nproc) $(BUILD)/vifd $(BUILD)/vifctl
	@VIF_BUILD=$(BUILD) timeout --foreground -k 90 900 tests/xen/smoke.sh

# Runs in guests, which have no libraries; PIE, because of that ldd is content with it.
$(BUILD)/xen-frames: tests/xen/frames.c
	@mkdir -p $(@D)
	$(Q)$(CC) -D_GNU_SOURCE $(filter-out -fsanitize=%,$(CFLAGS)) -fPIE -static-pie -s -o $@ $<
	$(say) LINK $@

## check-xen-full: every vif= key, guests' lives and kernels, driver domain (CASES="keys life")
.PHONY: check-xen-full
check-xen-full:
	@.ci/deps build test xen
	@$(MAKE) --no-print-directory -j$$(nproc) $(addprefix $(BUILD)/,vifd vifctl vifbench xen-frames)
	@VIF_BUILD=$(BUILD) tests/xen/full/run $(CASES)
