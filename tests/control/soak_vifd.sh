#!/bin/bash
# SPDX-License-Identifier: MIT
#
# soak_vifd.sh [CYCLES]: a vif is attached, connected by a real frontend with 8 queues,
# detached and removed, again and again; then neither process of vifd may hold a
# file descriptor, the hypervisor a grant, a port or a mapping, the kernel a netdev
# more than after the first few, and memory must not have grown.
# shellcheck disable=SC2086,SC2317
set -euo pipefail
cycles=${1:-1000}
# shellcheck source=tests/control/lib.sh
. "$(dirname "$0")/lib.sh"

domain_0() { "$build"/hosted-xen dump | awk '$1 == 0'; }
n_fds() { find /proc/"$1"/fd -mindepth 1 | wc -l; }
rss_kib() { awk '/^VmRSS/ { print $2 }' /proc/"$1"/status; }

cycle()
{
	attach 7
	start_frontend 7 --queues 8
	until_ 10 state_is 7 2
	ip link set vif7.0 up
	hotplug_done 7
	until_ 10 state_is 7 4
	[[ $(ctl show vif7.0 --json | grep -c '"attached": true') == 8 ]]
	xenstore-write "$(be 7)/online" 0 "$(be 7)/state" 5
	until_ 10 state_is 7 6
	kill "$guest_pid_7"
	wait "$guest_pid_7" || true
	remove 7
	until_ 10 netdev_is_gone 7
}

take()
{
	echo "fds control $(n_fds "$vifd_pid") datapath $(n_fds "$(datapath_pid)")"
	echo "netdevs $(ip -o link | wc -l)"
	echo "store nodes $(xenstore-ls -f | wc -l)"
	echo "domain 0: $(domain_0)"
}

start_xen
start_vifd --log-level info --max-queues 8
start_guest 7 >/dev/null
kill "$guest_pid_7"
wait "$guest_pid_7" || true
for i in $(seq 5); do cycle; done >$tmp/cycle.log 2>&1
take >$tmp/before
rss_before=$(rss_kib "$vifd_pid") dp_before=$(rss_kib "$(datapath_pid)")
pid_before=$(datapath_pid)
for i in $(seq "$cycles"); do
	cycle >$tmp/cycle.log 2>&1 || { echo "not ok - cycle $i"; cat $tmp/cycle.log $tmp/vifd.log; exit 1; }
done
echo "ok - $cycles attach/detach cycles"
take >$tmp/after
case_ "nothing held more than before" diff $tmp/before $tmp/after
case_ "the same datapath all along" test "$(datapath_pid)" == "$pid_before"
rss_after=$(rss_kib "$vifd_pid") dp_after=$(rss_kib "$(datapath_pid)")
echo "# control $rss_before -> $rss_after KiB, datapath $dp_before -> $dp_after KiB"
case_ "memory has not grown" test $((rss_after - rss_before)) -lt 512 -a $((dp_after - dp_before)) -lt 1024
sed 's/^/# /' $tmp/after
exit $failed
