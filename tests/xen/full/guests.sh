#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Guests of each kind, made with 'xl create' from the configuration a user would write:
# PV and PVH, with one processor and with several; with another kernel than dom0's, one
# of each.
#
#	tests/xen/full/guests.sh [GUEST-KERNEL VERSION]     as image() has it; as in 5.10
#
# shellcheck disable=SC2317 # 'check' calls them
set -euo pipefail
# shellcheck source=tests/xen/cases.bash
. "$(dirname "$0")/../cases.bash"
# shellcheck source=tests/xen/traffic.bash
. "$(dirname "$0")/../traffic.bash"

QUEUES=4 # what vifd offers
kernel=${1:-} version=${2:-}

# GUEST TYPE PROCESSORS: the name ends in a digit of its own.
guests=("pv1 pv 1" "pvh2 pvh 1")
[ -n "$kernel" ] || guests+=("pv3 pv $QUEUES" "pvh4 pvh $QUEUES")

# QEMU does not decode an intercepted rdtscp: hence tsc_mode.
configure()
{
	config "$1" <<-END
		name = "$1"
		type = "$2"
		kernel = "/boot/guest-vmlinux"
		ramdisk = "/boot/guest.cpio"
		extra = "console=hvc0 quiet mitigations=off cryptomgr.notests"
		memory = 160
		vcpus = $3
		tsc_mode = "native"
		vif = [ 'mac=$(mac_of "$1"),bridge=xenbr0' ]
	END
}

bring_up()
{
	configure "$@"
	create "$1"
	guest "$1" "uname -r; nproc
		case \$(uname -r) in $version*) ;; *) exit 1 ;; esac
		[ \$(nproc) = $3 ] || exit 1
		$(configuration_of "$1")"
}

# Stock netfront asks for as many queues as it has processors.
connected() { shows 'vifctl list' "^$(netdev_of "$1") +Connected +Connected +$2 +connected"; }

detached()
{
	dom0 "xl network-detach $1 0"
	gone "${domid_of[$1]}" 0
	guest "$1" '! test -e /sys/class/net/eth0'
}

# what TYPE PROCESSORS: such a guest, in the names of cases
what()
{
	local vcpus=''
	[ "$2" = 1 ] || vcpus=" with $2 vcpus"
	echo "${version:+Linux $version, }${1^^}$vcpus"
}

begin_cold "" "$kernel"
check "vifd starts" dom0 "start-vifd --max-queues=$QUEUES"
for row in "${guests[@]}"; do
	read -r name type processors <<<"$row"
	what=$(what "$type" "$processors")
	check "$what: xl create" bring_up "$name" "$type" "$processors"
	know_domids
	check "$what: connected, queues: $processors" connected "$name" "$processors"
	check "$what: ping" pings "$(address_of "$name")"
	check "$what: ping over IPv6" pings "$(address6_of "$name")"
	check "$what: TCP to it, checksummed" send_to "$name" "$(address_of "$name")"
	check "$what: TCP from it, checksummed" fetch_from "$name" "$(address_of "$name")"
	check "$what: TCP to it over IPv6" send_to "$name" "$(address6_of "$name")"
	check "$what: TCP from it over IPv6" fetch_from "$name" "$(address6_of "$name")"
done
check "PV to PVH: TCP, checksummed" between pv1 pvh2 "$(address_of pvh2)"
check "PVH to PV: TCP over IPv6" between pvh2 pv1 "$(address6_of pv1)"
[ -n "$kernel" ] || check "PV to PVH, several vcpus: TCP" between pv3 pvh4 "$(address_of pvh4)"
check "no frame was dropped" nothing_lost
for row in "${guests[@]}"; do
	read -r name type processors <<<"$row"
	check "$(what "$type" "$processors"): xl network-detach leaves nothing" detached "$name"
done
check "vifd stops" dom0 stop-vifd
finish
