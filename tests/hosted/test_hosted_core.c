/* SPDX-License-Identifier: MIT */
/*
 * The hosted Xen in one process, through Xen's own API: what grants check, how
 * events are delivered, what a closing handle and a dying domain release.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xengnttab.h>
#include "libvif/hosted/abi.h"
#include "libvif/hosted/hosted.h"

#define GUEST 7u
#define OTHER 9u

struct fixture {
	xengntshr_handle *shr;	  /* GUEST's */
	xengnttab_handle *tab;	  /* domain 0's */
	xenevtchn_handle *events; /* domain 0's */
	xenevtchn_handle *guest_events;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(hosted_inproc_start(0), 0);
	assert_int_equal(hosted_domain_create(GUEST), 0);
	assert_int_equal(hosted_domain_create(OTHER), 0);
	hosted_set_domid(GUEST);
	f->shr = xengntshr_open(NULL, 0);
	f->guest_events = xenevtchn_open(NULL, 0);
	hosted_set_domid(0);
	f->tab = xengnttab_open(NULL, 0);
	f->events = xenevtchn_open(NULL, 0);
	assert_true(f->shr && f->tab && f->events && f->guest_events);
	fcntl(xenevtchn_fd(f->events), F_SETFL, O_NONBLOCK);
	fcntl(xenevtchn_fd(f->guest_events), F_SETFL, O_NONBLOCK);
	*state = f;
	return 0;
}

static struct hosted_stats stats_of(uint32_t domid)
{
	struct hosted_stats stats[8];
	int n = hosted_stats(stats, 8);

	for (int i = 0; i < n; i++)
		if (stats[i].domid == domid)
			return stats[i];
	return (struct hosted_stats){ .domid = ~0u };
}

/* Whatever a test did, closing the handles must leave nothing behind. */
static int teardown(void **state)
{
	struct fixture *f = *state;

	hosted_fault_plan(NULL);
	xengnttab_close(f->tab);
	xengntshr_close(f->shr);
	xenevtchn_close(f->guest_events);
	xenevtchn_close(f->events);
	for (uint32_t domid = 0; domid <= OTHER; domid++) {
		struct hosted_stats s = stats_of(domid);

		if (s.domid == ~0u)
			continue;
		assert_int_equal(s.handles, 0);
		assert_int_equal(s.ports, 0);
		assert_int_equal(s.grants, 0);
		assert_int_equal(s.maps_held, 0);
		assert_int_equal(s.maps_suffered, 0);
		assert_int_equal(s.pages, 0);
	}
	hosted_inproc_stop();
	free(f);
	return 0;
}

static void map_shows_the_same_page(void **state)
{
	struct fixture *f = *state;
	uint32_t refs[3];
	char *guest = xengntshr_share_pages(f->shr, 0, 3, refs, 1);
	char *host;

	assert_non_null(guest);
	assert_true(refs[0] >= 8);
	strcpy(guest + 2 * 4096, "from the guest");
	host = xengnttab_map_domain_grant_refs(f->tab, 3, GUEST, refs, PROT_READ | PROT_WRITE);
	assert_non_null(host);
	assert_string_equal(host + 2 * 4096, "from the guest");
	strcpy(host, "from the host");
	assert_string_equal(guest, "from the host");
	assert_int_equal(stats_of(GUEST).maps_suffered, 3);
	assert_int_equal(stats_of(0).maps_held, 3);
	assert_int_equal(xengnttab_unmap(f->tab, host, 3), 0);
	assert_int_equal(xengntshr_unshare(f->shr, guest, 3), 0);
	assert_int_equal(stats_of(GUEST).pages, 0);
}

