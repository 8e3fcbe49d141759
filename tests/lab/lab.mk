# SPDX-License-Identifier: MIT
#
# vif-lab, a Xen host on a machine without Xen, and its tests.

PROGRAMS += vif-lab
vif-lab-objs := $(addprefix tests/lab/,vif-lab.c run.c janitor.c init.c bring-up.c guest.c \
		  toolstack.c netns.c process.c record.c lab.c nic_switch.c nic_driver.c) frontend-compat/dialect.c
vif-lab-libs := -lxenstore -lbpf

# A NIC with filters of its own: its hardware, a BPF program, and its driver, loaded into
# programs nobody instrumented.
EXTRA_TARGETS += $(BUILD)/lab-nic.bpf.o $(BUILD)/lab-nic.so

$(BUILD)/lab-nic.bpf.o: tests/lab/nic_switch.bpf.c tests/lab/nic_table.h
	@mkdir -p $(@D)
	$(Q)clang $(bpf-flags) -ffreestanding -c -o $@ $<
	$(say) BPF $<

$(BUILD)/lab-nic.so: $(addprefix $(BUILD)/pic/tests/lab/,nic_preload.o nic_driver.o)
	@mkdir -p $(@D)
	$(Q)$(CC) -shared $(call hosted-flags,$(CFLAGS) $(LDFLAGS)) -Wl,-z,defs -o $@ $^
	$(say) LINK $@

SCRIPT_TESTS += tests/lab/test_lab.sh tests/lab/test_leftovers.sh \
		tests/lab/test_demo.sh
