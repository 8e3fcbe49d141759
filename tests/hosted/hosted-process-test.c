/* SPDX-License-Identifier: MIT */
/*
 * The hosted Xen between processes: what dies with a process, what its peers see
 * of it, and that a process killed at any instant leaves the host in order.
 * Linked to Debian's libraries, run on the stand-ins by test_process.sh.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include <xenevtchn.h>
#include <xengnttab.h>
#include "libvif/hosted/hosted.h"

#define GUEST	   3u
#define TIMEOUT_MS 10000

/* A child in domain GUEST, and a pipe either way. */
struct peer {
	pid_t pid;
	int to, from;
};

typedef void peer_fn(int from_parent, int to_parent);

static struct peer peer_start(peer_fn *fn)
{
	int down[2], up[2];
	struct peer p;

	assert_int_equal(pipe2(down, O_CLOEXEC), 0);
	assert_int_equal(pipe2(up, O_CLOEXEC), 0);
	p.pid = fork();
	if (!p.pid) {
		close(down[1]);
		close(up[0]);
		hosted_set_domid(GUEST);
		fn(down[0], up[1]);
		_exit(0);
	}
	close(down[0]);
	close(up[1]);
	p.to = down[1];
	p.from = up[0];
	return p;
}

static void peer_kill(struct peer *p)
{
	kill(p->pid, SIGKILL);
	waitpid(p->pid, NULL, 0);
	close(p->to);
	close(p->from);
}

static void put_number(int fd, uint32_t n)
{
	if (write(fd, &n, sizeof(n)) != sizeof(n))
		_exit(1);
}

static uint32_t get_number(int fd)
{
	struct pollfd pfd = { fd, POLLIN, 0 };
	uint32_t n;

	if (poll(&pfd, 1, TIMEOUT_MS) != 1 || read(fd, &n, sizeof(n)) != sizeof(n))
		return ~0u;
	return n;
}

