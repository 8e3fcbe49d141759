/* SPDX-License-Identifier: MIT */
/*
 * A plugin for QEMU's emulator that counts what a whole machine executes between two
 * marks (marks.h), split by who executes it:
 *
 *	Xen		by address: Xen's own part of the address space
 *	kernel, user	by address: upper and lower half. A PV kernel runs in ring 3, so
 *			the privilege level would not tell them apart
 *	dom0, guest	by the physical page the code lies in: dom0's, unless the file
 *			'guest' lists its frame (hexadecimal, one a line)
 *
 * It also counts, by opcode or address: the system calls and hypercalls issued, the
 * upcalls by which Xen delivers events, CR3 loads and INVLPGs, and the steps of REP
 * string instructions. The emulator runs each step as an instruction; hardware retires
 * one for all. So these are left out of the instructions and reported beside them.
 *
 * Counting is inline code in the translated blocks, without locks: one emulated CPU.
 * A block counts as a whole when entered; one left early by a fault counts too much.
 *
 * A hypercall's number is in EAX: the last constant moved there in the block that calls
 * one of the kernel's gates ('hypercall'), or that executes SYSCALL itself.
 *
 *	-plugin count.so,out=FILE,ram=BYTES[,guest=FILE][,upcall=ADDRESS][,hypercall=ADDRESS]...
 *
 * Each MARK_END appends a JSON object on a line of its own to 'out'.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "marks.h"
#include "plugin-api.h"

#define PAGE_SHIFT 12
#define USER_END   UINT64_C(0x0000800000000000)
#define XEN_START  UINT64_C(0xffff82d000000000)
#define XEN_END	   UINT64_C(0xffff82e000000000)

/* xen.h: __HYPERVISOR_*. Those whose number the code around does not tell are OP_UNKNOWN. */
#define HYPERCALLS 64
#define GATE_SIZE  32
enum {
	OP_UNKNOWN = 0,
	OP_MULTICALL = 13,
	OP_GRANT_TABLE = 20,
	OP_IRET = 23,
	OP_SCHED = 29,
	OP_EVENT_CHANNEL = 32
};

enum who { DOM0_KERNEL, DOM0_USER, GUEST_KERNEL, GUEST_USER, XEN, WHO_N };
static const char *const who_names[] = { "dom0_kernel", "dom0_user", "guest_kernel", "guest_user",
					 "xen" };

enum event { INSTRUCTIONS, STRING_STEPS, SYSCALLS, UPCALLS, CR3_LOADS, INVLPGS, EVENT_N };
static const char *const event_names[] = { "instructions", "string_steps", "syscalls",
					   "upcalls",	   "cr3_loads",	   "invlpgs" };

/* Of the code in one physical page, or all of Xen's. */
struct counts {
	uint64_t n[EVENT_N];
	uint64_t *hypercalls; /* [HYPERCALLS], of a page that issues any */
};

struct totals {
	uint64_t n[WHO_N][EVENT_N];
	uint64_t hypercalls[2][HYPERCALLS]; /* dom0's, the guest's */
};

static struct counts *pages; /* [2 * n_pages]: kernel code, then user code */
static size_t n_pages;
static struct counts xen_counts, elsewhere;
static uint8_t *owned_by_guest; /* [n_pages] */
static uintptr_t ram_base;	/* where QEMU has the machine's memory */
static uint64_t upcall_address, ram_size;
static uint64_t gates[4];
static size_t n_gates;
static const char *guest_file;
static FILE *out;
static struct totals begin;

QEMU_PLUGIN_EXPORT int qemu_plugin_version = 1;

/* QEMU maps the machine's memory in one piece; nothing else is as large. */
static uintptr_t find_ram(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	uintptr_t from, to, found = 0;
	char line[512], access[8];

	while (maps && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %7s", &from, &to, access) == 3 &&
		    to - from == ram_size && access[1] == 'w')
			found = from;
	if (maps)
		fclose(maps);
	return found;
}

static void read_owners(void)
{
	FILE *f = guest_file ? fopen(guest_file, "r") : NULL;
	uint64_t frame;

	memset(owned_by_guest, 0, n_pages);
	while (f && fscanf(f, "%" SCNx64, &frame) == 1)
		if (frame < n_pages)
			owned_by_guest[frame] = 1;
	if (f)
		fclose(f);
}

static void add_counts(struct totals *t, enum who who, const struct counts *c)
{
	for (int e = 0; e < EVENT_N; e++)
		t->n[who][e] += c->n[e];
	if (c->hypercalls)
		for (int op = 0; op < HYPERCALLS; op++)
			t->hypercalls[who == GUEST_KERNEL][op] += c->hypercalls[op];
}

