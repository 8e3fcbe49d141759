/* SPDX-License-Identifier: MIT */
/*
 * The data path of the frontend: rings to frames to the guest's stack and back. Every
 * function returns; none waits, none allocates.
 *
 * The backend writes ring and rx pages at any time. Responses are copied out of the
 * ring before anything is concluded from them, and headers out of the rx page before
 * they are parsed; a frame's payload goes to the stack as it is, as a guest's would.
 */
#include "frontend-compat/io.h"

static struct log_scope scope(const struct pass *p)
{
	return (struct log_scope){ &p->nf->config.vif, (int)p->index };
}

void io_disable(struct pass *p, const char *why)
{
	struct log_scope s = scope(p);

	log_error(&s, "the backend broke the protocol: %s; disabled until it is connected anew",
		  why);
	p->nf->running = false;
	p->nf->counters.disabled++;
}

/* Asks for the next events, then looks once more. Returns whether it must go on instead. */
static bool arm(struct pass *p)
{
	struct front_ring *tx = &p->q->tx;
	uint32_t outstanding = tx->req_pub - tx->rsp_cons, wake = 1;
	int n;

	if (p->nf->choice.dialect->tx_wakeup == TX_WAKE_HALFWAY)
		wake = outstanding / 2 + 1;
	n = front_ring_arm(tx, wake);
	if (n < 0 || (uint32_t)n >= wake)
		return true; /* the next pass finds what is wrong with a negative one */
	return front_ring_arm(&p->q->rx, 1) != 0;
}

/* The work is done: lets the ports fire again (XSA-332). */
static void unmask(struct pass *p)
{
	struct netfront_queue *q = p->q;

	if (q->tx_fired)
		event_unmask(&p->nf->events, q->tx_port);
	if (q->rx_fired && q->rx_port != q->tx_port)
		event_unmask(&p->nf->events, q->rx_port);
	q->tx_fired = q->rx_fired = false;
}

bool netfront_step_queue(struct netfront *nf, uint32_t queue)
{
	struct pass p = { nf, &nf->queue[queue], queue };
	bool more = false;

	if (nf->running)
		more = rx_pass(&p);
	if (nf->running)
		tx_reap(&p);
	if (nf->running)
		more |= tx_pass(&p);
	if (nf->running && !more)
		more = arm(&p);
	if (nf->running && !more)
		unmask(&p);
	return more && nf->running;
}

bool netfront_step(struct netfront *nf)
{
	bool again = false;

	for (uint32_t i = 0; i < nf->n_queues; i++)
		again |= netfront_step_queue(nf, i);
	return again && nf->running;
}

bool netfront_take_events(struct netfront *nf)
{
	bool ctrl_fired = false, due = false;
	int port;

	while ((port = event_next(&nf->events)) >= 0) {
		ctrl_fired |= nf->ctrl.port && (evtchn_port_t)port == nf->ctrl.port;
		for (uint32_t i = 0; i < nf->n_queues; i++) {
			struct netfront_queue *q = &nf->queue[i];

			if ((evtchn_port_t)port == q->tx_port) {
				q->tx_fired = true;
				nf->counters.from_guest_events++;
			} else if ((evtchn_port_t)port == q->rx_port) {
				q->rx_fired = true;
				nf->counters.to_guest_events++;
			}
		}
	}
	if (ctrl_fired) {
		due = ctrl_step(nf);
		event_unmask(&nf->events, nf->ctrl.port);
	}
	return due;
}