static int wait_event(xenevtchn_handle *xce)
{
	struct pollfd pfd = { xenevtchn_fd(xce), POLLIN, 0 };

	if (poll(&pfd, 1, TIMEOUT_MS) != 1)
		return -1;
	return xenevtchn_pending(xce);
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

/* A hangup reaches the daemon a moment after the process died. */
static bool guest_settles(uint32_t ports, uint32_t grants)
{
	struct hosted_stats s;

	for (int i = 0; i < TIMEOUT_MS / 2; i++) {
		s = stats_of(GUEST);
		if (s.handles == 0 && s.ports == ports && s.grants == grants && s.pages == grants)
			return true;
		nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
	}
	print_error("handles %u ports %u grants %u pages %u\n", s.handles, s.ports, s.grants,
		    s.pages);
	return false;
}

static int setup(void **state)
{
	(void)state;
	return hosted_domain_create(GUEST);
}

static int teardown(void **state)
{
	struct hosted_stats s = stats_of(0);

	(void)state;
	assert_int_equal(s.ports, 1); /* domain 0's xenstore */
	assert_int_equal(s.maps_held, 0);
	assert_true(guest_settles(0, 0));
	return hosted_domain_destroy(GUEST);
}

/* Shares a page and offers a port for domain 0, then does nothing. */
static void offer(int from, int to)
{
	xengntshr_handle *shr = xengntshr_open(NULL, 0);
	xenevtchn_handle *xce = xenevtchn_open(NULL, 0);
	int port = xenevtchn_bind_unbound_port(xce, 0);
	uint32_t ref;
	char *page = xengntshr_share_page_notify(shr, 0, &ref, 1, 0, (evtchn_port_t)port);

	page[0] = page[1] = 1;
	put_number(to, ref);
	put_number(to, (uint32_t)port);
	get_number(from);
	pause();
}

static void a_killed_guest_is_noticed(void **state)
{
	struct peer p = peer_start(offer);
	uint32_t ref = get_number(p.from), port = get_number(p.from);
	xengnttab_handle *tab = xengnttab_open(NULL, 0);
	xenevtchn_handle *xce = xenevtchn_open(NULL, 0);
	int mine = xenevtchn_bind_interdomain(xce, GUEST, port);
	volatile char *page = xengnttab_map_grant_ref(tab, GUEST, ref, PROT_READ | PROT_WRITE);
	void *addr = (void *)(uintptr_t)page;

	(void)state;
	assert_int_equal(wait_event(xce), mine);
	xenevtchn_unmask(xce, (evtchn_port_t)mine);
	assert_int_equal(page[0], 1);
	peer_kill(&p);
	assert_int_equal(wait_event(xce), mine); /* the notification it left behind */
	assert_int_equal(page[0], 0);
	assert_int_equal(page[1], 1); /* the page lives while it is mapped */
	assert_int_equal(xenevtchn_notify(xce, (evtchn_port_t)mine), 0);
	assert_true(guest_settles(0, 1));
	assert_int_equal(stats_of(GUEST).grants_deferred, 1);
	assert_int_equal(xengnttab_unmap(tab, addr, 1), 0);
	xengnttab_close(tab);
	xenevtchn_close(xce);
}

/* Plays the backend that is killed: maps with notify, binds, waits. */
static uint32_t offered_ref, offered_port;

static void backend(int from, int to)
{
	xengnttab_handle *tab;
	xenevtchn_handle *xce;
	int port;

	hosted_set_domid(0);
	tab = xengnttab_open(NULL, 0);
	xce = xenevtchn_open(NULL, 0);
	port = xenevtchn_bind_interdomain(xce, GUEST, offered_port);
	if (port < 0 || !xengnttab_map_grant_ref_notify(tab, GUEST, offered_ref,
							PROT_READ | PROT_WRITE, 8, (uint32_t)port))
		_exit(1);
	xenevtchn_notify(xce, (evtchn_port_t)port);
	put_number(to, (uint32_t)port);
	get_number(from);
}

static void a_killed_backend_can_be_replaced(void **state)
{
	xengntshr_handle *shr;
	xenevtchn_handle *xce;
	char *page;

	(void)state;
	hosted_set_domid(GUEST);
	shr = xengntshr_open(NULL, 0);
	xce = xenevtchn_open(NULL, 0);
	hosted_set_domid(0);
	page = xengntshr_share_pages(shr, 0, 1, &offered_ref, 1);
	offered_port = (uint32_t)xenevtchn_bind_unbound_port(xce, 0);
	for (int i = 0; i < 5; i++) {
		struct peer p = peer_start(backend);

		page[8] = 1;
		assert_int_not_equal(get_number(p.from), ~0u);
		assert_int_equal(wait_event(xce), offered_port);
		assert_int_equal(page[8], 1);
		xenevtchn_unmask(xce, offered_port);
		peer_kill(&p);
		assert_int_equal(wait_event(xce), offered_port);
		assert_int_equal(page[8], 0);
		xenevtchn_unmask(xce, offered_port);
		/* The other end is closed; nobody to notify is no error. */
		assert_int_equal(xenevtchn_notify(xce, offered_port), 0);
	}
	xengntshr_close(shr);
	xenevtchn_close(xce);
}

static uint32_t busy_refs[4];

/* Copies and notifies as fast as it can until it is killed. */
static void busy(int from, int to)
{
	static char local[4096];
	xengnttab_grant_copy_segment_t seg[4];
	xengnttab_handle *tab;
	xenevtchn_handle *xce;
	int port;

	(void)from;
	hosted_set_domid(0);
	tab = xengnttab_open(NULL, 0);
	xce = xenevtchn_open(NULL, 0);
	port = xenevtchn_bind_interdomain(xce, GUEST, offered_port);
	for (int i = 0; i < 4; i++)
		seg[i] = (xengnttab_grant_copy_segment_t){
			.source.foreign = { busy_refs[i], 0, GUEST },
			.dest.virt = local,
			.len = 4096,
			.flags = GNTCOPY_source_gref,
		};
	put_number(to, 0);
	for (;;) {
		for (int i = 0; i < 4; i++) {
			xengnttab_grant_copy(tab, 1, &seg[i]);
			if (seg[i].status == GNTST_okay && local[4095] != 'p')
				_exit(9);
		}
		xenevtchn_notify(xce, (evtchn_port_t)port);
	}
}

/* Nothing a killed process was in the middle of may hold anything up: grants end,
 * the port is heard again. */
static void killed_at_any_instant(void **state)
{
	xengntshr_handle *shr;
	xenevtchn_handle *xce;

	(void)state;
	hosted_set_domid(GUEST);
	shr = xengntshr_open(NULL, 0);
	xce = xenevtchn_open(NULL, 0);
	hosted_set_domid(0);
	offered_port = (uint32_t)xenevtchn_bind_unbound_port(xce, 0);
	for (int i = 0; i < 40; i++) {
		char *pages = xengntshr_share_pages(shr, 0, 4, busy_refs, 0);
		struct peer p;

		memset(pages, 'p', 4 * 4096);
		p = peer_start(busy);
		assert_int_equal(get_number(p.from), 0);
		for (int events = i % 7; events >= 0; events--) {
			assert_int_equal(wait_event(xce), offered_port);
			xenevtchn_unmask(xce, offered_port);
		}
		if (i % 2)
			assert_int_equal(xengntshr_unshare(shr, pages, 4), 0);
		peer_kill(&p);
		if (!(i % 2))
			assert_int_equal(xengntshr_unshare(shr, pages, 4), 0);
	}
	xenevtchn_close(xce);
	xengntshr_close(shr);
}

/* A page whose first touch stops the toucher until the parent says go on: the way
 * to hold a grant copy in its middle. */
struct stop {
	int uffd, from, to;
	void *page;
};

static void *stop_thread(void *arg)
{
	struct stop *stop = arg;
	struct uffdio_zeropage zero = { .range = { (uintptr_t)stop->page, 4096 } };
	struct uffd_msg msg;

	if (read(stop->uffd, &msg, sizeof(msg)) != sizeof(msg))
		_exit(1);
	put_number(stop->to, 1);
	get_number(stop->from);
	if (ioctl(stop->uffd, UFFDIO_ZEROPAGE, &zero))
		_exit(1);
	return NULL;
}

static bool stop_setup(struct stop *stop)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	pthread_t thread;

	stop->page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stop->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	reg.range = (struct uffdio_range){ (uintptr_t)stop->page, 4096 };
	return stop->uffd >= 0 && !ioctl(stop->uffd, UFFDIO_API, &api) &&
	       !ioctl(stop->uffd, UFFDIO_REGISTER, &reg) &&
	       !pthread_create(&thread, NULL, stop_thread, stop);
}

