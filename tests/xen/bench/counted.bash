# SPDX-License-Identifier: MIT
#
# Machines whose instructions are counted: sourced by 'run'. One emulated CPU whose clock
# is the number of instructions it has executed, so that a run does not depend on how
# busy this machine is; idle time is skipped. With two kinds of machine:
#
#	xen_counted IMAGE DIR	dom0, u1 and u2, one virtual CPU each, from a snapshot
#	native_counted IMAGE DIR dom0's kernel and programs without Xen, two NICs on a wire
#
# The plugin (count.c) writes to $machine/counts.
# shellcheck shell=bash

# shellcheck source=tests/xen/machine.bash
. "$(dirname "${BASH_SOURCE[0]}")/../machine.bash"

bench_dir=$xen_dir/bench
XEN_MEMORY=2048 NATIVE_MEMORY=1024 # MiB; the first as machine.bash has it
counted_kind=xen
NATIVE_MODULES=(virtio_pci virtio_blk virtio_console e1000e)

# The rig's machine (machine.bash), or the one without Xen; counted.
eval "xen_$(declare -f machine_arguments)"
machine_arguments()
{
	"${counted_kind}_machine_arguments"
	arguments+=(-icount "shift=0,sleep=off")
}

# The NICs hang on one hub: what one sends, the other receives.
native_machine_arguments()
{
	arguments=(
		-machine q35 -accel "tcg,thread=single" -cpu "max,-smap,-xsave" -smp 1 -m "$NATIVE_MEMORY"
		-display none -nodefaults -no-reboot -nic none
		-kernel vmlinux -initrd native.cpio
		-append "rdinit=/native-init console=ttyS0 quiet cryptomgr.notests mitigations=off audit=0 net.ifnames=0"
		-device virtio-serial-pci
		-device "virtserialport,chardev=agent,name=agent"
		-device "virtconsole,chardev=terminal"
		-device "virtio-blk-pci,drive=payload"
		-netdev "hubport,id=wire0,hubid=0" -device "e1000e,netdev=wire0,mac=00:16:3e:00:00:20"
		-netdev "hubport,id=wire1,hubid=0" -device "e1000e,netdev=wire1,mac=00:16:3e:00:00:21"
	)
}

plugin() { echo "-plugin $build/bench-count.so,out=$machine/counts,ram=$(($1 << 20)),guest=$machine/guest-frames${2:-}"; }

# symbols_of IMAGE: further arguments of the plugin: where Xen enters the PV kernel to
# deliver events, and where it enters Xen.
symbols_of()
{
	local known=$1/bench-symbols
	if [ ! -s "$known" ]; then
		machine_restore "$1" >&2
		dom0 'grep -wE "xen_asm_exc_xen_hypervisor_callback|xen_hypercall_pv|__SCT__xen_hypercall" /proc/kallsyms' |
			awk '{ printf ",%s=%s", $3 ~ /callback$/ ? "upcall" : "hypercall", $1 }' >"$known.part"
		machine_stop
		mv "$known.part" "$known"
	fi
	cat "$known"
}

xen_counted()
{
	local symbols arguments
	counted_kind=xen
	machine_open "$2"
	symbols=$(symbols_of "$1")
	read -ra arguments < <(plugin "$XEN_MEMORY" "$symbols")
	machine_restore "$1" "${arguments[@]}"
	machine_load "$build/bench-load" "$xen_bin/xen-mfndump"
	dom0 'xl pause u2' # or its idling would count as dom0's
	tell_owners
}

# tell_owners: gives the plugin the list of u1's page frames.
tell_owners()
{
	dom0 "xen-mfndump dump-p2m \$(xl domid u1)" | sed -n 's/.*mfn=\(0x\)\?\([0-9a-f]*\).*/\2/p' >"$machine/guest-frames"
	[ "$(wc -l <"$machine/guest-frames")" -gt 10000 ] || { say "no list of u1's frames"; return 1; }
	dom0 'bench-load owners'
}

# native_image IMAGE: of the same kernel and dom0's programs, with another init.
native_image()
{
	local kernel=linux-image-amd64 dir root
	dir=$1/native-$(sha256sum <"$bench_dir/native-init" | head -c 16)
	if [ ! -d "$dir" ]; then
		look_up "$kernel"
		kernel=$(unpacked "$(kernel_deb "$kernel")")
		rm -rf "$dir.part"
		root=$dir.part/root
		mkdir -p "$root"
		pack_modules "$kernel" "$root" "${NATIVE_MODULES[@]}"
		install "$bench_dir/native-init" "$root/"
		{ cat "$1/dom0.cpio"; cpio_of "$root"; } >"$dir.part/native.cpio"
		ln "$1/vmlinux" "$dir.part/"
		rm -rf "$root"
		mv "$dir.part" "$dir"
	fi
	echo "$dir"
}

native_counted()
{
	local native arguments
	counted_kind=native
	machine_open "$2"
	native=$(native_image "$1")
	read -ra arguments < <(plugin "$NATIVE_MEMORY")
	machine_boot "$native" "${arguments[@]}"
	machine_load "$build/bench-load"
}

# await SECONDS COMMAND...: until it succeeds, or fails when time is up.
await()
{
	local deadline=$((SECONDS + $1))
	shift
	until "$@"; do
		((SECONDS < deadline)) || { say "in vain: $*"; return 1; }
		sleep 0.1
	done
}
