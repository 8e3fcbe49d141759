# SPDX-License-Identifier: MIT
#
# Packs what the machine boots from Debian's packages: sourced by 'rig' and the tests.
#
# Programs and libraries come from the packages that .ci/deps installs; what must not
# be installed here (a hypervisor, kernels) or cannot be (busybox-static) is downloaded
# and unpacked. An image lies in the cache under the hash of all it was made from:
#
#	xen vmlinux dom0.cpio            what QEMU loads
#	snapshot-HASH                    machine.bash puts its snapshots beside them
# shellcheck shell=bash

shopt -s inherit_errexit # image's output is captured

xen_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$(realpath -m "${VIF_BUILD:-$xen_dir/../../build}")
cache=$(realpath -m "${VIF_XEN_CACHE:-$build/xen-cache}")
IMAGES_KEPT=4
XEN_VERSION=4.17
xen_bin=/usr/lib/xen-$XEN_VERSION/bin

DOM0_MODULES=(xen-gntdev xen-evtchn xen-privcmd xenfs xen-gntalloc tun bridge 8021q dummy veth
	virtio_pci virtio_blk virtio_console xen-netback pktgen)
GUEST_MODULES=(xen-netfront pktgen dummy 8021q)
DOM0_PROGRAMS=("$xen_bin"/{xl,xenstored,xenconsoled,xen-init-dom0,libxl-save-helper}
	/usr/bin/xenstore-{chmod,exists,list,ls,read,rm,watch,write}
	/bin/bash /usr/bin/{flock,stat,logger,readlink,env,timeout,strace}
	/sbin/{ip,bridge} /usr/sbin/brctl /usr/sbin/ethtool /bin/{kmod,ping})

say() { echo "rig: $*" >&2; }
die() { say "$@"; exit 1; }

# ---- packages ----