static void stopped_copy(int from, int to)
{
	struct stop stop = { .from = from, .to = to };
	xengnttab_handle *tab;
	xengnttab_grant_copy_segment_t seg = {
		.source.foreign = { offered_ref, 0, GUEST },
		.len = 4096,
		.flags = GNTCOPY_source_gref,
	};

	hosted_set_domid(0);
	tab = xengnttab_open(NULL, 0);
	if (!stop_setup(&stop)) {
		put_number(to, 77);
		_exit(77);
	}
	seg.dest.virt = stop.page;
	xengnttab_grant_copy(tab, 1, &seg);
	put_number(to, memchr(stop.page, 'q', 4096) ? 9 : (uint32_t)-seg.status);
	get_number(from);
}

/* A page given up while it is being copied is not reused before the copy is over:
 * nobody sees what its next life holds. When the copier dies the page is free. */
static void revoked_while_copied(bool killed)
{
	xengntshr_handle *shr;
	struct peer p;
	uint32_t next, stage;
	char *page, *other;

	hosted_set_domid(GUEST);
	shr = xengntshr_open(NULL, 0);
	hosted_set_domid(0);
	page = xengntshr_share_pages(shr, 0, 1, &offered_ref, 0);
	memset(page, 'p', 4096);
	p = peer_start(stopped_copy);
	stage = get_number(p.from);
	if (stage == 77) {
		peer_kill(&p);
		xengntshr_close(shr);
		print_message("no userfaultfd here\n");
		skip();
	}
	assert_int_equal(stage, 1);
	assert_int_equal(xengntshr_unshare(shr, page, 1), 0);
	assert_int_equal(stats_of(GUEST).grants_deferred, 1);
	other = xengntshr_share_pages(shr, 5, 1, &next, 0);
	assert_int_not_equal(next, offered_ref);
	memset(other, 'q', 4096);
	if (!killed) {
		put_number(p.to, 0);
		assert_int_equal(get_number(p.from), 0);
	}
	peer_kill(&p);
	for (int i = 0; i < TIMEOUT_MS / 2 && stats_of(GUEST).grants != 1; i++)
		nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
	assert_int_equal(stats_of(GUEST).grants_deferred, 0);
	assert_int_equal(stats_of(GUEST).pages, 1);
	xengntshr_close(shr);
}

static void a_page_waits_for_its_last_copy(void **state)
{
	(void)state;
	revoked_while_copied(false);
}

static void a_page_waits_for_its_copier_to_die(void **state)
{
	(void)state;
	revoked_while_copied(true);
}

