#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What an operator writes into a guest's 'vif =' and what it does: every keyword of
# xl-network-configuration(5) that a PV guest's vif takes, by its effect. Half of them are
# in its configuration file, the others are given to 'xl network-attach', which takes the
# same. Then a hotplug script that fails, one of several vifs detached, and four queues.
#
#	tests/xen/full/keys.sh [KERNEL [GUEST-KERNEL]]
#
# shellcheck disable=SC2317 # 'check' calls them
set -euo pipefail
# shellcheck source=tests/xen/cases.bash
. "$(dirname "$0")/../cases.bash"
# shellcheck source=tests/xen/traffic.bash
. "$(dirname "$0")/../traffic.bash"

# Each vif is in a network of its own, 10.1.DEVID.0/24, where dom0 is .1 and the guest .2.
MAC=00:16:3e:00:01 # and the devid

prepare_dom0()
{
	dom0 'ip link add xenbr1 type bridge
		ip link set xenbr1 up
		ip link add jumbo0 type bridge
		ip link set jumbo0 up mtu 9000
		for net in 0 2 7 8 9 10 11 20; do ip addr add 10.1.$net.1/24 dev xenbr0; done
		ip addr add 10.1.1.1/24 dev xenbr1
		ip addr add 10.1.5.1/24 dev jumbo0'
	dom0 "cat >/etc/xen/scripts/own-vif <<'END'
#!/bin/bash
# An operator's own: no bridge, an address on the vif itself.
echo \"\$* vif=\$vif type=\$XENBUS_TYPE path=\$XENBUS_PATH base=\$XENBUS_BASE_PATH\" >>/run/own-vif
[ \$1 = online ] || exit 0
ip addr add 10.1.3.1/24 dev \$vif
ip link set \$vif up
xenstore-write \$XENBUS_PATH/hotplug-status connected
END
		cat >/etc/xen/scripts/bad-vif <<'END'
#!/bin/bash
# One that cannot do its work.
. /etc/xen/scripts/vif-common.sh
[ \$1 = offline ] || fatal no such network
END
		chmod +x /etc/xen/scripts/*-vif"
}

write_configs()
{
	config web <<-END
		name = "web"
		type = "pv"
		kernel = "/boot/guest-vmlinux"
		ramdisk = "/boot/guest.cpio"
		extra = "console=hvc0 quiet mitigations=off cryptomgr.notests"
		memory = 160
		tsc_mode = "native"
		vif = [
			'mac=$MAC:00,bridge=xenbr0',
			'bridge=xenbr1',
			'mac=$MAC:02,vifname=web-dmz',
			'mac=$MAC:03,script=own-vif',
			'mac=$MAC:04,script=vif-route,gatewaydev=xenbr1,ip=10.1.4.2',
			'mac=$MAC:05,bridge=jumbo0,mtu=9000',
		]
	END
	config smp <<-END
		name = "smp"
		type = "pv"
		kernel = "/boot/guest-vmlinux"
		ramdisk = "/boot/guest.cpio"
		extra = "console=hvc0 quiet mitigations=off cryptomgr.notests"
		memory = 128
		vcpus = 4
		tsc_mode = "native"
		vif = ['mac=$MAC:80,bridge=xenbr0']
	END
}

# vif DEVID: its netdev.
vif() { netdev_of web "$1"; }
backend_has() { shows "xenstore-ls backend/vif/${domid_of[web]}/$1" "$2"; }
frontend_has() { shows "xenstore-ls /local/domain/${domid_of[web]}/device/vif/$1" "$2"; }
in_bridge() { shows "bridge link show dev $2" "master $1 state forwarding"; }

# on DEVID COMMANDS: in the guest, with 'eth' being the device of that vif; netfront
# numbers them as it finds them.
on()
{
	guest web "for eth in /sys/class/net/eth*; do
			grep -qx device/vif/$1 \$eth/device/nodename && break
			eth=
		done
		test \$eth || exit 1
		eth=\${eth##*/}
		$2"
}

# An address answers on its own device alone: several are on the same bridge.
configure()
{
	on "$1" "echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore
		ip link set \$eth up
		ip addr add 10.1.$1.2/24 dev \$eth"
}

works() { configure "$1"; pings "10.1.$1.2"; send_to web "10.1.$1.2"; }

