#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The stand-ins against Debian's libraries: the same sonames and the same symbols
# with the same versions, all of them and no others. libxenctrl offers only what
# a xenstored needs: there every symbol must be one of Debian's.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/hosted/host.sh

real=$(dirname "$(ldconfig -p | sed -n 's/.*libxengnttab\.so\.1 .*=> //p' | head -1)")

symbols()
{
	nm -D --defined-only "$1" | awk '$2 ~ /[TWDBR]/ { print $3 }' | sort
}

soname()
{
	objdump -p "$1" | awk '$1 == "SONAME" { print $2 }'
}

same_symbols()
{
	diff <(symbols "$real/$1") <(symbols "$build/hosted/$1") && [[ $(symbols "$real/$1") ]]
}

same_soname()
{
	[[ $(soname "$real/$1") == "$(soname "$build/hosted/$1")" ]]
}

subset()
{
	[[ -z $(comm -13 <(symbols "$real/$1") <(symbols "$build/hosted/$1")) ]]
}

# What xenstored binds at run time must all be there.
xenstored_is_served()
{
	local program
	program=$(find /usr/lib/xen-*/bin -name xenstored | head -1)
	LD_LIBRARY_PATH=$build/hosted ldd -r "$program" >"$tmp/ldd"
	if grep -E 'undefined|not found' "$tmp/ldd"; then
		return 1
	fi
	grep -q "$build/hosted/libxenctrl" "$tmp/ldd"
}

for lib in libxengnttab.so.1 libxenevtchn.so.1 libxenforeignmemory.so.1; do
	case_ "$lib: the symbols and versions of Debian's" same_symbols "$lib"
	case_ "$lib: its soname" same_soname "$lib"
done
case_ "libxenctrl.so.4.17: only symbols and versions of Debian's" subset libxenctrl.so.4.17
case_ "libxenctrl.so.4.17: its soname" same_soname libxenctrl.so.4.17
case_ "xenstored finds all it needs" xenstored_is_served
exit $failed
