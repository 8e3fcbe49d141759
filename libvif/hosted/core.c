/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor's front: handles, and the table of what each kind of handle
 * may ask for.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "core_internal.h"

#define KIND(k) (1u << (k))
#define ALL	(~0u)

static hx_op_fn op_hello, op_close;

static const struct {
	hx_op_fn *fn;
	uint32_t kinds;
} ops[HX_N_OPS] = {
	[HX_HELLO] = { op_hello, 0 },
	[HX_CLOSE] = { op_close, ALL },
	[HX_MEMORY] = { hx_op_memory, ALL },
	[HX_RING] = { hx_op_ring, KIND(HX_KIND_EVTCHN) },
	[HX_GRANT_MAP] = { hx_op_grant_map, KIND(HX_KIND_GNTTAB) },
	[HX_GRANT_UNMAP] = { hx_op_grant_unmap, KIND(HX_KIND_GNTTAB) },
	[HX_GRANT_LIMIT] = { hx_op_grant_limit, KIND(HX_KIND_GNTTAB) },
	[HX_SHARE] = { hx_op_share, KIND(HX_KIND_GNTSHR) },
	[HX_UNSHARE] = { hx_op_unshare, KIND(HX_KIND_GNTSHR) },
	[HX_BIND_UNBOUND] = { hx_op_bind_unbound, KIND(HX_KIND_EVTCHN) },
	[HX_BIND_REMOTE] = { hx_op_bind_remote, KIND(HX_KIND_EVTCHN) },
	[HX_BIND_VIRQ] = { hx_op_bind_virq, KIND(HX_KIND_EVTCHN) },
	[HX_BIND_STORE] = { hx_op_bind_store, KIND(HX_KIND_EVTCHN) },
	[HX_UNBIND] = { hx_op_unbind, KIND(HX_KIND_EVTCHN) },
	[HX_RESTRICT] = { hx_op_restrict, KIND(HX_KIND_EVTCHN) | KIND(HX_KIND_FOREIGN) },
	[HX_ADOPT] = { hx_op_adopt, KIND(HX_KIND_EVTCHN) },
	[HX_FOREIGN_MAP] = { hx_op_foreign_map, KIND(HX_KIND_FOREIGN) },
	[HX_FOREIGN_UNMAP] = { hx_op_foreign_unmap, KIND(HX_KIND_FOREIGN) },
	[HX_DOMAIN_INFO] = { hx_op_domain_info, KIND(HX_KIND_CTL) },
	[HX_DOMAIN_CREATE] = { hx_op_domain_create, KIND(HX_KIND_CTL) },
	[HX_DOMAIN_DESTROY] = { hx_op_domain_destroy, KIND(HX_KIND_CTL) },
	[HX_DOMAIN_SHUTDOWN] = { hx_op_domain_shutdown, KIND(HX_KIND_CTL) },
	[HX_STORE_SETUP] = { hx_op_store_setup, KIND(HX_KIND_CTL) },
};

struct hx_core *hx_core_new(uint64_t seed)
{
	struct hx_core *core = calloc(1, sizeof(*core));

	if (!core)
		return NULL;
	core->seed = seed;
	core->m = MAP_FAILED;
	for (uint32_t i = 0; i < HX_MAX_DOMAINS; i++)
		core->doms[i].slot = i;
	core->machine_fd = memfd_create("hosted-xen machine", MFD_CLOEXEC);
	if (core->machine_fd < 0 || ftruncate(core->machine_fd, sizeof(*core->m)))
		goto fail;
	core->m = mmap(NULL, sizeof(*core->m), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
		       core->machine_fd, 0);
	if (core->m == MAP_FAILED)
		goto fail;
	core->m->magic = HX_MAGIC;
	errno = -hx_dom_new(core, 0);
	if (!errno)
		return core;
fail:
	hx_core_free(core);
	return NULL;
}

void hx_core_free(struct hx_core *core)
{
	int saved = errno;

	for (uint32_t i = 0; i < core->handles_end; i++)
		hx_core_close(core, core->handles[i]);
	for (uint32_t i = 0; i < HX_MAX_DOMAINS; i++)
		if (core->doms[i].pub)
			hx_dom_release(&core->doms[i]);
	if (core->m != MAP_FAILED)
		munmap(core->m, sizeof(*core->m));
	if (core->machine_fd >= 0)
		close(core->machine_fd);
	free(core->draining);
	free(core);
	errno = saved;
}

static bool valid_kind(uint32_t kind)
{
	return kind >= HX_KIND_GNTTAB && kind <= HX_KIND_CTL;
}

/* Only the toolstack's domain may rule others or look into their memory. */
static bool privileged_kind(uint32_t kind)
{
	return kind == HX_KIND_CTL || kind == HX_KIND_FOREIGN;
}

