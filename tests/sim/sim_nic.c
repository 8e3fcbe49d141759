/* SPDX-License-Identifier: MIT */
/* See sim_nic.h. One NIC, one port; a place is known to both halves by the fd it came with. */
#include "tests/sim/sim_nic.h"

#include "tests/sim/sim_host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/sim/sim_buffers.h"
#include "tests/sim/sim_lent.h"
#include "tests/sim/sim_transmit.h"
#include "tests/sim/sim_way.h"

#define N_PACKETS (NIC_PLACES_MAX * SIM_PLACE_SIZE)

struct nic_place {
	struct nic_port *port;
	uint32_t n_tries;
	ino_t id; /* of the fd */
	struct packet_fifo waiting;
	bool posting;
	uint32_t n_taken; /* while posting: of those waiting, in the port's memory already */
	struct sim_buffers buffers;
	struct sim_lent lent;
	struct nic_place *next;
};

struct nic_port {
	struct packet_pool pool;
	int fd;
	uint32_t n_places;
	bool closed; /* it ends with the last of them, which was lent to */
};

struct nic_device {
	int unused;
};

static struct nic_port *port;
static struct nic_place *places;
static struct {
	bool used;
	struct nic_filter filter;
	ino_t id;
} filters[NIC_PLACES_MAX];
static uint32_t n_to_refuse;
static uint64_t n_lost;
static uint32_t n_pages_max = NIC_PAGES;
static bool lazy;	/* the device writes only in sim_nic_run() */
static bool takes_time; /* what it sorted arrives only in sim_nic_arrive() */

static ino_t id_of(int fd)
{
	struct stat st;

	assert(!fstat(fd, &st));
	return st.st_ino;
}

/* ---- the device ---- */

#define MARK 77u

static uint32_t n_places; /* of the one device there is */
static uint32_t born = 1;
static bool plugged = true, link_up = true, amiss;
static bool moved; /* and so not plugged */
static bool left;  /* it has something of vifd's, that was out of reach */
static char called[IFNAMSIZ] = SIM_NIC_NAME;

void sim_nic_plug(bool on)
{
	born += on && !plugged;
	left &= moved; /* else it is another one */
	moved &= !on;
	plugged = on;
	sim_links_changed();
}

void sim_nic_rename(const char *to)
{
	snprintf(called, sizeof(called), "%s", to);
	sim_links_changed();
}

void sim_nic_move(void)
{
	moved = true;
	sim_nic_plug(false);
}

bool sim_nic_has_left(void)
{
	return left;
}

void sim_nic_link(bool up)
{
	link_up = up;
	sim_links_changed();
}

bool sim_nic_host(int index, struct netdev_host *out)
{
	*out = (struct netdev_host){ .born = born, .master = SIM_BRIDGE, .carrier = link_up };
	snprintf(out->name, sizeof(out->name), "%s", called);
	return plugged && index == SIM_NIC_IFINDEX;
}

int sim_nic_index_of(const char *wanted)
{
	return plugged && !strcmp(wanted, called) ? SIM_NIC_IFINDEX : 0;
}

bool sim_nic_moved(uint32_t which)
{
	return moved && which == born;
}

int sim_nic_with_program(uint32_t id)
{
	return plugged && left && id == MARK ? SIM_NIC_IFINDEX : 0;
}

static uint32_t mark(const struct nic_device *d)
{
	(void)d;
	return MARK;
}

static int remove_left(int index, char *why, size_t why_size)
{
	(void)why;
	(void)why_size;
	assert(plugged && index == SIM_NIC_IFINDEX);
	left = false;
	return 0;
}

