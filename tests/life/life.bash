# SPDX-License-Identifier: MIT
#
# For tests of a vif's life: sourced by scripts that run inside a lab's dom0. Each
# such script starts itself in a lab of its own: 'in_lab GUESTS "$@"' at its top.
# shellcheck shell=bash

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lab/helpers.bash
. "$here/../lab/helpers.bash"

# in_lab GUESTS [SCRIPT...]: with the frontend VIF_FRONTEND names, goes on below inside a
# lab; outside it never returns.
in_lab()
{
	local guests=$1
	shift
	[ -n "${VIF_LAB_NAME:-}" ] && return
	become_lab --name "l$$" --guests "$guests" --frontend "${VIF_FRONTEND:-linux}" -- "$@"
}

# The frontends vif-guest can be.
frontends() { "$build/vif-guest" --help | sed -n '/^Frontends:/,$s/^  \([^ ]*\).*/\1/p'; }

# Seen from dom0; domid and devid default to 1 and 0.
backend() { echo "/local/domain/0/backend/vif/${1:-1}/${2:-0}"; }
frontend() { echo "/local/domain/${1:-1}/device/vif/${2:-0}"; }
key() { xenstore-read "$1" 2>/dev/null; }
state_is() { [ "$(key "$1/state")" = "$2" ]; }
no_key() { ! xenstore-exists "$1" 2>/dev/null; }
netdev() { ip link show dev "$1" >/dev/null 2>&1; }
no_netdev() { ! netdev "$1"; }
reaches_wire() { guest "$1" ping -q -c 2 -i 0.05 -W 1 10.77.0.1; }
# How often guest N's frontend connected, as it says itself, within a second.
connects() { jq -r .connects "$VIF_LAB_DIR/guest-$1.stats" 2>/dev/null || echo 0; }
connected() { state_is "$(backend "$@")" 4 && state_is "$(frontend "$@")" 4; }

# What vifd's domain holds of others, and its ports: 0 0 when no vif is connected, but
# for xenstored's.
dom0_holds() { hosted-xen dump --json | jq -r '.[] | select(.domid == 0) | "\(.maps_held) \(.ports)"'; }

# The processes of vifd.
control_pid() { pgrep -f "^$build/vifd( |$)"; }
datapath_pid() { pgrep -f '^vifd-datapath'; }
n_fds() { find "/proc/$1/fd" -mindepth 1 | wc -l; }
rss_kb() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }
