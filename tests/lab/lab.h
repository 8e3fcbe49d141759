/* SPDX-License-Identifier: MIT */
/*
 * vif-lab: a Xen host with guests and a wire, on a machine without Xen.
 *
 *	vif-lab run (the user's process)
 *	 |- janitor        outside; removes the lab's names however the rest ended
 *	 `- lab init       PID 1 of the lab: reaps, watches, runs COMMAND
 *	     |- hosted-xen, xenstored, vifd
 *	     |- per guest: store proxy, vif-guest
 *	     `- COMMAND
 *
 * Invariants. All of a lab but its names in the host's /run/netns and its record
 * (record.h) lives inside lab init's PID, mount and network namespaces: when init
 * dies, the kernel ends it all. Init dies with vif-lab, unless the lab is kept.
 * Inside, /run is the lab's own: the paths below mean the same in every lab.
 *
 * No trust boundary: the lab and what runs in it are root's own.
 */
#ifndef VIF_LAB_H
#define VIF_LAB_H

#include <limits.h>
#include <sys/types.h>

#include "base.h"

#define LAB_DIR		"/run/vif-lab"
#define LAB_LOGS	"/run/vif-lab/log"
#define LAB_PIDS	"/run/vif-lab/pids"
#define LAB_STORE	"/run/xenstored"
#define LAB_XEN		"/run/vif-lab/xen"
#define LAB_VIFD_SOCKET "/run/vifd/vifd.sock"
#define LAB_VIF_SCRIPT	"/etc/xen/scripts/vif-bridge"

/* The exit status for the lab's own failure; any other one is COMMAND's. */
#define LAB_EXIT_FAILED 125

/* IFNAMSIZ - 1 less the longest suffix, "br0". */
#define LAB_NAME_MAX   12
#define LAB_GUESTS_MAX 200

struct lab {
	char name[LAB_NAME_MAX + 1];
	uint32_t n_guests;
	uint32_t n_workers; /* 0: vifd's own choice */
	uint32_t n_queues; /* of a guest's frontend */
	bool mq; /* vifd serves the uplink, beside the bridge, as a multi-queue NIC */
	bool model_nic;	    /* which is the one in software, between wire and bridge */
	uint32_t n_filters; /* it has; 0: as many as it likes */
	char steering[8];   /* vifd's word; "": its default */
	char nice[4];	    /* of vifd's datapath; alike */
	char frontend[32], without[96]; /* vif-guest's options */
	char bin_dir[PATH_MAX - 64]; /* where vif-lab and the programs beside it are */
};

/* A name of the lab: "lab-" and what printf makes of the rest. */
struct lab_name {
	char s[64];
};
struct lab_name lab_wire(const struct lab *lab);
struct lab_name lab_dom0(const struct lab *lab);
struct lab_name lab_guest(const struct lab *lab, uint32_t guest);
struct lab_name lab_bridge(const struct lab *lab);
/* The bridge's port towards the wire, and what the wire ends in: the same, but with a model
 * NIC between the two. */
struct lab_name lab_uplink(const struct lab *lab);
struct lab_name lab_cable(const struct lab *lab);

/* Whether the uplink is a device with filters of its own (nic_switch.h). */
bool lab_has_switch(const struct lab *lab);

struct lab_name lab_switch(const struct lab *lab); /* its network namespace */

/* Prepares *lab for this program: bin_dir and the defaults. 0 or -errno. */
int lab_defaults(struct lab *lab) must_check;

/* Whether 's' may name a lab: a letter, then letters, digits and dashes. */
bool lab_name_valid(const char *s);

/* What a lab was told, in words: for those who come to it later. */
#define LAB_WORDS 10u
struct lab_word {
	const char *key;
	char value[96];
};
void lab_words(const struct lab *lab, struct lab_word out[LAB_WORDS]);
/* False: no word of a lab's. */
bool lab_take_word(struct lab *lab, const char *key, const char *value) must_check;

/* Sets what programs inside the lab expect in their environment. */
void lab_export(const struct lab *lab);

/* Fills *lab from the environment of a program inside it. -ENOENT: not inside one. */
int lab_import(struct lab *lab) must_check;

/* Lab init and its user, over a SOCK_SEQPACKET pair. End of file is the other's death. */
enum lab_message_kind {
	LAB_GO = 1, /* to init: the namespaces are there; from it: COMMAND runs */
	LAB_SIGNAL, /* to init: pass signal 'value' on to COMMAND */
	LAB_KEEP,   /* to init: live on without me */
	LAB_QUIT,   /* to init: end */
	LAB_ENDED,  /* from init: COMMAND's exit status is 'value' */
	LAB_FAILED, /* from init: the lab failed and said why */
};

struct lab_message {
	uint32_t kind;
	int32_t value;
};

/* -EPIPE when the other side is gone. */
int lab_send(int fd, enum lab_message_kind kind, int value);
/* 0, -EPIPE (end of file) or -errno. */
int lab_receive(int fd, struct lab_message *out) must_check;

/* 'vif-lab run': returns the exit status. With 'logs', copies the logs there. */
struct lab_run {
	bool keep;
	const char *logs; /* NULL: only when the lab itself fails, to a new folder in /tmp */
	char **command;
};
int lab_run(const struct lab *lab, const struct lab_run *run);

/* The process PID 1 of the lab is; 'user' is its end of the pair. Never returns. */
void lab_init(const struct lab *lab, const struct lab_run *run, int user) __attribute__((noreturn));

/* The process outside that outlives the others; 'user' is its end of a pair with
 * vif-lab run, where it says LAB_GO once the lab has a record. Never returns. */
void lab_janitor(const struct lab *lab, int init_pidfd, int user) __attribute__((noreturn));

/* Copies the logs 'from' a folder to 'to', or with NULL to a new one, and says where. */
void lab_save_logs(const struct lab *lab, const char *from, const char *to);

/* Brings the inside up, from an empty namespace to connected guests. Blocks for seconds;
 * said why on failure. Returns 0 or -errno. */
int lab_bring_up(const struct lab *lab) must_check;

/* Ends the vifd that runs, and starts one with these flags, NULL-terminated; the guests stay.
 * Said why on failure. Returns 0 once it listens, or -errno. */
int lab_restart_vifd(const struct lab *lab, char *const flags[]) must_check;

#endif
