/* SPDX-License-Identifier: MIT */
/*
 * A NIC with places, in memory: both halves of a provider (backend/nic/nic.h). What its
 * filters match waits in the place, the rest goes to the vif's TAP, at once (unless it is to take
 * time).
 */
#ifndef VIF_SIM_NIC_H
#define VIF_SIM_NIC_H

#include "backend/control/netdev.h"
#include "backend/nic/nic.h"
#include "tests/sim/sim_datapath.h"

#define SIM_NIC_NAME	"nic0"
#define SIM_NIC_IFINDEX 1000 /* of the first device of that name */
#define SIM_BRIDGE	1001 /* all vifs and the NIC are in it */
#define SIM_PLACE_SIZE	64u  /* frames that wait in a place */

extern const struct nic_device_ops sim_nic_device_ops;
extern const struct nic_port_ops sim_nic_port_ops;
/* The same device with guests' buffers. A write to a page it is not, or not any more, allowed
 * cannot happen: it is a fault. */
extern const struct nic_port_ops sim_nic_buffer_ops;

/* The wire sends a frame to the guest; without a place it comes to this queue of its TAP, or to
 * the one the vif's steering says. False: too much waits. */
#define SIM_STEERED UINT32_MAX
bool sim_nic_give(struct sim_datapath *d, uint32_t domid, uint32_t queue, const uint8_t *frame,
		  size_t size);

/* From now on frames take time from the filter to the place or the TAP (sim_way.h), SIM_PLACE_SIZE
 * of a guest's at most; what is under way when that ends is lost. Those that are due by now arrive,
 * and n more. The clock is sim_nic_settles()'s. */
void sim_nic_take_time(bool takes);
void sim_nic_arrive(struct sim_datapath *d, uint64_t now_ns, uint32_t n);

/* The device is taken away, or one of its name is there again; its link. */
void sim_nic_plug(bool on);
void sim_nic_link(bool up);

/* It has another name, or goes to another network namespace, until it is plugged in again. Whether
 * what vifd had put on it is on it still, as it was out of reach. */
void sim_nic_rename(const char *to);
void sim_nic_move(void);
bool sim_nic_has_left(void);

/* The device takes so long to settle: *clock goes on meanwhile. NULL: it takes no time. */
void sim_nic_settles(uint64_t *clock, uint64_t ns);

/* As in netdev_ops. */
bool sim_nic_host(int ifindex, struct netdev_host *out);
int sim_nic_index_of(const char *name);
bool sim_nic_moved(uint32_t born);
int sim_nic_with_program(uint32_t id);

/* Whether its filters can take tags off (nic_caps.tag_off): not unless it is said. */
void sim_nic_take_tags(bool takes);

/* Whether it takes guests' memory (nic_caps.guest_memory, sim_lent.h): not unless it is said. */
void sim_nic_take_memory(bool takes);

/* The next so many places lent to cannot be joined. */
void sim_nic_refuse_memory(uint32_t n);
uint32_t sim_nic_memory_to_refuse(void); /* of those */

/* The next so many filters are refused with -ENOSPC. */
void sim_nic_refuse(uint32_t n);
uint32_t sim_nic_to_refuse(void); /* of those */

/* The next so many filters are not removed. */
void sim_nic_keep(uint32_t n);

/* Somebody removes the filters of this guest's address; or changes something else, which stays
 * so until the device is opened anew. */
void sim_nic_lose_filter(const uint8_t mac[6]);
void sim_nic_amiss(void);

/* Filters that are in; frames lost by all places. */
uint32_t sim_nic_n_filters(void);
uint64_t sim_nic_n_lost(void);

/* Fds of places that anybody has open; how often a worker that left one had the last of it, so
 * that it would have waited for the kernel. */
uint32_t sim_nic_n_open(void);
uint32_t sim_nic_n_last_left(void);

/* The device has not let go of who was there before, for so many times that it is asked. */
#define SIM_NIC_TRIES 1u /* unless told otherwise */
void sim_nic_take_tries(uint32_t n);

/* ---- guests' buffers ---- */

/* The device does nothing by itself any more, but in sim_nic_run(), and there up to n frames
 * of each place. */
void sim_nic_be_lazy(bool on);
void sim_nic_run(struct sim_datapath *d, uint32_t n);

/* Pages it may have at a time of each place from now on. */
void sim_nic_limit_pages(uint32_t n);

/* Whether it may write to the page that begins there. */
bool sim_nic_may_write(const void *page);

/* Of all places: writes that were not allowed; descriptors it has now. */
uint64_t sim_nic_n_faults(void);
uint32_t sim_nic_n_posted(void);

/* Whether a poll of the place's fd would say so. */
bool sim_nic_is_readable(const struct nic_place *place);

#endif
