/* SPDX-License-Identifier: MIT */
/*
 * A guest that does anything at all, at random, with a fixed seed; beside it one whose
 * traffic must not lose a frame. HOSTILE_SEED and HOSTILE_STEPS in the environment try
 * others.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libvif/hosted/hosted.h"
#include "tests/hostile/rig.h"
#include "tests/sim/sim_nic.h"
#include "tests/sim/sim_store.h"

#define STEPS 1000u /* a seed */

struct fuzz {
	struct rig *r;
	bool posting; /* to a NIC */
	bool lent;    /* ... or its memory is that's */
	uint64_t random;
	uint32_t n_reconnects;
	uint32_t n_lent;    /* turns it had such a place */
	uint32_t n_written; /* turns in which its own buffers had been a NIC's to write to */
};

static uint32_t draw(struct fuzz *f, uint32_t n)
{
	/* xorshift64*, as tests/sim */
	f->random ^= f->random >> 12;
	f->random ^= f->random << 25;
	f->random ^= f->random >> 27;
	return (uint32_t)((f->random * 2685821657736338717ull) >> 33) % n;
}

/* Mostly near what is legal: that gets further than noise. */
static uint32_t draw_number(struct fuzz *f)
{
	static const uint32_t corner[] = { 0,	 1,	8,     13,    14,    18,       19,
					   20,	 60,	255,   256,   257,   4095,     4096,
					   4097, 32767, 32768, 65535, 65536, 1u << 31, ~0u };

	return draw(f, 2) ? corner[draw(f, ARRAY_SIZE(corner))] : draw(f, 1u << 31);
}

static void *a_ring(struct fuzz *f)
{
	struct evil *e = &f->r->evil;

	if (e->ctrl && draw(f, 3) == 0)
		return e->ctrl;
	return draw(f, 2) ? (void *)e->tx : (void *)e->rx;
}

/* ---- what it does ---- */

static void sends(struct fuzz *f)
{
	struct evil *e = &f->r->evil;

	for (uint32_t n = 1 + draw(f, 8); n; n--)
		evil_tx(e, draw(f, EVIL_PAGES), (uint16_t)draw(f, 2048), (uint16_t)draw(f, 2048),
			0);
	evil_publish(e);
}

static void sends_fragments(struct fuzz *f)
{
	struct evil *e = &f->r->evil;
	uint32_t n = 1 + draw(f, 21);

	evil_tx(e, 0, 0, (uint16_t)(n * 64), NETTXF_more_data);
	if (draw(f, 3) == 0)
		evil_tx_gso(e, (uint8_t)draw(f, 4), (uint16_t)draw_number(f), draw(f, 8) == 0);
	for (; n; n--)
		evil_tx(e, draw(f, EVIL_PAGES), 0, 64,
			n > 1 || draw(f, 3) == 0 ? NETTXF_more_data : 0);
	if (draw(f, 2))
		evil_publish(e);
}

static void sends_noise(struct fuzz *f)
{
	struct evil *e = &f->r->evil;

	for (uint32_t n = 1 + draw(f, 4); n; n--) {
		const netif_tx_request_t req = { .gref = draw(f, 2)
							     ? e->tx_gref[draw(f, EVIL_PAGES)]
							     : draw_number(f),
						 .offset = (uint16_t)draw_number(f),
						 .flags = (uint16_t)draw(f, 32),
						 .id = (uint16_t)draw_number(f),
						 .size = (uint16_t)draw_number(f) };

		evil_tx_raw(e, &req);
	}
	evil_publish(e);
}

static void posts(struct fuzz *f)
{
	evil_rx(&f->r->evil, draw(f, 40));
	if (draw(f, 4))
		evil_publish(&f->r->evil);
}

static void posts_noise(struct fuzz *f)
{
	struct evil *e = &f->r->evil;

	for (uint32_t n = draw(f, 10); n; n--)
		e->rx->ring[e->rx_prod++ % RING_SLOTS].req =
		    (netif_rx_request_t){ .id = (uint16_t)draw_number(f),
					  .gref = draw(f, 2) ? e->tx_gref[0] : draw_number(f) };
	evil_publish(e);
}

