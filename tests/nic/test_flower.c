/* SPDX-License-Identifier: MIT */
/*
 * Rules by tc's flower, at the level of messages: what is said to the kernel, byte for byte
 * as tc(8) 6.1 says it, and what vifd makes of the answers. The kernel is played here: it
 * keeps filters by priority and handle and gives them back as they came, in hardware, and
 * refuses, forgets and lies on demand.
 */
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>

#include "backend/nic/rules.h"

#define FILTERS_MAX 4u

struct message {
	uint8_t bytes[512];
	size_t size;
};

static struct {
	struct message filter[FILTERS_MAX]; /* size 0: none */
	struct message inserted;	    /* the last that came */
	bool has_clsact;
	int refuse_skbedit, refuse_all; /* with this error */
	bool in_software;		/* filters do not get to the hardware */
	void (*lie)(struct nlmsghdr *nlh);
	struct tc_mqprio_qopt classes;
	struct message answer[2]; /* not yet received */
	uint32_t n_answers;
} kernel;

/* ---- the kernel ---- */

static struct nlmsghdr *header(struct message *m)
{
	return (void *)m->bytes;
}

static void answer(const struct nlmsghdr *nlh)
{
	struct message *m = &kernel.answer[kernel.n_answers++];

	assert_true(kernel.n_answers <= ARRAY_SIZE(kernel.answer));
	assert_true(nlh->nlmsg_len <= sizeof(m->bytes));
	memcpy(m->bytes, nlh, nlh->nlmsg_len);
	m->size = nlh->nlmsg_len;
}

static void acknowledge(const struct nlmsghdr *request, int error)
{
	struct message m = { .size = 0 };
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(m.bytes);
	struct nlmsgerr *e = mnl_nlmsg_put_extra_header(nlh, sizeof(*e));

	nlh->nlmsg_type = NLMSG_ERROR;
	nlh->nlmsg_seq = request->nlmsg_seq;
	e->error = error;
	e->msg = *request;
	answer(nlh);
}

static struct message *find(const struct nlmsghdr *request)
{
	const struct tcmsg *want = mnl_nlmsg_get_payload(request);

	for (uint32_t i = 0; i < FILTERS_MAX; i++) {
		const struct tcmsg *has = mnl_nlmsg_get_payload(header(&kernel.filter[i]));

		if (kernel.filter[i].size && has->tcm_handle == want->tcm_handle &&
		    has->tcm_info == want->tcm_info && has->tcm_parent == want->tcm_parent)
			return &kernel.filter[i];
	}
	return NULL;
}

static struct nlattr *option(struct nlmsghdr *nlh, uint16_t type)
{
	struct nlattr *a, *o;

	mnl_attr_for_each(a, nlh, sizeof(struct tcmsg))
	{
		if (mnl_attr_get_type(a) != TCA_OPTIONS)
			continue;
		mnl_attr_for_each_nested(o, a) if (mnl_attr_get_type(o) == type) return o;
	}
	return NULL;
}

static int insert(struct nlmsghdr *request)
{
	uint32_t i = 0;

	memcpy(kernel.inserted.bytes, request, request->nlmsg_len);
	kernel.inserted.size = request->nlmsg_len;
	if (kernel.refuse_all || (kernel.refuse_skbedit && option(request, TCA_FLOWER_ACT)))
		return kernel.refuse_all ? kernel.refuse_all : kernel.refuse_skbedit;
	if (find(request))
		return -EEXIST;
	while (i < FILTERS_MAX && kernel.filter[i].size)
		i++;
	if (i == FILTERS_MAX)
		return -ENOSPC;
	kernel.filter[i] = kernel.inserted;
	return 0;
}

