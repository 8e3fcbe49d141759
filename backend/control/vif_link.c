/* SPDX-License-Identifier: MIT */
/*
 * Where a vif's netdev stands on the host, and what of it the guest is told: its carrier
 * (netif.h "Link state") and the MTU (netif.h "MTU").
 */
#include "backend/control/vif_parts.h"

#include <linux/if_ether.h>
#include <stdio.h>
#include <string.h>

#include "backend/control/control.h"
#include "features.h"

/* The first that holds is the one people are told. */
static const struct {
	uint32_t reason;
	enum carrier_rule rule; /* counts under this one and those that follow it */
	const char *name;
} reasons[] = {
	{ VIF_LINK_DOWN, CARRIER_BRIDGE, "the netdev is set down" },
	{ VIF_LINK_TAKEN_OUT, CARRIER_BRIDGE, "it was taken out of its bridge" },
	{ VIF_LINK_BRIDGE_DOWN, CARRIER_BRIDGE, "its bridge is set down" }, /* disables the port */
	{ VIF_LINK_PORT_OFF, CARRIER_BRIDGE, "its bridge port is disabled" },
	{ VIF_LINK_UPLINK_DOWN, CARRIER_UPLINK, "no uplink of its bridge has a carrier" },
};

const char *vif_link_reason(const struct vif *v)
{
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
		if (v->no_carrier & reasons[i].reason)
			return reasons[i].name;
	return NULL;
}

/* All there is against a carrier, whatever the rule. */
static uint32_t look_at_link(const struct vif *v)
{
	const struct netdev_link *link = &v->link;

	return (link->up ? 0 : VIF_LINK_DOWN) |
	       (v->was_enslaved && !link->enslaved ? VIF_LINK_TAKEN_OUT : 0) |
	       (link->port_off ? VIF_LINK_PORT_OFF : 0) |
	       (link->bridge_down ? VIF_LINK_BRIDGE_DOWN : 0) |
	       (link->uplinks_down ? VIF_LINK_UPLINK_DOWN : 0);
}

static uint32_t against_carrier(const struct control *c, const struct vif *v)
{
	uint32_t counts = 0;

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
		if (reasons[i].rule <= c->config.carrier)
			counts |= reasons[i].reason;
	return look_at_link(v) & counts;
}

void vif_on_links(struct control *c, struct vif *v)
{
	struct netdev_link link;

	if (!v->netdev_ready || !c->env.netdev_ops->link(c->env.netdev_ctx, &v->netdev, &link))
		return; /* not heard of yet, or just deleted: then its queues say so */
	/* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): zeroed before it is filled */
	if (v->link_known && !memcmp(&link, &v->link, sizeof(link)))
		return;
	v->link = link;
	v->link_known = true;
	v->was_enslaved |= link.enslaved;
	v->due = true;
}

/* As Linux' netback (xenvif_carrier_on()): without scatter-gather no more than Ethernet's
 * MTU. Unlike there, the old one comes back with a driver that can: a boot loader's must not
 * spoil it for the kernel it loads. Returns whether the MTU was changed. */
static bool limit_mtu(struct control *c, struct vif *v, uint64_t now_ns)
{
	uint32_t mtu = v->link.mtu, wanted = mtu;
	int rc;

	if (!(v->features & VIF_SG) && mtu > ETH_DATA_LEN) {
		wanted = ETH_DATA_LEN;
		v->mtu_before = mtu;
	} else if ((v->features & VIF_SG) && v->mtu_before) {
		if (mtu == ETH_DATA_LEN)
			wanted = v->mtu_before;
		v->mtu_before = 0;
	}
	if (wanted == mtu)
		return false;
	rc = c->env.netdev_ops->set_mtu(c->env.netdev_ctx, &v->netdev, wanted);
	log_limited(&v->log_limit, now_ns, rc ? LOG_LVL_WARNING : LOG_LVL_INFO, SCOPE(v),
		    "MTU %u after %u, as the guest has %s scatter-gather: %s", wanted, mtu,
		    v->features & VIF_SG ? "got" : "no", rc ? strerror(-rc) : "done");
	v->link.mtu = v->mtu_told = wanted;
	return true;
}

/* What the hotplug script set it told the guest itself; later changes are ours to tell. A
 * driver domain may not write there. */
static void tell_mtu(struct control *c, struct vif *v, uint64_t now_ns)
{
	char value[16];
	int rc;

	if (limit_mtu(c, v, now_ns) || v->link.mtu == v->mtu_told)
		return;
	if (v->mtu_told) {
		snprintf(value, sizeof(value), "%u", v->link.mtu);
		rc = vif_write_key(c, v->keys.frontend, "mtu", value);
		log_limited(&v->log_limit, now_ns, LOG_LVL_INFO, SCOPE(v), "MTU %u after %u, %s%s",
			    v->link.mtu, v->mtu_told,
			    rc ? "the guest could not be told: " : "told the guest",
			    rc ? strerror(-rc) : "");
	}
	v->mtu_told = v->link.mtu;
}

/* What is about to be told may be of a moment ago: a script brings the netdev up, and then says
 * that it did. */
static void hear_news(struct control *c, struct vif *v)
{
	bool more;

	c->links_due |= c->env.netdev_ops->links_news(c->env.netdev_ctx, &more);
	vif_on_links(c, v);
}

static void tell_carrier(struct control *c, struct vif *v, uint64_t now_ns)
{
	bool carrier;
	int rc;

	if (against_carrier(c, v) && v->carrier_told)
		hear_news(c, v);
	v->no_carrier = against_carrier(c, v);
	carrier = !v->no_carrier;
	if (carrier == v->carrier_told)
		return;
	rc = vif_write_key(c, v->path, "carrier", carrier ? "1" : "0");
	if (rc && rc != -ENOENT)
		log_limited(&v->log_limit, now_ns, LOG_LVL_WARNING, SCOPE(v), "writing carrier: %s",
			    strerror(-rc));
	log_limited(&v->log_limit, now_ns, LOG_LVL_INFO, SCOPE(v), "carrier %s%s",
		    carrier ? "is back" : "lost: ", carrier ? "" : vif_link_reason(v));
	v->carrier_told = carrier;
}

void vif_tell_link(struct control *c, struct vif *v, uint64_t now_ns)
{
	/* Before that the script may still be about to put it somewhere. */
	if (v->state != XenbusStateConnected || v->hotplug != VIF_HOTPLUG_DONE || !v->link_known)
		return;
	tell_carrier(c, v, now_ns);
	tell_mtu(c, v, now_ns);
}
