#!/bin/bash
# SPDX-License-Identifier: MIT
#
# 'vifbench host' in a dom0, beside the traffic of two stock guests. What the figures are
# means nothing here, as the processor is emulated; that they fit each other does.
#
#	tests/xen/full/host.sh [KERNEL [GUEST-KERNEL]]
#
# shellcheck disable=SC2317 # 'check' calls them
set -euo pipefail
# shellcheck source=tests/xen/cases.bash
. "$(dirname "$0")/../cases.bash"
# shellcheck source=tests/xen/traffic.bash
. "$(dirname "$0")/../traffic.bash"

READINGS=3

# bring_up GUEST TYPE
bring_up()
{
	config "$1" <<-END
		name = "$1"
		type = "$2"
		kernel = "/boot/guest-vmlinux"
		ramdisk = "/boot/guest.cpio"
		extra = "console=hvc0 quiet mitigations=off cryptomgr.notests"
		memory = 112
		tsc_mode = "native"
		vif = [ 'mac=$(mac_of "$1"),bridge=xenbr0' ]
	END
	create "$1"
	guest "$1" "$(configuration_of "$1")"
}

# beside_traffic COMMAND: while dom0 pings u1 fifty times a second and u2 ten times.
beside_traffic()
{
	dom0 -t 180 "ping -q -i 0.02 $(address_of u1) >/dev/null & a=\$!
		ping -q -i 0.1 $(address_of u2) >/dev/null & b=\$!
		sleep 1
		$1 >/run/said 2>&1
		status=\$?
		kill \$a \$b
		cat /run/said
		exit \$status"
}

readings() { beside_traffic "vifbench host --interval 2 --count $READINGS --json" | tee "$machine/readings"; }
every() { cat "$machine/readings"; jq -es "length == $READINGS and all($1)" "$machine/readings"; }
table()
{
	beside_traffic 'vifbench host --interval 1 --count 2' >"$machine/table"
	cat "$machine/table"
	[ "$(grep -cE '^[0-9]+ packets/s; cycles per packet:  all [0-9]+  backend [0-9]+  guests [0-9]+  xen [0-9]+ \| vif' "$machine/table")" = 2 ]
}
vif() { echo ".vifs[] | select(.vif == \"$(netdev_of "$1")\")"; }

# says WORDS ARGUMENTS...: it fails and says so.
says()
{
	local words=$1
	shift
	dom0 "vifbench $* >/run/said 2>&1 && exit 1; cat /run/said; grep '$words' /run/said"
}

# Where the clocks of Xen, dom0 and the machine are one.
begin_cold "$@"
machine_load "$build/vifbench"

check "without vifd" says "vifd" host --count 1
need "vifd starts" dom0 'start-vifd --workers=2'
need "a PV guest" bring_up u1 pv
need "a PVH guest" bring_up u2 pvh
know_domids
for g in u1 u2; do
	check "$g: ping" pings "$(address_of "$g")"
done
need "readings beside traffic" readings
check "each is of its interval" every '.seconds > 1.9 and .seconds < 20'
check "packets moved" every '.packets > 20'
check "u1's are more than u2's, and both are there" every "([$(vif u1)][0].packets) > ([$(vif u2)][0].packets) and ([$(vif u2)][0].packets) > 0"
check "each vif's model" every '.vifs | map(.model) | unique == ["bridge"]'
check "the models' packets are all packets" every '(.models.bridge.packets - .packets | fabs) < 1 and (.models.bridge.share - 1 | fabs) < 0.001'
check "no processor is busier than can be" every '.cpus_busy | length > 0 and all(. >= 0 and . <= 1.02)'
check "a packet costs the backend, guests and Xen something" every '.cycles_per_packet | .backend > 0 and .guests > 0 and .xen >= 0'
# There are no other domains.
check "and that is all it costs" every '.cycles_per_packet | (.backend + .guests + .xen) / .all | . > 0.97 and . < 1.03'
check "a packet is a copy, told by its way" every '.counts | (.copies > 0.9 and .copies < 1.1) and .from_guest.copies > 0.9 and .to_guest.grant_ops > 0.9 and .events > 0'
check "a guest's cycles" every ".vifs | all(.guest_cycles_per_packet > 0)"
check "a line each interval" table
check "traffic goes on" nothing_lost
check "vifd stops" dom0 stop-vifd
finish
