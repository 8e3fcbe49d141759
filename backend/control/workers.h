/* SPDX-License-Identifier: MIT */
/*
 * Rank 8: the datapath's workers as control sees them: a socket each, and the
 * slots of the shared memory, one a queue.
 *
 * A slot is what survives the datapath: when its process dies, every slot that was
 * attached (or on its way) becomes due again, with 'resume' set, and is handed to
 * the next process as soon as that is ready. Nothing here waits: what a socket will
 * not take now stays due.
 *
 * Trust: the datapath touches guests' memory, so its messages are checked like a
 * guest's. One that breaks the protocol is -EPROTO, and its process is replaced.
 */
#ifndef VIF_CONTROL_WORKERS_H
#define VIF_CONTROL_WORKERS_H

#include "backend/ipc.h"

enum slot_state {
	SLOT_FREE,
	SLOT_ATTACH_DUE, /* QUEUE_ATTACH to be sent */
	SLOT_ATTACHING,
	SLOT_ATTACHED,
	SLOT_DETACH_DUE, /* QUEUE_DETACH to be sent */
	SLOT_DETACHING,
	SLOT_DETACHED, /* to be told to the owner, then free */
};

struct slot {
	enum slot_state state;
	uint32_t worker;
	uint64_t sent_ns; /* in ATTACHING and DETACHING: since when an answer is due */
	struct ipc_queue queue;
	uint32_t note; /* IPC_GRANTS_APPLY or _DONE to be sent once it is attached; 0: none */
	int32_t note_status;
	int fds[IPC_QUEUE_FDS]; /* borrowed from the vif's netdev: the TAP, and queue.maps */
};

struct worker {
	int sock; /* -1: no datapath */
	bool ready;
	bool blocked; /* its socket took no more: wait for it to be writable */
	uint32_t n_queues;
};

/* owner: control */
struct workers {
	int shared_fd; /* sealed memfd of struct ipc_shared */
	struct ipc_shared *shared;
	uint32_t n_workers;
	uint32_t n_lost; /* datapaths so far */
	uint32_t n_due;	     /* slots in a _DUE state */
	uint32_t n_notes;    /* slots with a note */
	uint32_t n_asked;    /* slots in ATTACHING or DETACHING */
	uint32_t n_detached; /* slots in SLOT_DETACHED */
	uint32_t slots_used; /* no slot at or above this was ever used */
	struct worker worker[IPC_WORKERS_MAX];
	struct slot slot[IPC_QUEUES_MAX];
	bool vif_used[IPC_VIFS_MAX];
};

/* 0 or -errno. */
int workers_init(struct workers *w, uint32_t n_workers) must_check;
void workers_fini(struct workers *w);

/* Takes the control ends of n_workers connected, nonblocking sockets. */
void workers_connect(struct workers *w, const int socks[]);

/* The datapath's process is gone: see above for what becomes of the slots. */
void workers_disconnect(struct workers *w);

bool workers_ready(const struct workers *w);

/* Memory for the queues of a vif to share, zeroed but for whose it is. Returns its number,
 * for struct ipc_queue, or -ENOSPC. */
int workers_take_vif(struct workers *w, struct vif_id id) must_check;

/* Every queue that was handed out with it is back. */
void workers_give_vif(struct workers *w, uint32_t vif_slot);

/* Hands a queue to that worker; with WORKERS_ANY to one with few of its vif's, and of all,
 * queues. fds[] are its TAP and a map for each bit of queue->maps; they stay the caller's and
 * must stay open until the slot is told detached or its attach failed. Returns the slot or
 * -ENOSPC. */
#define WORKERS_ANY UINT32_MAX
int workers_attach(struct workers *w, uint32_t worker, const struct ipc_queue *queue,
		   const int fds[]) must_check;

/* Takes a queue back. A WORKER_QUEUE_DETACHED follows, always. */
void workers_detach(struct workers *w, uint32_t slot);

/* Says 'type' (IPC_GRANTS_APPLY, IPC_GRANTS_DONE) to the worker of this queue as soon as it
 * has it. Forgotten when the queue goes or the datapath dies: who asked asks the next. */
void workers_note(struct workers *w, uint32_t slot, uint32_t type, int status);

/* Sends what is due, as far as the sockets take it. */
void workers_flush(struct workers *w, uint64_t now_ns);

/* A worker that owes an answer for this long hangs. */
#define WORKERS_ANSWER_NS (20 * NS_PER_S)

/* When the longest-asked worker is to have answered; UINT64_MAX: none was asked. */
uint64_t workers_deadline(const struct workers *w);

/* Asks the workers to stop; they close their sockets. */
void workers_stop(struct workers *w);

/* Sends a message about NICs or places; the fds stay the caller's. 0; -EAGAIN: not now;
 * -errno. */
int workers_say(struct workers *w, uint32_t worker, const struct ipc_msg *msg, const int fds[],
		uint32_t n_fds) must_check;

enum worker_event_type {
	WORKER_FAILED,		/* could not get ready: status, why */
	WORKER_QUEUE_ATTACHED,	/* status 0, or -errno and why: then the slot is free */
	WORKER_QUEUE_DETACHED,	/* the slot is free */
	WORKER_QUEUE_STALLED,	/* status 1: the guest takes no frames; 0: it does again */
	WORKER_NIC_OPENED,	/* slot is the NIC's number; status, why */
	WORKER_NIC_STATIONS,	/* slot is the NIC's number */
	WORKER_PLACE,		/* place says what; status, why */
	WORKER_QUEUE_FATAL,	/* status -EPROTO: the guest broke the protocol, why; -ENODEV: its
				 * netdev is gone. Detach it. */
	WORKER_GRANTS_STAGED,	/* by a vif's queue 0, for queue_number of the same vif */
	WORKER_GRANTS_APPLIED,	/* status 0 or -errno */
};

struct worker_event {
	enum worker_event_type type;
	uint32_t slot;
	enum ipc_type place;
	struct ipc_queue queue; /* as it was attached */
	int status;
	uint32_t queue_number;
	char why[sizeof(((struct ipc_msg *)0)->why)]; /* printable, NUL-terminated */
};

/* The next thing a worker said. 0; -EAGAIN: nothing now; -ECONNRESET: a worker closed its
 * socket; -EPROTO: it spoke nonsense. Never blocks, and reads a bounded number of messages. */
int workers_next(struct workers *w, struct worker_event *out) must_check;

#endif
