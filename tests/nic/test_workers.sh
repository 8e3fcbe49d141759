#!/bin/bash
# SPDX-License-Identifier: MIT
#
# With which worker a guest's queue is, where there are several and a NIC: who can have a place
# does not depend on who connects first. Four guests of one queue, three workers, two filters.
set -euo pipefail
# shellcheck source=tests/nic/nic.bash
. "$(dirname "$0")/nic.bash"
[ -n "${VIF_LAB_NAME:-}" ] || become_lab --name "k$$" --guests 4 --model mq --nic afxdp --filters 2 \
	--workers 3 -- "$0"

worker() { vifctl show "vif$1.0" --json | jq '.vif.queues[0].worker'; }
workers() { for g in 1 2 3 4; do worker "$g"; done | xargs; }
of_nic() { for g in 1 2 3 4; do [ "$(worker "$g")" != 0 ] || echo "$g"; done | xargs; }
# With a place that is read, not only on the way there.
placed() { for g in 1 2 3 4; do ! model_is "$g" mq || echo "$g"; done | xargs; }

placed_are() { [ "$(placed)" = "$1" ]; }

# Two for two filters, the others where there is most room.
as_many_as_filters()
{
	echo "workers: $(workers)"
	[ "$(of_nic | wc -w)" = 2 ]
	await 20 placed_are "$(of_nic)"
	[ "$(workers | tr ' ' '\n' | sort | xargs)" = "0 0 1 2" ]
}

# They connect one by one by their number: who was first before does not count.
restarted()
{
	for _ in 1 2 3; do
		vif-lab vifd restart
		await 20 placed_are "1 2"
		echo "workers: $(workers)"
		[ "$(workers)" = "0 0 2 1" ]
	done
}

# Who is elsewhere is told what to do, and by that it has a place.
wanted()
{
	vifctl model vif4.0 mq | grep "on the bridge for now: no queue of it is with the NIC's worker.*vifd is restarted"
	placement 3 why_not | grep 'vifctl model mq, then restart vifd'
	model_is 4 bridge
	vif-lab vifd restart
	await 20 model_is 4 mq
	[ "$(worker 4)" = 0 ]
	# 1 and 2 were first of those of whom nothing was said; one of them gave its place up.
	[ "$(workers)" = "0 0 2 0" ]
	await 20 n_placed_is 2
	vifctl model vif4.0 auto
}

# Whom the operator wants on the bridge leaves room beside the NIC.
unwanted()
{
	vifctl model vif1.0 bridge
	vifctl model vif2.0 bridge
	vif-lab vifd restart
	await 20 placed_are "3 4"
	[ "$(workers)" = "2 1 0 0" ]
	pings 1
	pings 4
	vifctl model vif1.0 auto
	vifctl model vif2.0 auto
}

# By its policy, a NIC that is for nobody of itself changes nothing for the balance.
named_only()
{
	vif-lab vifd restart --nics "${n}w0,policy=named,filters=2"
	await 20 nic_is open true
	[ "$(workers)" = "2 1 0 2" ]
	vifctl model vif2.0 mq | grep 'no queue of it'
	vif-lab vifd restart --nics "${n}w0,policy=named,filters=2"
	await 20 model_is 2 mq
	[ "$(worker 2)" = 0 ]
}


ok "as many guests are beside the NIC as it has filters" as_many_as_filters
ok "vifd restarted: the same ones, whoever was first" restarted
ok "a guest elsewhere is told why it has no place, and how to have one" wanted
ok "one that is to have the bridge leaves room for another" unwanted
ok "a NIC for named ones only has those beside it" named_only
exit $failed
