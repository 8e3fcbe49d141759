# SPDX-License-Identifier: MIT

## check-xen: vifd under real Xen, dom0 and stock guests, emulated (root for packages)
.PHONY: check-xen
check-xen:
	@.ci/deps build test xen
	@$(MAKE) --no-print-directory -j$$(nproc) $(BUILD)/vifd $(BUILD)/vifctl
	@VIF_BUILD=$(BUILD) timeout --foreground -k 90 900 tests/xen/smoke.sh

## check-xen-full: every vif= key, guests' lives and kernels, driver domain (CASES="keys life")
.PHONY: check-xen-full
check-xen-full:
	@.ci/deps build test xen
	@$(MAKE) --no-print-directory -j$$(nproc) $(BUILD)/vifd $(BUILD)/vifctl
	@VIF_BUILD=$(BUILD) tests/xen/full/run $(CASES)