static int give(const struct nlmsghdr *request)
{
	struct message m, *filter = find(request);
	struct nlattr *flags;

	if (!filter)
		return -ENOENT;
	m = *filter;
	header(&m)->nlmsg_type = RTM_NEWTFILTER;
	header(&m)->nlmsg_flags = 0;
	header(&m)->nlmsg_seq = request->nlmsg_seq;
	flags = option(header(&m), TCA_FLOWER_FLAGS);
	if (flags && !kernel.in_software)
		*(uint32_t *)mnl_attr_get_payload(flags) |= TCA_CLS_FLAGS_IN_HW;
	if (kernel.lie)
		kernel.lie(header(&m));
	answer(header(&m));
	return 0;
}

static int forget(const struct nlmsghdr *request)
{
	struct message *filter = find(request);

	if (!filter)
		return -ENOENT;
	filter->size = 0;
	return 0;
}

/* One qdisc, then the dump's end. */
static void dump_qdiscs(const struct nlmsghdr *request)
{
	struct message m = { .size = 0 };
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(m.bytes);

	nlh->nlmsg_type = RTM_NEWQDISC;
	nlh->nlmsg_flags = NLM_F_MULTI;
	nlh->nlmsg_seq = request->nlmsg_seq;
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct tcmsg));
	mnl_attr_put_strz(nlh, TCA_KIND, "mqprio");
	mnl_attr_put(nlh, TCA_OPTIONS, sizeof(kernel.classes), &kernel.classes);
	if (kernel.classes.num_tc)
		answer(nlh);
	nlh = mnl_nlmsg_put_header(m.bytes);
	nlh->nlmsg_type = NLMSG_DONE;
	nlh->nlmsg_flags = NLM_F_MULTI;
	nlh->nlmsg_seq = request->nlmsg_seq;
	answer(nlh);
}

ssize_t __wrap_mnl_socket_sendto(const struct mnl_socket *nl, const void *request, size_t size);

ssize_t __wrap_mnl_socket_sendto(const struct mnl_socket *nl, const void *request, size_t size)
{
	struct message copy;
	struct nlmsghdr *nlh = header(&copy);
	int error = 0;

	assert_non_null(nl);
	assert_true(size <= sizeof(copy.bytes));
	assert_int_equal(kernel.n_answers, 0);
	memcpy(copy.bytes, request, size);
	assert_int_equal(nlh->nlmsg_len, size);
	switch (nlh->nlmsg_type) {
	case RTM_NEWQDISC:
		error = kernel.has_clsact ? -EEXIST : 0;
		kernel.has_clsact = true;
		break;
	case RTM_DELQDISC:
		kernel.has_clsact = false;
		break;
	case RTM_NEWTFILTER:
		error = insert(nlh);
		break;
	case RTM_GETTFILTER:
		error = give(nlh);
		break;
	case RTM_DELTFILTER:
		error = forget(nlh);
		break;
	case RTM_GETQDISC:
		dump_qdiscs(nlh);
		return (ssize_t)size;
	default:
		fail_msg("message %u", nlh->nlmsg_type);
	}
	acknowledge(nlh, error);
	return (ssize_t)size;
}

ssize_t __wrap_mnl_socket_recvfrom(const struct mnl_socket *nl, void *buffer, size_t size);

ssize_t __wrap_mnl_socket_recvfrom(const struct mnl_socket *nl, void *buffer, size_t size)
{
	struct message m = kernel.answer[0];

	assert_true(kernel.n_answers > 0 && m.size <= size);
	header(&m)->nlmsg_pid = mnl_socket_get_portid(nl);
	memcpy(buffer, m.bytes, m.size);
	kernel.answer[0] = kernel.answer[1];
	kernel.n_answers--;
	return (ssize_t)m.size;
}

/* ---- a test's beginning and end ---- */

static struct rules *rules;
static uint32_t where; /* of the rule added last */
static char why[96];

static int open_rules(void)
{
	uint32_t n_free;

	return flower_rules.open((int)if_nametoindex("lo"), &rules, &n_free, why, sizeof(why));
}

static int start(void **state)
{
	(void)state;
	memset(&kernel, 0, sizeof(kernel));
	return open_rules();
}