static void writes_a_header(struct fuzz *f)
{
	uint32_t *page = a_ring(f);

	page[draw(f, 16)] = draw_number(f);
	evil_notify(&f->r->evil);
}

static void nudges_an_index(struct fuzz *f)
{
	uint32_t *page = a_ring(f);

	page[draw(f, 4)] += draw(f, 600) - 300;
	evil_notify(&f->r->evil);
}

static void writes_noise(struct fuzz *f)
{
	uint32_t *page = a_ring(f);

	for (uint32_t n = draw(f, 200); n; n--)
		page[16 + draw(f, 1008)] = draw_number(f);
}

/* Of the control ring: any grant of its own, its rings' too, now and then none. */
static grant_ref_t draw_gref(struct fuzz *f)
{
	struct evil *e = &f->r->evil;

	switch (draw(f, 6)) {
	case 0:
		return draw_number(f);
	case 1:
		return draw(f, 2) ? e->ctrl_ring_gref : e->tx_ring_gref;
	case 2:
		return e->ctrl_gref[draw(f, EVIL_CTRL_PAGES)];
	case 3:
		return e->rx_gref[draw(f, EVIL_PAGES)];
	default:
		return e->tx_gref[draw(f, EVIL_PAGES)];
	}
}

/* Mostly a list that can be added. */
static void lists_grants(struct fuzz *f)
{
	struct xen_netif_gref *list = (void *)f->r->evil.ctrl_memory;
	uint32_t first = draw(f, EVIL_PAGES);

	if (!f->r->evil.ctrl)
		return;
	for (uint32_t i = 0; i < EVIL_PAGES; i++)
		list[i] =
		    (struct xen_netif_gref){ .ref = f->r->evil.tx_gref[(first + i) % EVIL_PAGES],
					     .flags = XEN_NETIF_CTRLF_GREF_readonly };
	if (draw(f, 3) == 0)
		list[draw(f, EVIL_PAGES)] =
		    (struct xen_netif_gref){ .ref = draw_gref(f),
					     .flags = (uint16_t)draw_number(f) };
}

static void asks_about_grants(struct fuzz *f)
{
	uint16_t type = (uint16_t)(XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE + draw(f, 3));

	evil_ctrl_put(&f->r->evil, type, draw(f, 10) == 0,
		      draw(f, 10) ? f->r->evil.ctrl_gref[0] : draw_gref(f),
		      draw(f, 4) ? draw(f, EVIL_PAGES + 1) : draw_number(f));
}

static void asks_about_hashes(struct fuzz *f)
{
	uint16_t type = (uint16_t)draw(f, 8);
	uint32_t value = draw(f, 4) ? draw(f, 130) : draw_number(f);

	if (type == XEN_NETIF_CTRL_TYPE_SET_HASH_KEY ||
	    type == XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING)
		value = draw(f, 10) ? f->r->evil.ctrl_gref[1] : draw_gref(f);
	evil_ctrl_put(&f->r->evil, type, type == 7 ? draw(f, 3) : value,
		      draw(f, 4) ? draw(f, 60) : draw_number(f),
		      draw(f, 4) ? draw(f, 60) : draw_number(f));
}

static void asks(struct fuzz *f)
{
	if (!f->r->evil.ctrl)
		return;
	for (uint32_t n = 1 + draw(f, 6); n; n--) {
		if (draw(f, 2))
			asks_about_grants(f);
		else
			asks_about_hashes(f);
	}
	evil_ctrl_publish(&f->r->evil);
}

static void fills_pages(struct fuzz *f)
{
	struct evil *e = &f->r->evil;

	for (uint32_t n = draw(f, 400); n; n--)
		e->tx_memory[draw(f, EVIL_PAGES * XEN_PAGE)] = (uint8_t)draw(f, 256);
	/* now and then something like headers */
	memcpy(e->tx_memory + 12, draw(f, 2) ? "\x08\x00\x45" : "\x86\xdd\x60", 3);
}

