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
 * provider's business (backend/datapath/queue_place.c, backend/control/placement_steps.c) but
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

/* Of a port's memory, as much as the datapath may pin itself (RLIMIT_MEMLOCK). */
#define NIC_PINNED_MAX (640ul << 20)

/* Which frames: exactly this destination; tagged with this VLAN, or 0: not tagged. */
struct nic_filter {
	uint8_t mac[6];
	uint16_t vlan;
	bool tag_off; /* the device takes that tag off; only where caps.tag_off */
};

enum nic_provider {
	NIC_PROVIDER_AFXDP, /* a device of the kernel's */
	NIC_PROVIDER_MODEL, /* a multi-queue NIC in software */
	NIC_PROVIDERS,
};

/* Who gets a place when there are fewer than guests. */
enum nic_policy {
	NIC_POLICY_ALL,	    /* who comes first */
	NIC_POLICY_NAMED,   /* only vifs of which the operator says so */
	NIC_POLICY_BUSIEST, /* those that receive most */
};

/* Who picks the receive queue, where the provider has the choice. */
enum nic_steering {
	NIC_STEERING_PROGRAM, /* an XDP program, on whatever queue a frame comes */
	NIC_STEERING_DEVICE,  /* the device's own filters */
	NIC_STEERING_AUTO,    /* those if it has any, else the program */
};

/* A NIC as vifd.conf has it. */
struct nic_config {
	char name[NIC_NAME_SIZE]; /* the network device that is a port of the bridge */
	enum nic_provider provider;
	enum nic_policy policy;
	enum nic_steering steering;
	uint32_t filters;	  /* use at most so many; 0: as many as it has */
	bool transmit;		  /* what guests send leaves by it as well */
	char wire[NIC_NAME_SIZE]; /* MODEL: the network device that is its cable */
};

/* What an open device can do. */
struct nic_caps {
	uint32_t n_places;	/* 1..NIC_PLACES_MAX */
	bool vlan_filters;	/* nic_filter.vlan may be other than 0 */
	bool tag_off;		/* nic_filter.tag_off may be true; else the datapath does it */
	bool guest_buffers;	/* nic_port_ops.post and its company are there */
	bool guest_memory;	/* nic_port_ops.join takes some; of that company there are then post,
				 * reap, begin, recall and hold */
	bool transmit;		/* nic_port_ops.transmit is */
	bool own_wire;		/* nothing passes between wire and bridge but while it is open */
	/* For people: */
	const char *steering;	/* who picks the queue: "XDP program" */
	const char *receive;	/* "zero-copy", "copy"; NULL: not known before the first place */
	bool untested;		/* on hardware */
};

/* The longest frame transmit() takes, without the tag it puts on it. */
#define NIC_TRANSMIT_MAX 3072u

/* What a port took to transmit, since it was opened, and how much of that, from its
 * beginning on, has left the host or is lost. */
struct nic_sent {
	uint64_t taken, done;
};

/* Of one place, since it was joined. */
struct nic_place_stats {
	uint64_t lost;	 /* matched the filter, and found no room in the place */
	/* Of caps.guest_buffers, and 'waiting' of a place lent to: */
	uint64_t faults;  /* descriptors the device could not write to */
	uint32_t waiting; /* frames that wait for buffers, now */
};

/*
 * ---- buffers of guests, where caps.guest_buffers: the datapath posts, the device writes ----
 *
 * A place is in one of two ways:
 *
 *	ordinary	what comes is put into memory of the port's: receive()
 *	posting		what comes is put into the buffers posted, one frame each, oldest
 *			frame first, in the order they were posted: reap()
 *
 * begin() and recall() change it. Whichever it is, what finds no buffer waits on the device,
 * NIC_PLACE_FRAMES at most, and what finds no room there is lost and counted. A change moves
 * no frame before an older one: what waits on the device when it is recalled, injected frames
 * included, comes by receive().
 */

#define NIC_PLACE_FRAMES 8192u

