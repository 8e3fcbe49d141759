/* SPDX-License-Identifier: MIT */
/*
 * What vifd needs around it.
 */
#include "backend/control/environment.h"

#include <cap-ng.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define NETBACK_DRIVER "bus/xen-backend/drivers/vif"

static enum vifd_exit check_privileges(struct environment_error *err)
{
	if (capng_get_caps_process()) {
		snprintf(err->text, sizeof(err->text), "cannot read this process' capabilities");
		return VIFD_EXIT_ENVIRONMENT;
	}
	if (geteuid() || !capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_ADMIN)) {
		snprintf(err->text, sizeof(err->text),
			 "vifd makes network devices and takes guests' grants: it must be started as "
			 "root with CAP_NET_ADMIN (uid is %u%s)", geteuid(),
			 geteuid() ? "" : ", CAP_NET_ADMIN is missing");
		return VIFD_EXIT_ENVIRONMENT;
	}
	return VIFD_EXIT_OK;
}

static enum vifd_exit check_tun(struct environment_error *err)
{
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		snprintf(err->text, sizeof(err->text), "/dev/net/tun: %s: load the module (modprobe tun)%s",
			 strerror(errno), errno == EACCES || errno == EPERM ?
			 ", or let this container have the device" : "");
		return VIFD_EXIT_ENVIRONMENT;
	}
	close(fd);
	return VIFD_EXIT_OK;
}

bool environment_netback(void)
{
	return !access("/sys/" NETBACK_DRIVER, F_OK);
}

static enum vifd_exit check_netback(const char *sys, struct environment_error *err)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", sys, NETBACK_DRIVER);
	if (access(path, F_OK))
		return VIFD_EXIT_OK;
	snprintf(err->text, sizeof(err->text),
		 "the kernel's xen-netback serves the vifs of this domain (%s). To switch to vifd: "
		 "unbind the vifs from it (vifd(8), SWITCHING) or detach them (xl network-detach), then "
		 "'rmmod xen-netback', and keep it from coming back with 'echo install xen-netback "
		 "/bin/false > /etc/modprobe.d/vifd.conf'; a kernel that has it built in needs "
		 "'initcall_blacklist=netback_init' on its command line", path);
	return VIFD_EXIT_NETBACK;
}

enum vifd_exit environment_check(const char *sys, struct environment_error *err)
{
	enum vifd_exit rc = check_privileges(err);

	if (!rc)
		rc = check_tun(err);
	return rc ? rc : check_netback(sys, err);
}

void environment_explain_store(int rc, struct environment_error *err)
{
	const char *path = getenv("XENSTORED_PATH"), *dir = getenv("XENSTORED_RUNDIR");

	snprintf(err->text, sizeof(err->text),
		 "cannot reach xenstored: %s. Looked at %s%s%s, then at /dev/xen/xenbus. Is this a Xen "
		 "domain, and does xenstored run (systemctl status xenstored)? Another place can be "
		 "named with XENSTORED_RUNDIR", strerror(-rc),
		 path ? "$XENSTORED_PATH=" : dir ? "$XENSTORED_RUNDIR=" : "/run/xenstored",
		 path ? path : dir ? dir : "", path ? "" : "/socket");
}

bool environment_tap_nowait(void)
{
	char byte;
	struct iovec iov = { &byte, 1 };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	bool refused;

	if (fd < 0)
		return false;
	/* No device behind it: EBADFD, unless the flag itself is refused first. */
	refused = preadv2(fd, &iov, 1, -1, RWF_NOWAIT) < 0 && errno == EOPNOTSUPP;
	close(fd);
	return !refused;
}

bool environment_stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM"); /* systemd.exec(5): device:inode */
	unsigned long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%lu:%lu", &device, &inode) == 2 &&
	       !fstat(STDERR_FILENO, &st) && st.st_dev == device && st.st_ino == inode;
}
