/* SPDX-License-Identifier: MIT */
/*
 * vif-guest's command line.
 */
#ifndef FRONTEND_OPTIONS_H
#define FRONTEND_OPTIONS_H

#include "frontend-compat/tap.h"

#define ADDRESSES_MAX 8

struct options {
	int domid; /* -1: ask xenstore */
	uint32_t vif;
	struct frontend_choice choice;
	const char *netns; /* NULL: ours */
	const char *ifname;
	struct tap_address address[ADDRESSES_MAX];
	uint32_t n_addresses;
	const char *stats_file; /* NULL: none */
	const char *control;	/* NULL: none */
	int ready_fd;		/* -1: none */
	enum log_level log_level;
};

/* Returns -1 to go on, or the program's exit status: 0 after --help and --version, 2 on a
 * usage error, which has been reported. Strings point into argv. */
int options_parse(int argc, char **argv, struct options *out) must_check;

#endif
