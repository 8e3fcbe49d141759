# SPDX-License-Identifier: MIT
#
# VLANs in dom0's bridges and frames byte by byte, for tests on the rig: sourced after
# traffic.bash. The wire is a namespace.
#
#	vlanbr, which filters VLANs - uplink | nic: the wire, with 802.1q devices
#
# A place is wire:INTERFACE or GUEST:INTERFACE; of guests' ones the address says which.
#
#	build_vlans, attach, vlan_in_guest	what frames pass
#	carries GUEST VLAN			traffic of all kinds with the wire
#	frame, tag, service_tag			frames, in hexadecimal digits
#	listen, send, got			what arrives of them
# shellcheck shell=bash disable=SC2034,SC2154 # cases.bash and traffic.bash have them

dom0_net='ip netns exec wire'

# wire_to BRIDGE UPLINK NIC: a cable from a port of that bridge to the wire.
wire_to()
{
	dom0 "ip link add $2 type veth peer name $3 netns wire
		ip link set $2 up
		${1:+ip link set $2 master $1}
		ip -n wire link set $3 up"
}

# tagged NAMESPACE DEVICE VLAN: an 802.1q device with the addresses 10.VLAN.0.1 and
# fd00:VLAN::1.
tagged()
{
	dom0 "ip ${1:+-n $1} link add link $2 name $2.$3 type vlan id $3
		ip ${1:+-n $1} addr add 10.$3.0.1/24 dev $2.$3
		ip ${1:+-n $1} addr add fd00:$3::1/64 dev $2.$3 nodad
		ip ${1:+-n $1} link set $2.$3 up"
}

build_vlans()
{
	local vlan
	dom0 'ip netns add wire
		ip link add vlanbr type bridge vlan_filtering 1 vlan_default_pvid 0
		ip link set vlanbr up'
	wire_to vlanbr uplink nic
	for vlan in 10 20 30 40; do
		dom0 "bridge vlan add dev uplink vid $vlan"
		tagged wire nic "$vlan"
	done
}

# attach GUEST DEVID BRIDGE VLAN-COMMAND...: by the stock vif-bridge; then 'bridge vlan' as
# asked for. Of the address $mac, if that is set.
attach()
{
	local command vif
	vif=$(netdev_of "$1" "$2")
	dom0 "xl network-attach $1 mac=${mac:-00:16:3e:00:0$2:1${1: -1}} bridge=$3"
	for command in "${@:4}"; do
		dom0 "bridge vlan add dev $vif $command"
	done
	guest "$1" "until test -e /sys/class/net/eth$2; do sleep 0.1; done; ip link set eth$2 up"
}

# addresses GUEST DEVICE NETWORK: 10.NETWORK.0.1N and fd00:NETWORK::1N.
addresses()
{
	guest "$1" "ip link set $2 up
		ip addr add 10.$3.0.1${1: -1}/24 dev $2
		echo 0 >/proc/sys/net/ipv6/conf/$2/accept_dad
		ip addr add fd00:$3::1${1: -1}/64 dev $2"
}

vlan_in_guest()
{
	guest "$1" "modprobe 8021q; ip link add link $2 name $2.$3 type vlan id $3"
	addresses "$1" "$2.$3" "$3"
}

# carries GUEST NETWORK: all kinds of traffic between the wire and the guest there.
carries()
{
	local v4=10.$2.0.1${1: -1} v6=fd00:$2::1${1: -1}
	pings "$v4"
	pings "$v6"
	send_to "$1" "$v4"
	fetch_from "$1" "$v4"
	send_to "$1" "$v6"
	fetch_from "$1" "$v6"
}

# ---- frames, byte by byte ----

# at PLACE COMMAND: runs it there.
at()
{
	if [ "${1%:*}" = wire ]; then
		dom0 "$dom0_net sh -c ${2@Q}"
	else
		guest "${1%:*}" "PATH=\$PATH:/run; $2"
	fi
}

give_program()
{
	local size
	size=$(stat -c %s "$build/xen-frames")
	guest "$1" "$(server 5009 'dd of=/run/xen-frames')"
	dom0 "$dom0_net nc $2 5009 </usr/local/sbin/xen-frames"
	guest "$1" "until [ \$(stat -c %s /run/xen-frames) = $size ]; do sleep 0.1; done
		chmod +x /run/xen-frames"
}

# frame PLACE TAGS TEXT [BYTES]: from there, or the address $from, to all, or to the address $to, with
# these tags before the ethertype and the text, padded to a payload of so many bytes.
frame()
{
	local source text
	case $1 in
	wire:*) source=020000000001 ;;
	*) source=00163e000${1: -1}1${1:1:1} ;;
	esac
	printf -v text "%-${4:-46}s" "$3"
	echo "${to:-ffffffffffff}${from:-$source}${2}88b5$(printf %s "$text" | od -An -v -tx1 | tr -d ' \n')"
}

tag() { printf '8100%04x' "$1"; }
service_tag() { printf '88a8%04x' "$1"; }
PRIORITY_5=$((5 << 13))

send() { at "$1" "xen-frames send ${1#*:} ${*:2}"; }

listen()
{
	local place
	for place; do
		at "$place" "file=/run/taken-${place#*:}
			[ ! -e \$file.pid ] || kill \$(cat \$file.pid)
			rm -f \$file
			xen-frames take ${place#*:} \$file >/dev/null 2>&1 </dev/null &
			echo \$! >\$file.pid
			until grep -qs taking \$file; do sleep 0.1; done"
	done
}

# got PLACE FRAME...: exactly these arrived there since 'listen', in this order. To know that
# nothing else did, the last is one sent after all that must not arrive. With $in_any_order,
# in any: a socket for all frames is given tagged ones before untagged ones that came with
# them (Linux' __netif_receive_skb_list_core()).
got()
{
	local taken expected
	taken=$(at "$1" "for i in \$(seq 100); do
			[ \$(wc -l </run/taken-${1#*:}) -lt $# ] || break
			sleep 0.1
		done
		tail -n +2 /run/taken-${1#*:}")
	expected=$(printf '%s\n' "${@:2}")
	[ -z "${in_any_order:-}" ] || { taken=$(sort <<<"$taken"); expected=$(sort <<<"$expected"); }
	[ "$taken" = "$expected" ] || {
		printf 'at %s:\n%s\nshould be:\n%s\n' "$1" "$taken" "$expected"
		return 1
	}
}