static void storms(struct fuzz *f)
{
	for (uint32_t n = draw(f, 50); n; n--)
		evil_notify(&f->r->evil);
}

static void takes_events(struct fuzz *f)
{
	(void)evil_events(&f->r->evil);
}

/* Dummy requests, and what only looks like one. */
static void amends_multicast(struct fuzz *f)
{
	struct evil *e = &f->r->evil;
	union from_guest_slot slot = { .extra = { .type = 0 } };

	for (uint32_t n = 1 + draw(f, 40); n; n--) {
		slot.extra.type = (uint8_t)(XEN_NETIF_EXTRA_TYPE_MCAST_ADD + draw(f, 2));
		slot.extra.flags = draw(f, 200) == 0 ? XEN_NETIF_EXTRA_FLAG_MORE : 0;
		slot.extra.u.mcast.addr[0] = draw(f, 4) != 0;
		slot.extra.u.mcast.addr[5] = (uint8_t)draw(f, 100);
		evil_tx(e, draw(f, EVIL_PAGES), 0, (uint16_t)draw(f, 100),
			NETTXF_extra_info | (draw(f, 200) == 0 ? NETTXF_more_data : 0));
		evil_tx_raw(e, &slot.req);
	}
	evil_publish(e);
}

/* Frames as the simulated ones, to whoever may be in its multicast filter. */
static void receives_multicast(struct fuzz *f)
{
	uint8_t frame[SIM_FRAME_MAX];

	sim_frame_make(frame, 1);
	for (uint32_t n = draw(f, 40); n; n--) {
		memcpy(frame, (const uint8_t[6]){ 1, 0, 0, 0, 0, (uint8_t)draw(f, 100) }, 6);
		(void)sim_datapath_give(f->r->datapath, EVIL_DOMID, frame, sim_frame_size(1));
	}
}

/* The operator's doing: nothing of it may harm anybody. */
static void its_netdev_moves(struct fuzz *f)
{
	struct netdev_link *link = sim_netdev_link(EVIL_DOMID, 0);

	if (!link)
		return;
	link->up = draw(f, 2);
	link->enslaved = draw(f, 2);
	link->bridge_down = draw(f, 2);
	link->mtu = 68 + draw(f, 65450);
	sim_links_changed();
}

static void receives(struct fuzz *f)
{
	uint8_t frame[SIM_FRAME_MAX];
	uint32_t number = draw(f, 6);

	sim_frame_make(frame, number);
	for (uint32_t n = draw(f, 40); n; n--)
		(void)sim_datapath_give(f->r->datapath, EVIL_DOMID, frame, sim_frame_size(number));
}

/* By the NIC, if it has a place there. */
static void receives_by_wire(struct fuzz *f)
{
	uint8_t frame[SIM_FRAME_MAX];
	uint32_t number = draw(f, 6);

	sim_frame_make(frame, number);
	for (uint32_t n = draw(f, 40); n; n--)
		(void)sim_nic_give(f->r->datapath, EVIL_DOMID, 0, frame, sim_frame_size(number));
}

/* As it should be: all its buffers, for queue 0. */
static void grants_its_buffers(struct fuzz *f)
{
	struct rig *r = f->r;

	if (!r->evil.ctrl)
		return;
	evil_set_list(r, r->evil.rx_gref, EVIL_PAGES, 0);
	evil_ctrl_put(&r->evil, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, 0, r->evil.ctrl_gref[0],
		      EVIL_PAGES);
	evil_ctrl_publish(&r->evil);
}

static void the_nic_is_moody(struct fuzz *f)
{
	f->r->lazy_nic = draw(f, 2);
	sim_nic_be_lazy(f->r->lazy_nic);
}

static void moves_state(struct fuzz *f)
{
	if (draw(f, 4))
		sim_frontend_put(EVIL_DOMID, 0, "state", "%u", draw(f, 10));
	else
		sim_frontend_put(EVIL_DOMID, 0, "state", "%s", draw(f, 2) ? "" : "-3");
}