static int device_open(const struct nic_config *cfg, struct nic_device **out, char *why,
		       size_t why_size)
{
	if (!sim_nic_index_of(cfg->name)) {
		snprintf(why, why_size, "no such device");
		return -ENODEV;
	}
	amiss = left = false;
	n_places = cfg->filters ? cfg->filters : NIC_PLACES_MAX;
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

static void device_close(struct nic_device *d, bool gone)
{
	left = gone && moved;
	memset(filters, 0, sizeof(filters));
	free(d);
}

static int ifindex(const struct nic_device *d)
{
	(void)d;
	return SIM_NIC_IFINDEX;
}

static bool takes_tags;

void sim_nic_take_tags(bool takes)
{
	takes_tags = takes;
}

static bool takes_memory;

void sim_nic_take_memory(bool takes)
{
	takes_memory = takes;
}

static uint32_t n_memory_to_refuse;

void sim_nic_refuse_memory(uint32_t n)
{
	n_memory_to_refuse = n;
}

uint32_t sim_nic_memory_to_refuse(void)
{
	return n_memory_to_refuse;
}

static struct nic_caps caps(const struct nic_device *d)
{
	(void)d;
	return (struct nic_caps){ .n_places = n_places,
				   .vlan_filters = true,
				   .tag_off = takes_tags,
				   .guest_memory = takes_memory,
				   .transmit = true,
				   .steering = "simulation" };
}

static int one_fd(const char *name, int fds[NIC_FDS_MAX])
{
	fds[0] = memfd_create(name, MFD_CLOEXEC);
	return fds[0] < 0 ? -errno : 1;
}

static int port_fds(struct nic_device *d, int fds[NIC_FDS_MAX])
{
	(void)d;
	return one_fd("sim-port", fds);
}

/* Of this place, or of all of them (0): what is open in this process. */
static uint32_t count_open(ino_t id)
{
	static const char places_fd[] = "/memfd:sim-place";
	char link[sizeof(places_fd)];
	DIR *d = opendir("/proc/self/fd");
	const struct dirent *e;
	struct stat st;
	uint32_t n = 0;

	assert(d);
	while ((e = readdir(d))) {
		memset(link, 0, sizeof(link));
		if (readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1) > 0 &&
		    !strcmp(link, places_fd) && !fstatat(dirfd(d), e->d_name, &st, 0))
			n += !id || st.st_ino == id;
	}
	closedir(d);
	return n;
}

uint32_t sim_nic_n_open(void)
{
	return count_open(0);
}

static bool is_to_be_lent[NIC_PLACES_MAX]; /* said when its fds were made */

static int place_fds(struct nic_device *d, uint32_t place, bool lent, int fds[NIC_FDS_MAX])
{
	(void)d;
	is_to_be_lent[place] = lent;
	assert(place < n_places);
	return one_fd("sim-place", fds);
}

static int filter_add(struct nic_device *d, uint32_t place, const int fds[], int n_fds,
		      const struct nic_filter *filter)
{
	(void)d;
	assert(n_fds == 1 && !filters[place].used && (takes_tags || !filter->tag_off));
	if (n_to_refuse) {
		n_to_refuse--;
		return -ENOSPC;
	}
	filters[place].used = true;
	filters[place].filter = *filter;
	filters[place].id = id_of(fds[0]);
	return 0;
}

static uint32_t n_to_keep;

void sim_nic_keep(uint32_t n)
{
	n_to_keep = n;
}

static int filter_del(struct nic_device *d, const struct nic_filter *filter)
{
	(void)d;
	if (n_to_keep) {
		n_to_keep--;
		return -EIO;
	}
	for (uint32_t i = 0; i < NIC_PLACES_MAX; i++)
		if (filters[i].used && filters[i].filter.vlan == filter->vlan &&
		    !memcmp(filters[i].filter.mac, filter->mac, sizeof(filter->mac)))
			filters[i].used = false;
	return 0;
}

void sim_nic_lose_filter(const uint8_t mac[6])
{
	for (uint32_t i = 0; i < NIC_PLACES_MAX; i++)
		if (!memcmp(filters[i].filter.mac, mac, sizeof(filters[i].filter.mac)))
			filters[i].used = false;
}

void sim_nic_amiss(void)
{
	amiss = true;
}

static int filter_check(struct nic_device *d, const struct nic_filter *filter)
{
	(void)d;
	for (uint32_t i = 0; i < NIC_PLACES_MAX; i++)
		if (filters[i].used && filters[i].filter.vlan == filter->vlan &&
		    !memcmp(filters[i].filter.mac, filter->mac, sizeof(filter->mac)))
			return 0;
	return -ENOENT;
}

static int check(const struct nic_device *d, char *why, size_t why_size)
{
	(void)d;
	snprintf(why, why_size, "somebody was here");
	return amiss ? -ESTALE : 0;
}

