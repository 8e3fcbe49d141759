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
	return l->n_guests <= p->n_pairs &&
	       (l->size != LOAD_STREAM || (l->n_guests == 1 && l->burst == 1));
}

static int send_burst(int s, const struct load *l)
{
	for (uint32_t i = 0; i < l->burst; i++)
		if (send(s, payload, l->size - LOAD_HEADERS, 0) < 0)
			return -errno;
	return 0;
}

/* Returns how many of the burst came, or -errno. */
static int receive_burst(int s, const struct load *l)
{
	for (uint32_t i = 0; i < l->burst; i++) {
		if (recv(s, payload, sizeof(payload), 0) >= 0)
			continue;
		return errno == EAGAIN ? (int)i : -errno;
	}
	return (int)l->burst;
}

static int one_way(const struct path *p, const struct load *l, bool to_guest,
		   struct load_result *r)
{
	for (uint32_t g = 0; g < l->n_guests; g++) {
		int err = send_burst(to_guest ? p->udp[g].wire : p->udp[g].guest, l);

		if (err)
			return err;
	}
	for (uint32_t g = 0; g < l->n_guests; g++) {
		int got = p->kind == PATH_SINK
			    ? (int)l->burst
			    : receive_burst(to_guest ? p->udp[g].guest : p->udp[g].wire, l);

		if (got < 0)
			return got;
		r->n_packets += (uint32_t)got;
		r->n_lost += l->burst - (uint32_t)got;
	}
	return 0;
}

static int stream_one_way(const struct pair *tcp, bool to_guest)
{
	int from = to_guest ? tcp->wire : tcp->guest, to = to_guest ? tcp->guest : tcp->wire;
	size_t left = LOAD_CHUNK;

	if (send(from, payload, LOAD_CHUNK, MSG_NOSIGNAL) != (ssize_t)LOAD_CHUNK)
		return errno ? -errno : -EIO;
	while (left) {
		ssize_t n = recv(to, payload, left, 0);

		if (n <= 0)
			return n ? -errno : -ECONNRESET;
		left -= (size_t)n;
	}
	return 0;
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
			err = stream_one_way(&p->tcp, way == RECEIVE);
	}
	return err;
}

/* What a lossy run left behind must not be taken for the next one's. */
static void drain(const struct path *p)
{
	for (uint32_t g = 0; g < p->n_pairs; g++)
		for (int end = 0; end < 2; end++) {
			int s = end ? p->udp[g].guest : p->udp[g].wire;

			while (s >= 0 && recv(s, payload, sizeof(payload), MSG_DONTWAIT) >= 0)
				;
		}
}

int load_run(const struct path *p, const struct load *l, uint32_t n_rounds, struct load_result *out)
{
	uint64_t at;
	int err = 0;

	assert(load_possible(p, l));
	*out = (struct load_result){ 0 };
	drain(p);
	at = tsc_now();
	for (uint32_t i = 0; !err && i < n_rounds; i++)
		err = round_of(p, l, out);
	out->cycles = tsc_now() - at;
	if (l->size == LOAD_STREAM)
		out->n_packets = (uint64_t)n_rounds * (l->direction == BOTH ? 2 : 1) * LOAD_CHUNK /
				 LOAD_SEGMENT;
	return err;
}

int load_round_trips(const struct path *p, uint32_t n, struct histogram *out)
{
	struct load l = { .size = 64, .burst = 1, .n_guests = 1, .direction = BOTH };
	struct load_result r = { 0 };

	drain(p);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t at = tsc_now();
		int err = round_of(p, &l, &r);

		if (err)
			return err;
		histogram_add(out, tsc_now() - at);
	}
	return 0;
}
