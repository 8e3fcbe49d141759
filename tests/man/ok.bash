# SPDX-License-Identifier: MIT
#
# To source: how tests of the manual pages say their verdicts; 'exit $failed' at the end.
# shellcheck shell=bash

failed=0

# ok NAME COMMAND...: the command's output are complaints; there must be none.
ok()
{
	local title=$1 said
	shift
	said=$("$@")
	if [ -z "$said" ]; then
		echo "ok - $title"
	else
		echo "not ok - $title"
		echo "#   ${said//$'\n'/$'\n'#   }"
		failed=1
	fi
}