static int handle_new(struct hx_call *call, struct hx_dom *dom, enum hx_kind kind)
{
	struct hx_core *core = call->core;
	struct hx_handle *h;
	uint32_t idx = 0;

	while (idx < core->handles_end && core->handles[idx])
		idx++;
	if (idx == HX_MAX_HANDLES)
		return -EMFILE;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	*h = (struct hx_handle){ .idx = idx,
				 .kind = kind,
				 .dom = dom,
				 .generation = (uint32_t)++core->generation,
				 .next_id = 1,
				 .ring_fd = -1,
				 .ring_rd = -1 };
	if (kind == HX_KIND_EVTCHN) {
		int rc = hx_ring_open(h);

		if (rc) {
			free(h);
			return rc;
		}
		call->fds[call->n_fds++] = h->ring_rd;
	}
	core->handles[idx] = h;
	if (idx == core->handles_end)
		core->handles_end++;
	dom->n_handles += kind != HX_KIND_CTL; /* who asks is not counted */
	call->handle = h;
	return 0;
}

static int op_hello(struct hx_call *call)
{
	struct hx_msg *msg = call->msg;
	struct hx_dom *dom = hx_dom_find(call->core, NULL, msg->domid);
	int rc;

	if (!dom || atomic_load(&dom->pub->state) != HX_LIVING)
		return -ESRCH;
	if (!valid_kind(msg->id))
		return -EINVAL;
	if (privileged_kind(msg->id) && msg->domid)
		return -EPERM;
	call->fds[call->n_fds++] = call->core->machine_fd;
	rc = handle_new(call, dom, msg->id);
	if (rc)
		return rc;
	msg->id = call->handle->idx;
	msg->generation = call->handle->generation;
	msg->port = dom->slot;
	return 0;
}

static int op_close(struct hx_call *call)
{
	hx_handle_release(call->core, call->handle);
	return 0;
}

static int dispatch(struct hx_call *call)
{
	struct hx_msg *msg = call->msg;
	struct hx_handle *h = call->handle;

	if (msg->op >= HX_N_OPS || msg->n_words > 2 * HX_CHUNK)
		return -EINVAL;
	if (!h != (msg->op == HX_HELLO))
		return -EPROTO;
	if (!h)
		return op_hello(call);
	if (!h->dom)
		return -ENODEV;
	if (!(ops[msg->op].kinds & KIND(h->kind)))
		return -EOPNOTSUPP;
	return ops[msg->op].fn(call);
}

void hx_core_call(struct hx_core *core, struct hx_handle **handle, struct hx_msg *msg,
		  int fds[HX_MAX_FDS], size_t *n_fds)
{
	struct hx_call call = { .core = core, .handle = *handle, .msg = msg };

	/* Whoever calls again has had its end of the ring. */
	if (call.handle && call.handle->ring_rd >= 0) {
		close(call.handle->ring_rd);
		call.handle->ring_rd = -1;
	}
	/* Only HX_ADOPT takes descriptors; it reads fds[0] before anything is answered. */
	if (msg->op == HX_ADOPT)
		call.fds[0] = *n_fds == 1 ? fds[0] : -1;
	msg->result = dispatch(&call);
	if (msg->result) {
		msg->n_words = 0;
		call.n_fds = 0;
	}
	*handle = call.handle;
	*n_fds = call.n_fds;
	memcpy(fds, call.fds, sizeof(call.fds));
}

/* Drops what the handle owns; the handle itself stays until its process goes. */
void hx_handle_release(struct hx_core *core, struct hx_handle *h)
{
	struct hx_handle_pub *pub = &core->m->handles[h->idx];
	struct hx_dom *dom = h->dom;
	uint64_t notifying = atomic_exchange(&pub->notifying, 0);

	if (!dom)
		return;
	atomic_store(&pub->copying[0], 0);
	atomic_store(&pub->copying[1], 0);
	if (notifying)
		hx_event_requeue(core, notifying);
	hx_extents_close(core, h);
	hx_ports_close(core, h);
	dom->n_handles -= h->kind != HX_KIND_CTL;
	h->dom = NULL;
}

bool hx_core_is_dead(const struct hx_handle *h)
{
	return !h->dom;
}

void hx_core_close(struct hx_core *core, struct hx_handle *h)
{
	if (!h)
		return;
	hx_handle_release(core, h);
	core->handles[h->idx] = NULL;
	while (core->handles_end && !core->handles[core->handles_end - 1])
		core->handles_end--;
	if (h->ring_fd >= 0)
		close(h->ring_fd);
	if (h->ring_rd >= 0)
		close(h->ring_rd);
	free(h);
}
