#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Real programs over vifd: ping, iperf3 and HTTP between two guests and the wire;
# then what it cost, and whether vifd, the kernels and the guests counted the same.
# Runs inside a lab of two guests (run-demo). Exits 1 when anything failed.
#
#	DEMO_SECONDS	of each iperf3 run [3]
set -euo pipefail
# shellcheck source=tests/pings.bash
. "$(dirname "$0")/../pings.bash"

lab=$VIF_LAB_NAME
seconds=${DEMO_SECONDS:-3}
udp_rate=500M
file_size=100000000
work=$(mktemp -d -p /run/vif-lab)
steps=14 step=0
failures=0

declare -A ns=([wire]=$lab-wire [g1]=$lab-g1 [g2]=$lab-g2)
declare -A ip4=([wire]=10.77.0.1 [g1]=10.77.0.11 [g2]=10.77.0.12)
declare -A ip6=([wire]=fd77::1 [g1]=fd77::11 [g2]=fd77::12)
declare -A title=([wire]=wire [g1]="guest 1" [g2]="guest 2")

in_ns()
{
	local at=$1
	shift
	ip netns exec "${ns[$at]}" "$@"
}

fail()
{
	failures=$((failures + 1))
	printf '  FAILED: %s\n' "$*"
}

# ---- numbers ----

# CPU of a process so far, in clock ticks: user and system time of /proc/PID/stat.
ticks_of()
{
	sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'
}

vifd_pid=$(</run/vif-lab/pids/vifd)
datapath_pid=$(vifctl list --json | jq .datapath.pid)
guest_pids=("$(</run/vif-lab/pids/guest-1)" "$(</run/vif-lab/pids/guest-2)")
ticks_per_second=$(getconf CLK_TCK)

# "frames control-ticks datapath-ticks guests-ticks microseconds": frames that crossed a ring.
numbers()
{
	printf '%s %s %s %s %s\n' \
		"$(vifctl stats --json | jq '[.vifs[] | .from_guest.frames + .to_guest.frames] | add')" \
		"$(ticks_of "$vifd_pid")" "$(ticks_of "$datapath_pid")" \
		"$(($(ticks_of "${guest_pids[0]}") + $(ticks_of "${guest_pids[1]}")))" \
		"${EPOCHREALTIME/[.,]/}"
}

# Bytes through the vifs so far.
bytes_so_far()
{
	local total=0 n file
	for file in /sys/class/net/vif[12].0/statistics/[rt]x_bytes; do
		read -r n <"$file"
		total=$((total + n))
	done
	echo "$total"
}

# What a kernel dropped and counted so far: "by devices", "by sockets", in all namespaces.
device_drops()
{
	local at
	{
		ip -j -s link
		for at in wire g1 g2; do
			ip -n "${ns[$at]}" -j -s link
		done
	} | jq -s '[.[][] | select(.ifname != "lo") | .stats64.rx.dropped + .stats64.tx.dropped] | add'
}

socket_drops()
{
	local at
	for at in wire g1 g2; do
		# shellcheck disable=SC2016 # awk's
		in_ns "$at" awk '/^Udp:/ && !h { split($0, k); h = 1; next }
			/^Udp:/ { for (i in k) if (k[i] == "RcvbufErrors") print $i }' /proc/net/snmp
	done | awk '{ s += $1 } END { print s + 0 }'
}

# ---- showing ----

say_progress()
{
	if [ -t 1 ]; then printf '\r\e[K[%2d/%d] %s' "$step" "$steps" "$1"; fi
}

say_result()
{
	if [ -t 1 ]; then printf '\r\e[K'; fi
	printf '[%2d/%d] %s\n' "$step" "$steps" "$1"
}

# Shows a background process' progress by what crosses the vifs, until it ends.
watch_run()
{
	local pid=$1 what=$2 begun=${EPOCHREALTIME/[.,]/} last now bytes before
	last=$begun before=$(bytes_so_far)
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.2
		[ -t 1 ] || continue
		now=${EPOCHREALTIME/[.,]/} bytes=$(bytes_so_far)
		say_progress "$(printf '%-28s %4.1f s %8.0f Mbit/s through the vifs' "$what" \
			"$(((now - begun) / 100000))e-1" "$(((bytes - before) * 8 / (now - last)))")"
		last=$now before=$bytes
	done
	wait "$pid"
}

rows=()
# One row of the table: what, Mbit/s, the numbers before and after.
add_row()
{
	rows+=("$(awk -v what="$1" -v mbit="$2" -v a="$3" -v b="$4" -v hz="$ticks_per_second" 'BEGIN {
		split(a, x); split(b, y)
		frames = y[1] - x[1]
		s = (y[5] - x[5]) / 1e6
		us = frames ? 1e6 / hz / frames : 0
		printf "%-28s %9.0f %10.0f %8.2f %9.2f %10.2f", what, mbit, frames / s,
			(y[2] - x[2]) * us, (y[3] - x[3]) * us, (y[4] - x[4]) * us
	}')")
}

