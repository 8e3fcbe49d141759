/* SPDX-License-Identifier: MIT */
/*
 * Rules by tc's flower, in hardware only (skip_sw), over rtnetlink. Two ways to name the queue,
 * as drivers have one or the other:
 *
 *	tc filter add dev DEVICE ingress ... flower skip_sw dst_mac M action skbedit queue_mapping Q
 *		Linux 6.2 (net/sched/act_skbedit.c)
 *	tc filter add dev DEVICE ingress ... flower skip_sw dst_mac M hw_tc T
 *		a traffic class, which the operator made of exactly that queue with mqprio
 *
 * Ours are known by their priority, which comes after what an operator would choose, and there
 * by the queue: its number and 1 is the rule's handle. A device without clsact gets it, and
 * keeps it.
 */
#include "backend/nic/rules.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_skbedit.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRIORITY      30310u /* of rules without a VLAN; with one it is the next: another protocol */
#define PRIORITY_VLAN (PRIORITY + 1)
#define MESSAGE_SIZE  32768
#define REQUEST_SIZE  512 /* no request of ours is longer */
#define CLASSID(tc)   (0xffff0000u | (TC_H_MIN_PRIORITY + (tc)))

struct rules {
	struct mnl_socket *nl;
	uint32_t ifindex, seq;
	uint8_t buffer[MESSAGE_SIZE];
};

/* ---- messages ---- */

/* One request, its answers to 'answer', its acknowledgement. 0 or the kernel's -errno. */
static int transact(struct rules *r, struct nlmsghdr *nlh, mnl_cb_t answer, void *data)
{
	uint32_t port = mnl_socket_get_portid(r->nl), seq = ++r->seq;
	ssize_t n;
	int rc;

	nlh->nlmsg_seq = seq;
	if (mnl_socket_sendto(r->nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	do {
		n = mnl_socket_recvfrom(r->nl, r->buffer, sizeof(r->buffer));
		if (n < 0)
			return -errno;
		rc = mnl_cb_run(r->buffer, (size_t)n, seq, port, answer, data);
	} while (rc == MNL_CB_OK);
	return rc < 0 ? -errno : 0;
}

static struct nlmsghdr *start(struct rules *r, uint16_t type, uint16_t flags, struct tcmsg **tcm)
{
	struct nlmsghdr *nlh;

	memset(r->buffer, 0, REQUEST_SIZE); /* what pads attributes, too */
	nlh = mnl_nlmsg_put_header(r->buffer);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	*tcm = mnl_nlmsg_put_extra_header(nlh, sizeof(**tcm));
	(*tcm)->tcm_ifindex = (int)r->ifindex;
	return nlh;
}

static struct nlmsghdr *start_filter(struct rules *r, uint16_t type, uint16_t flags,
				     const struct rule *rule)
{
	uint16_t protocol = rule->filter.vlan ? ETH_P_8021Q : ETH_P_ALL;
	uint32_t priority = rule->filter.vlan ? PRIORITY_VLAN : PRIORITY;
	struct tcmsg *tcm;
	struct nlmsghdr *nlh = start(r, type, flags, &tcm);

	tcm->tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);
	tcm->tcm_info = TC_H_MAKE(priority << 16, htons(protocol));
	tcm->tcm_handle = rule->queue + 1;
	mnl_attr_put_strz(nlh, TCA_KIND, "flower");
	return nlh;
}

/* As tc(8) does it, without NLA_F_NESTED, which these are older than. */
static struct nlattr *nest(struct nlmsghdr *nlh, uint16_t type)
{
	struct nlattr *a = mnl_attr_nest_start(nlh, type);

	a->nla_type &= ~(uint16_t)NLA_F_NESTED;
	return a;
}

static void put_match(struct nlmsghdr *nlh, const struct nic_filter *f)
{
	static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	if (f->vlan)
		mnl_attr_put_u16(nlh, TCA_FLOWER_KEY_VLAN_ID, f->vlan);
	mnl_attr_put(nlh, TCA_FLOWER_KEY_ETH_DST, sizeof(f->mac), f->mac);
	mnl_attr_put(nlh, TCA_FLOWER_KEY_ETH_DST_MASK, sizeof(all), all);
}

static void put_action(struct nlmsghdr *nlh, uint16_t queue)
{
	const struct tc_skbedit parms = { .action = TC_ACT_PIPE };
	struct nlattr *actions = nest(nlh, TCA_FLOWER_ACT), *first = nest(nlh, 1), *options;

	mnl_attr_put_strz(nlh, TCA_ACT_KIND, "skbedit");
	options = mnl_attr_nest_start(nlh, TCA_ACT_OPTIONS);
	mnl_attr_put(nlh, TCA_SKBEDIT_PARMS, sizeof(parms), &parms);
	mnl_attr_put_u16(nlh, TCA_SKBEDIT_QUEUE_MAPPING, queue);
	mnl_attr_nest_end(nlh, options);
	mnl_attr_nest_end(nlh, first);
	mnl_attr_nest_end(nlh, actions);
}

/* 'class': of the traffic, or -1: by the queue's number. */
static int insert(struct rules *r, const struct rule *rule, int class)
{
	struct nlmsghdr *nlh =
	    start_filter(r, RTM_NEWTFILTER, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, rule);
	struct nlattr *options = nest(nlh, TCA_OPTIONS);
	int err;

	put_match(nlh, &rule->filter);
	if (class < 0)
		put_action(nlh, (uint16_t)rule->queue);
	else
		mnl_attr_put_u32(nlh, TCA_FLOWER_CLASSID, CLASSID((uint32_t) class));
	mnl_attr_put_u32(nlh, TCA_FLOWER_FLAGS, TCA_CLS_FLAGS_SKIP_SW);
	if (rule->filter.vlan)
		mnl_attr_put_u16(nlh, TCA_FLOWER_KEY_ETH_TYPE, htons(ETH_P_8021Q));
	mnl_attr_nest_end(nlh, options);
	err = transact(r, nlh, NULL, NULL);
	return err == -ENOENT ? -EOPNOTSUPP : err; /* the kernel has no flower, or no skbedit */
}

static int remove_rule(struct rules *r, const struct rule *rule)
{
	return transact(r, start_filter(r, RTM_DELTFILTER, NLM_F_ACK, rule), NULL, NULL);
}

/* ---- what is there ---- */

struct found {
	bool rule; /* a filter of the handle, of flower's */
	struct nic_filter filter;
	uint8_t mask[6];
	uint32_t flags, classid;
	int queue; /* of an skbedit; -1: none */
};

static void parse_action(const struct nlattr *actions, struct found *f)
{
	const struct nlattr *action, *a, *o;

	mnl_attr_for_each_nested(action, actions)
	{
		mnl_attr_for_each_nested(a, action)
		{
			if (mnl_attr_get_type(a) != TCA_ACT_OPTIONS)
				continue;
			mnl_attr_for_each_nested(o, a) if (mnl_attr_get_type(o) ==
							       TCA_SKBEDIT_QUEUE_MAPPING &&
							   !mnl_attr_validate(o, MNL_TYPE_U16))
			    f->queue = mnl_attr_get_u16(o);
		}
	}
}

static void parse_options(const struct nlattr *options, struct found *f)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, options)
	{
		uint16_t size = mnl_attr_get_payload_len(a);
		const void *value = mnl_attr_get_payload(a);

		switch (mnl_attr_get_type(a)) {
		case TCA_FLOWER_KEY_ETH_DST:
			memcpy(f->filter.mac, value, MIN(size, sizeof(f->filter.mac)));
			break;
		case TCA_FLOWER_KEY_ETH_DST_MASK:
			memcpy(f->mask, value, MIN(size, sizeof(f->mask)));
			break;
		case TCA_FLOWER_KEY_VLAN_ID:
			memcpy(&f->filter.vlan, value, MIN(size, sizeof(f->filter.vlan)));
			break;
		case TCA_FLOWER_FLAGS:
			memcpy(&f->flags, value, MIN(size, sizeof(f->flags)));
			break;
		case TCA_FLOWER_CLASSID:
			memcpy(&f->classid, value, MIN(size, sizeof(f->classid)));
			break;
		case TCA_FLOWER_ACT:
			parse_action(a, f);
			break;
		}
	}
}

