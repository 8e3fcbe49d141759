/* SPDX-License-Identifier: MIT */
/*
 * What may change while a vif is connected: the guest's wishes. They reach the queues
 * through the memory these share; nobody has to be asked.
 */
#include "backend/control/vif_parts.h"

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

void vif_begin_live(struct control *c, struct vif *v)
{
	/* Found Connected: the addresses it gave died with an earlier vifd. It is not asked for
	 * them again, so it gets more than it wished rather than less. */
	v->multicast_lost = v->resume;
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
