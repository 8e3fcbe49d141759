/* SPDX-License-Identifier: MIT */
/*
 * hosted-xen xenstored: Debian's own C xenstored, unmodified, on this host.
 *
 * It learns domain 0's event channel and ring page from /proc/xen/xsd_port and
 * xsd_kva, which a Xen kernel provides. Here they are files in a mount namespace
 * of its own: a tmpfs over /proc, the real one beneath it in /proc/real. xsd_kva
 * must be mapped from its first byte, and domain 0's ring is the first page of
 * its memory, so the memory object itself serves, through an inherited
 * descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <libgen.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include "hosted.h"
#include "tool.h"

static int write_file(const char *path, uint32_t value)
{
	FILE *f = fopen(path, "we");

	if (!f)
		return tool_error("%s: %s", path, strerror(errno));
	fprintf(f, "%u\n", value);
	return fclose(f) ? tool_error("%s: %s", path, strerror(errno)) : 0;
}

/* Prepared in the run directory, as the root may be read-only, then moved. */
static int cover_proc(const char *rundir, uint32_t port, int mem_fd)
{
	const char *stage = ".proc";
	char fd_path[64];

	snprintf(fd_path, sizeof(fd_path), "/proc/real/self/fd/%d", mem_fd);
	if (chdir(rundir) || (mkdir(stage, 0700) && errno != EEXIST))
		return tool_error("%s: %s", rundir, strerror(errno));
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return tool_error("no mount namespace (needs root): %s", strerror(errno));
	if (mount("tmpfs", stage, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755,size=64k") ||
	    chdir(stage) || mkdir("real", 0755) || mkdir("xen", 0755) ||
	    mount("/proc", "real", NULL, MS_BIND | MS_REC, NULL) || symlink("real/self", "self") ||
	    symlink(fd_path, "xen/xsd_kva"))
		return tool_error("%s/%s: %s", rundir, stage, strerror(errno));
	if (write_file("xen/xsd_port", port))
		return -1;
	if (mount(".", "/proc", NULL, MS_MOVE, NULL) || chdir("/"))
		return tool_error("/proc: %s", strerror(errno));
	return 0;
}

/* The stand-ins lie in hosted/ beside this program. */
static int set_library_path(void)
{
	char exe[PATH_MAX], path[3 * PATH_MAX];
	const char *old = getenv("LD_LIBRARY_PATH");
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (n < 0)
		return tool_error("/proc/self/exe: %s", strerror(errno));
	exe[n] = '\0';
	snprintf(path, sizeof(path), "%s/hosted%s%s", dirname(exe), old && *old ? ":" : "",
		 old ? old : "");
	return setenv("LD_LIBRARY_PATH", path, 1);
}

static const char *find_xenstored(void)
{
	static char path[PATH_MAX];
	glob_t found;

	if (glob("/usr/lib/xen-*/bin/xenstored", 0, NULL, &found))
		return NULL;
	snprintf(path, sizeof(path), "%s", found.gl_pathv[found.gl_pathc - 1]);
	globfree(&found);
	return path;
}

int tool_xenstored(const char *rundir, char **extra_args)
{
	const char *program = find_xenstored();
	char *argv[32] = { "xenstored", "-N" };
	char absolute[PATH_MAX], host[PATH_MAX];
	uint32_t frame, port;
	int mem_fd, rc, argc = 2;

	if (!program)
		return tool_error("no /usr/lib/xen-*/bin/xenstored: install xen-utils-4.17");
	for (; *extra_args && argc < 31; extra_args++)
		argv[argc++] = *extra_args;
	if (mkdir(rundir, 0755) && errno != EEXIST)
		return tool_error("%s: %s", rundir, strerror(errno));
	if (!realpath(rundir, absolute))
		return tool_error("%s: %s", rundir, strerror(errno));
	if (!realpath(getenv(HOSTED_ENV_DIR), host))
		return tool_error("%s: %s", getenv(HOSTED_ENV_DIR), strerror(errno));
	rc = hosted_store_setup(0, &frame, &port);
	if (rc)
		return tool_error("domain 0 has no xenstore page: %s", strerror(-rc));
	if (frame)
		return tool_error("domain 0's xenstore page is frame %u, not 0", frame);
	mem_fd = hosted_memory_fd(0);
	if (mem_fd < 0)
		return tool_error("domain 0's memory: %s", strerror(-mem_fd));
	fcntl(mem_fd, F_SETFD, 0);
	if (set_library_path() || cover_proc(absolute, port, mem_fd))
		return -1;
	setenv(HOSTED_ENV_DIR, host, 1); /* as the working directory changes */
	setenv("XENSTORED_RUNDIR", absolute, 1);
	setenv(HOSTED_ENV_DOMID, "0", 1);
	execv(program, argv);
	return tool_error("%s: %s", program, strerror(errno));
}