# ---- the runs ----

pings()
{
	local from=$1 to=$2 what rtt=() address
	what="ping ${title[$from]} -> ${title[$to]}"
	step=$((step + 1))
	say_progress "$what"
	for address in "${ip4[$to]}" "${ip6[$to]}"; do
		if each_answered "${ns[$from]}" 5 -i 0.1 -W 10 "$address" >"$work/ping" 2>&1; then
			rtt+=("$(awk -F/ '/^rtt/ { print $5 }' "$work/ping") ms")
		else
			rtt+=("not answered")
			fail "$what ($address): $(tail -n 1 "$work/ping")"
		fi
	done
	say_result "$(printf '%-28s IPv4 %s, IPv6 %s' "$what" "${rtt[@]}")"
}

# A server of namespace $1 takes connections on TCP port $2, within 5 s.
await_port()
{
	local tries=0
	until in_ns "$1" ss -Hltn "sport = :$2" | grep >/dev/null .; do
		((++tries < 100)) || { fail "no server in ${title[$1]}"; return 1; }
		sleep 0.05
	done
}

iperf()
{
	local from=$1 to=$2 kind=$3 what before after devices sockets mbit note=""
	local args=(-c "${ip4[$to]}" -t "$seconds" -J)
	what="$kind ${title[$from]} -> ${title[$to]}"
	step=$((step + 1))
	say_progress "$what"
	[ "$kind" = TCP ] || args+=(-u -b "$udp_rate" -l 1400)
	in_ns "$to" iperf3 -s -1 >/dev/null 2>&1 &
	await_port "$to" 5201 || return 0
	devices=$(device_drops) sockets=$(socket_drops)
	before=$(numbers)
	in_ns "$from" iperf3 "${args[@]}" >"$work/iperf" 2>&1 &
	watch_run $! "$what" || { fail "$what: $(jq -r .error "$work/iperf")"; return 0; }
	after=$(numbers)
	wait
	if [ "$kind" = TCP ]; then
		mbit=$(jq '.end.sum_received.bits_per_second / 1e6' "$work/iperf")
	else
		mbit=$(jq '.end.sum | .bits_per_second * (1 - .lost_packets / .packets) / 1e6' "$work/iperf")
		note=$(jq -r '.end.sum | "  lost \(.lost_packets) of \(.packets)"' "$work/iperf")
		note+=": counted $(($(socket_drops) - sockets)) by full sockets,"
		note+=" $(($(device_drops) - devices)) by devices"
	fi
	add_row "$what" "$mbit" "$before" "$after"
	say_result "$(printf '%-28s %8.0f Mbit/s%s' "$what" "$mbit" "$note")"
}

# The file, by HTTP, from a server in $1 to a client in $2.
http()
{
	local server=$1 client=$2 what before after mbit pid sha port
	what="HTTP ${title[$server]} -> ${title[$client]}"
	step=$((step + 1))
	port=$((8000 + step)) # busybox does not reuse one with connections in TIME_WAIT
	say_progress "$what"
	in_ns "$server" busybox httpd -f -p "$port" -h "$work/www" &
	pid=$!
	await_port "$server" "$port" || return 0
	before=$(numbers)
	in_ns "$client" curl -sS --fail --max-time 60 "http://${ip4[$server]}:$port/file" >"$work/copy" &
	watch_run $! "$what" || fail "$what: curl"
	after=$(numbers)
	kill "$pid"
	wait "$pid" 2>/dev/null || true
	mbit=$(awk -v a="$before" -v b="$after" -v n="$file_size" \
		'BEGIN { split(a, x); split(b, y); print n * 8 / (y[5] - x[5]) }')
	sha=$(sha256sum <"$work/copy")
	rm -f "$work/copy"
	if [ "$sha" = "$file_sha" ]; then
		sha="SHA-256 equal"
	else
		fail "$what: the file arrived changed"
	fi
	add_row "$what" "$mbit" "$before" "$after"
	say_result "$(printf '%-28s %8.0f Mbit/s  100 MB, %s' "$what" "$mbit" "$sha")"
}

# ---- the counters ----

