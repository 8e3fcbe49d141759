# SPDX-License-Identifier: MIT
#
# For tests of traffic through vif-guest: sourced; then 'ok TITLE dialect NAME CASE'.
# shellcheck shell=bash
# shellcheck disable=SC2317 # cases are called through 'ok'
# shellcheck source=tests/lab/helpers.bash
. "$(dirname "${BASH_SOURCE[0]}")/../lab/helpers.bash"

# ---- inside a lab: everything a case calls is exported to it ----

listening() { [[ $(ip netns exec "$1" ss -Hltn "sport = :$2") == *":$2"* ]]; }

port=8000
# copy FROM TO ADDRESS [CURL-OPTION...]: noise from one host to another, compared.
copy()
{
	local from=$1 to=$2 address=$3 server
	shift 3
	port=$((port + 1)) # busybox does not reuse one with connections in TIME_WAIT
	ip netns exec "$from" busybox httpd -f -p "$port" -h "$www" &
	server=$!
	await 5 listening "$from" "$port"
	ip netns exec "$to" curl -sS --fail --max-time 30 "$@" "http://$address:$port/sent" >"$www/got"
	kill "$server"
	cmp "$www/sent" "$www/got"
}

# Sizes around every limit there is, up to the largest datagram.
sizes()
{
	local size
	for size in 0 1 17 18 46 1400 1471 1472 1473 2958 4054 4055 4096 8000 16384 40000 65507; do
		ip netns exec "$1" ping -q -c 2 -i 0.01 -W 2 -s "$size" "$2" >/dev/null ||
			{ echo "ping -s $size $2"; return 1; }
	done
}

guest_stat() { jq ".$1" "$VIF_LAB_DIR/guest-1.stats"; }
vifd_stat() { vifctl stats --json | jq ".vifs[] | select(.vif == \"vif1.0\") | .$1"; }
same() { [[ $(guest_stat "$1") == "$(vifd_stat "$2")" ]]; }

# Both ends count the same, and nothing was lost or refused.
counters_agree()
{
	local way key
	for way in from_guest to_guest; do
		for key in frames bytes gso_frames csum_blank; do
			await 5 same "${way}_$key" "$way.$key" ||
				{ echo "$key: $(guest_stat "${way}_$key") $(vifd_stat "$way.$key")"; return 1; }
		done
	done
	for key in to_guest_errors to_guest_unasked to_guest_stack_drops from_guest_drops from_guest_error_responses \
		disabled; do
		[[ $(guest_stat "$key") == 0 ]] || { echo "$key: $(guest_stat "$key")"; return 1; }
	done
}

prepare()
{
	set -euo pipefail
	n=$VIF_LAB_NAME www=$VIF_LAB_DIR/www
	mkdir "$www"
	head -c "${1:-30M}" /dev/urandom >"$www/sent"
}

traffic()
{
	prepare 10M
	sizes "$n-g1" 10.77.0.1
	sizes "$n-wire" 10.77.0.11
	ip netns exec "$n-g1" ping -q -c 2 -i 0.01 -s 4000 fd77::1 >/dev/null
	copy "$n-g1" "$n-wire" 10.77.0.11
	copy "$n-wire" "$n-g1" 10.77.0.1
	copy "$n-g1" "$n-wire" '[fd77::11]'
	copy "$n-wire" "$n-g1" '[fd77::1]'
	copy "$n-g2" "$n-g1" 10.77.0.12
	counters_agree
}

size_of() { stat -c %s "$1" 2>/dev/null || echo 0; }
grown() { (($(size_of "$www/got") > $1)); }

# The datapath dies twice under each direction's traffic (vifd gives up on more than five
# deaths in 30 s): the guest sees no change of state, its frontend no broken protocol, and
# the bytes arrive.
# One runs, and it is not the one of that pid, which may take a moment to go.
another_datapath() { [[ "$(pgrep -f vifd-datapath)" =~ ^[0-9]+$ && "$(pgrep -f vifd-datapath)" != "$1" ]]; }

datapath_killed()
{
	local at way old
	prepare
	for way in "$n-g1 $n-wire 10.77.0.11" "$n-wire $n-g1 10.77.0.1"; do
		rm -f "$www/got"
		# shellcheck disable=SC2086 # three words
		copy $way --limit-rate 15M &
		for at in 6 14; do
			await 10 grown $((at << 20))
			old=$(pgrep -f vifd-datapath)
			kill -9 "$old"
			await 10 another_datapath "$old"
		done
		wait $!
	done
	[[ $(guest_stat connects) == 1 && $(guest_stat disabled) == 0 ]]
	[[ $(guest_stat from_guest_drops) == 0 && $(guest_stat to_guest_errors) == 0 ]]
}

# What a dialect does not offer never reaches it, and it sends none.
segments()
{
	[[ $(guest_stat from_guest_gso_frames) -gt 0 && $(guest_stat to_guest_gso_frames) -gt 0 ]]
}
with_gso() { traffic; segments; }
without_gso()
{
	traffic
	[[ $(guest_stat from_guest_gso_frames) == 0 && $(guest_stat to_guest_gso_frames) == 0 ]]
}

# Once its pages are mapped, not one grant operation for all of it.
no_grant_operations()
{
	local before
	[[ $(guest_stat static_pages) == 1024 ]]
	before=$(vifd_stat "from_guest.grant_ops + .to_guest.grant_ops")
	with_gso
	[[ $(vifd_stat "from_guest.grant_ops + .to_guest.grant_ops") == "$before" ]]
	[[ $(vifd_stat "from_guest.static_copies") -gt 100 && $(vifd_stat "to_guest.static_copies") -gt 100 ]]
}

