# SPDX-License-Identifier: MIT
#
# A machine that runs Xen, under QEMU's emulation: sourced by 'rig' and the tests.
#
# A machine is a directory: the pipes of QEMU's monitor, of dom0's agent and of its
# terminal, the payload disk, the logs. Functions act on the one of machine_open, which
# need not be the process that started it.
#
#	machine_open DIR
#	machine_boot IMAGE        or  machine_restore IMAGE
#	machine_load [FILE...]    vifd, vifctl and these, into dom0
#	machine_send TREE         files as they lie in there
#	dom0 [-t SECONDS] SCRIPT
#	guest [-t SECONDS] GUEST SCRIPT
#	machine_logs
#	machine_stop
#
# A machine ends with the process that started it, however that ends, unless
# machine_keep=1 was set before.
# shellcheck shell=bash

# shellcheck source=tests/xen/image.bash
. "$(dirname "${BASH_SOURCE[0]}")/image.bash"
# shellcheck source=tests/xen/image/agent.bash
. "$xen_dir/image/agent.bash"

PAYLOAD_SIZE=64M # part of the snapshot: the disk may not change its size
BOOT_LIMIT=180 RESTORE_LIMIT=60

machine_keep=
machine='' # the directory
monitor_in='' monitor_out='' agent_in='' agent_out='' # descriptors, open both ways

# ---- QEMU ----

# Relative names: QEMU's -initrd splits at spaces and commas, and runs in the image's
# directory. What QEMU 7.2's emulation does not bear:
#   SMAP		dom0 dies at its first return to user mode
#   XSAVE		with it AVX: upper halves of registers change under a process; programs
#		crash now and then, or strlen() is wrong
# One processor, and one for dom0, is quicker than two: fewer interrupts between them.
# shellcheck disable=SC2054 # the commas are QEMU's
machine_arguments()
{
	arguments=(
		-machine q35 -accel tcg,thread=single -cpu max,-smap,-xsave -smp 1 -m 2G
		-display none -nodefaults -no-reboot -nic none
		-kernel xen
		-append "dom0_mem=768M,max:768M dom0_max_vcpus=1 console=com1 com1=115200 loglvl=warning guest_loglvl=warning spec-ctrl=no xpti=no"
		-initrd "vmlinux console=hvc0 quiet cryptomgr.notests mitigations=off audit=0,dom0.cpio"
		-device virtio-serial-pci
		-device virtserialport,chardev=agent,name=agent
		-device virtconsole,chardev=terminal
		-device virtio-blk-pci,drive=payload
	)
}

# shellcheck disable=SC2054
machine_files()
{
	files=(
		-serial "file:$machine/xen-console.log"
		-chardev "pipe,id=monitor,path=$machine/monitor" -mon chardev=monitor,mode=control
		-chardev "pipe,id=agent,path=$machine/agent"
		-chardev "pipe,id=terminal,path=$machine/terminal"
		-drive "id=payload,if=none,format=raw,read-only=on,file=$machine/payload.tar"
	)
}

machine_open()
{
	machine=$(realpath -m "$1")
	mkdir -p "$machine"
	if machine_alive; then
		machine_connect
	fi
}

machine_alive()
{
	local pid
	pid=$(cat "$machine/pid" 2>/dev/null) || return 1
	# Not another program that was given the number since.
	[ "$(readlink "/proc/$pid/exe" 2>/dev/null)" = "$(command -v qemu-system-x86_64)" ]
}

machine_connect()
{
	exec {monitor_in}<>"$machine/monitor.in" {monitor_out}<>"$machine/monitor.out" \
		{agent_in}<>"$machine/agent.in" {agent_out}<>"$machine/agent.out"
}