# What everyone counted for guest $1, as pairs that must be equal.
counts()
{
	local pid=${guest_pids[$1 - 1]}
	kill -USR1 "$pid"
	sleep 0.1
	jq -n --arg vif "vif$1.0" \
		--argjson vifd "$(vifctl stats --json)" \
		--argjson kernel "$(ip -n "$lab-g$1" -j -s link show dev eth0)" \
		--slurpfile guest "$VIF_LAB_DIR/guest-$1.stats" '
		($vifd.vifs[] | select(.vif == $vif)) as $v | $kernel[0].stats64 as $k | $guest[0] as $g |
		($v.from_guest.drops | add) as $from_drops | ($v.to_guest.drops | add) as $to_drops |
		# what the kernel dropped for vifd never left the netdev
		($to_drops - $v.to_guest.drops."queue-full") as $taken_drops |
		{
			from: [$k.tx.packets, $g.from_guest_frames, $v.from_guest.frames,
			       $v.netdev.from_guest.frames],
			to: [$k.rx.packets, $g.to_guest_frames, $v.to_guest.frames,
			     $v.netdev.to_guest.frames],
			from_drops: [$k.tx.dropped, $g.from_guest_drops, $from_drops,
				     $v.netdev.from_guest.dropped],
			to_drops: [$k.rx.dropped, $g.to_guest_stack_drops + $g.to_guest_errors,
				   $to_drops, $v.netdev.to_guest.dropped],
			pairs: [
				["guest kernel sent, vif-guest took",
				 $k.tx.packets, $g.from_guest_frames + $g.from_guest_drops],
				["vif-guest sent, vifd took",
				 $g.from_guest_frames, $v.from_guest.frames + $from_drops],
				["vifd sent on, its netdev took",
				 $v.from_guest.frames, $v.netdev.from_guest.frames],
				["netdev gave, vifd took",
				 $v.netdev.to_guest.frames, $v.to_guest.frames + $taken_drops],
				# a frame whose copy failed is answered with an error
				["vifd gave, vif-guest took",
				 $v.to_guest.frames + $v.to_guest.drops."grant-failed",
				 $g.to_guest_frames + $g.to_guest_stack_drops + $g.to_guest_errors],
				["vif-guest gave, guest kernel received",
				 $g.to_guest_frames, $k.rx.packets],
				["bytes vif-guest sent, vifd took", $g.from_guest_bytes,
				 (if $from_drops == 0 then $v.from_guest.bytes
				  else $g.from_guest_bytes end)],
				["bytes vifd gave, vif-guest took", $v.to_guest.bytes,
				 (if $g.to_guest_stack_drops + $g.to_guest_errors == 0
				  then $g.to_guest_bytes else $v.to_guest.bytes end)]
			]
		}'
}

# Waits until all that is on its way has arrived: every pair equal, at most 10 s.
quiesce()
{
	local deadline=$((SECONDS + 10))
	until counts "$1" >"$work/counts.$1" &&
		jq -e 'all(.pairs[]; .[1] == .[2])' "$work/counts.$1" >/dev/null; do
		((SECONDS < deadline)) || return 1
		sleep 0.2
	done
}

show_counts()
{
	local g
	printf '\n%-28s %12s %12s %12s %12s\n' "frames counted by" "guest kernel" vif-guest vifd "vif netdev"
	for g in 1 2; do
		jq -r --arg g "$g" '
			def row($what; $n): [$what] + $n | @tsv;
			row("guest \($g) sent"; .from), row("  dropped on the way"; .from_drops),
			row("guest \($g) received"; .to), row("  dropped on the way"; .to_drops)' \
			"$work/counts.$g" |
			awk -F'\t' '{ printf "%-28s %12s %12s %12s %12s\n", $1, $2, $3, $4, $5 }'
	done
}

check_counts()
{
	local g bad
	for g in 1 2; do
		quiesce "$g" && continue
		bad=$(jq -r '.pairs[] | select(.[1] != .[2]) | "\(.[0]): \(.[1]) and \(.[2])"' "$work/counts.$g")
		fail "guest $g: frames lost and not counted: $bad"
	done
	show_counts
}

mkdir "$work/www"
head -c "$file_size" /dev/urandom >"$work/www/file"
file_sha=$(sha256sum <"$work/www/file")

for pair in "g1 wire" "g2 wire" "g1 g2"; do
	# shellcheck disable=SC2086 # two words
	pings $pair
done
for kind in TCP UDP; do
	for pair in "g1 wire" "wire g1" "g1 g2"; do
		# shellcheck disable=SC2086
		iperf $pair $kind
	done
done
for pair in "wire g1" "g1 wire" "g1 g2" "g2 g1" "wire g2"; do
	# shellcheck disable=SC2086
	http $pair
done

printf '\n%-28s %9s %10s %8s %9s %10s\n' "" "" "frames/s" "CPU µs" "a frame" ""
printf '%-28s %9s %10s %8s %9s %10s\n' run "Mbit/s" "by vifd" control datapath vif-guest
printf '%s\n' "${rows[@]}"
echo "A frame is what crosses a ring: up to 64 KiB with segmentation offload; guest to"
echo "guest, each crosses two. vif-guest is the guests' part, not vifd's."
check_counts

if ((failures)); then
	printf '\nThe demo failed: %d times, see above.\n' "$failures"
	exit 1
fi
printf '\nAll counters agree: every frame arrived, or its drop was counted.\n'
