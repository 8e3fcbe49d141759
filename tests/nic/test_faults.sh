#!/bin/bash
# SPDX-License-Identifier: MIT
#
# A NIC that fails: its cable is pulled, it refuses filters, it has too few, it writes where
# it was not to. Its guests, whose own pages it writes to, are served by the bridge
# meanwhile.
set -euo pipefail
# shellcheck source=tests/nic/nic.bash
. "$(dirname "$0")/nic.bash"
[ -n "${VIF_LAB_NAME:-}" ] ||
	become_lab --name "f$$" --guests 2 --frontend static-grants --model mq --nic model \
		--filters 1 --workers 1 -- "$0"

nic=${n}mq0
wish() { vifctl model "vif$1.0" "$2"; }
device() { vifctl nic --json | jq -r ".nics[0].device.$1"; }
device_is() { [ "$(device "$1")" = "$2" ]; }
neighbours() { guest 1 ping -q -c 3 -i 0.02 -w 5 10.77.0.12; }
placed() { for g in 1 2; do ! model_is $g mq || echo $g; done; }
somebody_placed() { [ -n "$(placed)" ]; }
written() { vifctl stats "vif$1.0" --json | jq '.vifs[0].to_guest.nic_written'; }
failed_with() { placement "$1" failure | grep "$2"; }

one_filter()
{
	[ "$(placed | wc -l)" = 1 ]
	placement "$o" why_not | grep 'every filter'
	pings 1
	pings 2
	neighbours
}

# The bridge goes on between the guests.
pulled()
{
	vifctl fault "$nic" pulled 1
	await 10 model_is "$g" bridge
	[ "$(device link)" = false ]
	neighbours
	refused wire ping -c 1 -W 0.4 "10.77.0.1$g"
	vifctl fault "$nic" pulled 0
	await 10 somebody_placed
	await 10 pings 1
	await 10 pings 2
}

wire_cut()
{
	wire ip link set eth0 down
	await 10 device_is link false
	await 10 model_is "$g" bridge
	wire ip link set eth0 up
	await 10 device_is link true
	await 10 somebody_placed
	await 10 pings 1
	await 10 pings 2
}

# filter_fault NAME REASON: the next filter is not to be had; the one after it is.
filter_fault()
{
	g=$(placed)
	wish "$(other "$g")" bridge
	wish "$g" bridge
	await 10 model_is "$g" bridge
	vifctl fault "$nic" "$1" 1
	wish "$g" mq
	await 10 failed_with "$g" "$2"
	await 10 model_is "$g" bridge
	pings "$g"
	wish "$g" mq
	await 10 model_is "$g" mq
	pings "$g"
	wish "$(other "$g")" auto
}

# Whether it writes to the guest's pages.
writes()
{
	local before
	before=$(written "$1")
	pings "$1" && [ "$(written "$1")" -gt "$before" ]
}

# The table of pages keeps it out; the frame is lost, which is told, and all goes on.
astray()
{
	local before
	before=$(device faults)
	await 10 writes "$g"
	vifctl fault "$nic" stray 2
	await 10 pings "$g"
	[ "$(device faults)" -eq $((before + 2)) ]
	vifctl stats "vif$g.0" | grep 'faults 2'
	grep 'kept from writing to a page' "$VIF_LAB_DIR/vifd.log"
	model_is "$g" mq
}

# The operator has the guest off it.
stuck()
{
	g=$(placed)
	pings "$g"
	vifctl fault "$nic" stuck 1 # there is only one place
	refused wire ping -c 1 -W 0.4 "10.77.0.1$g"
	wish "$(other "$g")" bridge
	wish "$g" bridge
	await 10 model_is "$g" bridge
	pings "$g"
	vifctl fault "$nic" stuck 0
	wish "$g" auto
	wish "$(other "$g")" auto
	await 10 somebody_placed
	pings "$g"
}

# Its host's side is taken away, and made anew.
tap_gone()
{
	g=$(placed)
	ip link del "$nic"
	await 10 model_is "$g" bridge
	neighbours
	ip tuntap add dev "$nic" mode tap
	ip link set "$nic" master "${n}br0" up
	await 20 somebody_placed
	await 10 pings 1
	await 10 pings 2
}

wrong_faults()
{
	refused vifctl fault "$nic" no-such 1
	refused vifctl fault "$nic" pulled 2
	refused vifctl fault "$nic" pulled yes
	refused vifctl fault nowhere pulled 1
}

other() { echo $((3 - $1)); }
await 20 somebody_placed || true
g=$(placed)
o=$(other "$g")
ok "one filter, two guests: one has it, the bridge serves the other" one_filter
ok "its cable is pulled: the bridge serves its guest, then it does again" pulled
g=$(placed)
ok "the wire has no link, nor then the NIC" wire_cut
ok "a filter is refused: the bridge serves its guest" filter_fault filter-refused 'adding its filter'
ok "its table is full: the same" filter_fault table-full 'adding its filter'
ok "it writes to a page that was taken from it: nothing lands" astray
ok "its queue is stuck: its guest can be moved to the bridge" stuck
ok "its TAP is deleted and made anew" tap_gone
ok "faults that are none are refused" wrong_faults
