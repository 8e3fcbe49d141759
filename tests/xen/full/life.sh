#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What happens to a guest in its life, and to vifd meanwhile: under a TCP stream that
# must arrive whole wherever the guest itself lives on. After each end nothing may be
# left: no netdev, nothing in xenstore, no page held. Another guest, on the same vifd,
# must not notice.
#
# web1 is a PVH guest (PV ones cannot migrate: Debian's Xen has no shadow paging to log
# what they write), web2 a PV one.
#
#	tests/xen/full/life.sh [KERNEL [GUEST-KERNEL]]
#
# shellcheck disable=SC2317 # 'check' calls them
set -euo pipefail
# shellcheck source=tests/xen/cases.bash
. "$(dirname "$0")/../cases.bash"
# shellcheck source=tests/xen/traffic.bash
. "$(dirname "$0")/../traffic.bash"

# write_config GUEST TYPE
write_config()
{
	config "$1" <<-END
		name = "$1"
		type = "$2"
		kernel = "/boot/guest-vmlinux"
		ramdisk = "/boot/guest.cpio"
		extra = "console=hvc0 quiet mitigations=off cryptomgr.notests"
		memory = 112
		tsc_mode = "native"
		vif = ['mac=$(mac_of "$1"),bridge=xenbr0']
		on_crash = "restart"
	END
}

# works GUEST: from the outside in, and all the way.
works()
{
	shows 'vifctl list' "^$(netdev_of "$1") +Connected +Connected .* connected +bridge"
	shows "bridge link show dev $(netdev_of "$1")" 'master xenbr0 state forwarding'
	pings "$(address_of "$1")"
	send_to "$1" "$(address_of "$1")"
}
comes_up() { guest "$1" "$(configuration_of "$1")"; works "$1"; }
others_work() { pings "$(address_of web2)"; send_to web2 "$(address_of web2)"; }

# came_back GUEST: as another domain. Its console comes after its name.
came_back()
{
	dom0 -t 120 "until xl domid $1 | grep -qvx '${domid_of[$1]}'; do sleep 0.5; done
		until guest-run -t 20 $1 :; do sleep 0.5; done"
}

# stream_begins, stream_ends: random data from dom0 to web1 that goes on until it is to
# end; the guest answers with its sum.
stream_begins()
{
	guest web1 "$(server 5006 sha256sum)"
	dom0 "rm -f /run/stream.*
		setsid bash -c 'until test -e /run/stream.stop; do head -c 20000 /dev/urandom; sleep 0.05; done |
				tee /run/stream.data | nc $(address_of web1) 5006 >/run/stream.answer
			touch /run/stream.end' >/dev/null 2>&1 &
		until [ \$(stat -c %s /run/stream.data 2>/dev/null || echo 0) -gt 100000 ]; do sleep 0.1; done"
}

