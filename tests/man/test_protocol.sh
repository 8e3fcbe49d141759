#!/bin/bash
# SPDX-License-Identifier: MIT
#
# vif-protocol(7) is true as far as a program can tell: every row says where vifd stands,
# what is supported or refused names tests, the tests are there and are run, and no key that
# the sources read or write, nor anything netif.h has a name for, is without a row.
set -euo pipefail
cd "$(dirname "$0")/../.."
source tests/man/ok.bash
page=${1:-backend/man/vif-protocol.7}
rows=$(mktemp)
trap 'rm -f "$rows"' EXIT

# "row<TAB>NAME<TAB>STATUS" and "test<TAB>NAME<TAB>FILE<TAB>CASE", by the page's own order.
awk -F'"' '
	/^\.Ss / { in_rows = 1 }
	/^\.Sh / { if (name) print "row\t" name "\t" status; in_rows = 0; name = "" }
	!in_rows { next }
	/^\.It / { if (name) print "row\t" name "\t" status; name = $2; status = "" }
	/^\.Sy / { status = tolower($0); sub(/^\.sy /, "", status); sub(/ \.$/, "", status) }
	/^\.Pa tests\// {
		line = $0
		sub(/^\.Pa /, "", line)
		at = index(line, " : ")
		title = substr(line, at + 3)
		gsub(/"/, "", title)
		print "test\t" name "\t" (at ? substr(line, 1, at - 1) : line) "\t" (at ? title : "")
	}' "$page" >"$rows"

named_rows() { awk -F'\t' '$1 == "row"' "$rows"; }
named_tests() { awk -F'\t' '$1 == "test"' "$rows"; }

there_are_rows() { [ "$(named_rows | wc -l)" -ge 90 ] || echo "only $(named_rows | wc -l) rows found"; }

statuses()
{
	named_rows | awk -F'\t' '$3 !~ /^(supported|refused|not offered|ignored)$/ {
		print $2 ": \"" $3 "\" is none of supported, refused, not offered, ignored" }'
}

tests_are_named()
{
	awk -F'\t' '
		$1 == "test" { n[$2]++ }
		$1 == "row" {
			if ($3 ~ /^(supported|refused)$/ && !n[$2])
				print $2 ": " $3 ", and no test is named"
			n[$2] = 0
		}' "$rows"
}

# case_is_in FILE CASE: a cmocka case that its program lists, or the title of a script's.
case_is_in()
{
	case $1 in
	*.c)
		grep -qE "^static void $2\(void \*\*" "$1" && [ "$(grep -cw -- "$2" "$1")" -ge 2 ]
		;;
	*)
		grep -qF -e "\"$2\"" -e "'$2'" "$1"
		;;
	esac
}

tests_exist()
{
	local file title
	named_tests | while IFS=$'\t' read -r _ _ file title; do
		if [ ! -e "$file" ]; then
			echo "$file does not exist"
		elif ! case_is_in "$file" "$title"; then
			echo "$file has no case '$title'"
		fi
	done
}

# Whatever a makefile or the runner of the real machines takes up.
is_run()
{
	case $1 in
	tests/unit/test_*.c | tests/xen/full/*.sh) return 0 ;;
	*) grep -qF -- "$1" Makefile tests/*/*.mk ;;
	esac
}

tests_are_run()
{
	local file
	named_tests | cut -f 3 | sort -u | while read -r file; do
		is_run "$file" || echo "$file: no makefile runs it"
	done
}

# Features by their tables, other keys by the format strings they are read and written with.
keys_of_the_sources()
{
	{
		sed -n 's/.*\.key = "\([^"]*\)".*/\1/p' libvif/features.c
		sed -n 's/.*"%s\/\([a-z][a-z0-9-]*\)".*/\1/p' backend/control/*.c
	} | sort -u
}

keys_have_rows()
{
	local key
	keys_of_the_sources | while read -r key; do
		named_rows | cut -f 2 | grep -qE -- "(^|[ ,])$key([ ,]|\$)" || echo "$key is read or written, and has no row"
	done
	[ "$(keys_of_the_sources | wc -l)" -ge 30 ] || echo "the sources' keys are not found"
}

# What netif.h has names for: keys, extra infos, requests of the control ring, flags.
names_of_netif()
{
	local header=/usr/include/xen/io/netif.h
	{
		grep -oE '"(feature|request|multi|event)-[a-z0-9-]+"' "$header" | tr -d '"'
		grep -oE 'XEN_NETIF_(CTRL|EXTRA)_TYPE_[A-Z_]*[A-Z]\b' "$header" |
			sed -E 's/XEN_NETIF_(CTRL|EXTRA)_TYPE_//' | grep -vE '^(INVALID|NONE|MAX)$'
		grep -oE '\bNET[TR]XF_[a-z_]+' "$header" | sed 's/NET[TR]XF_//'
	} | sort -u
}

netif_has_rows()
{
	local name
	names_of_netif | while read -r name; do
		named_rows | cut -f 2 | grep -qE -- "(^|[ ,])$name([ ,]|\$)" || echo "$name of netif.h has no row"
	done
	[ "$(names_of_netif | wc -l)" -ge 30 ] || echo "netif.h's names are not found"
}

ok "vif-protocol(7): the rows are found" there_are_rows
ok "vif-protocol(7): every row says where vifd stands" statuses
ok "vif-protocol(7): what is supported or refused names a test" tests_are_named
ok "vif-protocol(7): the tests exist" tests_exist
ok "vif-protocol(7): the tests are run" tests_are_run
ok "vif-protocol(7): every key of the sources has a row" keys_have_rows
ok "vif-protocol(7): everything in netif.h has a row" netif_has_rows
exit $failed
