#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What 'vif-lab run' promises: COMMAND's status, names, addresses, a life of their own
# for several labs, guests that come and go, and errors that say what to do.
# shellcheck disable=SC2317,SC2016 # cases are called through 'ok'; sh -c expands itself
set -euo pipefail
# shellcheck source=tests/lab/helpers.bash
. "$(dirname "$0")/helpers.bash"

exit_status()
{
	exits 7 "$lab" run --name "$(name a)" --guests 0 -- sh -c 'exit 7'
	exits 143 "$lab" run --name "$(name a)" --guests 0 -- sh -c 'kill -TERM $$'
	exits 127 "$lab" run --name "$(name a)" --guests 0 -- no-such-command
	exits 0 "$lab" run --name "$(name a)" --guests 0 -- true
	gone "$(name a)"
}
ok "the lab exits with COMMAND's status" exit_status

# Inside: what COMMAND finds.
inside()
{
	set -e
	n=$VIF_LAB_NAME
	[ "$XENSTORED_RUNDIR" = /run/xenstored ] && [ -d "$VIF_LAB_DIR" ]
	[ "$(ip netns list | wc -l)" = 4 ]
	ip -o link show dev "${n}br0" >/dev/null
	[ -e "/sys/class/net/${n}br0/brif/vif2.0" ]
	ip -n "$n-wire" -o addr | grep >/dev/null 'inet 10.77.0.1/24'
	ip -n "$n-g2" -o addr | grep >/dev/null 'inet6 fd77::12/64'
	for g in 1 2; do
		for to in 10.77.0.1 fd77::1 10.77.0.$((13 - g)) fd77::$((13 - g)); do
			ip netns exec "$n-g$g" ping -q -c 1 -W 5 "$to" >/dev/null
		done
	done
	[ "$(xenstore-read /local/domain/0/backend/vif/1/0/state)" = 4 ]
	[ "$(xenstore-read /local/domain/2/device/vif/0/state)" = 4 ]
	vifctl list | grep >/dev/null 'vif1.0 *Connected'
}
export -f inside
ok "bridge, wire and guests have the names and addresses promised" \
	"$lab" run --name "$(name b)" --guests 2 -- bash -c inside

libxl_keys()
{
	set -e
	xenstore-ls -fp | grep -E '/vif/1/0/|/1/device/vif/0' |
		sed -E 's/(tx|rx)-ring-ref = .*/\1-ring-ref/'
}
export -f libxl_keys
libxl_part()
{
	"$lab" run --name "$(name c)" --guests 1 -- bash -c libxl_keys >"$work/keys"
	while read -r line; do
		grep -qF -- "$line" "$work/keys" || { echo "missing: $line"; cat "$work/keys"; return 1; }
	done <<-END
		/local/domain/0/backend/vif/1/0/frontend = "/local/domain/1/device/vif/0"   (n0,r1)
		/local/domain/0/backend/vif/1/0/frontend-id = "1"   (n0,r1)
		/local/domain/0/backend/vif/1/0/online = "1"   (n0,r1)
		/local/domain/0/backend/vif/1/0/script = "/etc/xen/scripts/vif-bridge"   (n0,r1)
		/local/domain/0/backend/vif/1/0/mac = "00:16:3e:77:00:01"   (n0,r1)
		/local/domain/0/backend/vif/1/0/bridge = "$(name c)br0"   (n0,r1)
		/local/domain/0/backend/vif/1/0/handle = "0"   (n0,r1)
		/local/domain/0/backend/vif/1/0/type = "vif"   (n0,r1)
		/local/domain/0/backend/vif/1/0/hotplug-status = "connected"   (n0,r1)
		/local/domain/1/device/vif/0/backend = "/local/domain/0/backend/vif/1/0"   (n1,r0)
		/local/domain/1/device/vif/0/backend-id = "0"   (n1,r0)
		/local/domain/1/device/vif/0/handle = "0"   (n1,r0)
		/local/domain/1/device/vif/0/mac = "00:16:3e:77:00:01"   (n1,r0)
		/local/domain/1/device/vif/0/trusted = "1"   (n1,r0)
		/local/domain/1/device/vif/0/mtu = "1500"   (n0,r1)
		/libxl/1/device/vif/0/frontend = "/local/domain/1/device/vif/0"
	END
}
ok "xenstore holds what libxl writes, with its owners and permissions" libxl_part