static int end(void **state)
{
	(void)state;
	flower_rules.close(rules);
	rules = NULL;
	return 0;
}

static const struct rule untagged = { .filter.mac = { 0x00, 0x16, 0x3e, 0, 0, 1 }, .queue = 6 };
static const struct rule tagged = { .filter = { .mac = { 0x00, 0x16, 0x3e, 0, 0, 1 }, .vlan = 5 },
				    .queue = 7 };

static uint32_t n_filters(void)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < FILTERS_MAX; i++)
		n += kernel.filter[i].size > 0;
	return n;
}

/* ---- bytes ---- */

/* All but the sequence number. */
static void inserted_is(const uint8_t *want, size_t size)
{
	assert_int_equal(kernel.inserted.size, size);
	memset(kernel.inserted.bytes + 8, 0, 4);
	assert_memory_equal(kernel.inserted.bytes, want, size);
}

/* tc filter add dev lo ingress protocol all prio 30310 handle 7 flower dst_mac 00:16:3e:00:00:01
 * skip_sw action skbedit queue_mapping 6 */
static void bytes_untagged(void **state)
{
	static const uint8_t bytes[] = {
		0x8c, 0x00, 0x00, 0x00, 0x2c, 0x00, 0x05, 0x06, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00,
		0xf2, 0xff, 0xff, 0xff, 0x00, 0x03, 0x66, 0x76, 0x0b, 0x00, 0x01, 0x00, 0x66, 0x6c,
		0x6f, 0x77, 0x65, 0x72, 0x00, 0x00, 0x5c, 0x00, 0x02, 0x00, 0x0a, 0x00, 0x04, 0x00,
		0x00, 0x16, 0x3e, 0x00, 0x00, 0x01, 0x00, 0x00, 0x0a, 0x00, 0x05, 0x00, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x38, 0x00, 0x03, 0x00, 0x34, 0x00, 0x01, 0x00,
		0x0c, 0x00, 0x01, 0x00, 0x73, 0x6b, 0x62, 0x65, 0x64, 0x69, 0x74, 0x00, 0x24, 0x00,
		0x02, 0x80, 0x18, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x06, 0x00,
		0x04, 0x00, 0x06, 0x00, 0x00, 0x00, 0x08, 0x00, 0x16, 0x00, 0x02, 0x00, 0x00, 0x00,
	};

	(void)state;
	assert_int_equal(flower_rules.add(rules, &untagged, &where), 0);
	inserted_is(bytes, sizeof(bytes));
}

/* ... protocol 802.1Q prio 30311 handle 8 flower vlan_id 5 dst_mac 00:16:3e:00:00:01 skip_sw
 * action skbedit queue_mapping 7 */
static void bytes_tagged(void **state)
{
	static const uint8_t bytes[] = {
		0x9c, 0x00, 0x00, 0x00, 0x2c, 0x00, 0x05, 0x06, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x08, 0x00,
		0x00, 0x00, 0xf2, 0xff, 0xff, 0xff, 0x81, 0x00, 0x67, 0x76, 0x0b, 0x00, 0x01,
		0x00, 0x66, 0x6c, 0x6f, 0x77, 0x65, 0x72, 0x00, 0x00, 0x6c, 0x00, 0x02, 0x00,
		0x06, 0x00, 0x17, 0x00, 0x05, 0x00, 0x00, 0x00, 0x0a, 0x00, 0x04, 0x00, 0x00,
		0x16, 0x3e, 0x00, 0x00, 0x01, 0x00, 0x00, 0x0a, 0x00, 0x05, 0x00, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x38, 0x00, 0x03, 0x00, 0x34, 0x00, 0x01,
		0x00, 0x0c, 0x00, 0x01, 0x00, 0x73, 0x6b, 0x62, 0x65, 0x64, 0x69, 0x74, 0x00,
		0x24, 0x00, 0x02, 0x80, 0x18, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x06, 0x00, 0x04, 0x00, 0x07, 0x00, 0x00, 0x00, 0x08, 0x00, 0x16,
		0x00, 0x02, 0x00, 0x00, 0x00, 0x06, 0x00, 0x08, 0x00, 0x81, 0x00, 0x00, 0x00,
	};

	(void)state;
	assert_int_equal(flower_rules.add(rules, &tagged, &where), 0);
	inserted_is(bytes, sizeof(bytes));
}

