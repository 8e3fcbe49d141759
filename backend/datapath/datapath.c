/* SPDX-License-Identifier: MIT */
/*
 * The datapath process from exec to exit.
 *
 * Its input is fd IPC_FIRST_FD alone: the HELLO there brings the shared memory and
 * the further workers' sockets. It opens its own Xen handles, one set a worker
 * (they may not cross an exec or a fork), gives up every privilege, and only then
 * starts threads and touches its first guest page.
 */
#include "datapath.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "backend/ipc.h"
#include "backend/nic/afxdp_closer.h"
#include "log.h"
#include "sandbox.h"
#include "uring.h"
#include "worker.h"

struct datapath {
	struct ipc_hello hello;
	struct ipc_shared *shared;
	struct worker workers[IPC_WORKERS_MAX];
	pthread_t threads[IPC_WORKERS_MAX];
};

/* Signals are control's: a terminal's Ctrl-C reaches us as well, and must not cut a
 * guest off before control has decided how to stop. */
static void ignore_signals(void)
{
	static const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGUSR1, SIGUSR2 };

	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		signal(ignored[i], SIG_IGN);
}

static int map_shared(int fd, struct ipc_shared **out)
{
	void *p = mmap(NULL, sizeof(struct ipc_shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	close(fd);
	*out = p;
	return 0;
}

static int receive_hello(struct datapath *d, int socks[], char *why, size_t why_size)
{
	struct pollfd pfd = { .fd = IPC_FIRST_FD, .events = POLLIN };
	struct ipc_msg msg;
	int fds[IPC_FDS_MAX];
	uint32_t n_fds;
	int err;

	if (poll(&pfd, 1, -1) < 0)
		return -errno;
	err = ipc_recv(IPC_FIRST_FD, &msg, fds, &n_fds);
	if (err) {
		snprintf(why, why_size,
			 "no HELLO on fd %d (%s): only vifd itself starts a datapath", IPC_FIRST_FD,
			 strerror(-err));
		return err;
	}
	if (msg.type != IPC_HELLO || msg.hello.version != IPC_VERSION || msg.hello.n_workers < 1 ||
	    msg.hello.n_workers > IPC_WORKERS_MAX || n_fds != msg.hello.n_workers) {
		snprintf(why, why_size, "the HELLO is not one of this version");
		return -EPROTO;
	}
	d->hello = msg.hello;
	socks[0] = IPC_FIRST_FD;
	memcpy(socks + 1, fds + 1, (n_fds - 1) * sizeof(*fds));
	err = map_shared(fds[0], &d->shared);
	if (err)
		snprintf(why, why_size, "mapping the shared memory: %s", strerror(-err));
	return err;
}

/* Each granted page is a mapping, of which a process has so many. Static grants get half,
 * the same for each worker: rings and frames of all guests must find room. */
static uint32_t static_budget(uint32_t n_workers)
{
	unsigned max = 65530; /* the kernel's, where nobody changed it */
	FILE *f = fopen("/proc/sys/vm/max_map_count", "re");

	if (!f || fscanf(f, "%u", &max) != 1)
		log_debug(LOG_NOBODY, "vm.max_map_count is not known, %u assumed", max);
	if (f)
		fclose(f);
	assert(n_workers);
	return max / 2 / n_workers;
}

static int open_workers(struct datapath *d, const int socks[], char *why, size_t why_size)
{
	uint32_t budget = static_budget(d->hello.n_workers);

	for (uint32_t i = 0; i < d->hello.n_workers; i++) {
		int err = worker_open(&d->workers[i], i, socks[i], d->shared, why, why_size);

		if (err)
			return err;
		d->workers[i].tap_nowait = d->hello.tap_nowait;
		d->workers[i].grants.static_budget = budget;
		d->workers[i].env.rx_drain_ns = d->hello.rx_drain_ms * NS_PER_MS;
		d->workers[i].env.rx_stall_ns = d->hello.rx_stall_ms * NS_PER_MS;
	}
	return sandbox_enter(d->hello.uid, d->hello.gid, why, why_size);
}

/*
 * Ahead of dom0's programs, as the kernel's own receiving and sending is: one that sends to a
 * guest as fast as it can, on the CPU the worker wants, must not keep it from making room.
 * For this thread, and those that come of it. Without the right to do so all works, but for
 * such senders' frames.
 */
static void take_priority(int nice)
{
	if (setpriority(PRIO_PROCESS, 0, nice))
		log_debug(LOG_NOBODY, "nice %d: %s", nice, strerror(errno));
}

/* One TAP and a few handles a queue. The hard limit is control's to raise. */
static void raise_fd_limit(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim))
		return;
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
}