static int on_filter(const struct nlmsghdr *nlh, void *data)
{
	struct found *f = data;
	const struct nlattr *a;

	if (nlh->nlmsg_type != RTM_NEWTFILTER)
		return MNL_CB_OK;
	mnl_attr_for_each(a, nlh, sizeof(struct tcmsg))
	{
		if (mnl_attr_get_type(a) != TCA_OPTIONS)
			continue;
		f->rule = true;
		parse_options(a, f);
	}
	return MNL_CB_OK;
}

static int get(struct rules *r, const struct rule *rule, struct found *out)
{
	*out = (struct found){ .queue = -1 };
	return transact(r, start_filter(r, RTM_GETTFILTER, NLM_F_ACK, rule), on_filter, out);
}

/* 'class' as insert() has it; -2: either. */
static bool is_rule(const struct found *f, const struct rule *rule, int class)
{
	static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	if (!f->rule || memcmp(f->filter.mac, rule->filter.mac, sizeof(all)) ||
	    memcmp(f->mask, all, sizeof(all)) || f->filter.vlan != rule->filter.vlan)
		return false;
	if (class == -2)
		return f->classid || f->queue == (int)rule->queue;
	return class < 0 ? f->queue == (int)rule->queue : f->classid == CLASSID((uint32_t) class);
}

/* ---- traffic classes ---- */

struct class_of {
	uint32_t queue;
	int class; /* -1: there is none of this queue alone */
};

