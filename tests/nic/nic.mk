# SPDX-License-Identifier: MIT
#
# The multi-queue NIC model: guests' places on NICs.
PROGRAMS += flows
flows-objs := tests/nic/flows.c
PROGRAMS += strangers
strangers-objs := tests/nic/strangers.c
TESTS += test-placement test-posted test-transmit
test-transmit-objs = tests/nic/test_transmit.c tests/nic/transmit_rig.c $(hostile-objs)
test-transmit-libs = $(hostile-libs)
TESTS += test-transmit-vlans
test-transmit-vlans-objs = tests/nic/test_transmit_vlans.c tests/nic/transmit_rig.c $(hostile-objs)
test-transmit-vlans-libs = $(hostile-libs)
test-posted-objs = tests/nic/test_posted.c $(hostile-objs)
test-posted-libs = $(hostile-libs)
TESTS += test-lending
test-lending-objs = tests/nic/test_lending.c $(hostile-objs)
test-lending-libs = $(hostile-libs)
TESTS += test-order
test-order-objs = tests/nic/test_order.c $(hostile-objs)
test-order-libs = $(hostile-libs)
TESTS += test-policy
test-policy-objs = tests/nic/test_policy.c $(hostile-objs)
test-policy-libs = $(hostile-libs)
test-placement-objs = tests/nic/test_placement.c $(hostile-objs)
test-placement-libs = $(hostile-libs)
model-test-objs = tests/nic/model_rig.c tests/nic/model_pages.c backend/nic/model_device.c $(MODEL_PORT_OBJS)
TESTS += test-model test-model-posting test-model-send
test-model-objs = tests/nic/test_model.c $(model-test-objs)
test-model-libs = -lcmocka
test-model-posting-objs = tests/nic/test_model_posting.c $(model-test-objs)
test-model-posting-libs = -lcmocka
test-model-send-objs = tests/nic/test_model_send.c $(model-test-objs)
test-model-send-libs = -lcmocka
ALONE_TESTS  += tests/nic/test_places.sh tests/nic/test_places_model.sh tests/nic/test_places_steered.sh
ALONE_TESTS  += tests/nic/test_transmit.sh tests/nic/test_transmit_model.sh tests/nic/test_swaps.sh tests/nic/test_lent.sh
ALONE_TESTS  += tests/nic/test_fiddled.sh
SCRIPT_TESTS += tests/nic/test_faults.sh tests/nic/test_bridge.sh
SCRIPT_TESTS += tests/nic/test_steered.sh
SCRIPT_TESTS += tests/nic/test_posted.sh
TESTS += test-rules
test-rules-objs = tests/nic/test_rules.c tests/nic/ethtool_rig.c tests/lab/nic_driver.c $(addprefix backend/nic/,ethtool.c rules_ntuple.c)
test-rules-libs = -lcmocka -Wl,--wrap=ioctl
TESTS += test-guest-queues
test-guest-queues-objs = tests/nic/test_guest_queues.c tests/nic/ethtool_rig.c tests/lab/nic_driver.c \
			 $(addprefix backend/nic/,guest_queues.c ethtool.c rules_ntuple.c rules_flower.c)
test-guest-queues-libs = -lcmocka -lmnl -lbpf -Wl,--wrap=ioctl
TESTS += test-flower
test-flower-objs = tests/nic/test_flower.c backend/nic/rules_flower.c
test-flower-libs = -lcmocka -lmnl -Wl,--wrap=mnl_socket_sendto,--wrap=mnl_socket_recvfrom
# Root.
TESTS += test_filters
test_filters-objs = tests/nic/test_filters.c $(NIC_OBJS) backend/bpf/nic_object.c
test_filters-libs := -lcmocka -lbpf -lmnl
# Somebody else's program on a NIC.
EXTRA_TARGETS += $(BUILD)/other-xdp.bpf.o
$(BUILD)/other-xdp.bpf.o: tests/nic/other_xdp.bpf.c
	@mkdir -p $(@D)
	$(Q)clang $(bpf-flags) -ffreestanding -c -o $@ $<
	$(say) BPF $<
SCRIPT_TESTS += tests/nic/test_changed.sh tests/nic/test_workers.sh
SCRIPT_TESTS += tests/nic/test_renamed.sh tests/nic/test_renamed_steered.sh tests/nic/test_renamed_model.sh
# Root.
TESTS += test_afxdp_lent
test_afxdp_lent-objs = tests/nic/test_afxdp_lent.c tests/nic/ethtool_rig.c tests/lab/nic_driver.c \
		       $(NIC_OBJS) backend/bpf/nic_object.c
test_afxdp_lent-libs := -lcmocka -lbpf -lmnl -lcap-ng -Wl,--wrap=ioctl,--wrap=bind,--wrap=close
# Root.
TESTS += test_afxdp_shared
test_afxdp_shared-objs = tests/nic/test_afxdp_shared.c $(NIC_OBJS) backend/bpf/nic_object.c
test_afxdp_shared-libs := -lcmocka -lbpf -lmnl
