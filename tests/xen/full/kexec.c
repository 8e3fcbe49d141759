/* SPDX-License-Identifier: MIT */
/*
 * In a guest: starts another kernel in place of the running one, as kexec -s -e and
 * kexec -s -p do (kexec-tools would need its libraries there).
 *
 *	kexec now KERNEL RAMDISK COMMAND-LINE		at once, devices shut down
 *	kexec on-panic KERNEL RAMDISK COMMAND-LINE	when this one panics (kdump)
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kexec.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

static int load(char *const what[], unsigned long flags)
{
	int kernel = open(what[0], O_RDONLY), ramdisk = open(what[1], O_RDONLY);

	if (kernel < 0 || ramdisk < 0)
		return -errno;
	if (syscall(SYS_kexec_file_load, kernel, ramdisk, strlen(what[2]) + 1, what[2], flags) < 0)
		return -errno;
	return 0;
}

int main(int argc, char *argv[])
{
	int err = -EINVAL;

	if (argc == 5 && strcmp(argv[1], "on-panic") == 0) {
		err = load(argv + 2, KEXEC_FILE_ON_CRASH);
	} else if (argc == 5 && strcmp(argv[1], "now") == 0) {
		err = load(argv + 2, 0);
		if (!err && reboot(RB_KEXEC) < 0)
			err = -errno;
	}
	if (err)
		fprintf(stderr, "kexec: %s\n", strerror(-err));
	return err != 0;
}