/*
 * ---- memory of a guest's, where caps.guest_memory: a place lent to ----
 *
 * For a device that knows from the beginning to the end which memory it may write to, and
 * cannot let go of a buffer it was given, nor be handed a frame of ours. A place joined with
 * struct nic_memory is like one that can be posted to, but
 *
 *	- its buffers are pages of that memory, each posted once at a time and as a whole;
 *	- begin() can be called once. Until then frames come by receive(). Of what comes after it
 *	  up to NIC_EARLY_FRAMES may be put into memory of the port's, and more when few buffers
 *	  are left: the port copies it to the buffers it is for, and says so. All that is reaped is
 *	  in order. What came so may wait for its buffers, so that poll_fd is readable though
 *	  reap() has nothing: it is for whoever has posted some. What finds no room there
 *	  either is lost and counted;
 *	- recall() is for the end: when no filter directs anything to it any more, or what comes may
 *	  be lost. Nothing comes after it, but the device lets go of the memory in its own time,
 *	  which may be long. Until hold() says that it has, there is nothing to reap or receive, and
 *	  what is posted is not the caller's. Then what is left is reaped, and what waited for
 *	  buffers that were not posted is received; then leave() is next;
 *	- a device that breaks its order ends it by itself, as if it was recalled;
 *	- nothing is injected: whoever else has frames for that queue of the guest's waits for its
 *	  end.
 */
#define NIC_EARLY_FRAMES 256u

/* Addresses right below or above a guest's memory that the port may want for memory of its own:
 * join() ends with -EADDRINUSE if neither are free. */
#define NIC_ROOM (16ul << 20)

struct nic_memory {
	void *start;	  /* mapped in one piece, writable: proved to be that guest's, granted and
			   * not read-only; stays mapped until leave() has returned */
	uint32_t n_pages; /* 1.. */
};

/* Whose it is. */
enum nic_hold {
	NIC_HOLDS,   /* the device's */
	NIC_LETS_GO, /* still: it was recalled, or has ended it */
	NIC_LET_GO,  /* the caller's: nobody else writes there */
};

/* Pages that can be authorised at a time of one place, at least: what a queue may have mapped
 * for its guest (STATIC_GRANTS_MAX), and one of its own for each slot of a ring. */
#define NIC_PAGES 768u

/* A page the device may write to, by the name the device knows it by: what authorise() said,
 * or the page's number in nic_memory. */
typedef uint32_t nic_page;

/* A receive descriptor. */
struct nic_buffer {
	nic_page page;
	uint16_t offset, size; /* the device writes within these bytes of the page only */
};

/* A descriptor the device is done with. */
struct nic_completion {
	int32_t status; /* 0, or the frame is lost: -EFAULT: the page was not, or not any more,
			 * the device's to write, and nothing was; -EMSGSIZE: the buffer is too
			 * small for the frame; -ECANCELED, of all that are posted, in a place lent
			 * to: the device broke its order, and let go of all */
	uint32_t size;	/* of the frame; of status 0 only */
	uint16_t offset; /* where it begins in the page; alike */
	bool copied;	 /* there by the port, not written there by the device; alike */
	/* Of a frame off the wire, as the device saw it (in its page the guest may have changed
	 * it since), of an injected one: zeros. So too if the device does not say. In a place
	 * lent to: as it is in the page, which is the guest's word. */
	uint8_t source[6];
};

/* ---- in control ---- */

/* What a device says of itself, since it was opened. */
struct nic_status {
	bool link;
	uint64_t to_places; /* frames that matched a filter */
	uint64_t lost;	    /* of these: found no room */
	uint64_t faults;    /* writes that were kept from a page that was not the device's */
	uint64_t to_host;   /* frames that did not */
	uint64_t from_host;
	uint64_t from_wire; /* all that came by it, whatever became of it */
};

struct nic_device;

