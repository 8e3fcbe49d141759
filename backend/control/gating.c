/* SPDX-License-Identifier: MIT */
/* See gating.h. */
#include "backend/control/gating.h"

#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/bpf/objects.h"
#include "backend/control/tap_program.h"

/* A gate nobody can open lets nothing in: rather none. */
static void take_off(struct gating *g, int tap_fd, int err)
{
	int no_program = -1;

	(void)ioctl(tap_fd, TUNSETFILTEREBPF, &no_program);
	gating_close(g);
	g->map_fd = err;
}

void gating_open(struct gating *g, int tap_fd)
{
	static const struct tap_program program = { gate_object, &gate_object_size, "enter", "gate",
						    TUNSETFILTEREBPF };
	struct gate *gate;

	g->gate = NULL;
	g->map_fd = tap_program_attach(&program, tap_fd, -1);
	if (g->map_fd < 0)
		return;
	gate = mmap(NULL, sizeof(*gate), PROT_READ | PROT_WRITE, MAP_SHARED, g->map_fd, 0);
	if (gate == MAP_FAILED) {
		take_off(g, tap_fd, -errno);
		return;
	}
	for (uint32_t i = 0; i < GATE_QUEUES; i++)
		gate->queue[i].limit = GATE_BYTES;
	g->gate = gate;
}

void gating_close(struct gating *g)
{
	if (g->gate)
		munmap(g->gate, sizeof(*g->gate));
	if (g->map_fd >= 0)
		close(g->map_fd);
	*g = (struct gating){ .map_fd = -ENOENT };
}
