/* SPDX-License-Identifier: MIT */
/* See stations.h. A station's name is its address, first byte lowest, and its VLAN above. */
#include "backend/stations.h"

#include <string.h>

#define STATION_NEW  (1ull << 63)
#define STATION_ADDR ((1ull << 48) - 1)
static_assert(STATIONS_SETS == 1u << (64 - 55), "what set_number() takes of the product");

static uint64_t name_of(const uint8_t mac[6], uint16_t vlan)
{
	uint64_t name = vlan;

	for (int i = 5; i >= 0; i--)
		name = name << 8 | mac[i];
	return name;
}

/* Fibonacci hashing: Knuth, The Art of Computer Programming 3, 6.4 */
static uint32_t set_number(uint64_t name)
{
	return (uint32_t)((name * 0x9e3779b97f4a7c15) >> 55);
}

static struct station *set_of(struct stations *s, uint64_t name)
{
	return s->station[set_number(name)];
}

void stations_init(struct stations *s)
{
	memset(s, 0, sizeof(*s));
}

/* Of a set: an empty one, or the one unheard of for longest. */
static struct station *oldest(struct station set[])
{
	struct station *best = set;

	for (uint32_t i = 0; i < STATIONS_WAYS; i++) {
		if (!__atomic_load_n(&set[i].name, __ATOMIC_RELAXED))
			return &set[i];
		if (set[i].heard_ns < best->heard_ns)
			best = &set[i];
	}
	return best;
}

bool stations_note(struct stations *s, const uint8_t mac[6], uint16_t vlan, uint64_t now_ns)
{
	uint64_t name = name_of(mac, vlan);
	struct station *set = set_of(s, name), *victim;

	for (uint32_t i = 0; i < STATIONS_WAYS; i++) {
		if ((__atomic_load_n(&set[i].name, __ATOMIC_RELAXED) & ~STATION_NEW) != name)
			continue;
		if (now_ns - set[i].heard_ns >= STATIONS_GRAIN_NS)
			__atomic_store_n(&set[i].heard_ns, now_ns, __ATOMIC_RELAXED);
		return false;
	}
	if (mac[0] & 1 || !(name & STATION_ADDR))
		return false;
	victim = oldest(set);
	__atomic_store_n(&victim->heard_ns, now_ns, __ATOMIC_RELAXED);
	__atomic_store_n(&victim->name, name | STATION_NEW, __ATOMIC_SEQ_CST);
	/* Control takes the mark away before it looks: one of us sees the other's. */
	return !__atomic_exchange_n(&s->told, 1, __ATOMIC_SEQ_CST);
}

/* Whether one is to be told of; it is not new any more then. */
static bool take_news(struct station *at, uint64_t since_ns, uint64_t *name)
{
	uint64_t found = __atomic_load_n(&at->name, __ATOMIC_SEQ_CST);

	*name = found;
	if (!(found & STATION_NEW))
		return found && __atomic_load_n(&at->heard_ns, __ATOMIC_RELAXED) >= since_ns;
	/* If it fails there is another station now, which is new. */
	__atomic_compare_exchange_n(&at->name, &found, found & ~STATION_NEW, false,
				    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	return true;
}

bool stations_look(struct stations *s, uint64_t since_ns, uint32_t *from, uint32_t most,
		   void (*each)(void *arg, const uint8_t mac[6], uint16_t vlan), void *arg)
{
	const uint32_t n = STATIONS_SETS * STATIONS_WAYS;

	__atomic_store_n(&s->told, 0, __ATOMIC_SEQ_CST);
	for (uint32_t looked = 0; looked < n; looked++) {
		uint32_t i = *from % n;
		uint64_t name;
		uint8_t mac[6];

		if (!most)
			return true;
		*from = i + 1;
		if (!take_news(&s->station[i / STATIONS_WAYS][i % STATIONS_WAYS], since_ns, &name))
			continue;
		for (uint32_t j = 0; j < 6; j++)
			mac[j] = (uint8_t)(name >> 8 * j);
		each(arg, mac, (uint16_t)(name >> 48 & 0xfff));
		most--;
	}
	return false;
}

void stations_forget(struct stations *s, const uint8_t mac[6], uint16_t vlan)
{
	uint64_t name = name_of(mac, vlan);
	struct station *set = set_of(s, name);

	for (uint32_t i = 0; i < STATIONS_WAYS; i++) {
		uint64_t found = __atomic_load_n(&set[i].name, __ATOMIC_RELAXED);

		if ((found & ~STATION_NEW) == name) /* if it fails, another took its room */
			__atomic_compare_exchange_n(&set[i].name, &found, 0, false, __ATOMIC_SEQ_CST,
						    __ATOMIC_RELAXED);
	}
}

/* ---- behind the NIC ---- */

bool stations_is_behind(const struct stations_behind *b, const uint8_t mac[6], uint16_t vlan)
{
	uint64_t name = name_of(mac, vlan);
	const uint64_t *line = b->name[set_number(name)];

	for (uint32_t i = 0; i < STATIONS_LINE; i++)
		if (__atomic_load_n(&line[i], __ATOMIC_RELAXED) == name)
			return name != 0;
	return false;
}

void stations_nobody_behind(struct stations_behind *b)
{
	for (uint32_t i = 0; i < STATIONS_SETS * STATIONS_LINE; i++)
		__atomic_store_n(&b->name[i / STATIONS_LINE][i % STATIONS_LINE], 0, __ATOMIC_RELAXED);
}

void stations_take(struct stations_behind *b, const uint8_t mac[6], uint16_t vlan)
{
	uint64_t name = name_of(mac, vlan), *line = b->name[set_number(name)];

	for (uint32_t i = 0; i < STATIONS_LINE; i++)
		if (line[i] == name)
			__atomic_store_n(&line[i], 0, __ATOMIC_RELAXED);
}

void stations_put(struct stations_behind *b, const uint8_t mac[6], uint16_t vlan)
{
	uint64_t name = name_of(mac, vlan), *line = b->name[set_number(name)];

	if (mac[0] & 1 || stations_is_behind(b, mac, vlan))
		return;
	for (uint32_t i = 0; i < STATIONS_LINE; i++) {
		if (line[i])
			continue;
		__atomic_store_n(&line[i], name, __ATOMIC_RELAXED);
		return;
	}
}
