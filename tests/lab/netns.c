/* SPDX-License-Identifier: MIT */
/*
 * Network namespaces by name, and the lab's private file systems; see netns.h.
 */
#include <err.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "netns.h"
#include "nic_switch.h"
#include "process.h"

#define NETNS_DIR "/run/netns"

static struct lab_name netns_path(const char *name)
{
	struct lab_name path;

	snprintf(path.s, sizeof(path.s), NETNS_DIR "/%.40s", name);
	return path;
}

static int bind_name(const char *from, const char *name)
{
	struct lab_name path = netns_path(name);
	int fd, err;

	if (mkdir(NETNS_DIR, 0755) && errno != EEXIST)
		return -errno;
	fd = open(path.s, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	close(fd);
	if (!mount(from, path.s, NULL, MS_BIND, NULL))
		return 0;
	err = -errno;
	unlink(path.s);
	return err;
}

/* Makes a network namespace of that name; the caller is in it afterwards. -EEXIST. */
static int create(const char *name)
{
	if (unshare(CLONE_NEWNET))
		return -errno;
	return bind_name("/proc/self/ns/net", name);
}

/* Names the namespace 'fd' in this mount namespace's /run/netns. */
static int adopt(int fd, const char *name)
{
	char from[64];

	snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
	return bind_name(from, name);
}

void netns_remove(const char *name)
{
	struct lab_name path = netns_path(name);

	umount2(path.s, MNT_DETACH);
	unlink(path.s);
}

bool netns_exists(const char *name)
{
	return !access(netns_path(name).s, F_OK);
}

/* A descriptor of the namespace, or -errno. */
static int open_named(const char *name)
{
	int fd = open(netns_path(name).s, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* Of the caller's network namespace. One that this kernel lacks is no loss. */
static void write_sysctl(const char *key, const char *value)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/%s", key);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, value, strlen(value)) < 0)
		warn("%s", path);
	close(fd);
}

/* dom0 only forwards: without IPv6 of its own its devices send nothing. */
static void quieten_dom0(void)
{
	write_sysctl("ipv6/conf/all/disable_ipv6", "1");
	write_sysctl("ipv6/conf/default/disable_ipv6", "1");
}

/* Hosts' addresses work at once, and they look for no router. */
static void quieten_host(void)
{
	write_sysctl("ipv6/conf/default/accept_dad", "0");
	write_sysctl("ipv6/conf/default/dad_transmits", "0");
	write_sysctl("ipv6/conf/default/accept_ra", "0");
	write_sysctl("ipv6/conf/default/router_solicitations", "0");
}

static int create_named(struct lab_name name, void (*quieten)(void))
{
	int err = create(name.s);

	if (err)
		warnx("network namespace %s: %s", name.s, strerror(-err));
	else
		quieten();
	return err;
}

int netns_create_lab(const struct lab *lab)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int err;

	if (home < 0)
		return -errno;
	err = create_named(lab_dom0(lab), quieten_dom0);
	if (!err)
		err = create_named(lab_wire(lab), quieten_host);
	for (uint32_t i = 1; i <= lab->n_guests && !err; i++)
		err = create_named(lab_guest(lab, i), quieten_host);
	if (setns(home, CLONE_NEWNET) && !err)
		err = -errno;
	close(home);
	return err;
}

/* Other labs' names, copied with the mount namespace, would keep their networks alive. */
static void drop_copied_names(void)
{
	char *line = NULL, dir[PATH_MAX], type[32];
	size_t size = 0;
	FILE *f = fopen("/proc/self/mounts", "re");

	while (f && getline(&line, &size, f) > 0)
		if (sscanf(line, "%*s %4095s %31s", dir, type) == 2 && !strcmp(type, "nsfs"))
			umount2(dir, MNT_DETACH);
	free(line);
	if (f)
		fclose(f);
}

static int mount_or_say(const char *from, const char *to, const char *type, unsigned long flags,
			const char *data)
{
	int err;

	if (!mount(from, to, type, flags, data))
		return 0;
	err = -errno;
	warn("mounting %s on %s", from, to);
	return err;
}

/* What programs that expect a booted system find in the lab's own /run. */
static int fill_run(void)
{
	static const struct {
		const char *path;
		mode_t mode;
	} dirs[] = {
		{ "/run/lock", 01777 }, { NETNS_DIR, 0755 },   { LAB_DIR, 0755 },
		{ LAB_LOGS, 0755 },	{ LAB_PIDS, 0755 },    { LAB_STORE, 0755 },
		{ "/run/xen", 0755 },	{ "/run/vifd", 0755 }, { LAB_LOGS "/xen", 0755 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		if ((mkdir(dirs[i].path, 0755) && errno != EEXIST) ||
		    chmod(dirs[i].path, dirs[i].mode)) {
			warn("%s", dirs[i].path);
			return -errno;
		}
	}
	return 0;
}

/* The datapath's user is this lab's alone: what it pins of memory counts together, and a limit is
 * what a machine's labs would have to share. */
static int make_user(void)
{
	static const char path[] = LAB_DIR "/passwd";
	FILE *from = fopen("/etc/passwd", "re"), *to = fopen(path, "we");
	char line[1024];
	struct stat ns;
	int err = 0;

	if (!from || !to || stat("/proc/self/ns/mnt", &ns) ||
	    fprintf(to, "nobody:x:%u:65534::/nonexistent:/usr/sbin/nologin\n",
		    1000000000 + (unsigned)(ns.st_ino % 1000000000)) < 0)
		err = -errno;
	while (!err && fgets(line, sizeof(line), from))
		fputs(line, to);
	if (from)
		fclose(from);
	if (to && fclose(to) && !err)
		err = -errno;
	if (err)
		warnx("%s: %s", path, strerror(-err));
	return err ? err : mount_or_say(path, "/etc/passwd", NULL, MS_BIND, NULL);
}

static int mount_private(void)
{
	int err = mount_or_say("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);

	if (!err)
		err = mount_or_say("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	if (!err)
		err =
		    mount_or_say("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	if (err)
		return err;
	drop_copied_names();
	err = mount_or_say("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755");
	if (!err)
		err = fill_run();
	if (!err)
		err = make_user();
	/* vif-bridge says what it does in /var/log/xen/xen-hotplug.log */
	if (!err)
		err = mount_or_say(LAB_LOGS "/xen", "/var/log/xen", NULL, MS_BIND, NULL);
	if (!err && !access("/var/lib/xenstored", F_OK))
		err = mount_or_say("tmpfs", "/var/lib/xenstored", "tmpfs", MS_NOSUID | MS_NODEV,
				   "mode=0755");
	return err;
}

int netns_enter_lab(const struct lab *lab)
{
	uint32_t n_names = lab->n_guests + 2;
	struct lab_name name[LAB_GUESTS_MAX + 2];
	int fd[LAB_GUESTS_MAX + 2];
	int err = 0;

	name[0] = lab_dom0(lab);
	name[1] = lab_wire(lab);
	for (uint32_t i = 1; i <= lab->n_guests; i++)
		name[1 + i] = lab_guest(lab, i);
	for (uint32_t i = 0; i < n_names; i++) {
		fd[i] = open_named(name[i].s);
		if (fd[i] < 0)
			err = fd[i];
	}
	if (!err && (setns(fd[0], CLONE_NEWNET) || unshare(CLONE_NEWNS)))
		err = -errno;
	if (err)
		warnx("entering the lab's namespaces: %s", strerror(-err));
	else
		err = mount_private();
	for (uint32_t i = 0; i < n_names; i++) {
		if (!err)
			err = adopt(fd[i], name[i].s);
		if (fd[i] >= 0)
			close(fd[i]);
	}
	return err;
}

static int ip_batch(const char *netns, const char *commands)
{
	const char *const here[] = { "ip", "-batch", "-", NULL };
	const char *const there[] = { "ip", "-netns", netns, "-batch", "-", NULL };
	int status = process_run(netns ? there : here, commands, 10000);

	if (status < 0)
		warnx("ip: %s", strerror(-status));
	else if (status)
		warnx("ip could not set up the lab's network");
	return status < 0 ? status : status ? -EIO : 0;
}

/* Runs act() in the named namespace; its error. */
static int in_netns(const struct lab *lab, const char *name, int (*act)(const struct lab *lab))
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), fd = open_named(name), err = 0;

	if (home < 0 || fd < 0 || setns(fd, CLONE_NEWNET))
		err = -errno;
	else
		err = act(lab);
	if (home >= 0 && setns(home, CLONE_NEWNET) && !err)
		err = -errno;
	if (fd >= 0)
		close(fd);
	if (home >= 0)
		close(home);
	return err;
}

/* What comes out of a real wire has its checksums and fits its MTU; AF_XDP has no words
 * for what does not. */
static int finish_frames(const struct lab *lab)
{
	struct ethtool_value off = { .cmd = ETHTOOL_STXCSUM };
	struct ifreq req = { .ifr_name = "eth0", .ifr_data = (void *)&off };
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)lab;
	if (s < 0 || ioctl(s, SIOCETHTOOL, &req))
		warn("taking the wire's checksum offload away");
	if (s >= 0)
		close(s);
	return 0;
}

/* ---- a NIC with filters of its own ---- */

/* In this mount namespace only: nobody outside asks for it. */
static int create_switch(const struct lab *lab)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int err = home < 0 ? -errno : create_named(lab_switch(lab), quieten_dom0);

	if (home >= 0 && setns(home, CLONE_NEWNET) && !err)
		err = -errno;
	if (home >= 0)
		close(home);
	return err;
}

/* Once dom0 has the NIC, whose other end is nic0. */
static int configure_switch(const struct lab *lab)
{
	char commands[512];
	int err;

	snprintf(commands, sizeof(commands),
		 "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n"
		 "link add wire0 type veth peer name eth0 netns %s\n"
		 "link set wire0 master br0\n"
		 "link set nic0 master br0\n"
		 "link set wire0 up\n"
		 "link set nic0 up\n"
		 "link set br0 up\n",
		 lab_wire(lab).s);
	err = ip_batch(lab_switch(lab).s, commands);
	return err ? err : in_netns(lab, lab_switch(lab).s, nic_switch_start);
}

/* ---- dom0 and the wire ---- */

/* What 'ip link add' is told of the wire's end in dom0, and of its peer. */
static void print_cable(const struct lab *lab, char *out, size_t size)
{
	uint32_t n = nic_switch_n_queues(lab);

	if (lab_has_switch(lab))
		snprintf(out, size,
			 "numrxqueues %u numtxqueues %u type veth peer name nic0 numrxqueues %u "
			 "numtxqueues %u netns %s",
			 n, n, n, n, lab_switch(lab).s);
	else
		snprintf(out, size, "type veth peer name eth0 netns %s", lab_wire(lab).s);
}

static int configure_dom0(const struct lab *lab)
{
	struct lab_name bridge = lab_bridge(lab), cable = lab_cable(lab), uplink = lab_uplink(lab);
	bool model = lab->mq && lab->model_nic;
	char commands[1024], ends[256];

	print_cable(lab, ends, sizeof(ends));
	snprintf(commands, sizeof(commands),
		 "link set lo up\n"
		 "link add %s type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n"
		 "link add %s %s\n"
		 "link set %s up\n"
		 "%s%s%s"
		 "link set %s master %s\n"
		 "link set %s up\n"
		 "link set %s up\n",
		 bridge.s, cable.s, ends, cable.s, model ? "tuntap add dev " : "",
		 model ? uplink.s : "", model ? " mode tap\n" : "", uplink.s, bridge.s, uplink.s,
		 bridge.s);
	return ip_batch(NULL, commands);
}

int netns_configure(const struct lab *lab)
{
	const char *wire_commands = "link set lo up\n"
				    "link set eth0 up\n"
				    "addr add 10.77.0.1/24 dev eth0\n"
				    "addr add fd77::1/64 dev eth0 nodad\n";
	struct lab_name wire = lab_wire(lab);
	int err = lab_has_switch(lab) ? create_switch(lab) : 0;

	if (!err)
		err = configure_dom0(lab);
	if (!err && lab_has_switch(lab))
		err = configure_switch(lab);
	if (!err)
		err = ip_batch(wire.s, wire_commands);
	return err || !lab->mq ? err : in_netns(lab, wire.s, finish_frames);
}