static void map_checks(void **state)
{
	struct fixture *f = *state;
	uint32_t ro, other, refs[2];

	assert_non_null(xengntshr_share_pages(f->shr, 0, 1, &ro, 0));
	assert_non_null(xengntshr_share_pages(f->shr, OTHER, 1, &other, 1));
	assert_non_null(xengnttab_map_grant_ref(f->tab, GUEST, ro, PROT_READ));
	errno = 0;
	assert_null(xengnttab_map_grant_ref(f->tab, GUEST, ro, PROT_READ | PROT_WRITE));
	assert_int_equal(errno, EINVAL);
	assert_null(xengnttab_map_grant_ref(f->tab, GUEST, other, PROT_READ));
	assert_null(xengnttab_map_grant_ref(f->tab, GUEST, other + 1, PROT_READ));
	assert_null(xengnttab_map_grant_ref(f->tab, GUEST, 1u << 31, PROT_READ));
	assert_null(xengnttab_map_grant_ref(f->tab, 12, ro, PROT_READ));
	assert_null(xengnttab_map_domain_grant_refs(f->tab, 0, GUEST, &ro, PROT_READ));
	/* All or nothing. */
	refs[0] = ro;
	refs[1] = other;
	assert_null(xengnttab_map_domain_grant_refs(f->tab, 2, GUEST, refs, PROT_READ));
	assert_int_equal(stats_of(0).maps_held, 1);
}