two_labs()
{
	local a b
	a=$(name a) b=$(name b)
	mkfifo "$work/up" "$work/end"
	"$lab" run --name "$a" --guests 1 -- sh -c "echo up >$work/up; read x <$work/end" &
	timeout 30 cat "$work/up"
	"$lab" run --name "$b" --guests 1 -- sh -c \
		"ip netns exec $b-g1 ping -q -c 1 -W 5 10.77.0.1 && [ -z \"\$(ip netns list | grep $a)\" ]"
	# from the host's own shell, while the first still runs
	ip netns exec "$a-g1" ping -q -c 1 -W 5 fd77::1
	echo >"$work/end"
	wait $!
	gone "$a"
	gone "$b"
}
ok "two labs with the same domids run at once" two_labs

kept()
{
	local n
	n=$(name a)
	exits 5 "$lab" run --name "$n" --guests 1 --keep -- sh -c 'exit 5'
	says "vif-lab stop --name $n"
	"$lab" list | grep >/dev/null "^$n .*kept"
	exits 6 "$lab" exec --name "$n" -- sh -c 'vifctl list; exit 6'
	says 'vif1.0 .*Connected'
	exits 125 "$lab" run --name "$n" -- true
	says 'runs already'
	exits 125 "$lab" stop --name "$n" "$n"
	says "^vif-lab stop: takes no '$n'"
	"$lab" list | grep >/dev/null "^$n .*kept"
	exits 0 "$lab" stop --name "$n"
	gone "$n"
	exits 125 "$lab" stop --name "$n"
	says 'no lab named'
}
ok "a kept lab stays until it is stopped" kept

