# SPDX-License-Identifier: MIT
#
# bench-xen: instructions per packet on real Xen. See tests/xen/bench/README.md.

# Loaded by QEMU, not linked with anything of ours.
$(BUILD)/bench-count.so: tests/xen/bench/count.c tests/xen/bench/marks.h tests/xen/bench/plugin-api.h
	@mkdir -p $(@D)
	$(Q)$(CC) -D_GNU_SOURCE $(filter-out -fsanitize=%,$(CFLAGS)) -fPIC -fvisibility=hidden -shared -o $@ $<
	$(say) LINK $@

# Runs in guests, which have no libraries; PIE, because of that ldd is content with it.
$(BUILD)/bench-load: tests/xen/bench/load.c tests/xen/bench/marks.h
	@mkdir -p $(@D)
	$(Q)$(CC) -D_GNU_SOURCE $(filter-out -fsanitize=%,$(CFLAGS)) -fPIE -static-pie -s -o $@ $<
	$(say) LINK $@

## bench-xen: vifd beside kernel netback and native Linux, under real Xen (root; < 20 min)
.PHONY: bench-xen
bench-xen:
	@.ci/deps build test xen
	@$(MAKE) --no-print-directory -j$$(nproc) $(addprefix $(BUILD)/,vifd vifctl bench-count.so bench-load)
	@VIF_BUILD=$(BUILD) timeout -k 30 1500 tests/xen/bench/run
