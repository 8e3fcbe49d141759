#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Proves the layering of backend/README.md: a file includes its own header and
# files of lower ranks only. Prints each breach; exits 1 if there is any.
#
# The table gives each file's rank; the first pattern that matches decides. Tests
# may include anything and are not ranked.
set -euo pipefail
cd "$(dirname "$0")/.."

rank_of()
{
	case $1 in
	libvif/base.h) echo 0 ;;
	libvif/log.*) echo 1 ;;
	libvif/steering.h | libvif/gate.h) echo 9 ;;
	libvif/packet.* | libvif/rss.* | libvif/multicast.*) echo 10 ;;
	libvif/offload.*) echo 11 ;;
	libvif/ring.* | libvif/grant.* | libvif/event.* | libvif/store.*) echo 20 ;;
	libvif/static_grants.*) echo 21 ;;
	libvif/features.* | libvif/xenbus.*) echo 30 ;;
	libvif/from_guest.* | libvif/to_guest.* | libvif/ctrl.*) echo 40 ;;
	backend/counters.h | backend/credit.* | backend/stations.*) echo 50 ;;
	backend/ipc.*) echo 51 ;;
	backend/bpf/*.h) echo 58 ;;
	backend/bpf/*) echo 59 ;;
	backend/nic/nic.h) echo 60 ;;
	backend/nic/model_wire.h | backend/nic/afxdp_transmit.h | backend/nic/afxdp_umem.h) echo 62 ;;
	backend/nic/model_hw.h) echo 63 ;;
	backend/nic/model_port.h | backend/nic/afxdp_port.h) echo 64 ;;
	backend/nic/*.h) echo 61 ;;
	backend/nic/*) echo 65 ;;
	backend/datapath/queue.*) echo 70 ;;
	backend/datapath/queue_* | backend/datapath/timers.*) echo 71 ;;
	backend/datapath/worker.h) echo 72 ;;
	backend/datapath/worker*.h) echo 73 ;;
	backend/datapath/worker*) echo 74 ;;
	backend/datapath/uring_parts.h) echo 75 ;;
	backend/datapath/uring* | backend/datapath/sandbox.*) echo 76 ;;
	backend/datapath/datapath.*) echo 77 ;;
	backend/control/vlans.* | backend/control/news.* | backend/control/rtnl.*) echo 79 ;;
	backend/control/exit.h | backend/control/config_nic.* | backend/control/links.* | backend/control/neighbours.*) echo 80 ;;
	backend/control/config.* | backend/control/notify.* | backend/control/netdev.* | backend/control/tap.* | backend/control/bridge.* | backend/control/steering.* | \
		backend/control/gating.* | backend/control/tap_program.*) echo 81 ;;
	backend/control/*) echo 82 ;;
	backend/client.*) echo 89 ;;
	backend/vifbench/*) echo 90 ;;
	backend/*.[ch]) echo 90 ;;
	frontend-compat/*) echo 60 ;; # above libvif, beside the backend
	*) echo none ;;
	esac
}

# The file an include names: written from the root, from libvif, or beside the file.
resolve()
{
	local from=$1 name=$2
	for path in "$(dirname "$from")/$name" "libvif/$name" "$name"; do
		[ -e "$path" ] && { realpath --relative-to=. "$path"; return; }
	done
	echo "$name"
}

breaches=0
breach()
{
	echo "$1"
	breaches=$((breaches + 1))
}

while IFS=: read -r file line name; do
	target=$(resolve "$file" "$name")
	from=$(rank_of "$file") to=$(rank_of "$target")
	[ "$from" = none ] && continue
	if [ "$to" = none ]; then
		breach "$file:$line: includes $target, which has no rank"
	elif [ "${file%.*}" = "${target%.*}" ] || [[ $file == backend/datapath/queue* && $target == backend/datapath/queue_p*.h ]]; then
		continue
	elif [[ $file == frontend-compat/* && $target == backend/* ||
		$file == backend/* && $target == frontend-compat/* ]]; then
		breach "$file:$line: includes $target: frontend and backend share libvif only"
	elif [[ $file == frontend-compat/* && $target == frontend-compat/* ||
		$file == backend/vifbench/* && $target == backend/vifbench/* ]]; then
		continue
	elif ((to > from)) || { ((to == from)) && [[ $file != backend/control/* ]]; }; then
		breach "$file:$line: rank $from includes $target of rank $to"
	fi
done < <(grep -nE '^#include "' libvif/*.[ch] backend/*.[ch] backend/*/*.[ch] frontend-compat/*.[ch] 2>/dev/null |
	sed -E 's/^([^:]*):([0-9]+):#include "([^"]*)".*/\1:\2:\3/')

if ((breaches)); then
	echo "$breaches breaches of the layering"
	exit 1
fi
echo "ok - each file includes only its own header and lower ranks"