# All that 'run' was told holds for the next vifd, for the lab's COMMAND and for whoever comes by
# exec: the workers, the queues, the NIC with its options.
vifd_runs_with() { tr '\0' ' ' <"/proc/$(cat /run/vif-lab/pids/vifd)/cmdline" | grep -- "$1"; }
export -f vifd_runs_with
restarted()
{
	local n flags
	n=$(name r)
	flags='--workers 3 --max-queues 2 --datapath-nice 5 --nics '${n}'w0,steering=program,filters=1'
	exits 0 "$lab" run --name "$n" --guests 1 --queues 2 --workers 3 --model mq --filters 1 \
		--steering program --datapath-nice 5 --without gso-tcpv6 --keep -- bash -ec "
			vifd_runs_with '$flags'
			vif-lab vifd restart
			vifd_runs_with '$flags'"
	exits 0 "$lab" exec --name "$n" -- bash -ec "
		vif-lab vifd restart
		vifd_runs_with '$flags'
		[ \"\$VIF_LAB_WITHOUT\" = gso-tcpv6 ]
		vif-lab vifd restart --workers 1
		vifd_runs_with '$flags --workers 1'"
	exits 0 "$lab" stop --name "$n"
	gone "$n"
}
ok "vifd restarted has the flags the lab was begun with" restarted

# vifd hears of the vif's end by a watch, as we do: wait for it.
no_netdev()
{
	for _ in {1..100}; do
		[ -e "/sys/class/net/$1" ] || return 0
		sleep 0.05
	done
	echo "$1 is still there"
	return 1
}
export -f no_netdev
guests_come_and_go()
{
	set -e
	n=$VIF_LAB_NAME
	ping=(ip netns exec "$n-g1" ping -q -c 1 -W 5)
	for how in "" --destroy; do
		vif-lab guest stop ${how:+"$how"} 1
		for path in /local/domain/1 /local/domain/0/backend/vif/1 /libxl/1; do
			refused xenstore-exists "$path"
		done
		no_netdev vif1.0
		refused "${ping[@]}" 10.77.0.1
		refused vif-lab guest stop 1
		vif-lab guest start 1
		"${ping[@]}" 10.77.0.1
		refused vif-lab guest start 1
	done
	vif-lab detach --domid 1
	no_netdev vif1.0
	vif-lab attach --domid 1 --key vifname=custom0
	[ -e "/sys/class/net/${n}br0/brif/custom0" ]
	refused vif-lab attach --domid 1
	vif-lab detach --domid 1
	refused vif-lab attach --domid 9
}
export -f guests_come_and_go
ok "guests and vifs come and go as with xl" \
	"$lab" run --name "$(name d)" --guests 1 -- bash -c guests_come_and_go

failing_script()
{
	set -e
	vif-lab detach --domid 1
	refused vif-lab attach --domid 1 --bridge none 2>"$VIF_LAB_DIR/said"
	grep 'Could not find bridge device none' "$VIF_LAB_DIR/said"
	xenstore-read /local/domain/0/backend/vif/1/0/hotplug-error
	refused vif-lab detach --domid 1 # the script does not find the bridge either
	refused xenstore-exists /local/domain/0/backend/vif/1
}
export -f failing_script
ok "a hotplug script's failure is told in its own words" \
	"$lab" run --name "$(name e)" --guests 1 -- bash -c failing_script

ok "64 guests are up and reachable" "$lab" run --name "$(name f)" --guests 64 -- sh -c '
	for g in $(seq 64); do
		ip netns exec $VIF_LAB_NAME-g$g ping -q -c 1 -W 5 10.77.0.1 >/dev/null || exit 1
	done'

bad_input()
{
	exits 125 "$lab" run --name 9x -- true
	says "--name takes .* not '9x'"
	exits 125 "$lab" run --name averylongname -- true
	says '11 letters'
	exits 125 "$lab" run --guests many -- true
	says 'from 0 to 200'
	exits 125 "$lab" run --frontend bsd -- true
	says 'one of'
	says linux
	exits 125 "$lab" run --model nic -- true
	says '--model is bridge'
	exits 125 "$lab" run --steering device -- true
	says 'are of --model mq'
	exits 125 "$lab" run --model mq --nic model --steering device -- true
	says 'a model NIC has --steering program'
	for nice in '' 20 -21 5x; do
		exits 125 "$lab" run --datapath-nice "$nice" -- true
		says "from -20 to 19, not '$nice'"
	done
	exits 125 "$lab" run --logs "$work/no/logs" -- true
	says "^vif-lab: --logs $work/no/logs: No such file"
	exits 125 "$lab" run --bogus -- true
	says "^vif-lab run: unrecognized option '--bogus'"
	exits 125 "$lab" list x
	says "^vif-lab list: takes no 'x'"
	exits 125 "$lab" run --name x
	says 'needs a COMMAND'
	exits 125 "$lab" guest start 1
	says 'inside a lab'
	exits 125 "$lab" attach
	says 'inside a lab'
	exits 125 "$lab" frobnicate
	says 'no frobnicate'
	exits 125 "$lab"
	says '--help'
	exits 0 "$lab" --help
	says 'vif-lab exec'
	exits 0 "$lab" --version
	says "^vif-lab $(cat VERSION)"
	exits 125 setpriv --reuid 65534 --clear-groups "$lab" run -- true
	says 'as root'
	cp "$lab" "$work/vif-lab"
	exits 125 "$work/vif-lab" run -- true
	says "there is no $work/hosted-xen: run 'make'"
	ip netns add "$(name g)-g2"
	exits 125 "$lab" run --name "$(name g)" --guests 2 -- true
	says "g2 exists"
	ip netns exec "$(name g)-g2" true
	ip netns delete "$(name g)-g2"
	gone "$(name g)"
}
ok "bad input gets an error that says what is allowed" bad_input

exit $failed