# machine_start IMAGE [QEMU'S FURTHER ARGUMENTS...]
machine_start()
{
	local image=$1 arguments files guard=(setpriv --pdeathsig KILL --) pipe
	shift
	[ -z "$machine_keep" ] || guard=(setsid)
	machine_arguments
	machine_files
	rm -rf "${machine:?}"/*
	for pipe in monitor agent terminal; do
		mkfifo "$machine/$pipe.in" "$machine/$pipe.out"
	done
	truncate -s "$PAYLOAD_SIZE" "$machine/payload.tar"
	(
		cd "$image" &&
			exec "${guard[@]}" qemu-system-x86_64 "${arguments[@]}" "${files[@]}" "$@" \
				</dev/null >"$machine/qemu.log" 2>&1
	) &
	echo $! >"$machine/pid"
	machine_connect
	qmp qmp_capabilities >/dev/null
}

# qmp COMMAND [ARGUMENTS]: one command of QEMU's monitor; prints the reply.
qmp()
{
	local line deadline=$((SECONDS + 30))
	printf '{"execute": "%s"%s}\n' "$1" "${2:+, \"arguments\": $2}" >&"$monitor_in"
	while agent_line "$monitor_out" "$deadline" machine_alive; do
		case $line in
		'{"return"'*) echo "$line"; return 0 ;;
		'{"error"'*) say "QEMU: $line"; return 1 ;;
		esac
	done
	say "QEMU does not answer '$1'"
	cat "$machine/qemu.log" >&2
	return 1
}

# qmp_until SECONDS PATTERN COMMAND: until its reply has the pattern.
qmp_until()
{
	local deadline=$((SECONDS + $1)) reply
	while reply=$(qmp "$3"); do
		[[ $reply != *$2* ]] || return 0
		if [[ $reply = *'"failed"'* ]] || ((SECONDS >= deadline)); then
			break
		fi
		sleep 0.05
	done
	say "QEMU: no $2 from $3: ${reply:-}"
	return 1
}

machine_stop()
{
	local pid tries=100
	machine_alive || return 0
	pid=$(cat "$machine/pid")
	kill "$pid" 2>/dev/null || true
	while machine_alive && ((tries-- > 0)); do
		sleep 0.05
	done
	! machine_alive || kill -KILL "$pid" 2>/dev/null || true
	rm -f "$machine/pid"
}

# ---- commands ----

# dom0 [-t SECONDS] SCRIPT: runs it in dom0 with bash; its output, its status; 124 when
# it took too long, 125 when dom0 does not answer.
dom0()
{
	local limit=60 status=0 lock
	if [ "$1" = -t ]; then
		limit=$2
		shift 2
	fi
	# Opened anew: subshells that share a descriptor share its lock.
	exec {lock}>"$machine/agent.lock"
	flock -w $((limit + 60)) "$lock" || return "$AGENT_LOST"
	agent_call "$agent_in" "$agent_out" "$limit" machine_alive "$*" || status=$?
	exec {lock}>&-
	return "$status"
}

# guest [-t SECONDS] GUEST SCRIPT: the same in a guest, with busybox' sh, over its console.
guest()
{
	local limit=60
	if [ "$1" = -t ]; then
		limit=$2
		shift 2
	fi
	dom0 -t $((limit + 20)) "guest-run -t $limit $1 ${2@Q}"
}

# ---- boot, snapshot, restore ----

# machine_boot IMAGE [QEMU'S ARGUMENTS...]: from nothing until dom0 answers; no guests.
machine_boot()
{
	machine_start "$@"
	dom0 -t "$BOOT_LIMIT" : || { say "dom0 does not come up: $machine/xen-console.log"; return 1; }
}

# machine_start_guests: u1 and u2, until they answer.
machine_start_guests()
{
	local guest
	for guest in u1 u2; do
		dom0 -t 120 "xl create -q /etc/xen/$guest.cfg"
	done
	for guest in u1 u2; do
		guest -t 120 "$guest" :
	done
}

# The name of an image's snapshot depends on what QEMU is and emulates.
snapshot_of()
{
	local arguments
	machine_arguments
	echo "$1/snapshot-$({ qemu-system-x86_64 --version; printf '%s\n' "${arguments[@]}" "$PAYLOAD_SIZE"; } |
		sha256sum | head -c 16)"
}

# machine_snapshot FILE: the machine as it is; it has ended then. Stopped first: the
# pages are written once, and all of one moment.
machine_snapshot()
{
	qmp stop >/dev/null
	qmp migrate-set-parameters '{"max-bandwidth": 10000000000}' >/dev/null
	qmp migrate "{\"uri\": \"exec:cat >'$1.part'\"}" >/dev/null
	qmp_until 120 '"status": "completed"' query-migrate
	machine_stop
	mv "$1.part" "$1"
}

# machine_restore IMAGE [QEMU'S ARGUMENTS...]: dom0 with u1 and u2 up and no backend; from
# the image's snapshot, which is made first if it is not there.
machine_restore()
{
	local image=$1 snapshot lock
	shift
	snapshot=$(snapshot_of "$image")
	exec {lock}>"$snapshot.lock"
	flock -w 600 "$lock" || die "another rig holds $snapshot.lock"
	if [ ! -e "$snapshot" ]; then
		say "booting Xen, dom0 and two guests for the snapshot"
		machine_boot "$image"
		machine_start_guests
		machine_snapshot "$snapshot"
	fi
	exec {lock}>&-
	machine_start "$image" "$@" -incoming "exec:cat '$snapshot'"
	qmp_until "$RESTORE_LIMIT" '"status": "paused"' query-status
	qmp cont >/dev/null
}

# ---- the program under test ----

# machine_load [FILE...]: vifd, vifctl and these, into dom0's /usr/local/sbin.
# shellcheck disable=SC2120 # the bench has files of its own
machine_load()
{
	local tree=$machine/payload
	rm -rf "$tree"
	mkdir -p "$tree/usr/local/sbin"
	install "$build/vifd" "$build/vifctl" "$@" "$tree/usr/local/sbin/"
	machine_send "$tree"
}

# machine_send TREE: takes the tree, adds the libraries its programs need and dom0 lacks, and
# puts it over dom0's files, by way of the payload disk.
machine_send()
{
	local tree=$1 programs have file size
	have=$(dom0 'ls /lib/x86_64-linux-gnu')
	mkdir -p "$tree/lib/x86_64-linux-gnu"
	mapfile -t programs < <(find "$tree" -type f -perm -u+x)
	with_libraries "${programs[@]}" | grep '\.so' | while read -r file; do
		grep -qxF "${file##*/}" <<<"$have" || [[ $file = /lib64/* ]] ||
			install "$(realpath "$file")" "$tree/lib/x86_64-linux-gnu/${file##*/}"
	done
	tar -c -C "$tree" -f "$machine/payload.new" .
	rm -rf "$tree"
	size=$(stat -c %s "$machine/payload.new")
	((size <= $(stat -c %s "$machine/payload.tar"))) || die "the payload disk is too small: $size"
	# In place: QEMU has the file open.
	dd if="$machine/payload.new" of="$machine/payload.tar" conv=notrunc status=none
	rm -f "$machine/payload.new"
	dom0 "load-payload $size"
}

# ---- logs ----

# machine_logs: gathers them in the machine's directory and says where.
machine_logs()
{
	mkdir -p "$machine/logs"
	if machine_alive && dom0 -t 30 collect-logs >"$machine/logs.base64" 2>/dev/null; then
		base64 -d "$machine/logs.base64" | tar -x -z -C "$machine/logs" ||
			say "dom0's logs did not arrive whole"
	else
		say "dom0 does not answer: what there is of it is in xen-console.log"
	fi
	cp "$machine/xen-console.log" "$machine/qemu.log" "$machine/logs/"
	rm -f "$machine/logs.base64"
	say "logs: $machine/logs"
}
