/* SPDX-License-Identifier: MIT */
/*
 * Rank 8: keeps a datapath process running.
 *
 * A datapath that ends is replaced: the first time at once, then ever later, and
 * more than SUPERVISE_DEATHS_MAX deaths in SUPERVISE_WINDOW_NS end vifd itself.
 * How a process is started and ended is behind struct process_ops, so that a test
 * can stand in for it; time is given.
 */
#ifndef VIF_CONTROL_SUPERVISE_H
#define VIF_CONTROL_SUPERVISE_H

#include <sys/types.h>

#include "backend/control/workers.h"

#define SUPERVISE_DEATHS_MAX 5
#define SUPERVISE_WINDOW_NS  (30 * NS_PER_S)

/* How long a datapath may take to get ready, and to be gone when told to stop or
 * after it closed a socket. */
#define SUPERVISE_READY_NS (15 * NS_PER_S)
#define SUPERVISE_STOP_NS  (5 * NS_PER_S)

struct process_ops {
	/* Starts a datapath with 'sock' as its IPC_FIRST_FD. 'sock' stays the caller's. 0 or -errno. */
	int (*start)(void *ctx, int sock);
	/* Whether it has ended; 'status' is wait(2)'s. True once per start. */
	bool (*ended)(void *ctx, int *status);
	void (*kill)(void *ctx);
	/* For people; 0: none. */
	pid_t (*pid)(void *ctx);
};

/* The real one. ctx is a struct process. */
extern const struct process_ops process_exec_ops;
struct process {
	pid_t pid;
	int keep_fd; /* also left open in the datapath; -1: none */
};

enum supervise_state {
	SUPERVISE_DOWN,	    /* to be started at start_ns */
	SUPERVISE_STARTING, /* until deadline_ns */
	SUPERVISE_UP,
	SUPERVISE_ENDING, /* stopping or broken: killed at deadline_ns */
	SUPERVISE_OVER,	  /* stopped as asked, or given up */
};

struct supervisor {
	enum supervise_state state;
	const struct process_ops *ops;
	void *ctx;
	struct workers *workers;
	struct ipc_hello hello;
	uint64_t start_ns, deadline_ns;
	uint64_t death_ns[SUPERVISE_DEATHS_MAX]; /* the latest ones, newest first */
	uint32_t n_deaths;
	bool stopping;
	bool was_ready; /* some datapath got ready once */
	bool gave_up;
	char why[160]; /* why it gave up */
};

void supervise_init(struct supervisor *s, const struct process_ops *ops, void *ctx,
		    struct workers *workers, const struct ipc_hello *hello);

/* Does what is due; never waits. Returns the time of the next thing due, UINT64_MAX: none. */
uint64_t supervise_step(struct supervisor *s, uint64_t now_ns);

/* The datapath closed a socket, or said that it failed ('why', else NULL). */
void supervise_broken(struct supervisor *s, uint64_t now_ns, const char *why);

/* Ends the datapath for good: SUPERVISE_OVER follows. */
void supervise_stop(struct supervisor *s, uint64_t now_ns);

#endif
