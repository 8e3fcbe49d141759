#!/bin/bash
# SPDX-License-Identifier: MIT
#
# vifd in a driver domain: a PV guest, netdom, with a bridge of its own, vifd and
# 'xl devd' started by the README's commands; guests whose vifs say backend=netdom.
# In dom0 runs no vifd at all.
#
# shellcheck disable=SC2317 # 'check' calls them
set -euo pipefail
# shellcheck source=tests/xen/cases.bash
. "$(dirname "$0")/../cases.bash"
# shellcheck source=tests/xen/traffic.bash
. "$(dirname "$0")/../traffic.bash"
# shellcheck source=tests/xen/full/readme.bash
. "$(dirname "$0")/readme.bash"

# netdom runs from dom0's own programs, vifd among them, and the guests' init; it has no
# toolstack's daemons, and no module of the kernel's netback.
pack_netdom()
{
	dom0 'set -e
		mkdir /run/netdom
		cd /run/netdom
		cp -a /bin /sbin /lib /lib64 /usr /etc /root /var .
		mkdir boot dev proc sys run tmp mnt
		rm -rf var/log/xen/* lib/modules/*/kernel/drivers/net/xen-netback
		cpio -i init </boot/guest.cpio
		find . | cpio -o -H newc >/boot/netdom.cpio
		rm -r /run/netdom'
	config netdom <<-END
		name = "netdom"
		type = "pv"
		kernel = "/boot/guest-vmlinux"
		ramdisk = "/boot/netdom.cpio"
		extra = "console=hvc0 quiet mitigations=off cryptomgr.notests"
		memory = 256
		tsc_mode = "native"
		driver_domain = 1
	END
}

# in_netdom SCRIPT: as in a login shell there. Not busybox' shell: it takes its own 'ip'.
in_netdom()
{
	local script="export PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/xen/bin
		mkdir -p /run/xen /run/lock /run/vifd
		cd /
		$1"
	guest netdom "bash -c ${script@Q}"
}

follow_the_readme() { in_netdom "$(readme "In a driver domain" "xl devd")"; }

netdom_up()
{
	create netdom
	follow_the_readme
	in_netdom 'ip addr add 10.0.0.1/24 dev xenbr1; ip addr add fd00::1/64 dev xenbr1 nodad
		vifctl list'
}

guest_config()
{
	config "$1" <<-END
		name = "$1"
		type = "$2"
		kernel = "/boot/guest-vmlinux"
		ramdisk = "/boot/guest.cpio"
		extra = "console=hvc0 quiet mitigations=off cryptomgr.notests"
		memory = 160
		tsc_mode = "native"
		vif = [ 'mac=$(mac_of "$1"),backend=netdom,bridge=xenbr1' ]
	END
}

guest_up()
{
	guest_config "$@"
	create "$1"
	guest "$1" "$(configuration_of "$1")"
}

attach()
{
	dom0 "xl network-attach $1 mac=$(mac_of "$1") backend=netdom bridge=xenbr1"
	guest "$1" "until test -e /sys/class/net/eth0; do sleep 0.1; done; $(configuration_of "$1")"
}

# libxl does not wait for another domain's hotplug script.
served()
{
	in_netdom "for i in \$(seq 100); do
			vifctl list | grep -E '^$(netdev_of "$1") +Connected +Connected +1 +connected' && break
			sleep 0.2
		done
		bridge link show dev $(netdev_of "$1") | grep 'master xenbr1 state forwarding' || {
			vifctl list
			cat /var/log/vifd.log /var/log/xen/*
			exit 1
		}"
	shows "xl network-list $1" "^0 +${domid_of[netdom]} +$(mac_of "$1") .* 4 "
	dom0 '! ls /sys/class/net | grep ^vif && ! xenstore-exists backend/vif'
}

# Of the vif in netdom, and of the toolstack's notes; the guest's end too unless it is gone.
nothing_left()
{
	local domid=${domid_of[$1]}
	in_netdom "for i in \$(seq 100); do
			test -e /sys/class/net/vif$domid.0 || xenstore-exists backend/vif/$domid || break
			sleep 0.2
		done
		vifctl list
		ls /sys/class/net
		! vifctl list | grep ^vif$domid && ! test -e /sys/class/net/vif$domid.0 &&
			! xenstore-exists backend/vif/$domid && ! xenstore-exists error/backend/vif/$domid"
	dom0 "! xenstore-exists /libxl/$domid/device/vif/0 && ! xenstore-exists /local/domain/$domid/device/vif/0"
}

detach() { dom0 "xl network-detach $1 0"; nothing_left "$1"; }

lost_nothing()
{
	in_netdom 'vifctl stats | tee /run/stats
		! grep -E "dropped:|netdev:" /run/stats | grep -vE "dropped: none|dropped 0 +errors 0"'
}

# Its guests live on without it, and are given another.
netdom_destroyed()
{
	dom0 'xl destroy netdom'
	guest u1 'ip link show eth0; ! ping -c 2 -i 0.2 -W 1 10.0.0.1'
	dom0 'xl network-detach u1 0
		xl network-list u1 | grep ^[0-9] && exit 1
		! xenstore-ls -f | grep "/device/vif/"'
	guest u1 '! test -e /sys/class/net/eth0'
}

begin_cold
check "the driver domain's ramdisk" pack_netdom
check "a driver domain boots; the README's commands start vifd in it" netdom_up
((failed == 0)) || finish # nothing else can work
check "a PV guest with backend=netdom" guest_up u1 pv
know_domids
check "it is served from there, in the bridge there" served u1
((failed == 0)) || finish
check "ping" guest_pings netdom "$(address_of u1)"
check "ping over IPv6" guest_pings netdom "$(address6_of u1)"
check "TCP to the guest, checksummed" between netdom u1 "$(address_of u1)"
check "TCP from the guest, checksummed" between u1 netdom 10.0.0.1
check "TCP to the guest over IPv6" between netdom u1 "$(address6_of u1)"
check "TCP from the guest over IPv6" between u1 netdom fd00::1
check "a PVH guest with backend=netdom" guest_up u2 pvh
know_domids
check "it is served as well" served u2
check "guest to guest: TCP, checksummed" between u1 u2 "$(address_of u2)"
check "guest to guest: TCP over IPv6" between u2 u1 "$(address6_of u1)"
check "no frame was dropped" lost_nothing
check "vifd restarts under the guests" in_netdom 'stop-vifd; start-vifd; vifctl list'
check "ping after the restart" guest_pings netdom "$(address_of u1)"
check "xl network-detach leaves nothing" detach u1
check "xl network-attach" attach u1
check "it is served again" served u1
check "ping to the vif attached" guest_pings netdom "$(address_of u1)"
check "a guest is destroyed" dom0 'xl destroy u2'
check "nothing is left of it" nothing_left u2
check "the driver domain is destroyed: its guest lives on" netdom_destroyed
check "another driver domain" netdom_up
know_domids
check "the guest's vif in that one" attach u1
check "it is served there" served u1
check "ping through it" guest_pings netdom "$(address_of u1)"
check "vifd stops there" in_netdom stop-vifd
finish
