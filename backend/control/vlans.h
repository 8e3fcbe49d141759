/* SPDX-License-Identifier: MIT */
/*
 * Rank 79: which VLANs the ports of bridges are in, as rtnetlink tells, and what frames for
 * one port, and from it, look like on the wire behind another.
 *
 * links.c asks and listens, and hands the messages on. Of a bridge that does not filter VLANs
 * the table says nothing that counts.
 *
 * Owner: control.
 */
#ifndef VIF_CONTROL_VLANS_H
#define VIF_CONTROL_VLANS_H

#include "base.h"

struct nlmsghdr;

#define VLANS_MAX  4096u
#define VLAN_WORDS (VLANS_MAX / 64)

/* A port of a bridge, or the bridge's own. */
struct vlan_port {
	int ifindex;
	uint16_t pvid; /* the VLAN of what comes in without a tag; 0: that is dropped */
	uint32_t seen; /* the reading of the whole table that last had it */
	/* bit maps by VLAN */
	uint64_t member[VLAN_WORDS];
	uint64_t untagged[VLAN_WORDS]; /* leaves without its tag */
	uint64_t blocked[VLAN_WORDS];  /* by spanning trees: nothing passes */
};

struct vlans {
	struct vlan_port **port; /* [n_ports], by ifindex */
	uint32_t n_ports, size;
	uint32_t reading; /* the number of the whole table's last reading */
	bool under_way;	  /* it has not ended */
};

/* What frames of one VLAN look like. */
struct vlan_form {
	uint16_t vlan;	  /* which; 0: their bridge knows of none */
	uint16_t on_wire; /* the VLAN of their tag; 0: they have none */
	bool tag_off;	  /* which the guest is not to see, and not to put on */
	bool one_way;	  /* what the guest sends in it does not look like what it receives */
};

/* The whole table was asked for; what it turns out not to have is gone. */
void vlans_reading_begins(struct vlans *v);
void vlans_reading_ends(struct vlans *v);

/* One message, RTM_NEWVLAN or RTM_DELVLAN; of that reading or news. Others do nothing. False:
 * the table is to be read again, as there was no memory or news cut in on the reading. */
bool vlans_take(struct vlans *v, const struct nlmsghdr *nlh, bool of_reading) must_check;

void vlans_fini(struct vlans *v);

/*
 * What frames that the bridge delivers to 'port' look like on the wire behind 'uplink',
 * another of its ports, and, unless one_way, those that it takes from 'port'. If the port has
 * several VLANs, those of the one its guest has without tags. NULL and *out, or why that cannot
 * be said of them, for people.
 */
const char *vlans_form(const struct vlans *v, int port, int uplink,
		       struct vlan_form *out) must_check;

#endif
