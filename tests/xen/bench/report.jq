# SPDX-License-Identifier: MIT
#
# From series.jsonl, slurped, to {"rows": [...]}. Each number is per packet (per MiB for
# TCP), from the slope between a repetition's smallest and largest run, so that what a run
# costs once drops out; then the median of the repetitions, and the least and the most.

def stats: sort | { median: (if length % 2 == 1 then .[length / 2 | floor]
			     else (.[length / 2 - 1] + .[length / 2]) / 2 end),
		    min: .[0], max: .[-1] };

# One run of the plugin as named numbers. String steps are no instructions (count.c).
def numbers:
	def instructions: .instructions - .string_steps;
	{ xen: (.xen | instructions),
	  dom0_kernel: (.dom0_kernel | instructions), dom0_user: (.dom0_user | instructions),
	  guest_kernel: (.guest_kernel | instructions), guest_user: (.guest_user | instructions),
	  string_steps: ([.xen, .dom0_kernel, .dom0_user, .guest_kernel, .guest_user] | map(.string_steps) | add),
	  dom0_hypercalls: .dom0_hypercalls.all, guest_hypercalls: .guest_hypercalls.all,
	  dom0_grant_hypercalls: .dom0_hypercalls.grant_table,
	  dom0_event_hypercalls: .dom0_hypercalls.event_channel,
	  dom0_iret_hypercalls: .dom0_hypercalls.iret,
	  dom0_events: .dom0_kernel.upcalls, guest_events: .guest_kernel.upcalls,
	  dom0_syscalls: .dom0_user.syscalls, guest_syscalls: .guest_user.syscalls,
	  cr3_loads: ([.xen, .dom0_kernel] | map(.cr3_loads) | add),
	  invlpgs: ([.xen, .dom0_kernel] | map(.invlpgs) | add) };

# Without Xen there is one system, which stands beside the guest.
def placed($system):
	if $system != "native" then . else
	. + { guest_kernel: .dom0_kernel, guest_user: .dom0_user, guest_syscalls: .dom0_syscalls,
	      dom0_kernel: 0, dom0_user: 0, dom0_syscalls: 0 } end;

def with_totals:
	. + { total: (.xen + .dom0_kernel + .dom0_user + .guest_kernel + .guest_user) }
	| . + { total_with_string_steps: (.total + .string_steps) };

# The share of packets that arrived, where only the sum over all is known: that has the
# warm-up in it, which is as long as the first run.
def share: .arrived[0] / ((.packets | add) + .packets[0]);

# Packets that arrived, run by run.
def arrived:
	if (.arrived | length) == (.packets | length) then .arrived
	  elif (.arrived | length) == 1 then share as $share | .packets | map(. * $share)
	  else .packets end;

# Its repetitions: [{sent, got, cost: {...}}], differences of largest and smallest run.
def repetitions:
	.system as $system | arrived as $arrived
	| (.packets | index(max) + 1) as $width
	| [range(0; .packets | length; $width) as $first | ($first + $width - 1) as $last
	   | (.counted[$first] | numbers | placed($system)) as $a
	   | (.counted[$last] | numbers | placed($system)) as $b
	   | { sent: (.packets[$last] - .packets[$first]), got: ($arrived[$last] - $arrived[$first]),
	       cost: ($b | with_entries(.value -= $a[.key])) }];

# What one packet sent by a series' sender costs.
def per_packet_sent: [repetitions[] | .sent as $n | .cost | map_values(. / $n)]
	| . as $all | $all[0] | with_entries(.key as $k | .value = ($all | map(.[$k]) | stats.median));

# vifd's own counters over the whole series, per packet it carried.
def vifd_counters:
	if .vifd == null then null else
	(if .direction == "to_guest" then "to_guest" else "from_guest" end) as $d
	| (.vifd.after[$d].frames - .vifd.before[$d].frames) as $n
	| ({ frames: $n }
	   + (["grant_ops", "events", "notifies"]
	      | map({ key: ., value: null }) | from_entries)) as $keys
	| .vifd as $v
	| $keys | with_entries(.key as $k | if $k == "frames" then . else
		.value = (if $n > 0 then ($v.after[$d][$k] - $v.before[$d][$k]) / $n else null end) end)
	end;

# vifd and netback were measured on one machine: what is subtracted serves both.
def same_machine($a; $b): $a == $b or ($a != "native" and $b != "native");

def row($base):
	. as $series
	| [ $base[] | select(.gap_us == $series.gap_us and same_machine(.system; $series.system))
	    | select((.direction == "sender" and $series.direction == "to_guest" and .bytes == $series.bytes)
		     or (.direction == "pacer" and $series.direction == "from_guest"))
	    | per_packet_sent ][0] as $sender
	| [repetitions[] | . as $r | .cost
	   | with_entries(.value = (.value - (($sender // {})[.key] // 0) * $r.sent) / $r.got)
	   | with_totals] as $all
	| { system, direction, bytes, gap_us,
	    unit: (if .direction | startswith("tcp") then "MiB" else "packet" end),
	    repetitions: ($all | length),
	    lost_percent: (if .direction | startswith("tcp") then 0
			   else 100 * (1 - (arrived | add) / (.packets | add)) end),
	    per_unit: ($all[0] | with_entries(.key as $k | .value = ($all | map(.[$k]) | stats))),
	    vifd: vifd_counters };

. as $all
| [$all[] | select(.direction == "sender" or .direction == "pacer")] as $base
| [$all[] | select(.direction | IN("sender", "pacer") | not) | row($base)]
| . as $rows
| { rows: map(. as $r
	| def of($system; $key): [$rows[] | select(.system == $system and .direction == $r.direction
		and .bytes == $r.bytes and .gap_us == $r.gap_us)][0].per_unit[$key].median;
	  def ratio($system; $key): of($system; $key) as $o
		| if $o then $r.per_unit[$key].median / $o else null end;
	. + { ratio: { native: ratio("native"; "total"), netback: ratio("netback"; "total"),
		       native_with_string_steps: ratio("native"; "total_with_string_steps"),
		       netback_with_string_steps: ratio("netback"; "total_with_string_steps") } }) }
