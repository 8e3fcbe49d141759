/* SPDX-License-Identifier: MIT */
/*
 * Rank 6: what the program that sorts bridges' news (news.bpf.c) and who fills its maps agree
 * upon. For both compilers.
 */
#ifndef VIF_BPF_NEWS_FILTER_H
#define VIF_BPF_NEWS_FILTER_H

#include <linux/types.h>

#define NEWS_PORTS_MAX	  16
#define NEWS_STATIONS_MAX 8192

/* A station that came back to a port of interest so soon after it had left is not told of. */
#define NEWS_REST_NS 1000000000ull

struct news_station {
	__u8 mac[6];
	__u16 vlan; /* 0: the bridge knows of none */
	__u32 bridge;
};

#define NEWS_PORT_UNKNOWN 0xffffffffu /* whatever is next is told */

struct news_state {
	__u32 port; /* of interest, where it was told to be; 0: at none */
	__u32 home; /* a port that is of interest for this one only; 0: none is */
	__u64 left_ns;
};

#endif
