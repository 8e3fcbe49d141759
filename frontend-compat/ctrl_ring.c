/* SPDX-License-Identifier: MIT */
/*
 * The frontend's side of the control ring (ctrl_ring.h).
 */
#include "frontend-compat/ctrl_ring.h"

static_assert(CTRL_RING_SLOTS == __CONST_RING_SIZE(xen_netif_ctrl, XEN_PAGE), "netif.h's size");

void ctrl_ring_init(struct ctrl_ring *r, void *page)
{
	front_ring_init(&r->ring, page, sizeof(union xen_netif_ctrl_sring_entry), CTRL_RING_SLOTS);
	r->busy = false;
	r->req.id = 0;
}

bool ctrl_ring_ask(struct ctrl_ring *r, uint16_t type, const uint32_t data[3])
{
	assert(!r->busy);
	r->busy = true;
	r->req = (struct xen_netif_ctrl_request){
		.id = (uint16_t)(r->req.id + 1),
		.type = type,
		.data = { data[0], data[1], data[2] },
	};
	front_ring_put(&r->ring, &r->req);
	(void)!front_ring_arm(&r->ring, 1); /* the answer before was the last to be told */
	return front_ring_push(&r->ring);
}

int ctrl_ring_answer(struct ctrl_ring *r, struct xen_netif_ctrl_response *out)
{
	int n = front_ring_arm(&r->ring, 1);

	if (n < 0)
		return n;
	if (!n)
		return -EAGAIN;
	front_ring_peek(&r->ring, 0, out, sizeof(*out));
	front_ring_consume(&r->ring, 1);
	if (!r->busy || out->id != r->req.id || out->type != r->req.type)
		return -EPROTO;
	r->busy = false;
	return 0;
}
