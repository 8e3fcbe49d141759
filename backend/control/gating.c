/* SPDX-License-Identifier: MIT */
/* See gating.h. */
#include "backend/control/gating.h"

#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/bpf/objects.h"
#include "backend/control/tap_program.h"

static struct gate *map_gate(int map_fd)
{
	return mmap(NULL, sizeof(struct gate), PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
}

void gating_open(struct gating *g, int tap_fd)
{
	static const struct tap_program program = { gate_object, &gate_object_size, "enter", "gate",
						    TUNSETFILTEREBPF };

	g->gate = NULL;
	g->map_fd = tap_program_attach(&program, tap_fd, -1);
	if (g->map_fd < 0)
		return;
	g->gate = map_gate(g->map_fd);
	if (g->gate == MAP_FAILED)
		g->gate = NULL;
	for (uint32_t i = 0; g->gate && i < GATE_QUEUES; i++)
		g->gate->queue[i].limit = GATE_BYTES;
}

void gating_close(struct gating *g)
{
	if (g->gate)
		munmap(g->gate, sizeof(*g->gate));
	if (g->map_fd >= 0)
		close(g->map_fd);
	*g = (struct gating){ .map_fd = -ENOENT };
}
