# SPDX-License-Identifier: MIT
#
# Tests of vifd's control process: its pure parts in one program; the daemons
# themselves, on the hosted Xen with a real xenstored, in a script.

TESTS += test_control
test_control-objs := tests/control/test_control.c $(BACKEND_SHARED) backend/control/config.c \
		     backend/control/config_nic.c backend/control/api.c backend/control/workers.c backend/control/supervise.c \
		     backend/control/environment.c
test_control-libs := -lcmocka -ljansson -linih -lcap-ng

TESTS += test_links
test_links-objs := tests/control/test_links.c backend/control/links.c backend/control/vlans.c
test_links-libs := -lcmocka -lmnl

# Of a real bridge: root.
TESTS += test_ports
test_ports-objs := tests/control/test_ports.c $(addprefix backend/control/,bridge.c links.c vlans.c)
test_ports-libs := -lcmocka -lmnl

TESTS += test_neighbours
test_neighbours-objs := tests/control/test_neighbours.c backend/bpf/news_object.c \
			$(addprefix backend/control/,neighbours.c news.c rtnl.c)
test_neighbours-libs := -lcmocka -lmnl -lbpf

TESTS += test_vlans
test_vlans-objs := tests/control/test_vlans.c backend/control/vlans.c
test_vlans-libs := -lcmocka -lmnl

SCRIPT_TESTS += tests/control/test_vifd.sh tests/control/test_link.sh tests/control/test_wishes.sh tests/control/test_lent.sh
SOAK_TESTS   += tests/control/soak_vifd.sh

# Of a real TAP with its program: root.
TESTS += test_steering
test_steering-objs := tests/control/test_steering.c tests/unit/frames.c $(NETDEV_OBJS)
test_steering-libs := -lcmocka -lmnl -lbpf -lcap-ng