static void sum_up(struct totals *t)
{
	memset(t, 0, sizeof(*t));
	for (size_t i = 0; i < n_pages; i++) {
		add_counts(t, owned_by_guest[i] ? GUEST_KERNEL : DOM0_KERNEL, &pages[i]);
		add_counts(t, owned_by_guest[i] ? GUEST_USER : DOM0_USER, &pages[n_pages + i]);
	}
	add_counts(t, XEN, &xen_counts);
}

static uint64_t all_hypercalls(const uint64_t ops[HYPERCALLS])
{
	uint64_t sum = 0;

	for (int op = 0; op < HYPERCALLS; op++)
		sum += ops[op];
	return sum;
}

static void write_hypercalls(const char *name, const uint64_t ops[HYPERCALLS])
{
	fprintf(out,
		", \"%s\": {\"all\": %" PRIu64 ", \"iret\": %" PRIu64 ", \"grant_table\": %" PRIu64
		", \"event_channel\": %" PRIu64 ", \"sched\": %" PRIu64 ", \"multicall\": %" PRIu64
		", \"unknown\": %" PRIu64 "}",
		name, all_hypercalls(ops), ops[OP_IRET], ops[OP_GRANT_TABLE], ops[OP_EVENT_CHANNEL],
		ops[OP_SCHED], ops[OP_MULTICALL], ops[OP_UNKNOWN]);
}

static void write_counts(void)
{
	struct totals now;

	sum_up(&now);
	for (int who = 0; who < WHO_N; who++) {
		fprintf(out, "%s\"%s\": {", who ? ", " : "{", who_names[who]);
		for (int e = 0; e < EVENT_N; e++)
			fprintf(out, "%s\"%s\": %" PRIu64, e ? ", " : "", event_names[e],
				now.n[who][e] - begin.n[who][e]);
		fprintf(out, "}");
	}
	for (int d = 0; d < 2; d++)
		for (int op = 0; op < HYPERCALLS; op++)
			now.hypercalls[d][op] -= begin.hypercalls[d][op];
	write_hypercalls("dom0_hypercalls", now.hypercalls[0]);
	write_hypercalls("guest_hypercalls", now.hypercalls[1]);
	fprintf(out, ", \"elsewhere\": %" PRIu64 "}\n", elsewhere.n[INSTRUCTIONS]);
	fflush(out);
}

static void on_mark(unsigned int cpu, void *mark)
{
	(void)cpu;
	switch ((uintptr_t)mark) {
	case MARK_BEGIN:
		sum_up(&begin);
		break;
	case MARK_END:
		write_counts();
		break;
	case MARK_OWNERS:
		read_owners();
		break;
	}
}

/* ---- what an instruction is ---- */

static bool is_mark(const uint8_t *b, size_t size)
{
	static const uint8_t head[] = { 0x0f, 0x1f, 0x84, 0x00 }, tail[] = { 0x47, 0x41, 0x4d };

	return size == 8 && !memcmp(b, head, 4) && !memcmp(b + 5, tail, 3);
}

/* MOVS, CMPS, STOS, LODS or SCAS with a REP prefix, among others. */
static bool is_rep_string(const uint8_t *b, size_t size)
{
	bool rep = false;
	size_t i = 0;

	for (; i < size; i++) {
		if (b[i] == 0xf2 || b[i] == 0xf3)
			rep = true;
		else if (b[i] != 0x66 && (b[i] & 0xf0) != 0x40)
			break;
	}
	return rep && i + 1 == size && b[i] >= 0xa4 && b[i] <= 0xaf && (b[i] & 0xfe) != 0xa8;
}

static bool is_syscall(const uint8_t *b, size_t size)
{
	return size == 2 && b[0] == 0x0f && b[1] == 0x05;
}

/* MOV to CR3: 0f 22 /3. */
static bool is_cr3_load(const uint8_t *b, size_t size)
{
	return size >= 3 && b[size - 3] == 0x0f && b[size - 2] == 0x22 &&
	       (b[size - 1] & 0x38) == 0x18;
}

/* INVLPG: 0f 01 /7 with a memory operand. */
static bool is_invlpg(const uint8_t *b, size_t size)
{
	return size >= 3 && b[0] == 0x0f && b[1] == 0x01 && (b[2] & 0x38) == 0x38 && b[2] < 0xc0;
}

/* MOV EAX, constant. */
static bool is_load_eax(const uint8_t *b, size_t size)
{
	return size == 5 && b[0] == 0xb8;
}

/* CALL relative, of a gate. */
static bool is_gate_call(const uint8_t *b, size_t size, uint64_t address)
{
	int32_t distance;

	if (size != 5 || b[0] != 0xe8)
		return false;
	memcpy(&distance, b + 1, sizeof(distance));
	for (size_t i = 0; i < n_gates; i++)
		if (address + 5 + (int64_t)distance == gates[i])
			return true;
	return false;
}

