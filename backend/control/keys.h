/* SPDX-License-Identifier: MIT */
/*
 * Rank 8: what a vif's two directories in xenstore say, read once and checked.
 *
 * Errors are -errno with words for people in 'err': they end in the error node, as
 * the kernel's backend does it.
 */
#ifndef VIF_CONTROL_KEYS_H
#define VIF_CONTROL_KEYS_H

#include <net/if.h>

#include "backend/control/netdev.h"
#include "base.h"
#include "store.h"

struct keys_error {
	char text[128];
};

/* The toolstack's word. */
struct backend_keys {
	char frontend[64]; /* absolute path of the frontend's directory */
	uint32_t handle;
	uint8_t mac[6];
	char vifname[IFNAMSIZ]; /* "": none */
};

/* Reads the directory 'path' of vif 'id'. 0; -ENOENT: a key is missing; -EINVAL. */
int keys_read_backend(struct store *s, const char *path, struct vif_id id, struct backend_keys *out,
		      struct keys_error *err) must_check;

/* What our own directory says is offered. */
struct backend_offer {
	uint32_t features; /* enum vif_feature */
	uint32_t max_queues;
};

/* Reads it: a vif taken over keeps what an earlier vifd offered it. 0 or -errno. */
int keys_read_offer(struct store *s, const char *path, struct backend_offer *out,
		    struct keys_error *err) must_check;
/* "rate": how much the guest may send; libxl writes it from the vif key rate=. */
struct rate {
	uint64_t bytes; /* in 'usec' microseconds */
	uint32_t usec;	/* 0: no limit */
};

/* Reads "bytes,usec", decimals with nothing around them. -EINVAL: it is something else, and
 * *out is no limit, as the kernel's netback has it (xenbus.c xen_net_read_rate()). */
int keys_parse_rate(const char *text, struct rate *out) must_check;

struct frontend_queue {
	uint32_t tx_gref, rx_gref;
	uint32_t tx_port, rx_port;
};

/* The guest's word. */
struct frontend_keys {
	uint32_t features; /* enum vif_feature */
	uint32_t n_queues;
	struct frontend_queue queue[NETDEV_QUEUES_MAX];
	bool has_ctrl; /* a control ring */
	uint32_t ctrl_gref, ctrl_port;
};

/* Reads the frontend's directory. 0, -ENOENT or -EINVAL. */
int keys_read_frontend(struct store *s, const char *frontend, uint32_t max_queues,
		       struct frontend_keys *out, struct keys_error *err) must_check;

/* What a guest wishes: it may change its mind while it is connected. */
struct frontend_wishes {
	bool multicast_control; /* netif.h "request-multicast-control" */
	uint32_t xdp_headroom;	/* Linux' netif.h "xdp-headroom", in bytes */
};

/* Reads them. A wish that is missing, or nonsense, is none: nothing depends on it but how
 * the guest itself is served. */
void keys_read_wishes(struct store *s, const char *frontend, struct frontend_wishes *out);

/* Whether this key of the frontend's directory is a wish. */
bool keys_is_wish(const char *key);

#endif
