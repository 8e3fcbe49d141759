/* SPDX-License-Identifier: MIT */
/*
 * The guest's network interface (tap.h).
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "frontend-compat/tap.h"

static int open_queues(struct tap *tap, uint32_t n)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };

	if (n > 1)
		ifr.ifr_flags |= IFF_MULTI_QUEUE;
	memcpy(ifr.ifr_name, tap->name, sizeof(ifr.ifr_name));
	for (uint32_t i = 0; i < n; i++) {
		int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

		if (fd < 0)
			return -errno;
		tap->fd[tap->n_queues++] = fd;
		if (ioctl(fd, TUNSETIFF, &ifr) < 0)
			return -errno;
	}
	return tap_set_carrier(tap, false);
}

static int open_rtnl(struct tap *tap)
{
	tap->rtnl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!tap->rtnl || mnl_socket_bind(tap->rtnl, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	return 0;
}

/* What must be opened inside the namespace. */
static int open_all(struct tap *tap, uint32_t n_queues)
{
	int err = open_queues(tap, n_queues);

	if (err < 0)
		return err;
	tap->ifindex = if_nametoindex(tap->name);
	if (!tap->ifindex)
		return -errno;
	/* it stays the namespace's whoever reads it: proc_net(5) */
	tap->multicast_fd = open("/proc/thread-self/net/dev_mcast", O_RDONLY | O_CLOEXEC);
	return tap->multicast_fd < 0 ? -errno : open_rtnl(tap);
}

static int open_netns(const char *netns)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s%s", strchr(netns, '/') ? "" : "/run/netns/", netns);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static int open_inside(struct tap *tap, const char *netns, uint32_t n_queues)
{
	int home, inside, err;

	if (!netns)
		return open_all(tap, n_queues);
	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (home < 0)
		return -errno;
	inside = open_netns(netns);
	if (inside < 0 || setns(inside, CLONE_NEWNET) < 0) {
		err = -errno;
		log_error(LOG_NOBODY, "network namespace %s: %s", netns, strerror(-err));
	} else {
		err = open_all(tap, n_queues);
		if (setns(home, CLONE_NEWNET) < 0)
			abort(); /* nothing after this would be where it should */
	}
	if (inside >= 0)
		close(inside);
	close(home);
	return err;
}

int tap_open(struct tap *tap, const char *name, const char *netns, uint32_t n_queues)
{
	int err;

	assert(n_queues <= ARRAY_SIZE(tap->fd));
	*tap = (struct tap){ .multicast_fd = -1 };
	if (snprintf(tap->name, sizeof(tap->name), "%s", name) >= (int)sizeof(tap->name)) {
		log_error(LOG_NOBODY, "interface name '%s' is longer than %u characters", name,
			  IFNAMSIZ - 1);
		return -ENAMETOOLONG;
	}
	err = open_inside(tap, netns, n_queues);
	if (err < 0) {
		log_error(LOG_NOBODY, "creating interface %s (/dev/net/tun): %s", name,
			  strerror(-err));
		tap_close(tap);
	}
	return err;
}

void tap_close(struct tap *tap)
{
	if (tap->rtnl)
		mnl_socket_close(tap->rtnl);
	for (uint32_t i = 0; i < tap->n_queues; i++)
		close(tap->fd[i]);
	if (tap->multicast_fd >= 0)
		close(tap->multicast_fd);
	*tap = (struct tap){ 0 };
}

int tap_set_offloads(struct tap *tap, uint32_t features)
{
	/* one switch for both families: netfront finishes those the backend does not take */
	unsigned flags = features & (VIF_CSUM_V4 | VIF_CSUM_V6) ? TUN_F_CSUM : 0;

	if (features & VIF_GSO_TCPV4)
		flags |= TUN_F_TSO4;
	if (features & VIF_GSO_TCPV6)
		flags |= TUN_F_TSO6;
	return ioctl(tap->fd[0], TUNSETOFFLOAD, flags) < 0 ? -errno : 0;
}

int tap_use_queues(struct tap *tap, uint32_t n)
{
	for (uint32_t i = 1; i < tap->n_queues; i++) {
		struct ifreq ifr = { .ifr_flags = i < n ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };

		if (tap->detached[i] == (i >= n))
			continue;
		if (ioctl(tap->fd[i], TUNSETQUEUE, &ifr) < 0)
			return -errno;
		tap->detached[i] = i >= n;
	}
	return 0;
}

int tap_set_carrier(struct tap *tap, bool on)
{
	int value = on;

	return ioctl(tap->fd[0], TUNSETCARRIER, &value) < 0 ? -errno : 0;
}