static void writes_a_key(struct fuzz *f)
{
	static const char *const key[] = { "tx-ring-ref",
					   "rx-ring-ref",
					   "event-channel-tx",
					   "event-channel-rx",
					   "event-channel",
					   "feature-sg",
					   "multi-queue-num-queues",
					   "request-rx-copy",
					   "ctrl-ring-ref",
					   "event-channel-ctrl",
					   "feature-gso-tcpv4",
					   "feature-no-csum-offload",
					   "request-multicast-control",
					   "xdp-headroom",
					   "mtu" };

	sim_frontend_put(EVIL_DOMID, 0, key[draw(f, ARRAY_SIZE(key))], "%u", draw_number(f));
}

static void removes_itself(struct fuzz *f)
{
	(void)f;
	sim_store_put("/local/domain/1/device/vif/0", NULL);
}

static void is_detached(struct fuzz *f)
{
	(void)f;
	if (rig_evil_state() >= 0)
		sim_toolstack_detach(EVIL_DOMID, 0);
}

static void shares_anew(struct fuzz *f)
{
	evil_share(&f->r->evil); /* while the backend uses what it takes back */
}

/* Frames in flight may be lost with it: the good guest has none just then. */
static void kills_the_datapath(struct fuzz *f)
{
	(void)rig_good_carries(f->r, 1);
	f->r->now_ns += 40 * NS_PER_S; /* else too many deaths too soon */
	sim_datapath_kill(f->r->datapath);
}

static const struct {
	void (*act)(struct fuzz *f);
	unsigned weight;
	const char *name;
} acts[] = {
#define ACT(name, weight)                                                                          \
	{                                                                                          \
		name, weight, #name                                                                \
	}
	ACT(sends, 20),		 ACT(sends_fragments, 20),   ACT(sends_noise, 4),
	ACT(posts, 20),		 ACT(posts_noise, 4),	     ACT(writes_a_header, 2),
	ACT(nudges_an_index, 4), ACT(writes_noise, 5),	     ACT(fills_pages, 10),
	ACT(storms, 5),		 ACT(takes_events, 10),	     ACT(receives, 20),
	ACT(moves_state, 5),	 ACT(writes_a_key, 4),	     ACT(removes_itself, 1),
	ACT(asks, 25),		 ACT(lists_grants, 10),	     ACT(is_detached, 1),
	ACT(shares_anew, 2),	 ACT(kills_the_datapath, 1), ACT(amends_multicast, 8),
	ACT(receives_multicast, 5), ACT(its_netdev_moves, 2), ACT(receives_by_wire, 20),
	ACT(grants_its_buffers, 6), ACT(the_nic_is_moody, 2),
};

static void act(struct fuzz *f)
{
	unsigned sum = 0, at;

	for (size_t i = 0; i < ARRAY_SIZE(acts); i++)
		sum += acts[i].weight;
	at = draw(f, sum);
	for (size_t i = 0; i < ARRAY_SIZE(acts); i++) {
		if (at < acts[i].weight) {
			if (getenv("HOSTILE_TRACE"))
				fprintf(stderr, "%llu %s\n", (unsigned long long)f->r->n_turns,
					acts[i].name);
			acts[i].act(f);
			return;
		}
		at -= acts[i].weight;
	}
}

/* ---- and begins again ---- */

static bool is_lent(const struct fuzz *f)
{
	const struct vif *v = rig_evil_vif(f->r);

	return v && v->placement.lent && v->placement.state == PLACED_NIC;
}

/* However often it made control wait with lending it. */
static void has_not_changed_its_mind(struct fuzz *f)
{
	struct vif *v = rig_evil_vif(f->r);

	if (v && f->lent)
		v->placement.lend_ns = v->placement.lend_wait_ns = v->placement.since_ns = 0;
}

/* Of its pages, each once. */
static void posts_all(struct fuzz *f)
{
	struct evil *e = &f->r->evil;
	uint32_t most = f->lent ? EVIL_PAGES : RING_SLOTS, n = e->rx_prod - e->rx->rsp_prod;

	evil_rx(e, most - MIN(n, most));
	evil_publish(e);
}