/* Places lent to pin memory. Root may have more than the limit vifd was started with; without,
 * there is less room for frames that come early (nic/afxdp_lent.c), or no such place. */
static void raise_pinned_limit(void)
{
	const rlim_t size = IPC_NICS_MAX * NIC_PINNED_MAX;
	struct rlimit was, lim;

	if (getrlimit(RLIMIT_MEMLOCK, &was) || was.rlim_cur >= size)
		return;
	lim.rlim_cur = size;
	lim.rlim_max = MAX(was.rlim_max, size);
	if (!setrlimit(RLIMIT_MEMLOCK, &lim))
		return;
	log_debug(LOG_NOBODY, "a limit of locked memory of %llu MiB: %s",
		  (unsigned long long)size >> 20, strerror(errno));
	lim.rlim_cur = lim.rlim_max = was.rlim_max;
	setrlimit(RLIMIT_MEMLOCK, &lim);
}

static int run_worker(struct worker *w)
{
	char why[128] = "out of memory";
	struct uring_loop *loop = NULL;
	int err = uring_open(w, &loop, why, sizeof(why));

	worker_say_ready(w, err, err ? why : "");
	if (err) {
		log_error(LOG_NOBODY, "worker %u: %s", w->id, why);
		return err;
	}
	err = uring_run(loop);
	if (err) {
		log_error(LOG_NOBODY, "worker %u: io_uring: %s", w->id, strerror(-err));
		return err;
	}
	uring_close(loop);
	worker_close(w);
	return 0;
}

static void *worker_thread(void *arg)
{
	struct worker *w = arg;
	char name[16];

	snprintf(name, sizeof(name), "vifd-w%u", w->id);
	pthread_setname_np(pthread_self(), name);
	/* A worker whose ring failed leaves guests without service that control believes
	 * served: the process goes, and control starts another. */
	if (run_worker(w))
		_exit(1);
	return NULL;
}

int datapath_main(void)
{
	struct datapath *d = calloc(1, sizeof(*d));
	int socks[IPC_WORKERS_MAX];
	char why[128] = "out of memory";
	int err;

	ignore_signals();
	raise_fd_limit();
	log_init("vifd-datapath", LOG_LVL_INFO, false);
	err = d ? receive_hello(d, socks, why, sizeof(why)) : -ENOMEM;
	if (err) {
		log_error(LOG_NOBODY, "%s", why);
		free(d);
		return 1;
	}
	log_init("vifd-datapath", (enum log_level)d->hello.log_level, d->hello.sd_daemon);
	take_priority(d->hello.nice);
	raise_pinned_limit();
	err = open_workers(d, socks, why, sizeof(why));
	if (err) {
		struct worker teller = { .sock = IPC_FIRST_FD };

		log_error(LOG_NOBODY, "%s", why);
		worker_say_ready(&teller, err, why);
		free(d);
		return 1;
	}
	err = afxdp_closer_start();
	if (err) {
		log_error(LOG_NOBODY, "starting the thread that closes sockets: %s", strerror(-err));
		_exit(1);
	}
	for (uint32_t i = 1; i < d->hello.n_workers; i++) {
		err = pthread_create(&d->threads[i], NULL, worker_thread, &d->workers[i]);
		if (err) {
			log_error(LOG_NOBODY, "starting worker %u: %s", i, strerror(err));
			_exit(1);
		}
	}
	worker_thread(&d->workers[0]);
	for (uint32_t i = 1; i < d->hello.n_workers; i++)
		pthread_join(d->threads[i], NULL);
	afxdp_closer_stop();
	munmap(d->shared, sizeof(*d->shared));
	free(d);
	return 0;
}