# attach DEVID [KEYS], detach DEVID: each before the next, for a domain's scripts run all at
# once when it ends.
attach()
{
	local keys=${2:-}
	dom0 "xl network-attach web devid=$1 $(printf 'mac=%s:%02x' "$MAC" "$1") ${keys//,/ }"
	guest web "until grep -qx device/vif/$1 /sys/class/net/eth*/device/nodename; do sleep 0.1; done"
}
detach() { dom0 "xl network-detach web $1"; gone "${domid_of[web]}" "$1"; }
works_then_goes() { works "$1"; detach "$1"; }

begin_cold "$@"
prepare_dom0
write_configs
need "vifd starts" dom0 'start-vifd --max_queues=4'
need "xl create with six vifs" create web
know_domids

mac_as_written() { on 0 "grep -x $MAC:00 /sys/class/net/\$eth/address"; shows 'xl network-list web' "^0 .* $MAC:00 "; }
check "mac: the guest has it" mac_as_written
check "mac: the backend's netdev has fe:ff:ff:ff:ff:ff" shows "cat /sys/class/net/$(vif 0)/address" fe:ff:ff:ff:ff:ff
check "bridge: the vif is in it" in_bridge xenbr0 "$(vif 0)"
check "bridge: traffic" works 0
mac_made_up() { shows 'xl network-list web' "^1 .* $(on 1 'cat /sys/class/net/$eth/address') "; backend_has 1 'mac = "00:16:3e:'; }
check "mac left out: xl's is the guest's" mac_made_up
check "bridge: another" in_bridge xenbr1 "$(vif 1)"
check "bridge: traffic in another" works 1

check "bridge left out: xenbr0; vifname: the netdev's name" in_bridge xenbr0 web-dmz
check "vifname: vifctl knows it" shows 'vifctl show web-dmz' "$(vif 2)"
check "vifname: traffic" works 2

script_ran() { shows 'cat /run/own-vif' "^online type_if=vif vif=$(vif 3) type=vif path=backend/vif/${domid_of[web]}/3 base=backend$"; }
check "script: an own one ran, with what it is promised" script_ran
check "script: traffic" works 3

routed() { shows 'ip route' "^10.1.4.2 dev $(vif 4) .*src 10.1.1.1 metric 2"; shows "ip addr show dev $(vif 4)" 'inet 10.1.1.1/32'; }
works_routed() { configure 4; on 4 'ip route add 10.1.1.1 dev $eth'; pings 10.1.4.2; send_to web 10.1.4.2; }
check "script=vif-route: a route to ip, the address of gatewaydev" routed
check "script=vif-route: traffic" works_routed

works_jumbo()
{
	configure 5
	on 5 'ip link set $eth mtu 9000'
	shows 'ping -M do -s 8972 -c 3 -i 0.2 -W 5 10.1.5.2' ' 0% packet loss'
	send_to web 10.1.5.2
	fetch_from web 10.1.5.2
}
check "mtu: the netdev's" shows "cat /sys/class/net/$(vif 5)/mtu" '^9000$'
check "mtu: the guest is told" frontend_has 5 '^mtu = "9000"'
check "mtu left out: the bridge's" shows "cat /sys/class/net/$(vif 0)/mtu" '^1500$'
check "mtu: whole frames of 9000 bytes, TCP both ways" works_jumbo

natted() { shows 'ip route' "^10.1.6.2 dev $(vif 6) .*src 10.1.6.129"; }
works_natted() { configure 6; pings 10.1.6.2; send_to web 10.1.6.2; detach 6; }
check "script=vif-nat attached" attach 6 script=vif-nat,ip=10.1.6.2
check "script=vif-nat: a route to ip, and the router's address" natted
check "script=vif-nat: traffic, then detached" works_natted

check "untrusted attached" attach 7 untrusted
check "untrusted: the guest is told" frontend_has 7 '^trusted = "0"'
check "untrusted: traffic through the guest's bounce buffers, then detached" works_then_goes 7
check "trusted, backend=Domain-0, type=vif attached" attach 8 trusted,backend=Domain-0,type=vif
check "trusted: the guest is told" frontend_has 8 '^trusted = "1"'
check "trusted, backend=Domain-0, type=vif: traffic, then detached" works_then_goes 8
check "model, accel, forwarddev attached" attach 9 model=e1000,accel=no,forwarddev=eth9
check "model, accel, forwarddev: no effect, traffic, then detached" works_then_goes 9
check "devid=20 attached" attach 20
check "devid: the vif's number" backend_has 20 '^handle = "20"'
check "devid: traffic, then detached" works_then_goes 20

