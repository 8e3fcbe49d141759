/* SPDX-License-Identifier: MIT */
/*
 * Rank 89: asking vifd: one JSON object a line over its unix socket (vifctl(8)).
 */
#ifndef VIF_CLIENT_H
#define VIF_CLIENT_H

#include <jansson.h>

#define CLIENT_DEFAULT_SOCKET "/run/vifd/vifd.sock"

/* Asks, waiting up to 10 s for it to answer. Takes the request: {"command": ..., ...}. Returns the answer, a
 * new object, whatever it says; or NULL with the reason in why. */
json_t *client_ask(const char *socket_path, json_t *request, char *why, size_t why_size);

#endif
