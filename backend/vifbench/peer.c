/* SPDX-License-Identifier: MIT */
/* See peer.h. testpmd's words: doc.dpdk.org, "Testpmd Application User Guide" 22.11. */
#include "backend/vifbench/peer.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "backend/vifbench/measure.h"
#include "backend/vifbench/plumb.h"

#define PROGRAM	   "dpdk-testpmd"
#define PROMPT	   "testpmd> "
#define ANSWER_MAX 16384
#define PATIENCE_S 20

/* As many slots and, of those, as many in use as a netif ring's user would have. */
#define RING_SLOTS	256u
#define RING_SLOTS_LOG2 8u
#define IN_FLIGHT	192u

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* ---- the prompt ---- */

/* Reads until there is a prompt; vhost-user's thread may say something behind it. What is
 * too long loses its beginning. */
static int await_prompt(struct peer *p, char *answer, size_t size)
{
	uint64_t until = clock_ns() + PATIENCE_S * NS_PER_S;
	size_t have = 0;

	answer[0] = '\0';
	while (clock_ns() < until) {
		struct pollfd fd = { .fd = p->out, .events = POLLIN };
		ssize_t n;

		if (poll(&fd, 1, 100) <= 0)
			continue;
		if (have > size / 2) {
			memmove(answer, answer + have / 2, have - have / 2 + 1);
			have -= have / 2;
		}
		n = read(p->out, answer + have, size - have - 1);
		if (n <= 0)
			return -EPIPE;
		have += (size_t)n;
		answer[have] = '\0';
		if (strstr(answer, PROMPT))
			return 0;
	}
	return -ETIMEDOUT;
}

int peer_say(struct peer *p, const char *line, char *answer, size_t size)
{
	static char nowhere[ANSWER_MAX];
	char words[256];
	int n = snprintf(words, sizeof(words), "%s\n", line);

	if (write(p->in, words, (size_t)n) != n)
		return -EPIPE;
	return await_prompt(p, answer ? answer : nowhere, answer ? size : sizeof(nowhere));
}

static int say_all(struct peer *p, const char *const lines[], size_t n)
{
	int err = 0;

	for (size_t i = 0; !err && i < n; i++)
		err = peer_say(p, lines[i], NULL, 0);
	return err;
}

/* ---- beginning ---- */

/* The command line: words of one string each. */
struct words {
	char text[24][128];
	char *argv[25];
	uint32_t n;
};

static void word(struct words *w, const char *fmt, ...) printf_like(2, 3);
static void word(struct words *w, const char *fmt, ...)
{
	va_list ap;

	assert(w->n < ARRAY_SIZE(w->text));
	va_start(ap, fmt);
	vsnprintf(w->text[w->n], sizeof(w->text[0]), fmt, ap);
	va_end(ap);
	w->argv[w->n] = w->text[w->n];
	w->argv[++w->n] = NULL;
}

bool peer_has_huge_pages(void)
{
	FILE *f = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "re");
	unsigned n = 0;

	if (f && fscanf(f, "%u", &n) != 1)
		n = 0;
	if (f)
		fclose(f);
	return n >= PEER_HUGE_PAGES;
}

/* Ports in order: TAP, backend's end, [guest's end,] TAP; virtio-user comes last, as it
 * needs a vhost-user that listens. */
static void port_words(const struct peer *p, const struct peer_taps *taps, struct words *w)
{
	if (taps)
		word(w, "--vdev=net_tap0,iface=%s", taps->backend);
	if (p->kind == PEER_VHOST) {
		word(w, "--vdev=net_vhost0,iface=%s,queues=1", p->socket);
	} else {
		word(w, "--vdev=net_memif0,role=server,socket=%s,socket-abstract=no", p->socket);
		word(w,
		     "--vdev=net_memif1,role=client,socket=%s,socket-abstract=no,rsize=%u,"
		     "zero-copy=yes",
		     p->socket, RING_SLOTS_LOG2);
	}
	if (taps)
		word(w, "--vdev=net_tap1,iface=%s", taps->guest);
}