/* Counts in the page, event after event: one lost would end it. */
static void pong(int from, int to)
{
	xengnttab_handle *tab;
	xenevtchn_handle *xce;
	_Atomic uint32_t *count;
	int port;

	(void)from;
	hosted_set_domid(0);
	tab = xengnttab_open(NULL, 0);
	xce = xenevtchn_open(NULL, 0);
	count = xengnttab_map_grant_ref(tab, GUEST, offered_ref, PROT_READ | PROT_WRITE);
	port = xenevtchn_bind_interdomain(xce, GUEST, offered_port);
	put_number(to, (uint32_t)port);
	while (wait_event(xce) == port) {
		xenevtchn_unmask(xce, (evtchn_port_t)port);
		if (atomic_load(count) % 2)
			atomic_fetch_add(count, 1);
		xenevtchn_notify(xce, (evtchn_port_t)port);
	}
	_exit(1);
}

static void no_event_is_lost(void **state)
{
	xengntshr_handle *shr;
	xenevtchn_handle *xce;
	_Atomic uint32_t *count;
	struct peer p;

	(void)state;
	hosted_set_domid(GUEST);
	shr = xengntshr_open(NULL, 0);
	xce = xenevtchn_open(NULL, 0);
	hosted_set_domid(0);
	count = xengntshr_share_pages(shr, 0, 1, &offered_ref, 1);
	offered_port = (uint32_t)xenevtchn_bind_unbound_port(xce, 0);
	p = peer_start(pong);
	assert_int_not_equal(get_number(p.from), ~0u);
	for (uint32_t n = 1; n < 20000; n += 2) {
		atomic_store(count, n);
		xenevtchn_notify(xce, offered_port);
		while (atomic_load(count) == n) {
			assert_int_equal(wait_event(xce), offered_port);
			xenevtchn_unmask(xce, offered_port);
		}
	}
	peer_kill(&p);
	xenevtchn_close(xce);
	xengntshr_close(shr);
}

/* A forked child may close what it inherited; it is not the child's to release. */
static void a_forked_child_harms_nothing(void **state)
{
	xengntshr_handle *shr;
	xengnttab_handle *tab = xengnttab_open(NULL, 0);
	uint32_t ref;
	char *page, *host;
	pid_t pid;
	int status;

	(void)state;
	hosted_set_domid(GUEST);
	shr = xengntshr_open(NULL, 0);
	hosted_set_domid(0);
	page = xengntshr_share_pages(shr, 0, 1, &ref, 1);
	host = xengnttab_map_grant_ref(tab, GUEST, ref, PROT_READ);
	pid = fork();
	if (!pid)
		_exit(xengntshr_close(shr) || xengnttab_close(tab));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	strcpy(page, "alive");
	assert_string_equal(host, "alive");
	assert_int_equal(stats_of(GUEST).grants, 1);
	assert_int_equal(stats_of(0).maps_held, 1);
	assert_int_equal(xengnttab_unmap(tab, host, 1), 0);
	assert_int_equal(xengntshr_unshare(shr, page, 1), 0);
	xengnttab_close(tab);
	xengntshr_close(shr);
}

/* Descriptors of peers' rings and memory do not pile up. */
static unsigned int open_fds(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 4096; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void no_descriptor_leaks(void **state)
{
	xenevtchn_handle *xce = xenevtchn_open(NULL, 0);
	xengnttab_handle *tab = xengnttab_open(NULL, 0);
	unsigned int before = open_fds();

	(void)state;
	for (int i = 0; i < 200; i++) {
		struct peer p = peer_start(offer);
		uint32_t ref = get_number(p.from), port = get_number(p.from);
		int mine = xenevtchn_bind_interdomain(xce, GUEST, port);
		void *page = xengnttab_map_grant_ref(tab, GUEST, ref, PROT_READ);

		assert_non_null(page);
		assert_true(mine > 0);
		assert_int_equal(wait_event(xce), mine);
		assert_int_equal(xenevtchn_notify(xce, (evtchn_port_t)mine), 0);
		xenevtchn_unmask(xce, (evtchn_port_t)mine);
		assert_int_equal(xenevtchn_unbind(xce, (evtchn_port_t)mine), 0);
		assert_int_equal(xengnttab_unmap(tab, page, 1), 0);
		peer_kill(&p);
	}
	assert_int_equal(open_fds(), before);
	xengnttab_close(tab);
	xenevtchn_close(xce);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_killed_guest_is_noticed),
		T(a_killed_backend_can_be_replaced),
		T(killed_at_any_instant),
		T(a_page_waits_for_its_last_copy),
		T(a_page_waits_for_its_copier_to_die),
		T(no_event_is_lost),
		T(a_forked_child_harms_nothing),
		T(no_descriptor_leaks),
	};

	return cmocka_run_group_tests_name("hosted processes", tests, NULL, NULL);
}
