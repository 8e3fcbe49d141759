# SPDX-License-Identifier: MIT
#
# vifd, both of its processes, and the operator's vifctl.

PROGRAMS += vifd vifctl

# What both processes share, and the parts of each that never wait: tests step them.
BACKEND_SHARED   := backend/ipc.c backend/credit.c
DATAPATH_STEPPED := $(filter-out $(addprefix backend/datapath/,datapath.c sandbox.c uring.c), \
		      $(sort $(wildcard backend/datapath/*.c)))
CONTROL_STEPPED  := $(filter-out $(addprefix backend/control/,environment.c links.c loop.c netdev.c \
		      notify.c process.c steering.c),$(sort $(wildcard backend/control/*.c)))

vifd-objs := backend/vifd.c $(BACKEND_SHARED) backend/bpf/steer_object.c $(sort $(wildcard backend/control/*.c)) \
	     $(sort $(wildcard backend/datapath/*.c))
# liburing statically: Debian 12's shared one (2.3) does not export
# io_uring_register_restrictions and io_uring_enable_rings, which its header declares.
vifd-libs := -lxengnttab -lxenevtchn -lxenstore -l:liburing.a -lmnl -ljansson -linih -lcap-ng -lbpf

# The program that spreads a TAP's frames over its queues: compiled for the kernel's
# machine, then an array in vifd. Its debug information describes its map to libbpf.
bpf-flags := -O2 -g -Wall -Wextra -Werror -target bpf -fdebug-prefix-map=$(CURDIR)=. -iquote . \
	     -I/usr/include/$(shell $(CC) -print-multiarch)

$(BUILD)/obj/backend/bpf/steer.bpf.o: backend/bpf/steer.bpf.c libvif/steering.h
	@mkdir -p $(@D)
	$(Q)clang $(bpf-flags) -c -o $@ $<
	$(say) BPF $<

$(BUILD)/obj/backend/bpf/steer_object.c: $(BUILD)/obj/backend/bpf/steer.bpf.o
	$(Q){ echo '#include "backend/bpf/steer_object.h"'; \
	  echo 'const unsigned char steer_object[] __attribute__((aligned(8))) = {'; \
	  od -An -v -tx1 $< | sed 's/ \(..\)/0x\1,/g'; \
	  echo '};'; \
	  echo 'const size_t steer_object_size = sizeof(steer_object);'; } >$@

$(BUILD)/obj/backend/bpf/steer_object.o: $(BUILD)/obj/backend/bpf/steer_object.c
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

vifctl-objs := backend/vifctl.c backend/client.c
vifctl-libs := -ljansson