static uint64_t *settle_clock, settle_takes_ns;

void sim_nic_settles(uint64_t *clock, uint64_t ns)
{
	settle_clock = clock;
	settle_takes_ns = ns;
}

static void settle(struct nic_device *d)
{
	(void)d;
	if (!settle_clock)
		return; /* nothing is ever under way */
	*settle_clock += settle_takes_ns;
	sim_way_settled(*settle_clock);
}

const struct nic_device_ops sim_nic_device_ops = {
	.open = device_open,
	.close = device_close,
	.ifindex = ifindex,
	.mark = mark,
	.remove_left = remove_left,
	.caps = caps,
	.port_fds = port_fds,
	.place_fds = place_fds,
	.filter_add = filter_add,
	.filter_del = filter_del,
	.settle = settle,
	.filter_check = filter_check,
	.check = check,
};

/* ---- the port ---- */

static int port_open(int index, const int fds[], int n_fds, struct nic_port **out, char *why,
		     size_t why_size)
{
	assert(index == SIM_NIC_IFINDEX && n_fds == 1 && !port);
	port = calloc(1, sizeof(*port));
	assert(port);
	if (packet_pool_init(&port->pool, N_PACKETS)) {
		snprintf(why, why_size, "no memory");
		return -ENOMEM;
	}
	port->fd = fds[0];
	sim_transmit_open();
	*out = port;
	return 0;
}

static void drop_all(struct nic_place *place)
{
	struct packet *p;

	while ((p = packet_fifo_pop(&place->waiting)))
		packet_put(&place->port->pool, p);
}

static void free_port(struct nic_port *p)
{
	packet_pool_fini(&p->pool); /* which asserts that all came back */
	free(p);
}

static uint32_t n_last_left; /* places that were left by whoever had the last copy of their fd */

uint32_t sim_nic_n_last_left(void)
{
	return n_last_left;
}

static void leave(struct nic_place *place)
{
	struct nic_place **at = &places;
	struct nic_port *of = place->port;

	n_last_left += !count_open(place->id) && !place->lent.start;
	assert(sim_buffers_is_empty(&place->buffers));
	sim_lent_fini(&place->lent);
	drop_all(place);
	while (*at != place)
		at = &(*at)->next;
	*at = place->next;
	free(place);
	if (!--of->n_places && of->closed)
		free_port(of);
}

static void port_close(struct nic_port *p)
{
	if (!p)
		return;
	assert(p == port);
	for (const struct nic_place *at = places; at; at = at->next)
		assert(at->port != p || at->lent.over);
	close(p->fd);
	p->closed = true;
	if (!p->n_places)
		free_port(p);
	port = NULL;
}

static int join(struct nic_port *p, uint32_t number, const int fds[], int n_fds,
		const struct nic_memory *lent, struct nic_place **out, char *why, size_t why_size)
{
	struct nic_place *place;

	if (lent && n_memory_to_refuse) {
		n_memory_to_refuse--;
		snprintf(why, why_size, "no room beside it");
		return -EADDRINUSE;
	}
	place = calloc(1, sizeof(*place));
	assert(p == port && number < NIC_PLACES_MAX && n_fds == 1 && place);
	assert(is_to_be_lent[number] == (lent != NULL) && (takes_memory || !lent));
	sim_lent_init(&place->lent, lent);
	place->port = p;
	p->n_places++;
	place->id = id_of(fds[0]);
	close(fds[0]);
	place->next = places;
	places = place;
	*out = place;
	return 0;
}

static uint32_t n_tries = SIM_NIC_TRIES; /* in vain, of each place that is joined */

void sim_nic_take_tries(uint32_t n)
{
	n_tries = n;
}

static int joined(struct nic_place *place, char *why, size_t why_size)
{
	(void)why;
	(void)why_size;
	if (place->n_tries >= n_tries)
		return 0;
	place->n_tries++;
	return -EAGAIN;
}

static int poll_fd(const struct nic_place *place)
{
	(void)place;
	return -1;
}

static uint32_t receive(struct nic_place *place, struct packet *out[], uint32_t n)
{
	uint32_t got = 0;

	if (place->lent.over && (place->lent.n_looks || sim_lent_is_done(&place->lent)))
		return 0;
	if (place->posting)
		n = MIN(n, place->n_taken);
	while (got < n && place->waiting.head)
		out[got++] = packet_fifo_pop(&place->waiting);
	place->n_taken -= MIN(got, place->n_taken);
	return got;
}