/* The SYSCALL behind a gate: its callers have been counted. */
static bool in_gate(uint64_t address)
{
	for (size_t i = 0; i < n_gates; i++)
		if (address >= gates[i] && address < gates[i] + GATE_SIZE)
			return true;
	return false;
}

/* ---- translation ---- */

static struct counts *counts_of(uint64_t address, const void *host)
{
	size_t page = ((uintptr_t)host - ram_base) >> PAGE_SHIFT;

	if (address >= XEN_START && address < XEN_END)
		return &xen_counts;
	if (!host || page >= n_pages)
		return &elsewhere;
	return &pages[address < USER_END ? n_pages + page : page];
}

static void count(struct qemu_plugin_insn *insn, uint64_t *counter)
{
	qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64, counter, 1);
}

static void count_hypercall(struct qemu_plugin_insn *insn, uint32_t op, struct counts *c)
{
	if (!c->hypercalls)
		c->hypercalls = calloc(HYPERCALLS, sizeof(*c->hypercalls));
	if (c->hypercalls)
		count(insn, &c->hypercalls[op < HYPERCALLS ? op : OP_UNKNOWN]);
}

/* A kernel's instruction; eax: the last constant moved there in this block. */
static void look_for_hypercall(struct qemu_plugin_insn *insn, struct counts *c, uint32_t *eax)
{
	const uint8_t *b = qemu_plugin_insn_data(insn);
	size_t size = qemu_plugin_insn_size(insn);
	uint64_t address = qemu_plugin_insn_vaddr(insn);

	if (is_load_eax(b, size))
		memcpy(eax, b + 1, sizeof(*eax));
	else if (is_gate_call(b, size, address) || (is_syscall(b, size) && !in_gate(address)))
		count_hypercall(insn, *eax, c);
}

static void look_at(struct qemu_plugin_insn *insn, struct counts *c)
{
	const uint8_t *b = qemu_plugin_insn_data(insn);
	size_t size = qemu_plugin_insn_size(insn);
	uint64_t address = qemu_plugin_insn_vaddr(insn);

	if (is_rep_string(b, size))
		count(insn, &c->n[STRING_STEPS]);
	else if (is_syscall(b, size) && address < USER_END)
		count(insn, &c->n[SYSCALLS]);
	else if (is_cr3_load(b, size))
		count(insn, &c->n[CR3_LOADS]);
	else if (is_invlpg(b, size))
		count(insn, &c->n[INVLPGS]);
	else if (is_mark(b, size))
		qemu_plugin_register_vcpu_insn_exec_cb(insn, on_mark, QEMU_PLUGIN_CB_NO_REGS,
						       (void *)(uintptr_t)b[4]);
	if (upcall_address && address == upcall_address)
		count(insn, &c->n[UPCALLS]);
}

static void on_block(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t n = qemu_plugin_tb_n_insns(tb);
	struct qemu_plugin_insn *first = qemu_plugin_tb_get_insn(tb, 0);
	uint32_t eax = OP_UNKNOWN;
	struct counts *c;

	(void)id;
	if (!ram_base)
		ram_base = find_ram();
	c = counts_of(qemu_plugin_tb_vaddr(tb), qemu_plugin_insn_haddr(first));
	qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64,
						 &c->n[INSTRUCTIONS], n);
	for (size_t i = 0; i < n; i++)
		look_at(qemu_plugin_tb_get_insn(tb, i), c);
	for (size_t i = 0; n_gates && i < n && qemu_plugin_tb_vaddr(tb) >= XEN_END; i++)
		look_for_hypercall(qemu_plugin_tb_get_insn(tb, i), c, &eax);
}

/* ---- start ---- */

static bool argument(const char *arg, const char *name, const char **value)
{
	size_t n = strlen(name);

	if (strncmp(arg, name, n) || arg[n] != '=')
		return false;
	*value = arg + n + 1;
	return true;
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info,
					   int argc, char **argv)
{
	const char *v;

	(void)info;
	for (int i = 0; i < argc; i++) {
		if (argument(argv[i], "out", &v))
			out = fopen(v, "we");
		else if (argument(argv[i], "ram", &v))
			ram_size = strtoull(v, NULL, 0);
		else if (argument(argv[i], "upcall", &v))
			upcall_address = strtoull(v, NULL, 16);
		else if (argument(argv[i], "hypercall", &v) &&
			 n_gates < sizeof(gates) / sizeof(gates[0]))
			gates[n_gates++] = strtoull(v, NULL, 16);
		else if (argument(argv[i], "guest", &v))
			guest_file = strdup(v);
	}
	n_pages = ram_size >> PAGE_SHIFT;
	pages = calloc(2 * n_pages, sizeof(*pages));
	owned_by_guest = calloc(n_pages, 1);
	if (!out || !n_pages || !pages || !owned_by_guest)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_block);
	return 0;
}
