/* SPDX-License-Identifier: MIT */
/*
 * Rank 8: what the operator is told, as JSON. The schema is vifctl(8)'s promise.
 */
#ifndef VIF_CONTROL_VIEW_H
#define VIF_CONTROL_VIEW_H

#include <jansson.h>

/* Answers one request; ctx is the struct control. Never NULL. */
json_t *view_answer(void *ctx, const json_t *request);

#endif