static bool is_of(const struct nic_port *p, const struct packet *packet)
{
	return packet_is_of(&p->pool, packet);
}

static void give_back(struct nic_port *p, struct packet *packet)
{
	/* It may have lost a tag; the pool's are page aligned. */
	packet->frame = (uint8_t *)((uintptr_t)packet->frame & ~UINT64_C(4095));
	packet_put(&p->pool, packet);
}

static void stats(const struct nic_place *place, struct nic_place_stats *out)
{
	out->lost = n_lost;
	out->faults = place->buffers.n_faults;
	out->waiting = place->waiting.n_packets - place->n_taken;
	if (place->lent.begun)
		out->waiting = place->lent.n_shown - place->lent.n_reaped;
}

/* ---- a place lent to ---- */

static void lent_begin(struct nic_place *place)
{
	sim_lent_begin(&place->lent);
}

static uint32_t lent_post(struct nic_place *place, const struct nic_buffer buffers[], uint32_t n)
{
	assert(!place->waiting.head); /* what came before begin() is older */
	return sim_lent_post(&place->lent, buffers, n);
}

static uint32_t lent_reap(struct nic_place *place, struct nic_completion out[], uint32_t n)
{
	return sim_lent_reap(&place->lent, out, n);
}

static void lent_recall(struct nic_place *place)
{
	sim_lent_recall(&place->lent);
	for (uint32_t i = place->lent.n_posted; i < place->lent.n_filled; i++) {
		struct packet *p = packet_get(&place->port->pool);

		assert(p);
		p->size = sim_lent_left(&place->lent, i, p->frame);
		packet_fifo_push(&place->waiting, p);
	}
}

static enum nic_hold lent_hold(struct nic_place *place)
{
	return sim_lent_hold(&place->lent);
}

/* Without a buffer it is lost, and counted, and the wire is told. */
static bool give_lent(struct nic_place *place, const uint8_t *frame, size_t size)
{
	if (!sim_lent_fill(&place->lent, frame, size)) {
		n_lost++;
		return false;
	}
	if (!lazy)
		sim_lent_show(&place->lent, UINT32_MAX);
	return true;
}

static void not_read(struct nic_place *place)
{
	(void)place; /* each has memory of its own */
}

static bool keeps(const struct nic_place *place)
{
	return place != NULL;
}

static bool keeps_none(const struct nic_place *place)
{
	return !place;
}

#define ANY_PROVIDER                                                                               \
	.open = port_open, .close = port_close, .join = join, .joined = joined, .leave = leave,    \
	.poll_fd = poll_fd, .receive = receive, .not_read = not_read, .is_of = is_of,              \
	.give_back = give_back, .stats = stats, .transmit = sim_transmit,                          \
	.kick = sim_transmit_kick, .sent = sim_transmit_sent

const struct nic_port_ops sim_nic_port_ops = {
	ANY_PROVIDER,	   .may_keep = keeps, .begin = lent_begin,
	.post = lent_post, .reap = lent_reap, .recall = lent_recall,
	.hold = lent_hold,
};

/* ---- guests' buffers ---- */

/* What waits in front of the device's frames, in the port's memory, is not for it. */
static struct packet *take_waiting(struct nic_place *place)
{
	struct packet_fifo taken = { 0 };
	struct packet *p;

	for (uint32_t i = 0; i < place->n_taken; i++)
		packet_fifo_push(&taken, packet_fifo_pop(&place->waiting));
	p = packet_fifo_pop(&place->waiting);
	while (place->waiting.head)
		packet_fifo_push(&taken, packet_fifo_pop(&place->waiting));
	place->waiting = taken;
	return p;
}

static bool is_injected(const struct packet *p)
{
	return packet_vnet(p)->flags; /* nobody looks there */
}

/* The device writes up to n frames. */
static void run(struct nic_place *place, uint32_t n)
{
	for (; n && place->posting && place->buffers.n_posted &&
	       place->waiting.n_packets > place->n_taken; n--) {
		struct packet *p = take_waiting(place);

		sim_buffers_write(&place->buffers, p, is_injected(p));
		packet_vnet(p)->flags = 0;
		packet_put(&port->pool, p);
	}
}

