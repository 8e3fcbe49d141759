/* SPDX-License-Identifier: MIT */
/*
 * The commands of a running vif-guest (commands.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend-compat/commands.h"
#include "frontend-compat/stats.h"

/* Linux include/xen/interface/io/netif.h XEN_NETIF_MAX_XDP_HEADROOM */
#define HEADROOM_MAX 0x7fff

int commands_open(struct commands *c, const char *path, struct netfront *nf, uint32_t n_queues_max)
{
	*c = (struct commands){ .nf = nf, .n_queues_max = n_queues_max };
	return remote_open(&c->remote, path);
}

void commands_close(struct commands *c)
{
	remote_close(&c->remote);
}

int commands_fd(const struct commands *c)
{
	return c->wait ? -1 : remote_fd(&c->remote);
}

static bool take_connect(struct commands *c, char *words)
{
	struct frontend_choice choice = c->nf->config.choice;
	const char *wrong = remote_parse_choice(words, c->n_queues_max, &choice);
	char text[REMOTE_LINE_MAX];

	if (wrong) {
		snprintf(text, sizeof(text),
			 "error: %.100s: connect takes frontend=NAME, queues=1..%u and without=LIST, "
			 "as vif-guest(1) has them", wrong, c->n_queues_max);
		remote_say(&c->remote, text);
		return false;
	}
	netfront_choose(c->nf, &choice);
	netfront_restart(c->nf);
	c->wait = COMMAND_CONNECT;
	return true;
}

static bool take_headroom(struct commands *c, char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || n > HEADROOM_MAX) {
		remote_say(&c->remote, "error: headroom takes 0..32767");
		return false;
	}
	if (netfront_set_headroom(c->nf, (uint16_t)n) < 0) {
		remote_say(&c->remote, "error: the backend offers no headroom");
		return false;
	}
	c->wait = COMMAND_HEADROOM;
	return true;
}

static bool take_stats(struct commands *c, char *text)
{
	(void)text;
	(void)!stats_write(c->nf, c->remote.client); /* whoever asked is gone if it fails */
	return false;
}

bool commands_take(struct commands *c)
{
	static const struct {
		const char *word;
		bool (*take)(struct commands *c, char *arguments);
	} commands[] = {
		{ "connect", take_connect },
		{ "headroom", take_headroom },
		{ "stats", take_stats },
	};
	char *line = remote_take(&c->remote), *rest;
	size_t size;

	if (!line)
		return false;
	size = strcspn(line, " ");
	rest = line + size + (line[size] == ' ');
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strlen(commands[i].word) == size && !strncmp(commands[i].word, line, size))
			return commands[i].take(c, rest);
	remote_say(&c->remote, "error: the commands are connect, headroom and stats");
	return false;
}

/* NULL: it is not done yet. */
static const char *answer(const struct commands *c)
{
	const struct bus_situation *s = &c->nf->bus;

	switch (c->wait) {
	case COMMAND_CONNECT:
		if (s->restarting)
			return NULL;
		if (netfront_is_connected(c->nf))
			return "ok";
		return s->failed ? "error: could not connect, the log says why" : NULL;
	case COMMAND_HEADROOM:
		if (s->reconfiguring || s->ours == XenbusStateReconfiguring)
			return NULL;
		return s->ours == XenbusStateConnected ? "ok" : "error: disconnected";
	case COMMAND_NONE:
		break;
	}
	return NULL;
}

void commands_follow(struct commands *c)
{
	const char *text = answer(c);

	if (!text)
		return;
	remote_say(&c->remote, text);
	c->wait = COMMAND_NONE;
}
