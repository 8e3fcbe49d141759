/* SPDX-License-Identifier: MIT */
/*
 * The driver of the lab's NIC, where a driver can be put without a kernel module: in front
 * of ioctl(). Loaded (LD_PRELOAD) into programs that configure the NIC, vifd or ethtool(8),
 * it carries out SIOCETHTOOL on that device's registers where the kernel's veth would say
 * that it has none; all else goes to the kernel. The registers are a map of the switch's BPF
 * program (nic_switch.bpf.c), and stay when the program that set them ends, as a device's do.
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/lab/nic_driver.h"

int ioctl(int fd, unsigned long request, ...);

static struct nic_table *registers(void)
{
	static struct nic_table *table;
	const char *path = getenv("VIF_LAB_NIC_TABLE");
	union bpf_attr attr;
	void *map;
	int fd;

	if (table || !path)
		return table;
	memset(&attr, 0, sizeof(attr));
	attr.pathname = (uintptr_t)path;
	fd = (int)syscall(SYS_bpf, BPF_OBJ_GET, &attr, sizeof(attr));
	if (fd < 0)
		return NULL;
	map = mmap(NULL, sizeof(*table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map != MAP_FAILED)
		table = map;
	return table;
}

/* The flag is the NIC's, the others veth's. */
static int flags(struct nic_table *t, int fd, struct ifreq *req)
{
	struct ethtool_value *v = (void *)req->ifr_data;
	__u32 wanted = v->data;
	int rc;

	v->data &= ~(__u32)ETH_FLAG_NTUPLE;
	rc = (int)syscall(SYS_ioctl, fd, SIOCETHTOOL, req);
	if (!rc && v->cmd == ETHTOOL_SFLAGS)
		t->flags = wanted & ETH_FLAG_NTUPLE;
	else if (!rc)
		v->data |= t->flags;
	return rc;
}

/* As a driver is a device's, whatever its name is by now: the one that was first seen under its
 * name, until that is gone. */
static bool is_nic(const char *name)
{
	static unsigned int ifindex;
	const char *nic = getenv("VIF_LAB_NIC_DEVICE");
	unsigned int there;
	char now[IF_NAMESIZE];

	if (!nic)
		return false;
	there = if_nametoindex(nic);
	if (there && (!ifindex || !if_indextoname(ifindex, now)))
		ifindex = there;
	return ifindex && if_nametoindex(name) == ifindex;
}

static int ethtool(int fd, struct ifreq *req)
{
	struct nic_table *t = NULL;
	__u32 cmd;
	int rc;

	if (is_nic(req->ifr_name))
		t = registers();
	if (!t)
		return (int)syscall(SYS_ioctl, fd, SIOCETHTOOL, req);
	memcpy(&cmd, req->ifr_data, sizeof(cmd));
	if (cmd == ETHTOOL_GFLAGS || cmd == ETHTOOL_SFLAGS)
		return flags(t, fd, req);
	rc = nic_driver_command(t, req->ifr_data);
	if (rc > 0)
		return (int)syscall(SYS_ioctl, fd, SIOCETHTOOL, req);
	if (!rc)
		return 0;
	errno = -rc;
	return -1;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *argument;

	va_start(args, request);
	argument = va_arg(args, void *);
	va_end(args);
	if (request == SIOCETHTOOL)
		return ethtool(fd, argument);
	return (int)syscall(SYS_ioctl, fd, request, argument);
}