# Frames come on the queues their hashes map to, and both families' do.
queues_by_hash()
{
	local key
	with_gso
	[[ $(guest_stat queues) == 4 && $(guest_stat to_guest_hashed) -gt 100 ]]
	[[ $(guest_stat to_guest_hash_extras) -ge $(guest_stat to_guest_hashed) ]]
	for key in to_guest_wrong_hash to_guest_wrong_queue ctrl_errors; do
		[[ $(guest_stat $key) == 0 ]] || { echo "$key: $(guest_stat $key)"; return 1; }
	done
}

# Every frame has the room that was asked for.
headroom()
{
	with_gso
	[[ $(guest_stat to_guest_headroom) == "$(guest_stat to_guest_frames)" ]]
}

# Loads and unloads an XDP program under traffic, both ways.
headroom_changes()
{
	local i before
	prepare
	copy "$n-wire" "$n-g1" 10.77.0.1 --limit-rate 15M &
	for i in {1..20}; do
		[[ $(vif-lab guest tell 1 headroom $((i % 2 * 256))) == ok ]]
	done
	wait $!
	before=$(told to_guest_headroom)
	sizes "$n-wire" 10.77.0.11
	[[ $(told to_guest_headroom) == "$before" ]] # the last was to leave none
	[[ $(told connects) == 1 && $(told to_guest_unasked) == 0 && $(told to_guest_errors) == 0 ]]
}

told() { vif-lab guest tell 1 stats | jq ".$1"; }

# One process reconnects with each feature off in turn, then all: the bytes arrive both ways,
# and no frame of either side uses what is off.
each_feature_off()
{
	local without key
	prepare 4M
	for without in sg gso-tcpv4 gso-tcpv6 csum-v4 csum-v6 sg,gso-tcpv4,gso-tcpv6,csum-v4,csum-v6 ''; do
		[[ $(vif-lab guest tell 1 connect without="$without") == ok ]]
		copy "$n-g1" "$n-wire" 10.77.0.11
		copy "$n-wire" "$n-g1" 10.77.0.1
		copy "$n-g1" "$n-wire" '[fd77::11]'
		copy "$n-wire" "$n-g1" '[fd77::1]'
		for key in to_guest_unasked to_guest_errors from_guest_drops disabled; do
			[[ $(told $key) == 0 ]] || { echo "without $without: $key"; return 1; }
		done
	done
	[[ $(told connects) == 8 && $(told to_guest_gso_frames) -gt 0 ]]
	[[ $(vif-lab guest tell 1 connect without=jumbo) == "error: without=jumbo: connect takes frontend=NAME, queues=1.."* ]]
}

# arrived N: what reaches the guest of ten datagrams to group 239.1.2.N.
arrived()
{
	local before
	before=$(told to_guest_frames)
	ip netns exec "$n-wire" ping -q -c 10 -i 0.01 -W 0.1 "239.1.2.$1" >/dev/null || true
	echo $(($(told to_guest_frames) - before))
}
requests_are() { [[ $(xenstore-read /local/domain/1/device/vif/0/request-multicast-control) == "$1" ]]; }
joins_told() { [[ $(told from_guest_multicast) -ge $1 ]]; }

# The backend learns of groups as the guest joins and leaves them, of no more than it can
# keep, and lets nothing else through while it is asked to.
multicast_filtered()
{
	local i joined
	n=$VIF_LAB_NAME
	ip netns exec "$n-wire" ip route add 239.0.0.0/8 dev eth0
	await 5 joins_told 1
	ip netns exec "$n-wire" ping -q -c 2 -i 0.01 -W 2 fd77::11 >/dev/null # its solicited-node group
	[[ $(arrived 3) == 0 ]]
	joined=$(told from_guest_multicast)
	ip netns exec "$n-g1" ip maddr add 01:00:5e:01:02:03 dev eth0
	await 5 joins_told $((joined + 1))
	[[ $(arrived 3) == 10 && $(arrived 4) == 0 ]]
	ip netns exec "$n-g1" ip maddr del 01:00:5e:01:02:03 dev eth0
	await 5 joins_told $((joined + 2))
	[[ $(arrived 3) == 0 ]]
	for i in {10..80}; do
		ip netns exec "$n-g1" ip maddr add 01:00:5e:00:00:"$i" dev eth0
	done
	await 5 requests_are 0
	await 5 eval '[[ $(arrived 4) == 10 ]]'
	for i in {10..80}; do
		ip netns exec "$n-g1" ip maddr del 01:00:5e:00:00:"$i" dev eth0
	done
	await 5 requests_are 1
	await 5 eval '[[ $(arrived 4) == 0 ]]'
	[[ $(told from_guest_error_responses) == 0 && $(told disabled) == 0 ]]
}

export -f no_grant_operations queues_by_hash headroom headroom_changes await told arrived requests_are joins_told \
	multicast_filtered each_feature_off listening copy sizes guest_stat vifd_stat same \
	counters_agree prepare traffic segments with_gso without_gso size_of grown \
	datapath_killed another_datapath
export port

# dialect NAME CASE [OPTION...]
dialect()
{
	"$lab" run --name "$(name "${1: -1}")" --guests 2 --frontend "$1" "${@:3}" -- bash -c "$2"
}