struct nic_device_ops {
	/*
	 * Opens the network device 'cfg' names. Whatever an earlier vifd left on it is removed.
	 * 0; -ENODEV: there is none; -EOPNOTSUPP: this provider cannot serve it; -errno; why
	 * says more, for people.
	 */
	int (*open)(const struct nic_config *cfg, struct nic_device **out, char *why,
		    size_t why_size);

	/* Removes every filter and all else that was put on the device. NULL is accepted.
	 * 'gone': it is out of reach, whatever has its ifindex by now. What was put on it stays
	 * where it is, and brings no guest a frame once the places are left. */
	void (*close)(struct nic_device *d, bool gone);

	int (*ifindex)(const struct nic_device *d);

	/* The XDP program that marks the device as one on which there is something of ours, as the
	 * kernel counts programs; 0: there is none such. */
	uint32_t (*mark)(const struct nic_device *d);

	/* Removes what is left on a device marked so, that was gone and is there again, under
	 * whatever name. 0 or -errno with why. */
	int (*remove_left)(int ifindex, char *why, size_t why_size);

	/* Constant while it is open, but for 'receive'. */
	struct nic_caps (*caps)(const struct nic_device *d);

	/* New fds for nic_port_ops.open and .join, for the caller to close: their number, or
	 * -errno. 'lent': the place is joined with memory of its guest. */
	int (*port_fds)(struct nic_device *d, int fds[NIC_FDS_MAX]);
	int (*place_fds)(struct nic_device *d, uint32_t place, bool lent, int fds[NIC_FDS_MAX]);

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

	/* ---- NULL where a provider has nothing of the kind ---- */

	/*
	 * Reads back what was put on the device, which others may change at any time: the filter
	 * that was added, and all the rest. May take a driver some milliseconds. 0; -errno: it
	 * is not, or not known to be, what it was. Then frames pass to the host's stack. A filter
	 * can be removed and added again; for the rest, with why, the device is to be closed and
	 * opened anew.
	 */
	int (*filter_check)(struct nic_device *d, const struct nic_filter *filter);
	int (*check)(const struct nic_device *d, char *why, size_t why_size);

	void (*status)(const struct nic_device *d, struct nic_status *out);

	/* A fault on demand, for tests. 0; -EINVAL: no such fault, or not with that value. */
	int (*fault)(struct nic_device *d, const char *name, uint32_t value);
};

/* ---- in the datapath: all of a port and its places is one worker's ---- */

struct nic_port;
struct nic_place;

struct nic_port_ops {
	/* Takes the fds on success. 0 or -errno with why. */
	int (*open)(int ifindex, const int fds[], int n_fds, struct nic_port **out, char *why,
		    size_t why_size);

	/* No place is left but such as were lent to, which may yet be; every packet was given back.
	 * NULL is accepted. */
	void (*close)(struct nic_port *port);

	/* place_fds() of that place. Takes the fds on success. 'lent' is what place_fds() was told
	 * there would be, for caps.guest_memory only; else NULL. 0 or -errno with why. Then joined()
	 * says when it is; and frames come once there is a filter. */
	int (*join)(struct nic_port *port, uint32_t place, const int fds[], int n_fds,
		    const struct nic_memory *lent, struct nic_place **out, char *why,
		    size_t why_size);

	/* 0: it is, for good; -EAGAIN: not yet, the device has not let go of who was there before:
	 * ask again in a while; -errno with why: it will not be, leave() is next. Never waits. */
	int (*joined)(struct nic_place *place, char *why, size_t why_size);

	/* What still waits in the place is lost; its filter is gone and settled, every page was
	 * revoked. Of one lent to waits until the device has let go, if it has not. */
	void (*leave)(struct nic_place *place);

	/* Readable while receive() or reap() has something; for poll only. */
	int (*poll_fd)(const struct nic_place *place);

	/* Takes up to n frames that wait, as on the wire but for nic_filter.tag_off; oldest first
	 * of each of the device's queues. They are the port's: give each back, the frame moved
	 * forward at most. Fewer than n: there are no more, on the device neither (unless it is
	 * posting). Never waits. */
	uint32_t (*receive)(struct nic_place *place, struct packet *out[], uint32_t n);

