# SPDX-License-Identifier: MIT
#
# result.json as tab-separated lines for table.awk: a heading starts with "#".
def n($digits): if . == null then "-" else pow(10; $digits) as $p | (. * $p | round) / $p | if . == 0 then 0 else . end | tostring end;
def ratio: if . == null then "-" else n(2) end;
def what:
	{ to_guest: "guest receives", from_guest: "guest sends",
	  tcp_to_guest: "guest receives TCP", tcp_from_guest: "guest sends TCP" }[.direction]
	+ (if .unit == "MiB" then ", instructions per MiB"
	   else " UDP, \(.bytes) B, \(if .gap_us > 0 then "every \(.gap_us) us" else "unpaced" end), instructions per packet" end);
def order: [(.unit == "MiB"), .gap_us, (.direction == "to_guest" or .direction == "tcp_to_guest"), .bytes];

[.rows | sort_by(order) | group_by(order)[]
 | ("#" + (.[0] | what)),
   (sort_by({ native: 0, netback: 1, vifd: 2 }[.system])[] | .per_unit as $p
    | (if .unit == "MiB" then 0 else 1 end) as $d
    | [.system, ($p.xen.median | n(0)), ($p.dom0_kernel.median | n(0)), ($p.dom0_user.median | n(0)),
       ($p.guest_kernel.median + $p.guest_user.median | n(0)), ($p.total.median | n(0)),
       ($p.total.min | n(0)), ($p.total.max | n(0)), (.ratio.native | ratio), (.ratio.netback | ratio),
       ($p.string_steps.median | n(0)), (.ratio.netback_with_string_steps | ratio),
       ($p.dom0_hypercalls.median + $p.guest_hypercalls.median | n($d)),
       ($p.dom0_events.median + $p.guest_events.median | n($d)),
       ($p.dom0_syscalls.median | n($d)), ($p.cr3_loads.median | n($d)), (.lost_percent | n(1))] | @tsv),
   (.[] | select(.vifd) | .vifd | "+vifd itself, per packet: \(.grant_ops | n(2)) grant copies, \(.events | n(2)) events taken, \(.notifies | n(2)) sent")]
| .[]