/* Queues 0-5 are class 0, 6 is class 1, 7 is class 2. */
static void make_classes(void)
{
	kernel.classes =
	    (struct tc_mqprio_qopt){ .num_tc = 3, .count = { 6, 1, 1 }, .offset = { 0, 6, 7 } };
}

/* ... prio 30310 handle 8 flower dst_mac 00:16:3e:00:00:01 skip_sw hw_tc 2 */
static void bytes_class(void **state)
{
	static const uint8_t bytes[] = {
		0x5c, 0x00, 0x00, 0x00, 0x2c, 0x00, 0x05, 0x06, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00,
		0xf2, 0xff, 0xff, 0xff, 0x00, 0x03, 0x66, 0x76, 0x0b, 0x00, 0x01, 0x00, 0x66, 0x6c,
		0x6f, 0x77, 0x65, 0x72, 0x00, 0x00, 0x2c, 0x00, 0x02, 0x00, 0x0a, 0x00, 0x04, 0x00,
		0x00, 0x16, 0x3e, 0x00, 0x00, 0x01, 0x00, 0x00, 0x0a, 0x00, 0x05, 0x00, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x08, 0x00, 0x01, 0x00, 0xe2, 0xff, 0xff, 0xff,
		0x08, 0x00, 0x16, 0x00, 0x02, 0x00, 0x00, 0x00,
	};
	struct rule rule = untagged;

	(void)state;
	rule.queue = 7;
	make_classes();
	kernel.refuse_skbedit = -EOPNOTSUPP;
	assert_int_equal(flower_rules.add(rules, &rule, &where), 0);
	inserted_is(bytes, sizeof(bytes));
	assert_int_equal(flower_rules.del(rules, &rule), 0);
	assert_int_equal(n_filters(), 0);
	rule.queue = 5; /* is in a class with others */
	assert_int_equal(flower_rules.add(rules, &rule, &where), -EOPNOTSUPP);
	assert_int_equal(n_filters(), 0);
}

/* ---- opening ---- */

/* It tries whether the driver takes a rule, and leaves none. */
static void tried(void **state)
{
	(void)state;
	assert_true(kernel.has_clsact);
	assert_true(kernel.inserted.size > 0);
	assert_int_equal(n_filters(), 0);
}

static void not_in_hardware(void **state)
{
	(void)state;
	end(NULL);
	kernel.refuse_all = -EOPNOTSUPP; /* as of skip_sw, without hw-tc-offload */
	assert_int_equal(open_rules(), -EOPNOTSUPP);
	assert_string_equal(why, "no flower in hardware (tc, hw-tc-offload): Operation not "
				 "supported");
	kernel.refuse_all = -ENOENT; /* "TC classifier not found" */
	assert_int_equal(open_rules(), -EOPNOTSUPP);
	assert_true(kernel.has_clsact); /* it was there before */
	kernel.has_clsact = false;
	assert_int_equal(open_rules(), -EOPNOTSUPP);
	assert_false(kernel.has_clsact);
	kernel.refuse_all = 0;
	kernel.in_software = true;
	assert_int_equal(open_rules(), -EIO);
	assert_int_equal(n_filters(), 0);
}

/* ---- life ---- */

