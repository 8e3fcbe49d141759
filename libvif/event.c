/* SPDX-License-Identifier: MIT */
/*
 * Event channels through libxenevtchn. The kernel masks a port when it reports it;
 * it stays so until event_unmask().
 */
#include "event.h"
#include "log.h"

#include <fcntl.h>
#include <string.h>

int events_open(struct events *e)
{
	int flags, err;

	*e = (struct events){ .handle = xenevtchn_open(NULL, 0), .fd = -1 };
	if (!e->handle)
		return -errno;
	e->fd = xenevtchn_fd(e->handle);
	flags = fcntl(e->fd, F_GETFL);
	if (flags < 0 || fcntl(e->fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		err = -errno;
		events_close(e);
		return err;
	}
	return 0;
}

void events_close(struct events *e)
{
	if (e->handle)
		xenevtchn_close(e->handle);
	e->handle = NULL;
	e->fd = -1;
}

int event_bind(struct events *e, uint16_t domid, evtchn_port_t remote)
{
	int port = xenevtchn_bind_interdomain(e->handle, domid, remote);

	return port >= 0 ? port : -errno;
}

void event_unbind(struct events *e, evtchn_port_t port)
{
	if (xenevtchn_unbind(e->handle, port) != 0)
		log_error(LOG_NOBODY, "cannot unbind event channel %u: %s", port, strerror(errno));
}

int event_next(struct events *e)
{
	int port = xenevtchn_pending(e->handle);

	return port >= 0 ? port : -errno;
}

int event_unmask(struct events *e, evtchn_port_t port)
{
	return xenevtchn_unmask(e->handle, port) == 0 ? 0 : -errno;
}

int event_send(struct events *e, evtchn_port_t port)
{
	e->n_sent++;
	return xenevtchn_notify(e->handle, port) == 0 ? 0 : -errno;
}
