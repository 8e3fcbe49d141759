/* SPDX-License-Identifier: MIT */
/*
 * Rank 90: who spent the time: every thread of the lab, by its part in carrying packets,
 * pinned to one processor, with the kernel's account of what each ran (schedstat, in
 * nanoseconds; system calls and the interrupts that hit a thread included); and how long nobody
 * wanted to run (cpuidle, in microseconds): the model NIC's hardware sleeps for a moment while
 * frames gather, and in a closed loop nobody has anything to do then.
 */
#ifndef VIFBENCH_WHO_H
#define VIFBENCH_WHO_H

#include "backend/vifbench/measure.h"

enum part {
	PART_PROGRAM, /* ours: generator and application, and their kernel's work */
	PART_VIFD,
	PART_GUEST, /* vif-guest */
	PART_PUMP,
	PART_PEER,  /* testpmd */
	PART_NIC,   /* the thread that stands for the model NIC's hardware */
	PART_IDLE,  /* nobody wanted to run; 0 always where the kernel keeps no account of it */
	PART_OTHER, /* of the lab: xenstored, hosted-xen, ... */
	PART_N,
};

const char *part_name(enum part part);

#define WHO_THREADS_MAX 256u
#define WHO_IDLES_MAX	16u

struct who {
	uint32_t n;
	struct {
		enum part part;
		int tid;
		int fd; /* its schedstat */
	} thread[WHO_THREADS_MAX];
	uint32_t n_idles;
	int idle[WHO_IDLES_MAX]; /* the processor's idle states' times */
};

struct who_spent {
	uint64_t at; /* tsc_now() */
	uint64_t ns[PART_N];
};

/* Finds all threads there are and ties them to 'cpu'. 0 or -errno. Threads started later
 * are not known: call it again (after who_close). */
int who_open(struct who *w, int cpu) must_check;
void who_close(struct who *w);

/* What each part has run so far. A thread that ended counts nothing. Exact to the microsecond as
 * long as all run on the caller's processor, so that none but the caller does now: to schedstat a
 * slice of a thread that still runs is not known. */
void who_read(const struct who *w, struct who_spent *out);

#endif