static void command_line(const struct peer *p, const struct peer_taps *taps, int cpu,
			 struct words *w)
{
	*w = (struct words){ .n = 0 };
	/* Its answers come when they are written, not when a buffer is full. */
	word(w, "stdbuf");
	word(w, "-o0");
	word(w, PROGRAM);
	word(w, "--lcores=0@%d,1@%d", cpu, cpu);
	word(w, "--no-pci");
	if (peer_has_huge_pages()) {
		word(w, "--in-memory");
	} else {
		word(w, "--no-huge");
		word(w, "--no-shconf");
	}
	word(w, "-m64");
	word(w, "--single-file-segments");
	word(w, "--no-telemetry");
	word(w, "--file-prefix=vb%d-%d", getpid() % 1000000, p->kind);
	port_words(p, taps, w);
	word(w, "--");
	word(w, "-i");
	word(w, "--no-mlockall");
	word(w, "--no-flush-rx");
	word(w, "--record-core-cycles");
	word(w, "--total-num-mbufs=8192");
	word(w, "--forward-mode=io");
}

static int start(struct peer *p, struct words *w)
{
	int in[2], out[2];

	if (pipe2(in, O_CLOEXEC))
		return -errno;
	if (pipe2(out, O_CLOEXEC)) {
		close(in[0]);
		close(in[1]);
		return -errno;
	}
	p->pid = fork();
	if (p->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		dup2(out[1], STDERR_FILENO);
		execvp(w->argv[0], w->argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	p->in = in[1];
	p->out = out[0];
	return p->pid < 0 ? -errno : 0;
}

/* Until all of its links are up. */
static int await_links(struct peer *p)
{
	static char answer[ANSWER_MAX];

	for (int i = 0; i < PATIENCE_S * 20; i++) {
		int err = peer_say(p, "show port summary all", answer, sizeof(answer));

		if (err)
			return err;
		if (strstr(answer, " up") && !strstr(answer, " down"))
			return 0;
		usleep(50000);
	}
	return -ETIMEDOUT;
}

/* Each of its threads has what time nobody else wants, from now on: until it forwards it waits for
 * us more than we for it, and would not come to its prompt where somebody never rests. */
static int yield_to_all(const struct peer *p)
{
	char path[64];
	struct dirent *entry;
	int err = 0;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", p->pid);
	tasks = opendir(path);
	if (!tasks)
		return -errno;
	while (!err && (entry = readdir(tasks)))
		if (entry->d_name[0] != '.' &&
		    sched_setscheduler((pid_t)strtol(entry->d_name, NULL, 10), SCHED_IDLE,
				       &(struct sched_param){ 0 }))
			err = -errno;
	closedir(tasks);
	return err;
}

static int join(struct peer *p, const struct peer_taps *taps)
{
	static const char *const order[PEER_N] = { "0,1,3,2", "0,1,2,3" };
	char line[160];
	int err = 0;

	if (p->kind == PEER_VHOST) {
		snprintf(line, sizeof(line),
			 "port attach net_virtio_user0,path=%s,queues=1,queue_size=%u", p->socket,
			 RING_SLOTS);
		err = peer_say(p, line, NULL, 0);
		if (!err)
			err = peer_say(p, "port start all", NULL, 0);
	}
	if (!err)
		err = await_links(p);
	if (err || !taps)
		return err;
	snprintf(line, sizeof(line), "set portlist %s", order[p->kind]);
	err = peer_say(p, line, NULL, 0);
	return err ? err : yield_to_all(p);
}

static bool have_program(const char *name)
{
	char command[128];
	int status;

	snprintf(command, sizeof(command), "command -v %s >/dev/null 2>&1", name);
	status = system(command);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The last thing it said that complains. */
static void complaint(char *answer, char *why, size_t size)
{
	char *last = answer, *line, *rest = answer;

	while ((line = strsep(&rest, "\n")))
		if (strstr(line, "Cause:") || strstr(line, "ailed") || strstr(line, "annot"))
			last = line;
	snprintf(why, size, "%.150s", last);
}

int peer_open(struct peer *p, enum peer_kind kind, const struct peer_taps *taps, int cpu, char *why,
	      size_t why_size)
{
	static char answer[ANSWER_MAX];
	char said[160] = "";
	struct words w;
	int err;

	*p = (struct peer){ .kind = kind, .in = -1, .out = -1 };
	if (!have_program(PROGRAM)) {
		snprintf(why, why_size,
			 "no " PROGRAM ": install Debian's dpdk-dev, librte-net-vhost23, "
			 "librte-net-virtio23, librte-net-memif23, librte-net-tap23 and "
			 "librte-mempool-ring23");
		return -ENOENT;
	}
	snprintf(p->socket, sizeof(p->socket), "/run/vifbench-%d-%d%s", getpid() % 1000000, kind,
		 taps ? "t" : "");
	command_line(p, taps, cpu, &w);
	err = start(p, &w);
	if (!err && (err = await_prompt(p, answer, sizeof(answer))))
		complaint(answer, said, sizeof(said));
	if (!err)
		err = join(p, taps);
	if (err) {
		plumb_say(why, why_size, err, PROGRAM " with %s: %s",
			  kind == PEER_VHOST ? "vhost-user" : "memif", said);
		peer_close(p);
	}
	return err;
}

void peer_close(struct peer *p)
{
	if (p->in >= 0)
		close(p->in);
	if (p->out >= 0)
		close(p->out);
	if (p->pid > 0) {
		kill(p->pid, SIGKILL);
		waitpid(p->pid, NULL, 0);
	}
	if (p->socket[0])
		unlink(p->socket);
	*p = (struct peer){ .in = -1, .out = -1 };
}

/* ---- bare: round and round ---- */

int peer_fill(struct peer *p, const struct peer_load *l)
{
	/* 0 is the backend's end, 1 the guest's, which has posted buffers once it was polled. */
	static const char *const empty[] = { "set fwd rxonly", "set portlist 0,1", "start", "stop",
					     "set fwd io" };
	char burst[32], size[32], from[32], go[32];
	const char *const fill[] = { burst, size, from, go, "stop", "set portlist 0,1" };
	int err = say_all(p, empty, ARRAY_SIZE(empty));

	snprintf(burst, sizeof(burst), "set burst %u", l->burst);
	snprintf(size, sizeof(size), "set txpkts %u", l->size);
	snprintf(from, sizeof(from), "set portlist %s",
		 !l->from_guest ? "0"
		 : !l->to_guest ? "1"
				: "0,1");
	snprintf(go, sizeof(go), "start tx_first %u", MAX(IN_FLIGHT / l->burst, 1u));
	return err ? err : say_all(p, fill, ARRAY_SIZE(fill));
}

/* All that the process ran, in nanoseconds: of its threads only one does anything. */
static uint64_t process_ns(pid_t pid)
{
	struct timespec t = { 0 };
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &t))
		return 0;
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* "CPU cycles/packet=1.2 (total cycles=N / total io packets=M) at ..." */
static int parse_run(const char *answer, struct peer_run *out)
{
	const char *at = strstr(answer, "(total cycles=");

	if (!at ||
	    sscanf(at, "(total cycles=%lf / total io packets=%lf)", &out->working_cycles,
		   &out->packets) != 2 ||
	    out->packets < 1)
		return -ENODATA;
	return 0;
}

int peer_run(struct peer *p, uint32_t run_ms, struct peer_run *out)
{
	static char answer[ANSWER_MAX];
	struct timespec rest = { run_ms / 1000, (long)(run_ms % 1000) * 1000000 };
	uint64_t at = clock_ns(), ran = process_ns(p->pid);
	int err = peer_say(p, "start", NULL, 0);

	*out = (struct peer_run){ 0 };
	if (err)
		return err;
	nanosleep(&rest, NULL);
	err = peer_say(p, "stop", answer, sizeof(answer));
	if (err)
		return err;
	ran = process_ns(p->pid) - ran;
	at = clock_ns() - at;
	out->cycles = (double)ran * tsc_hz() / 1e9;
	out->strangers = MAX(1 - (double)ran / (double)at, 0);
	return parse_run(answer, out);
}