static void unmap_checks(void **state)
{
	struct fixture *f = *state;
	uint32_t refs[4];
	char *host;

	assert_non_null(xengntshr_share_pages(f->shr, 0, 4, refs, 1));
	host = xengnttab_map_domain_grant_refs(f->tab, 4, GUEST, refs, PROT_READ | PROT_WRITE);
	assert_int_equal(xengnttab_unmap(f->tab, host, 2), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(xengnttab_unmap(f->tab, host + 4096, 3), -1);
	assert_int_equal(xengnttab_unmap(f->tab, host, 4), 0);
	assert_int_equal(xengnttab_unmap(f->tab, host, 4), -1);
	assert_int_equal(xengnttab_unmap(f->tab, NULL, 1), -1);
}

static void limits(void **state)
{
	struct fixture *f = *state;
	uint32_t refs[4];
	void *host;

	assert_non_null(xengntshr_share_pages(f->shr, 0, 4, refs, 1));
	assert_int_equal(xengnttab_set_max_grants(f->tab, 3), 0);
	assert_null(xengnttab_map_domain_grant_refs(f->tab, 4, GUEST, refs, PROT_READ));
	assert_int_equal(errno, ENOMEM);
	host = xengnttab_map_domain_grant_refs(f->tab, 3, GUEST, refs, PROT_READ);
	assert_non_null(host);
	assert_null(xengnttab_map_grant_ref(f->tab, GUEST, refs[3], PROT_READ));
	assert_int_equal(xengnttab_unmap(f->tab, host, 3), 0);
	assert_non_null(xengnttab_map_grant_ref(f->tab, GUEST, refs[3], PROT_READ));
	assert_null(xengnttab_map_domain_grant_refs(f->tab, 65537, GUEST, refs, PROT_READ));
	assert_int_equal(errno, EINVAL);
}

/* More pages than one message names. */
static void many_pages(void **state)
{
	struct fixture *f = *state;
	enum { N = 10000 };
	uint32_t *refs = calloc(HX_GREFS, sizeof(*refs));
	char *guest = xengntshr_share_pages(f->shr, 0, N, refs, 1), *host;

	assert_non_null(guest);
	for (int i = 0; i < N; i++)
		memcpy(guest + (size_t)i * 4096, &i, sizeof(i));
	host = xengnttab_map_domain_grant_refs(f->tab, N, GUEST, refs, PROT_READ);
	assert_non_null(host);
	for (int i = 0; i < N; i++)
		assert_memory_equal(host + (size_t)i * 4096, &i, sizeof(i));
	assert_int_equal(xengnttab_unmap(f->tab, host, N), 0);
	assert_int_equal(xengntshr_unshare(f->shr, guest, N), 0);
	/* 32768 references, 8 of them reserved */
	assert_null(xengntshr_share_pages(f->shr, 0, 32761, refs, 1));
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(stats_of(GUEST).grants, 0);
	assert_int_equal(stats_of(GUEST).pages, 0);
	free(refs);
}

static void unshare_waits_for_the_mapper(void **state)
{
	struct fixture *f = *state;
	uint32_t ref, next;
	char *guest = xengntshr_share_pages(f->shr, 0, 1, &ref, 1);
	char *host = xengnttab_map_grant_ref(f->tab, GUEST, ref, PROT_READ | PROT_WRITE);
	char *again;

	strcpy(guest, "still here");
	assert_int_equal(xengntshr_unshare(f->shr, guest, 1), 0);
	assert_int_equal(stats_of(GUEST).grants_deferred, 1);
	assert_int_equal(stats_of(GUEST).pages, 1);
	assert_string_equal(host, "still here");
	assert_non_null(xengntshr_share_pages(f->shr, 0, 1, &next, 1));
	assert_int_not_equal(next, ref);
	/* Linux only marks it for later: until then it is as valid as before. */
	again = xengnttab_map_grant_ref(f->tab, GUEST, ref, PROT_READ);
	assert_non_null(again);
	assert_int_equal(xengnttab_unmap(f->tab, host, 1), 0);
	assert_int_equal(stats_of(GUEST).grants_deferred, 1);
	assert_int_equal(xengnttab_unmap(f->tab, again, 1), 0);
	assert_int_equal(stats_of(GUEST).grants_deferred, 0);
	assert_null(xengnttab_map_grant_ref(f->tab, GUEST, ref, PROT_READ));
}

static void unshare_in_parts(void **state)
{
	struct fixture *f = *state;
	uint32_t refs[3];
	char *guest = xengntshr_share_pages(f->shr, 0, 3, refs, 1);

	assert_int_equal(xengntshr_unshare(f->shr, guest + 4096, 1), 0);
	assert_int_equal(stats_of(GUEST).grants, 3);
	assert_int_equal(xengntshr_unshare(f->shr, guest + 4096, 1), 0); /* as munmap() */
	assert_int_equal(xengntshr_unshare(f->shr, guest + 4096, 3), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(stats_of(GUEST).grants, 3);
	guest[0] = guest[2 * 4096] = 1;
	assert_int_equal(xengntshr_unshare(f->shr, guest, 1), 0);
	assert_int_equal(xengntshr_unshare(f->shr, guest + 2 * 4096, 1), 0);
	assert_int_equal(stats_of(GUEST).grants, 0);
}

static void pages_come_back_empty(void **state)
{
	struct fixture *f = *state;
	uint32_t ref;
	char *guest = xengntshr_share_pages(f->shr, 0, 1, &ref, 1);

	memset(guest, 0xff, 4096);
	xengntshr_unshare(f->shr, guest, 1);
	guest = xengntshr_share_pages(f->shr, 0, 1, &ref, 1);
	for (int i = 0; i < 4096; i++)
		assert_int_equal(guest[i], 0);
}

static xengnttab_grant_copy_segment_t from_gref(uint32_t domid, uint32_t ref, uint16_t offset,
						void *to, uint16_t len)
{
	return (xengnttab_grant_copy_segment_t){
		.source.foreign = { .ref = ref, .offset = offset, .domid = (uint16_t)domid },
		.dest.virt = to,
		.len = len,
		.flags = GNTCOPY_source_gref,
		.status = 99,
	};
}

static xengnttab_grant_copy_segment_t to_gref(void *from, uint32_t domid, uint32_t ref,
					      uint16_t offset, uint16_t len)
{
	return (xengnttab_grant_copy_segment_t){
		.source.virt = from,
		.dest.foreign = { .ref = ref, .offset = offset, .domid = (uint16_t)domid },
		.len = len,
		.flags = GNTCOPY_dest_gref,
		.status = 99,
	};
}

static void copy_both_ways(void **state)
{
	struct fixture *f = *state;
	static char local[2 * 4096];
	uint32_t refs[2];
	char *guest = xengntshr_share_pages(f->shr, 0, 2, refs, 1);
	xengnttab_grant_copy_segment_t seg[3];

	strcpy(guest + 100, "hello");
	seg[0] = from_gref(GUEST, refs[0], 100, local + 4090, 6); /* local side crosses pages */
	seg[1] = to_gref(local + 4090, GUEST, refs[1], 4090, 6);
	seg[2] = (xengnttab_grant_copy_segment_t){
		.source.foreign = { refs[1], 4090, GUEST },
		.dest.foreign = { refs[0], 0, GUEST },
		.len = 6,
		.flags = GNTCOPY_source_gref | GNTCOPY_dest_gref,
	};
	assert_int_equal(xengnttab_grant_copy(f->tab, 3, seg), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(seg[i].status, GNTST_okay);
	assert_string_equal(local + 4090, "hello");
	assert_string_equal(guest + 4096 + 4090, "hello");
	assert_string_equal(guest, "hello");
}

static void copy_checks(void **state)
{
	struct fixture *f = *state;
	static char local[4096];
	uint32_t rw, ro, other;
	char *guest = xengntshr_share_pages(f->shr, 0, 1, &rw, 1);
	xengnttab_grant_copy_segment_t seg[8];

	xengntshr_share_pages(f->shr, 0, 1, &ro, 0);
	xengntshr_share_pages(f->shr, OTHER, 1, &other, 1);
	seg[0] = from_gref(GUEST, ro, 0, local, 4096);
	seg[1] = to_gref(local, GUEST, ro, 0, 1);
	seg[2] = from_gref(GUEST, other, 0, local, 1);
	seg[3] = from_gref(GUEST, 5000, 0, local, 1);
	seg[4] = from_gref(GUEST, 32768, 0, local, 1);
	seg[5] = from_gref(99, rw, 0, local, 1);
	seg[6] = to_gref(local, GUEST, rw, 0, 4096);
	seg[7] = from_gref(GUEST, 32768, 0, local, 0);
	assert_int_equal(xengnttab_grant_copy(f->tab, 8, seg), 0);
	assert_int_equal(seg[0].status, GNTST_okay);
	assert_int_equal(seg[1].status, GNTST_general_error);
	assert_int_equal(seg[2].status, GNTST_general_error);
	assert_int_equal(seg[3].status, GNTST_general_error);
	assert_int_equal(seg[4].status, GNTST_bad_gntref);
	assert_int_equal(seg[5].status, GNTST_bad_domain);
	assert_int_equal(seg[6].status, GNTST_okay);
	assert_int_equal(seg[7].status, GNTST_okay);
	/* gntdev refuses the whole call, and nothing has been copied. */
	local[0] = 'x';
	seg[0] = to_gref(local, GUEST, rw, 0, 1);
	seg[1] = from_gref(GUEST, rw, 4095, local, 2);
	assert_int_equal(xengnttab_grant_copy(f->tab, 2, seg), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(guest[0], 0);
	seg[0].flags = 0;
	assert_int_equal(xengnttab_grant_copy(f->tab, 1, seg), -1);
	/* Revoked. */
	xengntshr_unshare(f->shr, guest, 1);
	seg[0] = from_gref(GUEST, rw, 0, local, 1);
	assert_int_equal(xengnttab_grant_copy(f->tab, 1, seg), 0);
	assert_int_equal(seg[0].status, GNTST_general_error);
}

/* A slot reused by another domain is not reached through an old mapping. */
static void copy_follows_a_new_domain(void **state)
{
	struct fixture *f = *state;
	static char local[16];
	xengnttab_grant_copy_segment_t seg;

	for (int i = 0; i < 3; i++) {
		xengntshr_handle *shr;
		uint32_t ref;
		char *page;

		assert_int_equal(hosted_domain_create(20), 0);
		hosted_set_domid(20);
		shr = xengntshr_open(NULL, 0);
		hosted_set_domid(0);
		page = xengntshr_share_pages(shr, 0, 1, &ref, 1);
		page[0] = (char)('a' + i);
		seg = from_gref(20, ref, 0, local, 1);
		assert_int_equal(xengnttab_grant_copy(f->tab, 1, &seg), 0);
		assert_int_equal(seg.status, GNTST_okay);
		assert_int_equal(local[0], 'a' + i);
		assert_int_equal(hosted_domain_destroy(20), 0);
		assert_int_equal(xengnttab_grant_copy(f->tab, 1, &seg), 0);
		assert_int_equal(seg.status, GNTST_bad_domain);
		xengntshr_close(shr);
	}
}

struct channel {
	int host, guest;
};

static struct channel connect_events(struct fixture *f)
{
	struct channel c;

	c.guest = xenevtchn_bind_unbound_port(f->guest_events, 0);
	assert_true(c.guest > 0);
	c.host = xenevtchn_bind_interdomain(f->events, GUEST, (evtchn_port_t)c.guest);
	assert_true(c.host > 0);
	/* Binding raises the local port once. */
	assert_int_equal(xenevtchn_pending(f->events), c.host);
	assert_int_equal(xenevtchn_unmask(f->events, (evtchn_port_t)c.host), 0);
	return c;
}

static void assert_no_event(xenevtchn_handle *h)
{
	errno = 0;
	assert_int_equal(xenevtchn_pending(h), -1);
	assert_int_equal(errno, EAGAIN);
}

static void events_mask_until_unmasked(void **state)
{
	struct fixture *f = *state;
	struct channel c = connect_events(f);
	struct pollfd pfd = { xenevtchn_fd(f->guest_events), POLLIN, 0 };

	assert_no_event(f->guest_events);
	assert_int_equal(poll(&pfd, 1, 0), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(xenevtchn_notify(f->events, (evtchn_port_t)c.host), 0);
	assert_int_equal(poll(&pfd, 1, 0), 1);
	assert_int_equal(xenevtchn_pending(f->guest_events), c.guest);
	assert_no_event(f->guest_events); /* the other two are pending behind the mask */
	xenevtchn_unmask(f->guest_events, (evtchn_port_t)c.guest);
	assert_int_equal(xenevtchn_pending(f->guest_events), c.guest);
	assert_no_event(f->guest_events);
	xenevtchn_unmask(f->guest_events, (evtchn_port_t)c.guest);
	assert_no_event(f->guest_events);
	/* And back. */
	assert_int_equal(xenevtchn_notify(f->guest_events, (evtchn_port_t)c.guest), 0);
	assert_int_equal(xenevtchn_pending(f->events), c.host);
}

static void events_check_ownership(void **state)
{
	struct fixture *f = *state;
	struct channel c = connect_events(f);
	xenevtchn_handle *second = xenevtchn_open(NULL, 0);
	int unbound = xenevtchn_bind_unbound_port(f->guest_events, OTHER);

	assert_int_equal(xenevtchn_notify(second, (evtchn_port_t)c.host), -1);
	assert_int_equal(errno, ENOTCONN);
	assert_int_equal(xenevtchn_unbind(second, (evtchn_port_t)c.host), -1);
	assert_int_equal(errno, ENOTCONN);
	assert_int_equal(xenevtchn_unbind(second, 1u << 20), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(xenevtchn_bind_interdomain(second, GUEST, (evtchn_port_t)c.guest), -1);
	assert_int_equal(errno, EINVAL); /* taken */
	assert_int_equal(xenevtchn_bind_interdomain(second, GUEST, (evtchn_port_t)unbound), -1);
	assert_int_equal(errno, EINVAL); /* kept for another domain */
	assert_int_equal(xenevtchn_bind_interdomain(second, 99, 1), -1);
	assert_int_equal(errno, ESRCH);
	/* Nobody listens yet: not an error. */
	assert_int_equal(xenevtchn_notify(f->guest_events, (evtchn_port_t)unbound), 0);
	xenevtchn_close(second);
}

static void a_closed_end_can_be_bound_again(void **state)
{
	struct fixture *f = *state;
	struct channel c = connect_events(f);

	for (int i = 0; i < 3; i++) {
		assert_int_equal(xenevtchn_unbind(f->events, (evtchn_port_t)c.host), 0);
		assert_int_equal(xenevtchn_notify(f->guest_events, (evtchn_port_t)c.guest), 0);
		c.host = xenevtchn_bind_interdomain(f->events, GUEST, (evtchn_port_t)c.guest);
		assert_true(c.host > 0);
		assert_int_equal(xenevtchn_pending(f->events), c.host);
		xenevtchn_unmask(f->events, (evtchn_port_t)c.host);
		xenevtchn_notify(f->events, (evtchn_port_t)c.host);
		assert_int_equal(xenevtchn_pending(f->guest_events), c.guest);
		xenevtchn_unmask(f->guest_events, (evtchn_port_t)c.guest);
	}
}

static void restricted_handle(void **state)
{
	struct fixture *f = *state;
	int port = xenevtchn_bind_unbound_port(f->guest_events, 0);

	assert_int_equal(xenevtchn_restrict(f->events, GUEST), 0);
	assert_int_equal(xenevtchn_bind_unbound_port(f->events, OTHER), -1);
	assert_int_equal(errno, EACCES);
	assert_int_equal(xenevtchn_bind_virq(f->events, VIRQ_DOM_EXC), -1);
	assert_int_equal(errno, EACCES);
	assert_int_equal(xenevtchn_restrict(f->events, OTHER), -1);
	assert_true(xenevtchn_bind_interdomain(f->events, GUEST, (evtchn_port_t)port) > 0);
}

static void unmap_notifies(void **state)
{
	struct fixture *f = *state;
	struct channel c = connect_events(f);
	uint32_t ref;
	char *guest = xengntshr_share_pages(f->shr, 0, 1, &ref, 1), *host;

	guest[12] = guest[13] = 1;
	assert_null(xengnttab_map_grant_ref_notify(f->tab, GUEST, ref, PROT_READ, 12, ~0u));
	assert_null(
	    xengnttab_map_grant_ref_notify(f->tab, GUEST, ref, PROT_READ | PROT_WRITE, 4096, ~0u));
	assert_null(
	    xengnttab_map_grant_ref_notify(f->tab, GUEST, ref, PROT_READ | PROT_WRITE, 12, 77));
	host = xengnttab_map_grant_ref_notify(f->tab, GUEST, ref, PROT_READ | PROT_WRITE, 12,
					      (uint32_t)c.host);
	assert_non_null(host);
	assert_int_equal(guest[12], 1);
	assert_int_equal(xengnttab_unmap(f->tab, host, 1), 0);
	assert_int_equal(guest[12], 0);
	assert_int_equal(guest[13], 1);
	assert_int_equal(xenevtchn_pending(f->guest_events), c.guest);
}

/* The port a notification names outlives its handle, as evtchn_get() has it. */
static void notify_port_outlives_its_handle(void **state)
{
	struct fixture *f = *state;
	struct channel c = connect_events(f);
	uint32_t ref;
	char *guest = xengntshr_share_pages(f->shr, 0, 1, &ref, 1), *host;

	host = xengnttab_map_grant_ref_notify(f->tab, GUEST, ref, PROT_READ | PROT_WRITE, 0,
					      (uint32_t)c.host);
	guest[0] = 1;
	xenevtchn_close(f->events);
	assert_int_equal(stats_of(0).ports, 1);
	assert_no_event(f->guest_events);
	xengnttab_unmap(f->tab, host, 1);
	assert_int_equal(guest[0], 0);
	assert_int_equal(xenevtchn_pending(f->guest_events), c.guest);
	assert_int_equal(stats_of(0).ports, 0);
	f->events = xenevtchn_open(NULL, 0);
}

static void share_notifies(void **state)
{
	struct fixture *f = *state;
	struct channel c = connect_events(f);
	uint32_t ref;
	char *guest = xengntshr_share_page_notify(f->shr, 0, &ref, 1, 5, (evtchn_port_t)c.guest);
	char *host = xengnttab_map_grant_ref(f->tab, GUEST, ref, PROT_READ);

	guest[5] = 1;
	xengntshr_close(f->shr);
	assert_int_equal(host[5], 0);
	assert_int_equal(xenevtchn_pending(f->events), c.host);
	hosted_set_domid(GUEST);
	f->shr = xengntshr_open(NULL, 0);
	hosted_set_domid(0);
}

static void destroyed_domain_is_a_zombie_while_mapped(void **state)
{
	struct fixture *f = *state;
	struct channel c = connect_events(f);
	int virq = xenevtchn_bind_virq(f->events, VIRQ_DOM_EXC);
	uint32_t ref;
	char *guest = xengntshr_share_pages(f->shr, 0, 1, &ref, 1);
	char *host = xengnttab_map_grant_ref(f->tab, GUEST, ref, PROT_READ);

	assert_int_equal(xenevtchn_bind_virq(f->events, VIRQ_DOM_EXC), -1);
	assert_int_equal(errno, EEXIST);
	assert_int_equal(xenevtchn_notify(f->events, (evtchn_port_t)virq), -1);
	strcpy(guest, "last words");
	assert_int_equal(hosted_domain_shutdown(GUEST, 3), 0);
	assert_int_equal(xenevtchn_pending(f->events), virq);
	xenevtchn_unmask(f->events, (evtchn_port_t)virq);
	assert_int_equal(stats_of(GUEST).shutdown, 4);
	assert_int_equal(hosted_domain_destroy(GUEST), 0);
	assert_int_equal(xenevtchn_pending(f->events), virq);
	xenevtchn_unmask(f->events, (evtchn_port_t)virq);
	assert_int_equal(stats_of(GUEST).dying, 1);
	assert_int_equal(hosted_domain_create(GUEST), -EEXIST);
	assert_string_equal(host, "last words");
	assert_null(xengnttab_map_grant_ref(f->tab, GUEST, ref, PROT_READ));
	assert_int_equal(xenevtchn_notify(f->events, (evtchn_port_t)c.host), 0);
	assert_null(xengntshr_share_pages(f->shr, 0, 1, &ref, 1));
	assert_int_equal(errno, ENODEV);
	xengnttab_unmap(f->tab, host, 1);
	assert_int_equal(xenevtchn_pending(f->events), virq);
	assert_int_equal(stats_of(GUEST).domid, ~0u);
	assert_int_equal(hosted_domain_create(GUEST), 0);
}

static void toolstack_errors(void **state)
{
	(void)state;
	assert_int_equal(hosted_domain_create(0), -EINVAL);
	assert_int_equal(hosted_domain_create(GUEST), -EEXIST);
	assert_int_equal(hosted_domain_create(0x7ff0), -EINVAL);
	assert_int_equal(hosted_domain_destroy(0), -EINVAL);
	assert_int_equal(hosted_domain_destroy(55), -ESRCH);
	assert_int_equal(hosted_domain_shutdown(55, 0), -ESRCH);
	hosted_set_domid(55);
	assert_null(xengnttab_open(NULL, 0));
	assert_int_equal(errno, ESRCH);
	hosted_set_domid(GUEST);
	assert_null(xenforeignmemory_open(NULL, 0));
	assert_int_equal(errno, EPERM);
	hosted_set_domid(0);
}

static void foreign_memory(void **state)
{
	struct fixture *f = *state;
	xenforeignmemory_handle *fm = xenforeignmemory_open(NULL, 0);
	uint32_t refs[2];
	char *guest = xengntshr_share_pages(f->shr, OTHER, 2, refs, 1), *host;
	xen_pfn_t frames[3] = { 1, 0, 5000 };
	int err[3];

	strcpy(guest, "page 0");
	strcpy(guest + 4096, "page 1");
	host = xenforeignmemory_map(fm, GUEST, PROT_READ, 3, frames, err);
	assert_non_null(host);
	assert_int_equal(err[0] | err[1], 0);
	assert_int_equal(err[2], EINVAL);
	assert_string_equal(host, "page 1");
	assert_string_equal(host + 4096, "page 0");
	assert_null(xenforeignmemory_map(fm, GUEST, PROT_READ, 3, frames, NULL));
	assert_int_equal(errno, EINVAL);
	assert_int_equal(stats_of(GUEST).maps_suffered, 2);
	xengntshr_unshare(f->shr, guest, 2);
	assert_int_equal(stats_of(GUEST).pages, 2); /* held by the foreign mapping */
	assert_int_equal(xenforeignmemory_unmap(fm, host, 3), 0);
	assert_int_equal(stats_of(GUEST).pages, 0);
	assert_int_equal(xenforeignmemory_restrict(fm, OTHER), 0);
	assert_null(xenforeignmemory_map(fm, GUEST, PROT_READ, 1, frames, NULL));
	assert_int_equal(errno, EPERM);
	xenforeignmemory_close(fm);
}

static void fault_plan(void **state)
{
	struct fixture *f = *state;
	struct channel c = connect_events(f);
	static char local[8];
	uint32_t ref;
	xengnttab_grant_copy_segment_t seg;

	xengntshr_share_pages(f->shr, 0, 1, &ref, 1);
	assert_int_equal(hosted_fault_plan("map:x"), -EINVAL);
	assert_int_equal(hosted_fault_plan("nap:1"), -EINVAL);
	assert_int_equal(hosted_fault_plan("map:2,copy:*2"), 0);
	assert_non_null(xengnttab_map_grant_ref(f->tab, GUEST, ref, PROT_READ));
	assert_null(xengnttab_map_grant_ref(f->tab, GUEST, ref, PROT_READ));
	assert_non_null(xengnttab_map_grant_ref(f->tab, GUEST, ref, PROT_READ));
	for (int i = 1; i <= 4; i++) {
		seg = from_gref(GUEST, ref, 0, local, 1);
		assert_int_equal(xengnttab_grant_copy(f->tab, 1, &seg), 0);
		assert_int_equal(seg.status, i % 2 ? GNTST_okay : GNTST_general_error);
	}
	assert_int_equal(hosted_fault_plan("event-drop:1,event-dup:2"), 0);
	xenevtchn_notify(f->events, (evtchn_port_t)c.host);
	assert_no_event(f->guest_events);
	xenevtchn_notify(f->events, (evtchn_port_t)c.host);
	xenevtchn_notify(f->events, (evtchn_port_t)c.host);
	assert_int_equal(xenevtchn_pending(f->guest_events), c.guest);
	assert_int_equal(hosted_fault_plan("event-delay:1"), 0);
	xenevtchn_unmask(f->guest_events, (evtchn_port_t)c.guest);
	while (xenevtchn_pending(f->guest_events) > 0)
		xenevtchn_unmask(f->guest_events, (evtchn_port_t)c.guest);
	xenevtchn_notify(f->events, (evtchn_port_t)c.host);
	assert_no_event(f->guest_events);
	xenevtchn_notify(f->events, (evtchn_port_t)c.host);
	assert_int_equal(xenevtchn_pending(f->guest_events), c.guest);
}

static void events_survive_exec_by_fdopen(void **state)
{
	struct fixture *f = *state;
	struct channel c = connect_events(f);
	xenevtchn_handle *old = f->events;
	int fd = dup(xenevtchn_fd(old));

	assert_null(xenevtchn_fdopen(NULL, fd, XENEVTCHN_NO_CLOEXEC));
	assert_null(xenevtchn_fdopen(NULL, 0, 0));
	f->events = xenevtchn_fdopen(NULL, fd, 0);
	assert_non_null(f->events);
	xenevtchn_close(old);
	xenevtchn_notify(f->guest_events, (evtchn_port_t)c.guest);
	assert_int_equal(xenevtchn_pending(f->events), c.host);
	assert_int_equal(xenevtchn_notify(f->events, (evtchn_port_t)c.host), 0);
	assert_int_equal(xenevtchn_pending(f->guest_events), c.guest);
}

/* The same seed gives the same numbers, another seed others. */
static void seeds(void **state)
{
	uint32_t refs[3], ports[3];
	static const uint64_t seed[3] = { 42, 42, 43 };

	(void)state;
	for (int i = 0; i < 3; i++) {
		xengntshr_handle *shr;
		xenevtchn_handle *xce;

		assert_int_equal(hosted_inproc_start(seed[i]), 0);
		assert_int_equal(hosted_inproc_start(seed[i]), -EBUSY);
		hosted_domain_create(GUEST);
		hosted_set_domid(GUEST);
		shr = xengntshr_open(NULL, 0);
		xce = xenevtchn_open(NULL, 0);
		assert_non_null(xengntshr_share_pages(shr, 0, 1, &refs[i], 1));
		ports[i] = (uint32_t)xenevtchn_bind_unbound_port(xce, 0);
		xengntshr_close(shr);
		xenevtchn_close(xce);
		hosted_inproc_stop();
	}
	assert_int_equal(refs[0], refs[1]);
	assert_int_equal(ports[0], ports[1]);
	assert_int_not_equal(refs[0], refs[2]);
	assert_int_not_equal(ports[0], ports[2]);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(map_shows_the_same_page),
		T(map_checks),
		T(unmap_checks),
		T(limits),
		T(many_pages),
		T(unshare_waits_for_the_mapper),
		T(unshare_in_parts),
		T(pages_come_back_empty),
		T(copy_both_ways),
		T(copy_checks),
		T(copy_follows_a_new_domain),
		T(events_mask_until_unmasked),
		T(events_check_ownership),
		T(a_closed_end_can_be_bound_again),
		T(restricted_handle),
		T(unmap_notifies),
		T(notify_port_outlives_its_handle),
		T(share_notifies),
		T(destroyed_domain_is_a_zombie_while_mapped),
		T(toolstack_errors),
		T(foreign_memory),
		T(fault_plan),
		T(events_survive_exec_by_fdopen),
		cmocka_unit_test(seeds),
	};

	return cmocka_run_group_tests_name("hosted core", tests, NULL, NULL);
}