static int authorise(struct nic_place *place, void *page, nic_page *out)
{
	return sim_buffers_authorise(&place->buffers, n_pages_max, page, out);
}

static void take_page(struct nic_place *place, nic_page page)
{
	sim_buffers_revoke(&place->buffers, page);
}

static void begin(struct nic_place *place)
{
	assert(!place->posting);
	place->posting = true;
	place->n_taken = (place->waiting.n_packets + 1) / 2;
}

static uint32_t post(struct nic_place *place, const struct nic_buffer buffers[], uint32_t n)
{
	assert(place->posting && !place->n_taken);
	n = sim_buffers_post(&place->buffers, buffers, n);
	if (!lazy)
		run(place, UINT32_MAX);
	return n;
}

static uint32_t reap(struct nic_place *place, struct nic_completion out[], uint32_t n)
{
	return sim_buffers_reap(&place->buffers, out, n);
}

static void recall(struct nic_place *place)
{
	assert(place->posting);
	place->posting = false;
	place->n_taken = 0;
	for (struct packet *p = place->waiting.head; p; p = p->next)
		packet_vnet(p)->flags = 0;
	sim_buffers_recall(&place->buffers);
}

static int inject(struct nic_place *place, const struct packet *frame)
{
	struct packet *p;

	assert(place->posting && !packet_vnet(frame)->flags && !packet_vnet(frame)->gso_type);
	if (frame->size > 4096)
		return -EMSGSIZE;
	if (place->waiting.n_packets == SIM_PLACE_SIZE)
		return -EAGAIN;
	p = packet_get(&port->pool);
	assert(p);
	memcpy(p->frame, frame->frame, frame->size);
	p->size = frame->size;
	packet_vnet(p)->flags = 1;
	packet_fifo_push(&place->waiting, p);
	if (!lazy)
		run(place, UINT32_MAX);
	return 0;
}

const struct nic_port_ops sim_nic_buffer_ops = {
	ANY_PROVIDER,	     .may_keep = keeps_none, .authorise = authorise,
	.revoke = take_page, .begin = begin,	     .post = post,
	.reap = reap,	     .recall = recall,	     .inject = inject,
};

bool sim_nic_is_readable(const struct nic_place *place)
{
	if (place->lent.begun)
		return !place->lent.over && (sim_lent_is_done(&place->lent) || place->waiting.head);
	return place->posting ? place->buffers.n_done || place->n_taken : place->waiting.n_packets;
}

bool sim_nic_may_write(const void *page)
{
	for (const struct nic_place *p = places; p; p = p->next)
		if (sim_buffers_has(&p->buffers, page) || sim_lent_has(&p->lent, page))
			return true;
	return false;
}

uint64_t sim_nic_n_faults(void)
{
	uint64_t n = 0;

	for (const struct nic_place *p = places; p; p = p->next)
		n += p->buffers.n_faults;
	return n;
}

uint32_t sim_nic_n_posted(void)
{
	uint32_t n = 0;

	for (const struct nic_place *p = places; p; p = p->next)
		n += p->buffers.n_posted + p->lent.n_posted - p->lent.n_reaped;
	return n;
}

void sim_nic_limit_pages(uint32_t n)
{
	n_pages_max = n;
}

void sim_nic_be_lazy(bool on)
{
	lazy = on;
}

void sim_nic_run(struct sim_datapath *d, uint32_t n)
{
	for (struct nic_place *p = places; p; p = p->next) {
		run(p, n);
		sim_lent_show(&p->lent, n);
	}
	sim_datapath_poll(d);
}

/* ---- the wire ---- */

static struct nic_place *place_for(uint32_t domid, uint16_t vlan, bool *tag_off)
{
	const uint8_t mac[6] = { 0x00, 0x16, 0x3e, 0x77, 0, (uint8_t)domid };

	for (uint32_t i = 0; i < NIC_PLACES_MAX; i++) {
		if (!filters[i].used || filters[i].filter.vlan != vlan ||
		    memcmp(filters[i].filter.mac, mac, sizeof(mac)))
			continue;
		*tag_off = filters[i].filter.tag_off;
		for (struct nic_place *p = places; p; p = p->next)
			if (p->id == filters[i].id)
				return p;
	}
	return NULL;
}

