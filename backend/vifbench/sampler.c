/* SPDX-License-Identifier: MIT */
/* See sampler.h. The ring's layout: perf_event_open(2). */
#include "backend/vifbench/sampler.h"

#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* More often than this and the sampling is what is sampled. What a run leaves in a ring
 * of this size is half a second's. */
#define PERIOD_NS  50000u
#define RING_PAGES 64u

/* PERF_SAMPLE_TID. */
struct sample {
	struct perf_event_header header;
	uint32_t pid, tid;
};

static_assert(RING_PAGES * XEN_PAGE / sizeof(struct sample) * PERIOD_NS >= NS_PER_S / 2, "");

int sampler_open(struct sampler *s, int cpu)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = PERIOD_NS,
		.sample_type = PERF_SAMPLE_TID,
		.disabled = 1,
	};
	void *ring;
	int err;

	*s = (struct sampler){ .fd = -1 };
	s->fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	if (s->fd < 0)
		return -errno;
	ring =
	    mmap(NULL, (1 + RING_PAGES) * XEN_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
	if (ring == MAP_FAILED) {
		err = -errno;
		close(s->fd);
		s->fd = -1;
		return err;
	}
	s->ring = ring;
	return 0;
}

void sampler_close(struct sampler *s)
{
	if (s->ring)
		munmap(s->ring, (1 + RING_PAGES) * XEN_PAGE);
	if (s->fd >= 0)
		close(s->fd);
	*s = (struct sampler){ .fd = -1 };
}

void sampler_begin(struct sampler *s)
{
	struct perf_event_mmap_page *page = s->ring;

	if (s->fd < 0)
		return;
	__atomic_store_n(&page->data_tail, __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE),
			 __ATOMIC_RELEASE);
	ioctl(s->fd, PERF_EVENT_IOC_ENABLE, 0);
}

/* Copied out of the ring, which a record may wrap in. */
static void read_ring(const struct sampler *s, uint64_t at, void *out, size_t size)
{
	const uint8_t *data = (const uint8_t *)s->ring + XEN_PAGE;
	uint64_t bytes = (uint64_t)RING_PAGES * XEN_PAGE;

	for (size_t i = 0; i < size; i++)
		((uint8_t *)out)[i] = data[(at + i) % bytes];
}

static void note(const struct sample *sample, const struct who *w, struct sampler_split *out)
{
	bool user = (sample->header.misc & PERF_RECORD_MISC_CPUMODE_MASK) == PERF_RECORD_MISC_USER;

	for (uint32_t i = 0; i < w->n; i++) {
		if (w->thread[i].tid != (int)sample->tid)
			continue;
		(user ? out->user : out->kernel)[w->thread[i].part]++;
		return;
	}
}

void sampler_end(struct sampler *s, const struct who *w, struct sampler_split *out)
{
	struct perf_event_mmap_page *page = s->ring;
	uint64_t at, head;

	if (s->fd < 0)
		return;
	ioctl(s->fd, PERF_EVENT_IOC_DISABLE, 0);
	head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);
	for (at = page->data_tail; at < head;) {
		struct sample sample = { 0 };

		read_ring(s, at, &sample.header, sizeof(sample.header));
		if (sample.header.size < sizeof(sample.header))
			break;
		if (sample.header.type == PERF_RECORD_SAMPLE) {
			read_ring(s, at, &sample, sizeof(sample));
			note(&sample, w, out);
		}
		at += sample.header.size;
	}
	__atomic_store_n(&page->data_tail, head, __ATOMIC_RELEASE);
}
