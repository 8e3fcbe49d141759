/* SPDX-License-Identifier: MIT */
/* See nic_switch.h. */
#include "nic_switch.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <err.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lab/nic_driver.h"

#define BPF_DIR LAB_DIR "/bpf"

/* It has more than the guests': there is something to spread over, and an operator's rules. */
static uint32_t n_rules(const struct lab *lab)
{
	return (lab->n_filters ? lab->n_filters : 3) + 2;
}

uint32_t nic_switch_n_queues(const struct lab *lab)
{
	return n_rules(lab) + 3;
}

/* A NIC hands over tags within frames, too. */
static int keep_tags(const char *device)
{
	struct ethtool_value flags = { .cmd = ETHTOOL_GFLAGS };
	struct ifreq req = { .ifr_data = (void *)&flags };
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", device);
	if (s < 0 || ioctl(s, SIOCETHTOOL, &req))
		err = -errno;
	flags.cmd = ETHTOOL_SFLAGS;
	flags.data &= ~(uint32_t)ETH_FLAG_TXVLAN;
	if (!err && ioctl(s, SIOCETHTOOL, &req))
		err = -errno;
	if (s >= 0)
		close(s);
	return err;
}

static int mount_bpf(void)
{
	if ((mkdir(BPF_DIR, 0700) && errno != EEXIST) ||
	    mount("bpf", BPF_DIR, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700"))
		return -errno;
	return 0;
}

static int set_registers(int map, uint32_t n_queues, uint32_t n_rules)
{
	struct nic_table table;
	uint32_t zero = 0;

	nic_driver_init(&table, n_queues, n_rules);
	return bpf_map_update_elem(map, &zero, &table, BPF_ANY);
}

static int attach(int program, const char *device)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)if_nametoindex(device),
		    .attach_point = BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = program);
	int err = bpf_tc_hook_create(&hook);

	return err ? err : bpf_tc_attach(&hook, &opts);
}

static int start(const struct lab *lab, const char *device)
{
	char path[PATH_MAX];
	struct bpf_object *object;
	int map, program, err = keep_tags(device);

	if (!err)
		err = mount_bpf();
	if (err)
		return err;
	snprintf(path, sizeof(path), "%s/lab-nic.bpf.o", lab->bin_dir);
	object = bpf_object__open_file(path, NULL);
	if (!object)
		return -errno;
	err = bpf_object__load(object);
	map = err ? -1 : bpf_object__find_map_fd_by_name(object, "nic_table");
	if (!err)
		err = set_registers(map, nic_switch_n_queues(lab), n_rules(lab));
	if (!err)
		err = bpf_obj_pin(map, NIC_SWITCH_TABLE);
	program =
	    err ? -1 : bpf_program__fd(bpf_object__find_program_by_name(object, "nic_switch"));
	if (!err)
		err = bpf_obj_pin(program, NIC_SWITCH_PROGRAM);
	if (!err)
		err = attach(program, device);
	bpf_object__close(object); /* the kernel keeps both */
	return err;
}

int nic_switch_start(const struct lab *lab)
{
	int err = start(lab, "nic0");

	if (err)
		warnx("starting the NIC's switch: %s", strerror(-err));
	return err;
}

/* The .so is not instrumented, and is loaded before what is. */
static void tolerated_by_asan(void)
{
#ifdef __SANITIZE_ADDRESS__
	const char *options = getenv("ASAN_OPTIONS");
	char text[PATH_MAX];

	snprintf(text, sizeof(text), "verify_asan_link_order=0:%s", options ? options : "");
	setenv("ASAN_OPTIONS", text, 1);
#endif
}

void nic_switch_preload(const struct lab *lab, bool on)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/lab-nic.so", lab->bin_dir);
	if (on) {
		tolerated_by_asan();
		setenv("LD_PRELOAD", path, 1);
	} else {
		unsetenv("LD_PRELOAD");
	}
}
