/* SPDX-License-Identifier: MIT */
/*
 * What may change while a vif is connected: the guest's wishes. They reach the queues
 * through the memory these share; nobody has to be asked.
 */
#include "backend/control/vif_parts.h"

#include <stdio.h>
#include <string.h>

#include "backend/control/control.h"
#include "features.h"

/* The key's name below the frontend's directory, "" for the directory itself. */
static const char *key_of(const struct vif *v, const char *path)
{
	size_t size = strlen(v->keys.frontend);

	return !strncmp(path, v->keys.frontend, size) && path[size] == '/' ? path + size + 1 : "";
}

void vif_on_frontend(struct vif *v, const char *path)
{
	const char *key = key_of(v, path);

	if (keys_is_wish(key))
		v->wishes_due = true;
	else if (*key && strcmp(key, "state"))
		return;
	v->due = true;
}

/* ---- across the end of a vifd ---- */

#define KEPT_KEY    "vifd-multicast"
#define KEPT_GRANTS "vifd-grants" /* a directory, a key for each queue that has any */
#define KEPT_WISH   "vifd-model"
#define KEPT_ONE    18		  /* "01:00:5e:00:00:01 " */
#define KEPT_SIZE   (KEPT_ONE * MULTICAST_MAX + 1)

static void keep_multicast(struct control *c, const struct vif *v)
{
	const struct multicast_set *set = &c->workers.shared->vif[v->vif_slot].multicast;
	char text[KEPT_SIZE] = "", *end = text;
	uint8_t a[6];

	if (v->multicast_lost || (!v->wishes.multicast_control && !multicast_count(set)))
		return;
	for (uint32_t i = 0; i < MULTICAST_MAX; i++)
		if (multicast_at(set, i, a))
			end += sprintf(end, "%02x:%02x:%02x:%02x:%02x:%02x ", a[0], a[1], a[2],
				       a[3], a[4], a[5]);
	if (vif_write_key(c, v->path, KEPT_KEY, text))
		log_info(SCOPE(v), "its multicast addresses could not be kept");
}

/* Returns whether what the guest had added is in the set again. */
static bool restore_multicast(struct control *c, struct vif *v)
{
	struct multicast_set *set = &c->workers.shared->vif[v->vif_slot].multicast;
	char text[KEPT_SIZE];
	uint8_t a[6];

	if (store_read(&c->store, XBT_NULL, text, sizeof(text), "%s/" KEPT_KEY, v->path))
		return false;
	for (const char *at = text; *at; at += KEPT_ONE) {
		if (strlen(at) < KEPT_ONE ||
		    sscanf(at, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx ", &a[0], &a[1], &a[2], &a[3],
			   &a[4], &a[5]) != 6 ||
		    multicast_add(set, a))
			return false;
	}
	return true;
}

/* Static grants, which the guest is not asked to lend again; and the request that changed
 * them last, which may not be answered yet. */
static void keep_grants(struct control *c, const struct vif *v)
{
	const struct ctrl_memory *memory = &c->workers.shared->vif[v->vif_slot].ctrl;
	char text[STATIC_TEXT_SIZE], key[32];

	for (uint32_t i = 0; i < CTRL_QUEUES_MAX; i++) {
		const struct static_list *l = static_lists_active(&memory->grants[i]);

		snprintf(key, sizeof(key), KEPT_GRANTS "/%u", i);
		if ((l->n || l->made) &&
		    (!static_list_print(l, text) || vif_write_key(c, v->path, key, text)))
			log_info(SCOPE(v), "the static grants of queue %u could not be kept", i);
	}
}

/* Those that are not found are copied like others. */
static void restore_grants(struct control *c, struct vif *v)
{
	struct ctrl_memory *memory = &c->workers.shared->vif[v->vif_slot].ctrl;
	char text[STATIC_TEXT_SIZE];

	for (uint32_t i = 0; i < v->n_queues; i++)
		if (!store_read(&c->store, XBT_NULL, text, sizeof(text), "%s/" KEPT_GRANTS "/%u",
				v->path, i) &&
		    !static_list_parse(&memory->grants[i].list[0], text))
			log_warning(SCOPE(v), "the static grants kept for queue %u make no sense",
				    i);
}

void vif_keep_wish(struct control *c, const struct vif *v)
{
	int rc = c->store_lost ? -ECONNRESET :
				 vif_write_key(c, v->path, KEPT_WISH,
					       placement_wish_name(v->placement.wish));

	if (rc)
		log_warning(SCOPE(v), "keeping the model that is wanted: %s", strerror(-rc));
}

void vif_restore_wish(struct control *c, struct vif *v)
{
	char text[16];

	/* Absent, or nonsense: nothing was said. */
	if (!store_read(&c->store, XBT_NULL, text, sizeof(text), "%s/" KEPT_WISH, v->path))
		(void)placement_parse_wish(text, &v->placement.wish);
}

void vif_keep_live(struct control *c, const struct vif *v)
{
	keep_multicast(c, v);
	keep_grants(c, v);
}

void vif_begin_live(struct control *c, struct vif *v)
{
	/* Found Connected: the guest is not asked for its addresses again. Where an earlier vifd
	 * could not keep them it gets more than it wished rather than less. */
	v->multicast_lost = v->resume && !restore_multicast(c, v);
	if (v->resume && v->features & VIF_CTRL_RING)
		restore_grants(c, v);
	(void)store_remove(&c->store, XBT_NULL, "%s/" KEPT_KEY, v->path);
	(void)store_remove(&c->store, XBT_NULL, "%s/" KEPT_GRANTS, v->path);
	vif_take_wishes(c, v);
	if (v->multicast_lost && v->wishes.multicast_control)
		log_info(SCOPE(v), "its multicast addresses are not known any more: it gets all "
				   "multicast until it connects anew");
}

void vif_take_wishes(struct control *c, struct vif *v)
{
	struct shared_vif *shared = &c->workers.shared->vif[v->vif_slot];

	v->wishes_due = false;
	keys_read_wishes(&c->store, v->keys.frontend, &v->wishes);
	if (!(v->offer.features & VIF_MULTICAST))
		v->wishes.multicast_control = false; /* not offered */
	if (!(v->offer.features & VIF_XDP_HEADROOM))
		v->wishes.xdp_headroom = 0;
	v->wishes.xdp_headroom = MIN(v->wishes.xdp_headroom, TO_GUEST_HEADROOM_MAX);
	__atomic_store_n(&shared->xdp_headroom, v->wishes.xdp_headroom, __ATOMIC_RELAXED);
	__atomic_store_n(&shared->multicast_filter,
			 v->wishes.multicast_control && !v->multicast_lost, __ATOMIC_RELAXED);
}
