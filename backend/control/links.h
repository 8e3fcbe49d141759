/* SPDX-License-Identifier: MIT */
/*
 * Rank 80: the network devices of the host, as rtnetlink tells of them: who is in which
 * bridge, and in which of its VLANs, who is up. Tables kept from the kernel's notifications,
 * so that thousands of vifs cost no question each when a bridge goes down.
 *
 * Nothing here waits. News come in bounded portions; when the kernel had to drop some, the
 * tables are read anew.
 *
 * Owner: control.
 */
#ifndef VIF_CONTROL_LINKS_H
#define VIF_CONTROL_LINKS_H

#include <net/if.h>

#include "backend/control/vlans.h"
#include "base.h"

struct mnl_socket;
struct nlmsghdr;

/* A device. */
struct link_entry {
	int ifindex;
	char name[IF_NAMESIZE];
	uint32_t xdp;  /* its XDP program, as the kernel counts them; 0: none, or several */
	uint32_t born; /* no other device had or will have it, whatever its ifindex */
	int master; /* ifindex of what it is in: a bridge, a bond; 0: nothing */
	uint32_t mtu;
	bool up;      /* set up by the operator */
	bool carrier; /* and its lower layer is */
	bool settled; /* the kernel has acted upon its carrier: IF_OPER_UP */
	bool is_tap, is_bridge;
	bool filters_vlans; /* a bridge that does */
	bool service_tags;  /* by 802.1ad tags */
	bool spans_vlans;   /* with a spanning tree for groups of them */
	uint8_t port_state; /* of a bridge's port: BR_STATE_* */
	bool learns;	    /* and it learns who sends by it */
	bool floods;	    /* and gets frames to whom its bridge does not know */
	bool isolated;	    /* and from and to others like it nothing passes */
	bool locked;	    /* and nothing comes in of whom its bridge does not know there */
	uint64_t ageing_ns; /* a bridge: forgets who has not sent for so long */
	uint32_t seen;	    /* the reading of the whole table that last had it */
	/* of a master, as of links_news() */
	uint32_t n_uplinks, n_uplinks_alive; /* members that are no TAPs */
};

/* Taken by one links_news() at most. */
#define LINKS_MOVED 256u

struct links {
	struct mnl_socket *nl;
	struct link_entry *entry; /* [n_entries], by ifindex */
	uint32_t n_entries, size;
	uint32_t n_born;
	uint32_t moved[LINKS_MOVED]; /* link_entry.born of who left for another namespace last */
	uint32_t n_moved;
	struct vlans vlans;
	uint32_t seq;	  /* of the last request */
	uint32_t reading; /* of the last one for all devices: which reading of the table this is */
	enum { LINKS_AT_REST, LINKS_READS_DEVICES, LINKS_READS_VLANS } under_way;
	bool reading_due; /* again: news were lost */
	bool changed;
};

/* Starts listening and asks for the whole table. 0 or -errno. */
int links_open(struct links *l) must_check;
void links_close(struct links *l);

/* Readable when there are news. */
int links_fd(const struct links *l);

/* Takes news, a bounded number. Returns whether anything changed since the last call; *more:
 * come again at once. */
bool links_news(struct links *l, bool *more);

/* NULL: there is none, or not that we heard of yet. Valid until the next links_news(). */
const struct link_entry *links_find(const struct links *l, int ifindex);

/* A device that has this XDP program; NULL: none. */
const struct link_entry *links_with_program(const struct links *l, uint32_t id);

/* Whether this device left, lately, for another network namespace. False too if the news of it
 * were lost. */
bool links_moved(const struct links *l, uint32_t born);

/* One message of the kernel's, for links_news() and tests: RTM_NEWLINK or RTM_DELLINK.
 * Returns false if there is no memory for it. */
bool links_take(struct links *l, const struct nlmsghdr *nlh);

/* Counts the members of masters. */
void links_count(struct links *l);

#endif