/* Sends one request and waits for the kernel's answer. */
static int rtnl_ask(struct tap *tap, struct nlmsghdr *request)
{
	char answer[MNL_SOCKET_BUFFER_SIZE];
	ssize_t n;

	request->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	if (mnl_socket_sendto(tap->rtnl, request, request->nlmsg_len) < 0)
		return -errno;
	n = mnl_socket_recvfrom(tap->rtnl, answer, sizeof(answer));
	if (n < 0)
		return -errno;
	return mnl_cb_run(answer, (size_t)n, 0, 0, NULL, NULL) < 0 ? -errno : 0;
}

static struct nlmsghdr *link_request(struct tap *tap, void *buffer, unsigned flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *ifi;

	nlh->nlmsg_type = RTM_NEWLINK;
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = (int)tap->ifindex;
	ifi->ifi_flags = ifi->ifi_change = flags;
	return nlh;
}

int tap_configure(struct tap *tap, const uint8_t mac[6], uint32_t mtu)
{
	char buffer[256];
	struct nlmsghdr *nlh = link_request(tap, buffer, 0);

	mnl_attr_put(nlh, IFLA_ADDRESS, 6, mac);
	mnl_attr_put_u32(nlh, IFLA_MTU, mtu);
	/* netif_set_tso_max_size(netdev, XEN_NETIF_MAX_TX_SIZE) */
	mnl_attr_put_u32(nlh, IFLA_GSO_MAX_SIZE, XEN_NETIF_MAX_TX_SIZE);
	return rtnl_ask(tap, nlh);
}

int tap_up(struct tap *tap)
{
	char buffer[256];

	return rtnl_ask(tap, link_request(tap, buffer, IFF_UP));
}

int tap_address_parse(const char *text, int family, struct tap_address *out)
{
	unsigned long prefix_max = family == AF_INET ? 32 : 128, prefix;
	char address[INET6_ADDRSTRLEN], *end;
	const char *slash = strchr(text, '/');

	if (!slash || (size_t)(slash - text) >= sizeof(address) || slash[1] < '0' || slash[1] > '9')
		return -EINVAL;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = 0;
	prefix = strtoul(slash + 1, &end, 10);
	*out = (struct tap_address){ .family = family, .prefix = (uint8_t)prefix };
	if (*end || prefix > prefix_max || inet_pton(family, address, &out->v6) != 1)
		return -EINVAL;
	return 0;
}

int tap_add_address(struct tap *tap, const struct tap_address *a)
{
	char buffer[256];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	size_t size = a->family == AF_INET ? sizeof(a->v4) : sizeof(a->v6);
	struct ifaddrmsg *ifa;

	nlh->nlmsg_type = RTM_NEWADDR;
	nlh->nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE;
	ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));
	ifa->ifa_family = (uint8_t)a->family;
	ifa->ifa_prefixlen = a->prefix;
	/* usable at once: nobody else in the lab claims it */
	ifa->ifa_flags = a->family == AF_INET6 ? IFA_F_NODAD : 0;
	ifa->ifa_index = tap->ifindex;
	mnl_attr_put(nlh, IFA_LOCAL, size, &a->v6);
	mnl_attr_put(nlh, IFA_ADDRESS, size, &a->v6);
	return rtnl_ask(tap, nlh);
}

/* A line is: ifindex, name, two counts, and the address in hexadecimal digits. */
static bool parse_multicast(const char *line, unsigned ifindex, struct multicast_address *out)
{
	uint8_t *b = out->byte;
	unsigned index;

	return sscanf(line,
		      "%u %*s %*u %*u %2" SCNx8 "%2" SCNx8 "%2" SCNx8 "%2" SCNx8 "%2" SCNx8
		      "%2" SCNx8,
		      &index, &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]) == 7 &&
	       index == ifindex;
}

int tap_multicast(struct tap *tap, struct multicast_address out[], uint32_t n)
{
	struct multicast_address address;
	char text[16384], *line, *save;
	ssize_t size, total = 0;
	int count = 0;

	do {
		size =
		    pread(tap->multicast_fd, text + total, sizeof(text) - 1 - (size_t)total, total);
		if (size < 0)
			return -errno;
		total += size;
	} while (size);
	text[total] = 0;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (!parse_multicast(line, tap->ifindex, &address))
			continue;
		if ((uint32_t)count < n)
			out[count] = address;
		count++;
	}
	return count;
}

static ssize_t tap_take(void *stack, uint32_t queue, const struct iovec iov[], int n)
{
	const struct tap *tap = stack;
	ssize_t size = readv(tap->fd[queue], iov, n);

	return size < 0 ? -errno : size;
}

static ssize_t tap_give(void *stack, uint32_t queue, const struct iovec iov[], int n)
{
	const struct tap *tap = stack;
	ssize_t size = writev(tap->fd[queue], iov, n);

	return size < 0 ? -errno : size;
}

const struct guest_stack_ops tap_stack_ops = { .take = tap_take, .give = tap_give };
