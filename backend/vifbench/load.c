/* SPDX-License-Identifier: MIT */
/* See load.h. */
#include "backend/vifbench/load.h"

#include <string.h>
#include <sys/socket.h>

static uint8_t payload[LOAD_CHUNK];

const char *direction_name(enum direction d)
{
	static const char *const name[] = { "receive", "send", "both" };

	return name[d];
}

bool load_possible(const struct path *p, const struct load *l)
{
	if (p->kind == PATH_SINK)
		return l->direction == RECEIVE && l->size != LOAD_STREAM;
	/* The same whichever guest sends. */
	if (p->kind == PATH_GUEST_GUEST && l->direction != RECEIVE)
		return false;
	return l->n_guests <= p->n_pairs && (l->size != LOAD_STREAM || l->burst == 1);
}

static int send_burst(const struct path *p, uint32_t g, const struct load *l, bool to_guest)
{
	int s = to_guest ? p->udp[g].wire : p->udp[g].guest;
	int last = to_guest ? p->last[g].wire : p->last[g].guest;

	for (uint32_t i = 1; i <= l->burst; i++)
		if (send(i < l->burst ? s : last, payload, l->size - LOAD_HEADERS, 0) < 0)
			return -errno;
	return 0;
}

/* Returns how many of the burst came, or -errno. The last one came last: what is not there
 * then is lost. */
static int receive_burst(const struct path *p, uint32_t g, const struct load *l, bool to_guest)
{
	int s = to_guest ? p->udp[g].guest : p->udp[g].wire;
	int last = to_guest ? p->last[g].guest : p->last[g].wire, got = 0;

	if (recv(last, payload, sizeof(payload), 0) >= 0)
		got++;
	else if (errno != EAGAIN)
		return -errno;
	for (uint32_t i = 1; i < l->burst; i++) {
		if (recv(s, payload, sizeof(payload), MSG_DONTWAIT) >= 0)
			got++;
		else
			return errno == EAGAIN ? got : -errno;
	}
	return got;
}

static int one_way(const struct path *p, const struct load *l, bool to_guest, struct load_result *r)
{
	for (uint32_t g = 0; g < l->n_guests; g++) {
		int err = send_burst(p, g, l, to_guest);

		if (err)
			return err;
	}
	for (uint32_t g = 0; g < l->n_guests; g++) {
		int got = p->kind == PATH_SINK ? (int)l->burst : receive_burst(p, g, l, to_guest);

		if (got < 0)
			return got;
		r->n_packets += (uint32_t)got;
		r->n_lost += l->burst - (uint32_t)got;
	}
	return 0;
}

/* A whole chunk fits into the socket's buffers: sending does not wait for us to read. */
static int read_chunk(int s)
{
	size_t left = LOAD_CHUNK;

	while (left) {
		ssize_t n = recv(s, payload, left, 0);

		if (n <= 0)
			return n ? -errno : -ECONNRESET;
		left -= (size_t)n;
	}
	return 0;
}

static int stream_one_way(const struct path *p, const struct load *l, bool to_guest)
{
	int err = 0;

	for (uint32_t g = 0; g < l->n_guests; g++) {
		int from = to_guest ? p->tcp[g].wire : p->tcp[g].guest;

		if (send(from, payload, LOAD_CHUNK, MSG_NOSIGNAL) != (ssize_t)LOAD_CHUNK)
			return errno ? -errno : -EIO;
	}
	for (uint32_t g = 0; !err && g < l->n_guests; g++)
		err = read_chunk(to_guest ? p->tcp[g].guest : p->tcp[g].wire);
	return err;
}

static int round_of(const struct path *p, const struct load *l, struct load_result *r)
{
	int err = 0;

	for (int way = RECEIVE; !err && way <= SEND; way++) {
		if (l->direction != BOTH && (int)l->direction != way)
			continue;
		if (l->size != LOAD_STREAM)
			err = one_way(p, l, way == RECEIVE, r);
		else
			err = stream_one_way(p, l, way == RECEIVE);
	}
	return err;
}

static void empty(int s)
{
	while (s >= 0 && recv(s, payload, sizeof(payload), MSG_DONTWAIT) >= 0)
		;
}

/* What a lossy run left behind must not be taken for the next one's. */
static void drain(const struct path *p)
{
	for (uint32_t g = 0; g < p->n_pairs; g++) {
		empty(p->udp[g].guest);
		empty(p->udp[g].wire);
		empty(p->last[g].guest);
		empty(p->last[g].wire);
	}
}

static uint64_t cycles_in(double us)
{
	return (uint64_t)(tsc_hz() / 1e6 * us);
}

int load_run(const struct path *p, const struct load *l, uint32_t n_rounds, uint32_t limit_us,
	     struct load_result *out)
{
	uint64_t limit = cycles_in(limit_us), at;
	uint32_t i = 0;
	int err = 0;

	assert(load_possible(p, l));
	*out = (struct load_result){ 0 };
	drain(p);
	at = tsc_now();
	for (; !err && i < n_rounds && tsc_now() - at < limit; i++)
		err = round_of(p, l, out);
	out->cycles = tsc_now() - at;
	if (l->size == LOAD_STREAM)
		out->n_packets = (uint64_t)i * l->n_guests * (l->direction == BOTH ? 2 : 1) *
				 LOAD_CHUNK / LOAD_SEGMENT;
	return err;
}

int load_round_trips(const struct path *p, uint32_t n, uint32_t limit_ms, struct histogram *out)
{
	struct load l = { .size = 64, .burst = 1, .n_guests = 1, .direction = BOTH };
	uint64_t limit = cycles_in(limit_ms * 1e3), begin = tsc_now();
	struct load_result r = { 0 };

	drain(p);
	for (uint32_t i = 0; i < n && tsc_now() - begin < limit; i++) {
		uint64_t at = tsc_now();
		int err = round_of(p, &l, &r);

		if (err)
			return err;
		histogram_add(out, tsc_now() - at);
	}
	return 0;
}