	/* It is not read from now on, until receive() is called: so it is after join(). Frames may
	 * wait there, without harm to other places. Again and again, at no cost. */
	void (*not_read)(struct nic_place *place);

	/* Whether frames may be taken that are not given back soon. Not if they wait on the device
	 * as well, nor if their memory is what other places are promised. */
	bool (*may_keep)(const struct nic_place *place);

	bool (*is_of)(const struct nic_port *port, const struct packet *p);
	void (*give_back)(struct nic_port *port, struct packet *p);

	void (*stats)(const struct nic_place *place, struct nic_place_stats *out);

	/* ---- only where caps.guest_buffers; else NULL ---- */

	/*
	 * Lets the device write to a page, mapped writable at 'page', until it is revoked. 0 or
	 * -ENOSPC. The caller has proved that it is that guest's, granted and not read-only, or
	 * the caller's own; and that it stays mapped until then.
	 */
	int (*authorise)(struct nic_place *place, void *page, nic_page *out);

	/* Once it returns the device does not write there any more, whatever is posted: it waits
	 * for a write that is under way. The name may come again, for another page. */
	void (*revoke)(struct nic_place *place, nic_page page);

	/*
	 * The place is posting once this returns: receive() has what was put into the port's
	 * memory before, older than all that will be reaped, and nothing more comes there.
	 */
	void (*begin)(struct nic_place *place);

	/* Takes up to n buffers: how many, at least one if none is posted. A page that is not
	 * authorised is found out when a frame is for it. */
	uint32_t (*post)(struct nic_place *place, const struct nic_buffer buffers[], uint32_t n);

	/* What is done with, in the order it was posted. Never waits. */
	uint32_t (*reap)(struct nic_place *place, struct nic_completion out[], uint32_t n);

	/*
	 * From now on the place is ordinary. The device lets go of what is posted and not done
	 * with: once reap() has given what is left, which it does until it gives 0, the other
	 * buffers are the caller's again, and the device writes there no more. May wait for a
	 * write that is under way, but never for a frame; of a place lent to not at all, see there.
	 */
	void (*recall)(struct nic_place *place);

	/* Of a place lent to. Never waits, and nobody tells when the answer is another. */
	enum nic_hold (*hold)(struct nic_place *place);

	/*
	 * Transmit switching, while it is posting: the device delivers a frame of ours to the
	 * place, in order with what it receives and what was injected before. Copies it.
	 * Offloads are finished: an ordinary frame with its checksums. 0; -EAGAIN: no room now;
	 * -EMSGSIZE: larger than any buffer can be.
	 */
	int (*inject)(struct nic_place *place, const struct packet *p);

	/* ---- only where caps.transmit; else NULL ---- */

	/*
	 * Sends frames by the wire, in order; copies them to memory of the device's, and there
	 * puts a tag of this VLAN on each (0: none). Offloads are finished: an ordinary frame
	 * with its checksums, of NIC_TRANSMIT_MAX bytes at most. How many it took; the rest finds
	 * no room now, and is as it was.
	 */
	uint32_t (*transmit)(struct nic_port *port, struct packet *const p[], uint32_t n,
			     uint16_t vlan);

	/* Gets the device on with what transmit() took, at the end of a pass. Returns whether
	 * to call again in a while: the device was too busy for some of it. */
	bool (*kick)(struct nic_port *port);

	void (*sent)(struct nic_port *port, struct nic_sent *out);
};

/* AF_XDP, unsteered: an XDP program picks the place. */
extern const struct nic_device_ops afxdp_device_ops;
extern const struct nic_port_ops afxdp_port_ops;

/* A multi-queue NIC in software. */
extern const struct nic_device_ops model_device_ops;
extern const struct nic_port_ops model_port_ops;

#endif