static void add_and_remove(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) { /* as after a crash: nothing is remembered */
		assert_int_equal(flower_rules.add(rules, &untagged, &where), 0);
		assert_int_equal(flower_rules.add(rules, &tagged, &where), 0);
		assert_int_equal(n_filters(), 2);
		end(NULL);
		assert_int_equal(open_rules(), 0);
		assert_int_equal(flower_rules.del(rules, &untagged), 0);
		assert_int_equal(flower_rules.del(rules, &untagged), 0); /* none: well */
		assert_int_equal(n_filters(), 1);
		assert_int_equal(flower_rules.del(rules, &tagged), 0);
		assert_int_equal(n_filters(), 0);
	}
}

/* Of the same handle, but of another address: it is not what is to go. */
static void another_rule_stays(void **state)
{
	struct rule other = untagged;

	(void)state;
	other.filter.mac[5] = 2;
	assert_int_equal(flower_rules.add(rules, &other, &where), 0);
	assert_int_equal(flower_rules.del(rules, &untagged), 0);
	assert_int_equal(n_filters(), 1);
	assert_int_equal(flower_rules.add(rules, &untagged, &where), -EEXIST);
	assert_int_equal(n_filters(), 1);
}

/* By "tc filter del", "tc qdisc del dev lo clsact" and "ethtool -K hw-tc-offload off". */
static void taken_away(void **state)
{
	uint32_t of_class;

	(void)state;
	assert_int_equal(flower_rules.add(rules, &untagged, &where), 0);
	assert_int_equal(flower_rules.has(rules, &untagged, where), 0);
	kernel.in_software = true;
	assert_int_equal(flower_rules.has(rules, &untagged, where), -EIO);
	kernel.in_software = false;
	make_classes();
	kernel.refuse_skbedit = -EOPNOTSUPP;
	assert_int_equal(flower_rules.add(rules, &tagged, &of_class), 0);
	assert_int_equal(flower_rules.has(rules, &tagged, of_class), 0);
	memset(kernel.filter, 0, sizeof(kernel.filter));
	assert_int_equal(flower_rules.has(rules, &untagged, where), -ENOENT);
	assert_int_equal(flower_rules.has(rules, &tagged, of_class), -ENOENT);
	assert_int_equal(flower_rules.del(rules, &untagged), 0);
}

static void full(void **state)
{
	struct rule rule = untagged;

	(void)state;
	for (rule.queue = 0; rule.queue < FILTERS_MAX; rule.queue++)
		assert_int_equal(flower_rules.add(rules, &rule, &where), 0);
	assert_int_equal(flower_rules.add(rules, &rule, &where), -ENOSPC);
}

static void another_queue(struct nlmsghdr *nlh)
{
	struct nlattr *act = mnl_attr_get_payload(option(nlh, TCA_FLOWER_ACT)), *a;

	mnl_attr_for_each_nested(a, act) if (mnl_attr_get_type(a) ==
					     TCA_ACT_OPTIONS) /* PARMS, then the queue */
	    memset((uint8_t *)mnl_attr_get_payload(a) + 24 + 4, 3, 2);
}

static void any_address(struct nlmsghdr *nlh)
{
	memset(mnl_attr_get_payload(option(nlh, TCA_FLOWER_KEY_ETH_DST_MASK)), 0, 6);
}

static void another_vlan(struct nlmsghdr *nlh)
{
	memset(mnl_attr_get_payload(option(nlh, TCA_FLOWER_KEY_VLAN_ID)), 1, 1);
}

static void not_what_was_asked(void **state)
{
	static void (*const lies[])(struct nlmsghdr * nlh) = { another_queue, any_address,
							       another_vlan };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		kernel.lie = lies[i];
		assert_int_equal(flower_rules.add(rules, &tagged, &where), -EIO);
		assert_int_equal(n_filters(), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, start, end)
		T(bytes_untagged),     T(bytes_tagged),	  T(bytes_class),	 T(tried),
		T(not_in_hardware),    T(add_and_remove), T(another_rule_stays), T(full),
		T(not_what_was_asked), T(taken_away),
#undef T
	};

	return cmocka_run_group_tests_name("flower", tests, NULL, NULL);
}