# A package is named as apt does, NAME or NAME/SUITE: of another suite of the archive
# this system's own packages come from.
suite_of() { if [[ $1 = */* ]]; then echo "${1#*/}"; else echo; fi; }

# apt_options SUITE: fills 'apt' with the options that make apt work on that suite alone,
# with lists of its own in the cache, signed by Debian's key for it.
apt_options()
{
	local state=$cache/apt/$1 archive
	apt=(-o APT::Sandbox::User=root)
	[ -n "$1" ] || return 0
	apt+=(-o "Dir::State=$state" -o "Dir::Cache=$state" -o Dir::State::Status=/dev/null
		-o "Dir::Etc::SourceList=$state/sources.list" -o Dir::Etc::SourceParts=/dev/null
		-o Dir::Etc::PreferencesParts=/dev/null -o Acquire::Languages=none)
	[ -z "$(find "$state/complete" -mtime -1 2>/dev/null)" ] || return 0
	archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' \
		'Component: main' | sort -u | head -n 1)
	[ -n "$archive" ] || die "apt has no archive of Debian's in its sources (apt-get update?)"
	say "reading what $1 has"
	mkdir -p "$state/lists/partial"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive $1 main" >"$state/sources.list"
	if timeout 300 apt-get "${apt[@]}" -q update >"$state/log" 2>&1; then
		touch "$state/complete"
	else
		cat "$state/log" >&2
		[ -e "$state/complete" ] || die "cannot read the lists of $1"
	fi
}

# deb PACKAGE=VERSION [SUITE]: its path in the cache, downloaded if need be.
deb()
{
	local file=$cache/debs/${1/=/_}_amd64.deb got apt
	file=${file//:/%3a}
	if [ ! -e "$file" ]; then
		apt_options "${2:-}"
		say "downloading $1"
		got=$(mktemp -d "$cache/debs/get.XXXXXX")
		(cd "$got" && timeout 300 apt-get "${apt[@]}" -q download "$1" >log 2>&1) ||
			{ cat "$got/log" >&2; rm -rf "$got"; die "cannot download $1 (apt-get update?)"; }
		mv "$got"/*.deb "$file"
		rm -rf "$got"
	fi
	echo "$file"
}

# look_up PACKAGE...: fills candidate[PACKAGE] with "PACKAGE=VERSION DEPENDS" from apt's
# lists. One call for all of a suite: each takes most of a second.
declare -A candidate
look_up()
{
	local name suite names=()
	for name; do
		[ -f "$name" ] || names+=("$name")
	done
	while read -r suite; do
		look_up_in "$suite" "${names[@]}"
	done < <(for name in "${names[@]}"; do suite_of "$name"; done | sort -u)
}

# look_up_in SUITE PACKAGE...: those of them that are of this suite.
look_up_in()
{
	local suite=$1 names=() name package rest apt
	shift
	for name in "$@"; do
		[ "$(suite_of "$name")" != "$suite" ] || names+=("${name%%/*}")
	done
	apt_options "$suite"
	while read -r package rest; do
		candidate[${package%%=*}${suite:+/$suite}]="$package $rest"
	done < <(apt-cache "${apt[@]}" show --no-all-versions "${names[@]}" 2>/dev/null | awk '
		/^Package: / { name = $2 }
		/^Version: / { version = $2 }
		/^Depends: / { depends = substr($0, 10) }
		/^$/ && name { print name "=" version, depends; name = depends = "" }
		END { if (name) print name "=" version, depends }')
}

# kernel_deb KERNEL: the package of a kernel named as a .deb or as a package looked up.
kernel_deb()
{
	local found
	if [ -f "$1" ]; then
		realpath "$1"
		return
	fi
	found=${candidate[$1]:-}
	[ -n "$found" ] || die "no kernel package '$1'"
	# A metapackage has the kernel's name and version in its first dependency.
	if [[ $found =~ \ (linux-image-[^ ]*)\ \(=\ ([^\)]*)\) ]]; then
		found=${BASH_REMATCH[1]}=${BASH_REMATCH[2]}
	fi
	deb "${found%% *}" "$(suite_of "$1")"
}

# unpacked DEB: the directory it is unpacked in.
unpacked()
{
	local dir=$cache/unpacked/${1##*/}
	if [ ! -d "$dir" ]; then
		mkdir -p "$cache/unpacked"
		rm -rf "$dir.part"
		dpkg-deb -x "$1" "$dir.part"
		# Newer packages have everything under /usr.
		[ -e "$dir.part/lib" ] || [ ! -e "$dir.part/usr/lib/modules" ] || ln -s usr/lib "$dir.part/lib"
		mv "$dir.part" "$dir"
	fi
	echo "$dir"
}

# ---- kernels ----

kernel_version() { basename "$1"/lib/modules/*; }

# vmlinux PACKAGE-DIR OUT: the ELF image from Debian's bzImage. Unpacking it here saves
# many seconds under emulation. Offsets: Documentation/x86/boot.rst, setup_sects,
# payload_offset and payload_length; four bytes of size follow the compressed data.
vmlinux()
{
	local image sectors offset length magic unpack
	image=$(echo "$1"/boot/vmlinuz-*)
	sectors=$(od -An -tu1 -j 497 -N 1 "$image")
	read -r offset length < <(od -An -tu4 -j 584 -N 8 "$image")
	offset=$(((sectors + 1) * 512 + offset))
	magic=$(od -An -tx1 -j "$offset" -N 4 "$image" | tr -d ' ')
	case $magic in
	fd377a58) unpack=xz ;;
	28b52ffd) unpack=zstd ;;
	02214c18) unpack=lz4 ;;
	1f8b*) unpack=gzip ;;
	*) die "$image: unknown compression ($magic)" ;;
	esac
	dd if="$image" iflag=skip_bytes,count_bytes skip="$offset" count=$((length - 4)) bs=1M status=none |
		"$unpack" -dc >"$2"
}

# pack_modules PACKAGE-DIR ROOT MODULE...: these and what they depend on.
pack_modules()
{
	local from=$1 root=$2 version path
	shift 2
	version=$(kernel_version "$from")
	[ -e "$from/lib/modules/$version/modules.dep" ] || depmod -b "$from" "$version"
	mkdir -p "$root/lib/modules/$version"
	cp "$from/lib/modules/$version"/modules.{builtin,builtin.modinfo,order} "$root/lib/modules/$version/"
	modprobe -d "$from" -S "$version" -a --show-depends "$@" | awk '$1 == "insmod" { print $2 }' |
		sort -u | while read -r path; do
		install -D -m 644 "$path" "$root/lib/modules/${path##*/lib/modules/}"
		# Newer packages compress them: unpacked here, as the kernel is.
		[ "${path%.xz}" = "$path" ] || unxz "$root/lib/modules/${path##*/lib/modules/}"
	done
	depmod -b "$root" "$version"
}

# ---- file trees ----

# with_libraries FILE...: these and the shared libraries they load, if they load any.
with_libraries()
{
	printf '%s\n' "$@"
	{ env -u LD_LIBRARY_PATH ldd "$@" 2>/dev/null || true; } | awk '/=> \// { print $3 } /^\t\// { print $1 }' | sort -u
}

# What dom0's image takes from this machine. xl needs libgcc_s at its end: pthread_cancel.
host_files()
{
	with_libraries "${DOM0_PROGRAMS[@]}" /lib/x86_64-linux-gnu/libgcc_s.so.1
	find /etc/xen/scripts -type f
	echo /etc/xen/xl.conf
}

# base_tree ROOT BUSYBOX: directories, busybox under all its names, users.
base_tree()
{
	local root=$1 name
	mkdir -p "$root"/{bin,boot,dev,etc/xen,lib/x86_64-linux-gnu,lib64,mnt,proc,root,run,sbin,sys,tmp} \
		"$root"/usr/{bin,lib,sbin,local/sbin} "$root"/var/{log/xen,lib/xen,lib/xenstored}
	ln -s /run "$root/var/run"
	ln -s /run/lock "$root/var/lock"
	install "$2" "$root/bin/busybox"
	for name in $("$2" --list); do
		[ "$name" = busybox ] || ln -s /bin/busybox "$root/bin/$name"
	done
	printf '%s\n' root:x:0:0:root:/root:/bin/sh nobody:x:65534:65534:nobody:/:/bin/false >"$root/etc/passwd"
	printf '%s\n' root:x:0: nogroup:x:65534: >"$root/etc/group"
	install "$xen_dir/image/agent" "$root/bin/agent"
}

cpio_of() { (cd "$1" && find . | cpio -o -H newc -R 0:0 --quiet); }

guest_tree()
{
	local root=$1 kernel=$2 busybox=$3
	base_tree "$root" "$busybox"
	pack_modules "$kernel" "$root" "${GUEST_MODULES[@]}"
	install "$xen_dir/image/guest-init" "$root/init"
	install "$xen_dir/image/guest-halt" "$root/sbin/poweroff"
	install "$xen_dir/image/guest-halt" "$root/sbin/reboot"
}

dom0_tree()
{
	local root=$1 kernel=$2 busybox=$3 file
	base_tree "$root" "$busybox"
	pack_modules "$kernel" "$root" "${DOM0_MODULES[@]}"
	host_files | while read -r file; do
		# Real files and one place for each: /bin and /lib64 are links on this machine.
		case $file in
		/lib64/*) ;;
		/usr/lib/x86_64-linux-gnu/*) file=${file#/usr} ;;
		/usr/bin/* | /usr/sbin/*) rm -f "$root/bin/${file##*/}" ;;
		/bin/* | /sbin/*) rm -f "$root/bin/${file##*/}" ;;
		esac
		install -D "$(realpath "$file")" "$root$file"
	done
	for file in modprobe insmod rmmod lsmod modinfo depmod; do
		rm -f "$root/bin/$file"
		ln -s /bin/kmod "$root/sbin/$file"
	done
	ln -s "xen-$XEN_VERSION" "$root/usr/lib/xen"
	install "$xen_dir"/image/{guest-run,load-payload,start-vifd,stop-vifd,collect-logs} "$root/usr/local/sbin/"
	install -m 644 "$xen_dir/image/agent.bash" "$root/lib/"
	install -m 644 "$xen_dir"/image/*.cfg "$root/etc/xen/"
	install "$xen_dir/image/dom0-init" "$root/init"
}

# ---- the image ----

# pack DIR KERNEL-DEB GUEST-KERNEL-DEB XEN-DEB BUSYBOX-DEB
pack()
{
	local out=$1 kernel guest xen busybox
	kernel=$(unpacked "$2")
	guest=$(unpacked "$3")
	xen=$(unpacked "$4")
	busybox=$(unpacked "$5")/bin/busybox
	say "packing the image"
	zcat "$xen/boot/xen-$XEN_VERSION-amd64.gz" >"$out/xen"
	vmlinux "$kernel" "$out/vmlinux"
	guest_tree "$out/guest" "$guest" "$busybox"
	dom0_tree "$out/dom0" "$kernel" "$busybox"
	cpio_of "$out/guest" >"$out/dom0/boot/guest.cpio"
	if [ "$guest" = "$kernel" ]; then
		ln "$out/vmlinux" "$out/dom0/boot/guest-vmlinux"
	else
		vmlinux "$guest" "$out/dom0/boot/guest-vmlinux"
	fi
	cpio_of "$out/dom0" >"$out/dom0.cpio"
	rm -rf "$out/guest" "$out/dom0"
}

# key DEB...: names all that an image of these packages is made from.
key()
{
	{
		printf '%s\n' "${@##*/}"
		cat "$xen_dir/image.bash" "$xen_dir"/image/*
		host_files | sort -u | xargs sha256sum
	} | sha256sum | head -c 16
}

# Keeps the images last used; each is some 600 MB with its snapshot.
prune()
{
	find "$cache/images" -mindepth 1 -maxdepth 1 -printf '%T@ %p\n' | sort -rn |
		tail -n +$((IMAGES_KEPT + 1)) | cut -d ' ' -f 2- | xargs -r -d '\n' rm -rf
}

# image [KERNEL [GUEST-KERNEL]]: the directory of the image for these kernels, packed
# unless the cache has it. KERNEL is a package's name, NAME/SUITE or a .deb; by default
# this system's current one, and the guests' the same.
image()
{
	local kernel=${1:-linux-image-amd64} guest=${2:-${1:-linux-image-amd64}}
	local xen=xen-hypervisor-$XEN_VERSION-amd64 debs=() name found dir
	mkdir -p "$cache/debs" "$cache/images"
	exec {cache_lock}>"$cache/lock"
	flock -w 600 "$cache_lock" || die "another rig holds $cache/lock"
	look_up "$xen" busybox-static "$kernel" "$guest"
	if [ -z "${candidate[$xen]:-}" ]; then
		apt-get update -qq
		look_up "$xen" busybox-static "$kernel" "$guest"
	fi
	for name in "$kernel" "$guest"; do
		found=$(kernel_deb "$name")
		debs+=("$found")
	done
	for name in "$xen" busybox-static; do
		[ -n "${candidate[$name]:-}" ] || die "apt knows no $name: is this Debian 12?"
		found=$(deb "${candidate[$name]%% *}")
		debs+=("$found")
	done
	found=$(key "${debs[@]}")
	dir=$cache/images/$found
	if [ ! -d "$dir" ]; then
		rm -rf "$cache"/images/*.part # of who was killed: the lock is ours
		mkdir "$dir.part"
		pack "$dir.part" "${debs[@]}"
		mv "$dir.part" "$dir"
		prune
	fi
	touch "$dir"
	exec {cache_lock}>&-
	echo "$dir"
}