/* The frame with a tag of that VLAN, or as it is if that is 0. Its size. */
static size_t put_tag(uint8_t *to, const uint8_t *frame, size_t size, uint16_t vlan)
{
	const uint8_t tag[4] = { 0x81, 0x00, (uint8_t)(0xa0 | vlan >> 8), (uint8_t)vlan };
	size_t tag_size = vlan ? sizeof(tag) : 0;

	memcpy(to, frame, 12);
	memcpy(to + 12, tag, tag_size);
	memcpy(to + 12 + tag_size, frame + 12, size - 12);
	return size + tag_size;
}

static struct nic_place *place_of(ino_t id)
{
	struct nic_place *p = places;

	while (p && p->id != id)
		p = p->next;
	return p;
}

/* What the bridge makes of it is what the guest is to see, by either way. */
static bool arrive(struct sim_datapath *d, uint32_t domid, uint32_t queue, struct nic_place *place,
		   bool tag_off, const uint8_t *frame, size_t size)
{
	const struct sim_form *f = sim_netdev_form(domid, 0);
	struct vlan_form form = f ? f->form : (struct vlan_form){ .on_wire = 0 };
	uint8_t tagged[SIM_FRAME_MAX + 4];
	struct packet *p;

	if (!place) {
		size = put_tag(tagged, frame, size, form.tag_off ? 0 : form.on_wire);
		if (queue == SIM_STEERED ? sim_datapath_steer(d, domid, tagged, size) < 0 :
					   !sim_datapath_give_queue(d, domid, queue, tagged, size))
			return false;
		if (sim_gate(domid))
			gate_came_by(&sim_gate(domid)->queue[0], SIM_NIC_IFINDEX);
		return true;
	}
	if (place->lent.begun) {
		size = put_tag(tagged, frame, size, tag_off ? 0 : form.on_wire);
		if (!give_lent(place, tagged, size))
			return false;
		sim_datapath_poll(d);
		return true;
	}
	p = place->waiting.n_packets < SIM_PLACE_SIZE ? packet_get(&port->pool) : NULL;
	if (!p) {
		n_lost++;
		return false;
	}
	p->size = (uint32_t)put_tag(p->frame, frame, size, tag_off ? 0 : form.on_wire);
	packet_fifo_push(&place->waiting, p);
	if (!lazy)
		run(place, UINT32_MAX);
	sim_datapath_poll(d);
	return true;
}

bool sim_nic_give(struct sim_datapath *d, uint32_t domid, uint32_t queue, const uint8_t *frame,
		  size_t size)
{
	const struct sim_form *f = sim_netdev_form(domid, 0);
	bool tag_off = false;
	struct nic_place *place = place_for(domid, f ? f->form.on_wire : 0, &tag_off);

	if (!plugged)
		return false;
	if (!takes_time)
		return arrive(d, domid, queue, place, tag_off, frame, size);
	if (sim_way_n(domid) == SIM_PLACE_SIZE)
		return false;
	sim_way_enter(domid, queue, place ? place->id : 0, tag_off, frame, size);
	return true;
}

void sim_nic_take_time(bool takes)
{
	takes_time = takes;
	if (!takes)
		sim_way_clear();
}

void sim_nic_arrive(struct sim_datapath *d, uint64_t now_ns, uint32_t n)
{
	struct sim_way_frame *f;

	while ((f = sim_way_leave(now_ns, n > 0))) {
		struct nic_place *place = f->place ? place_of(f->place) : NULL;

		n -= f->due_ns > now_ns;
		if (plugged && (place || !f->place))
			(void)arrive(d, f->domid, f->queue, place, f->tag_off, f->bytes, f->size);
		free(f);
	}
}

void sim_nic_refuse(uint32_t n)
{
	n_to_refuse = n;
}

uint32_t sim_nic_to_refuse(void)
{
	return n_to_refuse;
}

uint32_t sim_nic_n_filters(void)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < NIC_PLACES_MAX; i++)
		n += filters[i].used;
	return n;
}

uint64_t sim_nic_n_lost(void)
{
	return n_lost;
}
