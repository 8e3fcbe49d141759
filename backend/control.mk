# SPDX-License-Identifier: MIT
#
# vifd, both of its processes, and the operator's vifctl.

PROGRAMS += vifd vifctl

# What both processes share, and the parts of each that never wait: tests step them.
BACKEND_SHARED   := backend/ipc.c backend/credit.c backend/stations.c
DATAPATH_STEPPED := $(filter-out $(addprefix backend/datapath/,datapath.c sandbox.c uring.c uring_tap.c), \
		      $(sort $(wildcard backend/datapath/*.c)))
CONTROL_STEPPED  := $(filter-out $(addprefix backend/control/,bridge.c environment.c links.c loop.c neighbours.c netdev.c \
		      news.c notify.c process.c rtnl.c steering.c tap.c gating.c \
		      tap_program.c vlans.c),$(sort $(wildcard backend/control/*.c)))

# Providers of NICs, and the half of each that the datapath has.
MODEL_PORT_OBJS := $(addprefix backend/nic/,model_port.c model_posting.c model_send.c model_hw.c model_queue.c model_iommu.c model_wire.c)
NIC_PORT_OBJS	:= $(addprefix backend/nic/,afxdp_port.c afxdp_place.c afxdp_lent.c afxdp_closer.c afxdp_umem.c afxdp_transmit.c) $(MODEL_PORT_OBJS)
NIC_OBJS	:= $(NIC_PORT_OBJS) $(addprefix backend/nic/,afxdp_device.c afxdp_program.c guest_queues.c ethtool.c \
		   rules_ntuple.c rules_flower.c model_device.c)

bpf-objs  := backend/bpf/steer_object.c backend/bpf/gate_object.c backend/bpf/news_object.c
# A netdev of the kernel's, with its programs.
NETDEV_OBJS := $(addprefix backend/control/,netdev.c tap.c bridge.c links.c neighbours.c news.c rtnl.c \
	       steering.c gating.c tap_program.c vlans.c) \
	       $(bpf-objs)
vifd-objs := backend/vifd.c $(BACKEND_SHARED) $(bpf-objs) backend/bpf/nic_object.c \
	     $(NIC_OBJS) $(sort $(wildcard backend/control/*.c)) \
	     $(sort $(wildcard backend/datapath/*.c))
# liburing statically: Debian 12's shared one (2.3) does not export
# io_uring_register_restrictions and io_uring_enable_rings, which its header declares.
vifd-libs := -lxengnttab -lxenevtchn -lxenstore -l:liburing.a -lmnl -ljansson -linih -lcap-ng -lbpf

# Programs TAPs and NICs ask about frames: compiled for the kernel's machine, then each an array
# in vifd. Their debug information describes their maps to libbpf.
bpf-flags := -O2 -g -Wall -Wextra -Werror -target bpf -fdebug-prefix-map=$(CURDIR)=. -iquote . \
	     -I/usr/include/$(shell $(CC) -print-multiarch)

$(BUILD)/obj/backend/bpf/%.bpf.o: backend/bpf/%.bpf.c libvif/steering.h libvif/gate.h backend/bpf/nic_filter.h backend/bpf/news_filter.h
	@mkdir -p $(@D)
	$(Q)clang $(bpf-flags) -c -o $@ $<
	$(say) BPF $<

$(BUILD)/obj/backend/bpf/%_object.c: $(BUILD)/obj/backend/bpf/%.bpf.o
	$(Q){ echo '#include "backend/bpf/objects.h"'; \
	  echo 'const unsigned char $*_object[] __attribute__((aligned(8))) = {'; \
	  od -An -v -tx1 $< | sed 's/ \(..\)/0x\1,/g'; \
	  echo '};'; \
	  echo 'const size_t $*_object_size = sizeof($*_object);'; } >$@

.PRECIOUS: $(BUILD)/obj/backend/bpf/%.bpf.o $(BUILD)/obj/backend/bpf/%_object.c

$(BUILD)/obj/backend/bpf/%_object.o: $(BUILD)/obj/backend/bpf/%_object.c
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

vifctl-objs := backend/vifctl.c backend/client.c
vifctl-libs := -ljansson