stream_ends()
{
	local sums
	mapfile -t sums < <(dom0 -t 120 'touch /run/stream.stop
		until test -e /run/stream.end; do sleep 0.2; done
		sha256sum </run/stream.data
		cat /run/stream.answer')
	same_sum "${sums[@]}"
}

# under_stream COMMAND...: and everything works as before.
under_stream()
{
	stream_begins
	"$@"
	stream_ends
}

begin_cold "$@"
write_config web1 pvh
write_config web2 pv
need "vifd starts" dom0 'start-vifd --workers=2'
need "xl create" create web1
need "xl create another" create web2
know_domids
check "traffic" comes_up web1
check "the other's traffic" comes_up web2

# ---- the guest stands still ----

# Its buffers run out, and then the netdev's queue: its frames, and nobody else's.
pause()
{
	dom0 'xl pause web1'
	dom0 "ping -f -c 3000 -w 5 $(address_of web1)" || true
	others_work
	dom0 'xl unpause web1'
}
check "xl pause, unpause: a stream goes on, the other's traffic as well" under_stream pause
check "xl unpause: traffic" works web1

# ---- vifd ----

restart() { dom0 'stop-vifd; start-vifd --workers=2'; }
check "vifd restarted: a stream goes on" under_stream restart
check "vifd restarted: traffic" works web1

kill_datapath()
{
	dom0 'old=$(pidof vifd-datapath)
		kill -KILL $old
		until new=$(pidof vifd-datapath) && [ "$new" != "$old" ]; do sleep 0.1; done'
}
check "datapath killed: a stream goes on" under_stream kill_datapath
check "datapath killed: traffic" works web1
kill_control() { dom0 'kill -KILL $(cat /run/vifd.pid); start-vifd --workers=2'; }
check "vifd killed and started: a stream goes on" under_stream kill_control
check "vifd killed and started: traffic" works web1
check "vifd killed and started: the other's traffic" works web2

# ---- the guest moves ----

checkpoint() { dom0 -t 90 'xl save -c web1 /run/web1.save; rm /run/web1.save'; }
check "xl save -c: a stream goes on" under_stream checkpoint
check "xl save -c: traffic" works web1

save_restore()
{
	dom0 -t 90 "xl save $1 /run/saved"
	gone "${domid_of[$1]}"
	dom0 -t 90 'xl restore /run/saved; rm /run/saved'
}
check "xl save, restore: a stream goes on; nothing of the saved one is left" under_stream save_restore web1
check "xl save, restore of a PV guest: nothing of the saved one is left" save_restore web2
know_domids
check "xl restore: traffic" works web1
check "xl restore of a PV guest: traffic" works web2

migrate()
{
	dom0 -t 120 "xl migrate -s '' web1 'xl migrate-receive'"
	gone "${domid_of[web1]}"
}
check "xl migrate: a stream goes on; nothing of the former one is left" under_stream migrate
know_domids
check "xl migrate: traffic" works web1

# ---- the guest's driver ----

reload()
{
	guest web1 'set -e
		echo vif-0 >/sys/bus/xen/drivers/vif/unbind
		test ! -e /sys/class/net/eth0
		rmmod xen-netfront
		modprobe xen-netfront
		until test -e /sys/class/net/eth0; do sleep 0.1; done'
}
check "netfront removed and loaded" reload
check "netfront removed and loaded: traffic" comes_up web1

# ---- the guest ends ----

reboot() { dom0 "xl reboot $1"; came_back "$1"; gone "${domid_of[$1]}"; }
crash() { guest -t 5 "$1" 'echo c >/proc/sysrq-trigger' || true; came_back "$1"; gone "${domid_of[$1]}"; }
check "xl reboot: the guest comes back; nothing of the former one is left" reboot web1
check "crash, on_crash=restart: a PV guest comes back; nothing of the former one is left" crash web2
know_domids
check "xl reboot: traffic" comes_up web1
check "crash: traffic" comes_up web2

# Both ways, as fast as it goes.
destroy_busy()
{
	stream_begins
	guest web1 'ping -A -s 1400 10.0.0.1 >/dev/null 2>&1 &'
	dom0 "ping -f -w 3 $(address_of web1) >/dev/null 2>&1 & sleep 1; xl destroy web1"
	gone "${domid_of[web1]}"
	dom0 'touch /run/stream.stop'
}
check "xl destroy amid traffic leaves nothing" destroy_busy
check "xl destroy amid traffic: the other's traffic" works web2
shut_down() { dom0 -t 90 'xl shutdown -w web2'; gone "${domid_of[web2]}"; }
check "xl shutdown leaves nothing" shut_down

nothing_at_all()
{
	dom0 'vifctl list; ip -br link show type tun; xenstore-ls -f | grep -E "backend/vif|error"
		[ $(vifctl list | wc -l) = 1 ] && ! ip link show type tun | grep . &&
			! xenstore-ls -f | grep -E "backend/vif/[0-9]|/error/"'
}
check "no guest, no vif" nothing_at_all
check "vifd stops" dom0 stop-vifd
finish
