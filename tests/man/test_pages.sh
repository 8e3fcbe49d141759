#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The manual pages, the configuration that is installed and the programs speak of the same
# flags, settings, commands, counters and reasons, as far as a program can tell.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${VIF_BUILD:-build}
source tests/man/ok.bash
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# What a page says of flags: ".It Fl -json" of mdoc, "\-\-json" of man.
flags_of_page()
{
	grep -oE '(Fl -|\\-\\-)[a-z][a-z0-9\\-]*' "$1" | sed 's/^Fl -/--/; s/\\-/-/g' | sort -u
}
flags_of_help() { "$build/$1" --help | grep -oE -- '--[a-z][a-z0-9-]*' | sort -u; }

settings_of_page() { sed -n 's/^\.It Li \([a-z_]*\) No = .*/\1/p' backend/man/vifd.conf.5 | sort; }
settings_of_help() { "$build/vifd" --help | sed -n '/^Each key/,/^$/s/^  \([a-z_]*\)  .*/\1/p' | sort; }

# differ PROGRAM PAGE: two lists that should be one.
differ()
{
	[ -s "$1" ] || echo "the program has none"
	comm -23 "$1" "$2" | sed 's/^/only the program has /'
	comm -13 "$1" "$2" | sed 's/^/only the page has /'
}

same_flags()
{
	flags_of_help "$1" >"$dir/help"
	flags_of_page "$2" >"$dir/page"
	differ "$dir/help" "$dir/page"
}

same_settings()
{
	settings_of_help >"$dir/help"
	settings_of_page >"$dir/page"
	differ "$dir/help" "$dir/page"
}

# missing WHAT PAGE: of the words on stdin those that the page has not.
missing()
{
	local word n=0
	while read -r word; do
		n=$((n + 1))
		grep -qwFe "$word" "$2" || echo "no $1 $word in $2"
	done
	((n > 2)) || echo "only $n: are those all?"
}

# But for those that follow the machine's processors, whose names are compared alone.
defaults()
{
	local names='s/^\(workers\|max_queues\) = .*/\1/'
	"$build/vifd" --check-config --config=backend/vifd.conf | sed "/^\\[/d; $names" | sort >"$dir/help"
	sed -n 's/^#\([a-z_]* = .*\)/\1/p' backend/vifd.conf | sed "$names" | sort >"$dir/page"
	differ "$dir/help" "$dir/page"
}

nic_options()
{
	"$build/vifd" --help | grep '^  nics ' | grep -oE '[a-z]+=' | tr -d = | sort -u |
		missing option backend/man/vifd.conf.5
}

commands() { sed -n 's/^\t{ "\([a-z]*\)", .*/\1/p' backend/vifctl.c | missing command backend/man/vifctl.8; }

# tap_full and tap_error are shown as reasons for drops.
members()
{
	grep -oE '"[a-z_]*[a-z]"' backend/control/view.c | tr -d '"' | grep -vxE 'tap_full|tap_error' |
		sort -u | missing member backend/man/vifctl.8
}

counters()
{
	sed -nE 's/^\tX\((from_guest|to_guest|ctrl)_([a-z_]+)\).*/\2/p' backend/counters.h |
		grep -vxE 'tap_full|tap_error' | sort -u | missing counter backend/man/vifctl.8
}

reasons()
{
	sed -nE 's/^\t\t\[(FROM|TO)_GUEST_[A-Z_]+\] = "([a-z-]+)",/\2/p' libvif/from_guest.c libvif/to_guest.c |
		grep -vx fine | missing reason backend/man/vifctl.8
}

# verbs PROGRAM PAGE: each "PROGRAM VERB" of the help stands in the page's synopsis.
verbs()
{
	"$build/$1" --help | grep -oE "^ *(Usage: )?$1 [a-z]+( [a-z]+)?" | sed "s/.*$1 //" | sort -u >"$dir/help"
	awk '/^\.Sh SYNOPSIS/ { on = 1 } /^\.Sh DESCRIPTION/ { on = 0 }
		on && /^\.Cm/ { sub(/^\.Cm /, ""); print }' "$2" | sort -u >"$dir/page"
	differ "$dir/help" "$dir/page"
}

# A page of ours that another one refers to is there, and each is without a mistake in its markup.
references()
{
	local name section
	sed -n 's/^\.Xr \(vif[a-z.-]*\) \([1-8]\).*/\1 \2/p' "${pages[@]}" | sort -u | while read -r name section; do
		[[ " ${pages[*]} " = *"/$name.$section "* ]] || echo "there is no $name($section)"
	done
}
markup() { mandoc -T lint -W warning "${pages[@]}" 2>&1 || true; }

pages=(backend/man/*.[1-8] frontend-compat/man/*.[1-8] tests/lab/man/*.[1-8])
for program in vifd:backend/man/vifd.8 vifctl:backend/man/vifctl.8 vifbench:backend/man/vifbench.1 \
	vif-guest:frontend-compat/man/vif-guest.1 vif-lab:tests/lab/man/vif-lab.1; do
	ok "${program%%:*} --help and its page have the same flags" same_flags "${program%%:*}" "${program#*:}"
done
ok "vif-lab(1) has all verbs" verbs vif-lab tests/lab/man/vif-lab.1
ok "vifd.conf(5) has the settings there are" same_settings
ok "and the options of a NIC" nic_options
ok "vifd.conf shows each with its default" defaults
ok "vifctl(8) has all commands" commands
ok "all members of vifd's answers" members
ok "all counters" counters
ok "and all reasons for drops" reasons
ok "the pages refer to pages there are" references
ok "their markup is right" markup
exit $failed