# sends_for MS...: how long the guest sends 512 KiB over TCP. It may send 100,000 bytes a
# second after a first 128 KiB, which a credit holds at most: netback's rule.
sends_for()
{
	local ms
	guest web "head -c 524288 /dev/zero >/run/data; $(server 5005 'cat /run/data')"
	ms=$(dom0 'begun=${EPOCHREALTIME/./}
		[ $(nc 10.1.10.2 5005 </dev/null | wc -c) = 524288 ] && echo $(((${EPOCHREALTIME/./} - begun) / 1000))')
	echo "$ms ms for 512 KiB"
	(($1 <= ms && ms <= $2))
}
rated() { configure 10; pings 10.1.10.2; sends_for 3500 8000; }
rerated() { dom0 "xenstore-write backend/vif/${domid_of[web]}/10/rate 100000000,50000"; sends_for 0 3000; detach 10; }
check "rate attached" attach 10 rate=100KB/s
check "rate: the guest sends no faster, and as fast" rated
check "rate: another is heeded at once, then detached" rerated
check "no frame was dropped" nothing_lost

# xl 4.17 itself refuses these, for a PV guest.
refused() { dom0 "! xl network-attach web $1 >/run/refused 2>&1"; shows 'cat /run/refused' "$2"; }
check "type=ioemu: refused by xl" refused type=ioemu 'emulated interface'
check "vlan: refused by xl" refused vlan=5 'unrecognized'

# xl leaves such a vif where it is.
script_fails()
{
	refused 'script=bad-vif devid=11' 'no such network'
	shows 'vifctl list' "^$(vif 11) .* failed "
	shows 'cat /var/log/vifd.log' 'hotplug script failed: no such network'
}
check "script that fails: its reason in xl's error and vifd's log" script_fails
check "script that fails: its vif detached leaves nothing" detach 11
detach_one()
{
	detach 0
	pings 10.1.5.2
	send_to web 10.1.3.2
}
check "one of several vifs detached leaves the others" detach_one
script_ends() { detach 3; shows 'cat /run/own-vif' "^offline type_if=vif vif=$(vif 3) "; }
check "script: the own one ran at the end" script_ends
destroyed() { dom0 -t 90 'xl destroy web'; gone "${domid_of[web]}"; }
check "xl destroy with four vifs leaves nothing" destroyed

need "xl create with four vcpus" create smp
know_domids
four_queues()
{
	shows "xenstore-ls backend/vif/${domid_of[smp]}/0" 'multi-queue-max-queues = "4"'
	shows "xenstore-ls /local/domain/${domid_of[smp]}/device/vif/0" 'multi-queue-num-queues = "4"'
	shows 'vifctl list' "^$(netdev_of smp) +Connected +Connected +4 "
}
check "four vcpus: four queues" four_queues
# Forty connections: that none of them falls on one of four queues is less likely than
# once in 20,000 runs.
all_queues_work()
{
	guest smp 'ip link set eth0 up; ip addr add 10.1.0.3/24 dev eth0'
	pings 10.1.0.3
	dom0 'setsid nc -ll -p 5004 -e true >/dev/null 2>&1 & echo $! >/run/nc.pid
		until netstat -ltn | grep -q :5004; do sleep 0.1; done'
	guest smp 'for i in $(seq 40); do nc 10.1.0.1 5004 </dev/null; done; cat /proc/interrupts
		test $(grep -cE " [1-9][0-9]* .*vif0-q[0-3]-(tx|rx)" /proc/interrupts) = 8'
	dom0 'kill $(cat /run/nc.pid)'
	send_to smp 10.1.0.3
	fetch_from smp 10.1.0.3
}
check "four vcpus: traffic on every queue" all_queues_work
check "four vcpus: no frame was dropped" nothing_lost
shut_down() { dom0 -t 90 'xl shutdown -w smp'; gone "${domid_of[smp]}"; }
check "four vcpus: xl shutdown leaves nothing" shut_down
check "vifd stops" dom0 stop-vifd
finish
