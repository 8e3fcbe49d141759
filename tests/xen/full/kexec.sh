#!/bin/bash
# SPDX-License-Identifier: MIT
#
# A guest starts another kernel in its own place: kexec, and kdump after a panic. Both ask
# Xen for a soft reset (Linux' xen_hvm_shutdown() and xen_hvm_crash_shutdown() in
# arch/x86/xen/enlighten_hvm.c), which libxl does for HVM guests: it closes the devices,
# resets the domain and adds the devices to it once more. Of the former kernel's vif nothing
# may be held by then; the new kernel's works.
#
# A PVH guest is lost at this with any backend: see README.md.
#
#	tests/xen/full/kexec.sh [KERNEL [GUEST-KERNEL]]
#
# shellcheck disable=SC2317 # 'check' calls them
set -euo pipefail
# shellcheck source=tests/xen/cases.bash
. "$(dirname "$0")/../cases.bash"
# shellcheck source=tests/xen/traffic.bash
. "$(dirname "$0")/../traffic.bash"

here=$(dirname "$0")
kernel=${1:-linux-image-amd64}
guest_kernel=${2:-linux-image-cloud-amd64} # lz4: quick to unpack, twice
LINE="console=hvc0 quiet mitigations=off cryptomgr.notests crashkernel=192M"

# What makes an HVM guest: the device model, its firmware and Xen's, and what boots a kernel
# without a disk.
HVM=(/usr/libexec/xen-qemu-system-i386 "${xen_bin%/bin}/boot/hvmloader" /usr/share/seabios/bios-256k.bin
	/usr/share/qemu/{kvmvapic.bin,linuxboot.bin,keymaps/en-us})

# bzimage KERNEL: the packed kernel, as a boot loader or kexec takes it.
bzimage()
{
	local deb
	exec {cache_lock}>"$cache/lock"
	flock -w 600 "$cache_lock"
	look_up "$1"
	deb=$(kernel_deb "$1")
	echo "$(unpacked "$deb")"/boot/vmlinuz-*
	exec {cache_lock}>&-
}

load_hvm()
{
	local tree=$machine/hvm
	mkdir -p "$tree/boot/kexec"
	cp --parents -L -t "$tree" "${HVM[@]}"
	cp "$(bzimage "$guest_kernel")" "$tree/boot/kexec/vmlinuz"
	"${CC:-cc}" -O2 -Wall -static -o "$tree/boot/kexec/kexec" "$here/kexec.c"
	machine_send "$tree"
	dom0 'cp /boot/guest.cpio /boot/kexec/'
}

# write_config GUEST TYPE KERNEL
write_config()
{
	config "$1" <<-END
		name = "$1"
		type = "$2"
		kernel = "$3"
		ramdisk = "/boot/guest.cpio"
		extra = "$LINE"
		memory = 448
		tsc_mode = "native"
		nographic = 1
		vga = "none"
		vif = ['mac=$(mac_of "$1"),bridge=xenbr0,type=vif']
		on_crash = "destroy"
	END
}

works()
{
	shows 'vifctl list' "^$(netdev_of "$1") +Connected +Connected .* connected +bridge"
	pings "$(address_of "$1")"
	send_to "$1" "$(address_of "$1")"
	fetch_from "$1" "$(address_of "$1")"
}
comes_up() { guest "$1" "$(configuration_of "$1")"; works "$1"; }

# bring_kernel GUEST: over its vif.
bring_kernel()
{
	guest "$1" "mkdir -p /run/kexec
		echo 'tar -x -C /run/kexec && touch /run/brought' >/run/take
		$(server 5009 'sh /run/take')"
	dom0 "tar -c -C /boot/kexec . | nc $(address_of "$1") 5009"
	guest "$1" "for i in \$(seq 300); do [ ! -e /run/brought ] || exit 0; sleep 0.1; done; exit 1"
}

# kexec GUEST WHEN MARK: MARK tells the kernel by its command line.
kexec() { guest -t 20 "$1" "/run/kexec/kexec $2 /run/kexec/vmlinuz /run/kexec/guest.cpio '$LINE by=$3'"; }

# came_back GUEST MARK: the kernel with that mark, in the domain that was.
came_back()
{
	dom0 -t 180 "until guest-run -t 5 $1 'grep by=$2 /proc/cmdline'; do sleep 1; done
		[ \$(xl domid $1) = ${domid_of[$1]} ]"
}

# Xen tells what of the domain's was mapped when it was reset: its console, by xenconsoled
# (GNTTAB_RESERVED_CONSOLE is 0).
nothing_was_held()
{
	local held="d${domid_of[$1]} has (active grant|too many)"
	dom0 "xl dmesg -c | grep -E '$held' >/run/held || true; cat /run/held
		grep 'active grant 0 ' /run/held && ! grep -v 'active grant 0 ' /run/held"
}

# Frames are under way both ways when it happens.
traffic_amid() { dom0 "ping -i 0.005 -s 1400 -w 8 $(address_of "$1") >/dev/null 2>&1 & sleep 1"; }

by_kexec()
{
	traffic_amid web1
	kexec web1 now kexec || true # nobody is left to answer
	came_back web1 kexec
}

by_panic()
{
	kexec web1 on-panic kdump
	traffic_amid web1
	guest -t 5 web1 'echo c >/proc/sysrq-trigger' || true
	came_back web1 kdump
}

# What kdump is for: the memory of the one that crashed leaves by the network.
dump_arrives()
{
	local sum
	sum=$(guest web1 "head -c $TRANSFER /proc/vmcore | sha256sum; $(server 5010 "head -c $TRANSFER /proc/vmcore")")
	same_sum "$sum" "$(dom0 "nc $(address_of web1) 5010 </dev/null | tee /run/vmcore | sha256sum")"
	dom0 'head -c 4 /run/vmcore | grep ELF'
}

destroy() { dom0 -t 90 "xl destroy $1"; gone "${domid_of[$1]}"; }

# libxl_domain_soft_reset() returns ERROR_INVAL for it, xl destroys the domain.
lost()
{
	kexec web2 now kexec || true
	gone "${domid_of[web2]}"
	shows 'cat /var/log/xen/xl-web2.log' 'Action for shutdown reason code 5 is soft-reset'
}

begin_cold "$kernel" "$guest_kernel"
write_config web1 hvm /boot/kexec/vmlinuz
write_config web2 pvh /boot/guest-vmlinux
need "a device model" load_hvm
need "vifd starts" dom0 'xl set-parameters guest_loglvl=all; start-vifd --workers=2'
need "xl create of an HVM guest" create web1
know_domids
check "traffic" comes_up web1
need "a kernel for it" bring_kernel web1
dom0 'xl dmesg -c >/dev/null'
check "kexec: another kernel in the same domain" by_kexec
check "kexec: nothing of the former one's is held" nothing_was_held web1
check "kexec: traffic" comes_up web1
need "a kernel for when it panics" bring_kernel web1
check "panic: the crash kernel in the same domain" by_panic
check "panic: nothing of the former one's is held" nothing_was_held web1
check "panic: traffic" comes_up web1
check "panic: the dump arrives" dump_arrives
check "xl destroy leaves nothing" destroy web1
need "xl create of a PVH guest" create web2
know_domids
check "PVH: traffic" comes_up web2
need "PVH: a kernel for it" bring_kernel web2
check "kexec of a PVH guest, which libxl ends: nothing is left" lost
check "vifd stops" dom0 stop-vifd
finish
