# SPDX-License-Identifier: MIT
#
# For tests of vifbench: sourced, under 'set -uo pipefail'. $dir is gone when they end; the
# report they ask about is $dir/report.json.
# shellcheck shell=bash disable=SC2034

build=$(realpath "${1:-build}")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

# check NAME COMMAND...: one case.
check()
{
	local title=$1
	shift
	if "$@" >"$dir/out" 2>&1; then
		echo "ok - $title"
	else
		echo "not ok - $title"
		tail -n 20 "$dir/out" | sed 's/^/#   /'
		failed=1
	fi
}

# report_of FILTER: jq's, true of the report. every WHICH WHAT: there are such rows, and all
# are like that.
report_of() { jq -e "$1" "$dir/report.json"; }
every() { report_of "[.rows[] | select($1) | $2] | length > 0 and all"; }
