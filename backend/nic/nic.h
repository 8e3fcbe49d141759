/* SPDX-License-Identifier: MIT */
/*
 * Rank 60: what vifd asks of a NIC with several receive queues: the provider contract.
 *
 * A vif's *place* on a NIC is where the frames for its address arrive, past the bridge.
 * A provider has two halves, one in each process:
 *
 *	struct nic_device   control: the device, its filters, its link. Privileged.
 *	struct nic_port	    datapath: the part of the device that one worker owns, and its
 *			    places: where frames are read. Unprivileged.
 *
 * Control opens the device, hands the worker what it needs as fds, and only once the
 * worker holds a place does it add the filter. Without a filter, and whenever a provider
 * cannot deliver a frame to its place, the frame takes the host's stack: the bridge, as
 * if there were no place. So losing the datapath loses no more than what was under way.
 *
 * What moves a vif from one path to the other without loss or reordering is not the
 * provider's business (backend/datapath/queue_place.c, backend/control/placement.c) but
 * rests on settle().
 */
#ifndef VIF_NIC_H
#define VIF_NIC_H

#include "base.h"
#include "packet.h"

#define NIC_NAME_SIZE  16  /* IFNAMSIZ */
#define NIC_PLACES_MAX 16u /* of one NIC */
#define NIC_QUEUES_MAX 16u /* receive queues of a device that are looked at */
#define NIC_FDS_MAX    (NIC_QUEUES_MAX + 1)

#define NIC_SETTLE_NS (10 * NS_PER_MS)

/* Which frames: exactly this destination; tagged with this VLAN, or 0: not tagged. */
struct nic_filter {
	uint8_t mac[6];
	uint16_t vlan;
};

/* Of one place, since it was joined. */
struct nic_place_stats {
	uint64_t lost; /* matched the filter, and found no room in the place */
};

/* ---- in control ---- */

struct nic_device;

struct nic_device_ops {
	/*
	 * Opens the network device 'name'. Whatever an earlier vifd left on it is removed.
	 * 0; -ENODEV: there is none; -EOPNOTSUPP: this provider cannot serve it; -errno; why
	 * says more, for people.
	 */
	int (*open)(const char *name, struct nic_device **out, char *why, size_t why_size);

	/* Removes every filter and all else that was put on the device. NULL is accepted. */
	void (*close)(struct nic_device *d);

	int (*ifindex)(const struct nic_device *d);

	/* How many filters there is room for, 1..NIC_PLACES_MAX. */
	uint32_t (*n_filters)(const struct nic_device *d);

	/* New fds for nic_port_ops.open and .join, for the caller to close: their number, or
	 * -errno. */
	int (*port_fds)(struct nic_device *d, int fds[NIC_FDS_MAX]);
	int (*place_fds)(struct nic_device *d, int fds[NIC_FDS_MAX]);

	/* Directs what 'filter' matches to place number 'place', joined with fds[]. The filter
	 * is read back. 0; -EEXIST: another place has it; -ENOSPC; -errno: then it is not
	 * there. */
	int (*filter_add)(struct nic_device *d, uint32_t place, const int fds[], int n_fds,
			  const struct nic_filter *filter);

	/* 0, or -errno: the device is not to be trusted any more, close it. */
	int (*filter_del)(struct nic_device *d, const struct nic_filter *filter);

	/*
	 * After a filter changed. NIC_SETTLE_NS after it returns every frame that was sorted by
	 * what the filter was before has left the kernel's receive path: it waits in its place
	 * or in the TAP, or is lost. May take some tens of milliseconds itself.
	 */
	void (*settle)(struct nic_device *d);
};

/* ---- in the datapath: all of a port and its places is one worker's ---- */

struct nic_port;
struct nic_place;

struct nic_port_ops {
	/* Takes the fds on success. 0 or -errno with why. */
	int (*open)(int ifindex, const int fds[], int n_fds, struct nic_port **out, char *why,
		    size_t why_size);

	/* No place is left, and every packet was given back. NULL is accepted. */
	void (*close)(struct nic_port *port);

	/* Takes the fds on success. 0 or -errno with why. Frames come once there is a filter. */
	int (*join)(struct nic_port *port, const int fds[], int n_fds, struct nic_place **out,
		    char *why, size_t why_size);

	/* What still waits in the place is lost; its filter is gone and settled. */
	void (*leave)(struct nic_place *place);

	/* Readable while frames wait; for poll only. */
	int (*poll_fd)(const struct nic_place *place);

	/* Takes up to n frames that wait, oldest first of each of the device's queues. They are
	 * the port's: give each back. Never waits. */
	uint32_t (*receive)(struct nic_place *place, struct packet *out[], uint32_t n);

	bool (*is_of)(const struct nic_port *port, const struct packet *p);
	void (*give_back)(struct nic_port *port, struct packet *p);

	void (*stats)(const struct nic_place *place, struct nic_place_stats *out);
};

/* AF_XDP, unsteered: an XDP program picks the place. */
extern const struct nic_device_ops afxdp_device_ops;
extern const struct nic_port_ops afxdp_port_ops;

#endif