/* By good conduct, to where its buffers are a NIC's to write to. */
static void begin_well(struct fuzz *f)
{
	struct rig *r = f->r;
	unsigned n = 0;

	if (!f->posting && !f->lent)
		return;
	while (rig_evil_vif(r)->placement.state != PLACED_NIC) { /* once what waits is taken */
		assert_true(n++ < 300);
		posts_all(f);
		rig_turn(r);
	}
	grants_its_buffers(f);
	rig_turns(r, 3);
	for (n = 0; f->lent && !is_lent(f); n++) {
		assert_true(n < 300);
		has_not_changed_its_mind(f);
		posts_all(f);
		rig_turn(r);
	}
	for (uint32_t i = 0; i < 10; i++) {
		receives_by_wire(f);
		rig_turn(r);
	}
}

/* A fresh device, whatever became of the old one. */
static void start_over(struct fuzz *f)
{
	struct rig *r = f->r;

	sim_toolstack_remove(EVIL_DOMID, 0);
	rig_turns_until(r, 500, !rig_evil_vif(r));
	sim_toolstack_attach(EVIL_DOMID, 0);
	rig_turns_until(r, 500, rig_evil_state() == XenbusStateInitWait);
	r->evil.split_events = draw(f, 2);
	r->evil.with_ctrl = f->posting || f->lent || draw(f, 2);
	evil_share(&r->evil);
	sim_frontend_put(EVIL_DOMID, 0, "state", "%u", XenbusStateConnected);
	rig_turns_until(r, 500, rig_evil_state() == XenbusStateConnected);
	f->n_reconnects++;
	begin_well(f);
}

static struct rig *start(const struct fuzz *f, uint64_t seed)
{
	uint32_t n_queues = 1 + (uint32_t)seed / 2 % 2;

	if (f->posting)
		return rig_start_posting(n_queues, 1);
	if (f->lent)
		return rig_start_lent(2, 1);
	return seed % 2 ? rig_start_ctrl(n_queues) : rig_start(false);
}

static void live(uint64_t seed, uint32_t n_steps)
{
	struct fuzz f = { .random = seed * 2 + 1, .posting = seed % 3 == 0, .lent = seed % 3 == 1 };
	struct good *g;
	uint32_t broken = 0;

	f.r = start(&f, seed);
	g = &f.r->good;
	f.r->ns_per_turn = 100 * NS_PER_MS; /* the ration of passes is another test's */
	begin_well(&f);
	for (uint32_t i = 0; i < n_steps; i++) {
		act(&f);
		has_not_changed_its_mind(&f);
		g->goal += draw(&f, 3);
		rig_turn(f.r);
		f.n_written += rig_evil_vif(f.r) && rig_evil_counters(f.r).to_guest_nic_written;
		f.n_lent += is_lent(&f);
		broken = rig_evil_state() == XenbusStateConnected ? 0 : broken + 1;
		if (broken > 15) {
			start_over(&f);
			broken = 0;
		}
	}
	rig_good_carries(f.r, 100);
	assert_true((!f.posting && !f.lent) || f.n_written > n_steps / 20);
	assert_true(!f.lent || f.n_lent > n_steps / 40);
	assert_int_equal(sim_nic_n_faults(), 0);
	f.r->lazy_nic = false;
	sim_nic_be_lazy(false);
	assert_int_equal(g->nf.counters.disabled, 0);
	assert_int_equal(g->nf.counters.connects, 1);
	start_over(&f);
	rig_end(f.r);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

static void anything_at_all(void **state)
{
	uint64_t first = from_environment("HOSTILE_SEED", 1);
	uint64_t n_seeds = getenv("HOSTILE_SEED") ? 1 : 4;

	(void)state;
	for (uint64_t seed = first; seed < first + n_seeds; seed++)
		live(seed, (uint32_t)from_environment("HOSTILE_STEPS", STEPS));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(anything_at_all) };

	return cmocka_run_group_tests_name("hostile-fuzz", tests, NULL, NULL);
}
