/* SPDX-License-Identifier: MIT */
/*
 * Multicast addresses wanted and told (multicast.h).
 */
#include <string.h>

#include "frontend-compat/multicast.h"

static bool has(const struct multicast_address list[], uint32_t n,
		const struct multicast_address *a)
{
	for (uint32_t i = 0; i < n; i++)
		if (!memcmp(&list[i], a, sizeof(*a)))
			return true;
	return false;
}

void multicast_want(struct multicast *m, const struct multicast_address address[], uint32_t n)
{
	assert(n <= MULTICAST_MAX);
	memcpy(m->wanted, address, n * sizeof(*address));
	m->n_wanted = n;
}

void multicast_forget(struct multicast *m)
{
	m->n_told = 0;
}

bool multicast_next(struct multicast *m, struct multicast_address *out, bool *add)
{
	for (uint32_t i = 0; i < m->n_told; i++) {
		*out = m->told[i];
		if (has(m->wanted, m->n_wanted, out))
			continue;
		m->told[i] = m->told[--m->n_told];
		*add = false;
		return true;
	}
	for (uint32_t i = 0; i < m->n_wanted; i++) {
		*out = m->wanted[i];
		if (has(m->told, m->n_told, out))
			continue;
		m->told[m->n_told++] = *out;
		*add = true;
		return true;
	}
	return false;
}
