/* SPDX-License-Identifier: MIT */
/* See sandbox.h. */
#include "sandbox.h"

#include <cap-ng.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static int change_user(uint32_t uid, uint32_t gid)
{
	if (geteuid() != 0)
		return 0;
	if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
		return -errno;
	return 0;
}

static int drop_capabilities(void)
{
	capng_clear(CAPNG_SELECT_BOTH);
	/* The bounding set needs CAP_SETPCAP, which a change of user has already taken: then
	 * no_new_privs keeps it from mattering. */
	if (capng_apply(CAPNG_SELECT_CAPS))
		return -EPERM;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;
}

int sandbox_enter(uint32_t uid, uint32_t gid, char *why, size_t why_size)
{
	int err = change_user(uid, gid);

	if (err) {
		snprintf(why, why_size, "becoming uid %u gid %u: %s", uid, gid, strerror(-err));
		return err;
	}
	err = drop_capabilities();
	if (err)
		snprintf(why, why_size, "dropping capabilities: %s", strerror(-err));
	return err;
}