static int on_qdisc(const struct nlmsghdr *nlh, void *data)
{
	struct class_of *c = data;
	struct tc_mqprio_qopt q;
	const struct nlattr *a;
	bool mqprio = false;

	mnl_attr_for_each(a, nlh, sizeof(struct tcmsg))
	{
		if (mnl_attr_get_type(a) == TCA_KIND)
			mqprio =
			    !strncmp(mnl_attr_get_str(a), "mqprio", mnl_attr_get_payload_len(a));
		if (mnl_attr_get_type(a) != TCA_OPTIONS || !mqprio ||
		    mnl_attr_get_payload_len(a) < sizeof(q))
			continue;
		memcpy(&q, mnl_attr_get_payload(a), sizeof(q));
		for (int i = 0; i < MIN((int)q.num_tc, TC_QOPT_MAX_QUEUE); i++)
			if (q.count[i] == 1 && q.offset[i] == c->queue)
				c->class = i;
	}
	return MNL_CB_OK;
}

static int find_class(struct rules *r, uint32_t queue)
{
	struct class_of c = { .queue = queue, .class = -1 };
	struct tcmsg *tcm;
	struct nlmsghdr *nlh = start(r, RTM_GETQDISC, NLM_F_DUMP, &tcm);

	return transact(r, nlh, on_qdisc, &c) ? -1 : c.class;
}

/* ---- for the provider ---- */

/* Carried out by the hardware, in the way of 'class'. */
static int check(struct rules *r, const struct rule *rule, int class)
{
	struct found f;
	int err = get(r, rule, &f);

	if (!err && (!is_rule(&f, rule, class) || !(f.flags & TCA_CLS_FLAGS_IN_HW)))
		err = -EIO;
	return err;
}

static int flower_add(struct rules *r, const struct rule *rule, uint32_t *where)
{
	int class = -1, err = insert(r, rule, class);

	if (err == -EOPNOTSUPP || err == -EINVAL) {
		class = find_class(r, rule->queue);
		if (class >= 0)
			err = insert(r, rule, class);
	}
	if (err)
		return err;
	*where = (uint32_t)class;
	err = check(r, rule, class);
	if (err)
		(void)!remove_rule(r, rule);
	return err;
}

/* 'where' is the class; its handle is known. */
static int flower_has(struct rules *r, const struct rule *rule, uint32_t where)
{
	return check(r, rule, (int)where);
}

static int flower_del(struct rules *r, const struct rule *rule)
{
	struct found f;
	int err = get(r, rule, &f);

	if (!err && is_rule(&f, rule, -2))
		err = remove_rule(r, rule);
	return err == -ENOENT ? 0 : err;
}

static void flower_close(struct rules *r)
{
	if (!r)
		return;
	if (r->nl)
		mnl_socket_close(r->nl);
	free(r);
}

/* RTM_NEWQDISC: one that is there already will do, whoever made it; -EEXIST says so. */
static int clsact(struct rules *r, uint16_t type, uint16_t flags)
{
	struct tcmsg *tcm;
	struct nlmsghdr *nlh = start(r, type, NLM_F_ACK | flags, &tcm);

	tcm->tcm_parent = TC_H_CLSACT;
	tcm->tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
	mnl_attr_put_strz(nlh, TCA_KIND, "clsact");
	return transact(r, nlh, NULL, NULL);
}

/* Whether the driver takes such a rule only it can say: for an address nobody has. */
static int try_one(struct rules *r)
{
	const struct rule rule = { .filter.mac = { 0x02, 'v', 'i', 'f', 'd' }, .queue = 1 };
	int err = flower_del(r, &rule);
	uint32_t where;

	if (!err)
		err = flower_add(r, &rule, &where);
	return err ? err : flower_del(r, &rule);
}

static int prepare(struct rules *r)
{
	int err = clsact(r, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL);
	bool made = !err;

	if (err && err != -EEXIST)
		return err;
	err = try_one(r);
	if (err && made)
		(void)!clsact(r, RTM_DELQDISC, 0);
	return err;
}

static int flower_open(int ifindex, struct rules **out, uint32_t *n_free, char *why,
		       size_t why_size)
{
	struct rules *r = calloc(1, sizeof(*r));
	int err = r ? 0 : -ENOMEM;

	if (r) {
		r->ifindex = (uint32_t)ifindex;
		r->nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
		if (!r->nl || mnl_socket_bind(r->nl, 0, MNL_SOCKET_AUTOPID) < 0)
			err = -errno;
	}
	if (!err)
		err = prepare(r);
	if (err) {
		snprintf(why, why_size, "no flower in hardware (tc, hw-tc-offload): %s",
			 strerror(-err));
		flower_close(r);
		return err;
	}
	*n_free = UINT32_MAX;
	*out = r;
	return 0;
}

const struct rules_ops flower_rules = {
	.name = "tc flower",
	.open = flower_open,
	.close = flower_close,
	.add = flower_add,
	.has = flower_has,
	.del = flower_del,
};
