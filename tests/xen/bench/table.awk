#!/usr/bin/awk -f
# SPDX-License-Identifier: MIT
#
# Aligns the lines of table.jq under headings.
BEGIN {
	FS = "\t"
	split("10 8 8 7 8 9 9 9 8 9 9 8 7 7 8 6 6", width, " ")
	head("system", "Xen dom0-k dom0-u guest total min max xnative xnetback strings xnb+str hyperc events dom0sys cr3 lost%")
}

function head(first, rest,    names, i, n)
{
	heading = sprintf("%-*s", width[1], first)
	n = split(rest, names, " ")
	for (i = 1; i <= n; i++)
		heading = heading sprintf("%*s", width[i + 1], names[i])
}

/^#/ { printf "%s%s\n%s\n", (NR > 1 ? "\n" : ""), substr($0, 2), heading; next }

/^\+/ { print "  " substr($0, 2); next }

{
	line = sprintf("%-*s", width[1], $1)
	for (i = 2; i <= NF; i++)
		line = line sprintf("%*s", width[i], $i)
	print line
}

END {
	print ""
	print "Instructions: medians; min and max of their total. strings: steps of REP string"
	print "instructions (copying, clearing), not in the totals; xnb+str is xnetback with them."
	print "hyperc: hypercalls of dom0 and guest; events: upcalls to both; dom0sys: system calls in"
	print "dom0; cr3: loads of CR3. Frames lost cost too little to compare: see lost%."
}
