/* SPDX-License-Identifier: MIT */
/*
 * The host's record of a lab and its locks; see record.h.
 *
 * Records are made and removed under one lock, and the names a record speaks of
 * before the record itself: while it is in its place its names are its lab's.
 */
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "netns.h"
#include "record.h"

#define RECORD_TEXT_MAX 512

static void record_path(const char *name, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, LAB_DIR "/%s", name);
}

static struct flock byte_of(enum record_role role, short type)
{
	return (struct flock){ .l_type = type, .l_whence = SEEK_SET, .l_start = role, .l_len = 1 };
}

static int take_byte(int fd, enum record_role role)
{
	struct flock lock = byte_of(role, F_WRLCK);

	if (fcntl(fd, F_SETLK, &lock))
		return errno == EACCES || errno == EAGAIN ? -EBUSY : -errno;
	return 0;
}

int record_join(const char *name, enum record_role role)
{
	char path[PATH_MAX];
	int fd, err;

	record_path(name, path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = take_byte(fd, role);
	if (!err)
		return fd;
	close(fd);
	return err;
}

/* The process id of the role's holder, 0 if there is none. */
static pid_t holder_pid(int fd, enum record_role role)
{
	struct flock lock = byte_of(role, F_WRLCK);

	if (fcntl(fd, F_GETLK, &lock) || lock.l_type == F_UNLCK)
		return 0;
	return lock.l_pid;
}

static bool record_is_held(int fd)
{
	return holder_pid(fd, RECORD_USER) || holder_pid(fd, RECORD_JANITOR) ||
	       holder_pid(fd, RECORD_INIT);
}

/* One at a time makes or removes records: flock of /run itself, which always is there. */
static int lock_records(void)
{
	int fd = open("/run", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0 && !flock(fd, LOCK_EX))
		return fd;
	err(LAB_EXIT_FAILED, "/run");
}

static int holder_locked(int fd, enum record_role role)
{
	pid_t pid = holder_pid(fd, role);
	int pidfd;

	if (!pid)
		return -ESRCH;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return -errno;
	/* Still the holder: then the id was not another process' in between. */
	if (holder_pid(fd, role) != pid) {
		close(pidfd);
		return -ESRCH;
	}
	return pidfd;
}

int record_holder(int fd, enum record_role role)
{
	/* Whoever takes a byte for the length of a sweep does not count. */
	int lock = lock_records();
	int pidfd = holder_locked(fd, role);

	close(lock);
	return pidfd;
}

/* Reads the record's text: a line for each of the lab's words, its key and its value. */
static int record_read(int fd, const char *name, struct lab *lab)
{
	char text[RECORD_TEXT_MAX];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	int err = lab_defaults(lab);
	char *rest = text, *line;
	uint32_t n_words = 0;

	if (err)
		return err;
	if (n < 0)
		return -errno;
	text[n] = '\0';
	snprintf(lab->name, sizeof(lab->name), "%s", name);
	while ((line = strsep(&rest, "\n")) && *line) {
		const char *key = strsep(&line, " ");

		if (!line || !lab_take_word(lab, key, line))
			return -EINVAL;
		n_words++;
	}
	return n_words == LAB_WORDS ? 0 : -EINVAL; /* else it is just being made */
}

static void sweep_locked(int fd, const char *name)
{
	struct stat here, there;
	struct lab lab;
	char path[PATH_MAX];

	record_path(name, path);
	if (fstat(fd, &here) || stat(path, &there) || here.st_ino != there.st_ino)
		return; /* swept already, and the name may be another's now */
	if (!record_read(fd, name, &lab)) {
		for (uint32_t i = 1; i <= lab.n_guests; i++)
			netns_remove(lab_guest(&lab, i).s);
		netns_remove(lab_wire(&lab).s);
		netns_remove(lab_dom0(&lab).s);
	}
	unlink(path);
	rmdir(LAB_DIR);
}

void record_sweep(int fd, const char *name)
{
	int lock = lock_records();

	sweep_locked(fd, name);
	close(lock);
}

/* Opens a record no other process holds, with the janitor's byte in hand: descriptor,
 * -EBUSY or -errno. */
static int record_grab(const char *name, int flags)
{
	char path[PATH_MAX];
	int fd, err;

	if (flags & O_CREAT && mkdir(LAB_DIR, 0755) && errno != EEXIST)
		return -errno;
	record_path(name, path);
	fd = open(path, O_RDWR | O_CLOEXEC | flags, 0644);
	if (fd < 0)
		return -errno;
	err = take_byte(fd, RECORD_JANITOR);
	if (!err && (holder_pid(fd, RECORD_USER) || holder_pid(fd, RECORD_INIT)))
		err = -EBUSY;
	if (!err)
		return fd;
	close(fd);
	return err;
}

static int check_names_free(const struct lab *lab)
{
	struct lab_name n = lab_dom0(lab);

	for (uint32_t i = 0; !netns_exists(n.s); i++) {
		if (i > lab->n_guests)
			return 0;
		n = i ? lab_guest(lab, i) : lab_wire(lab);
	}
	warnx("the network namespace %s exists, and no lab made it: choose another --name, or "
	      "remove it with 'ip netns delete %s'",
	      n.s, n.s);
	return -EEXIST;
}

static int record_write(int fd, const struct lab *lab)
{
	struct lab_word words[LAB_WORDS];

	lab_words(lab, words);
	for (uint32_t i = 0; i < LAB_WORDS; i++)
		if (dprintf(fd, "%s %s\n", words[i].key, words[i].value) < 0)
			return -EIO;
	return 0;
}

static int create_locked(const struct lab *lab)
{
	int fd = record_grab(lab->name, O_CREAT), err;

	if (fd < 0)
		return fd;
	sweep_locked(fd, lab->name); /* what a dead lab of the name left */
	close(fd);
	err = check_names_free(lab);
	if (err)
		return err;
	fd = record_grab(lab->name, O_CREAT);
	if (fd >= 0 && record_write(fd, lab)) {
		sweep_locked(fd, lab->name);
		close(fd);
		return -EIO;
	}
	return fd;
}

int record_create(const struct lab *lab)
{
	int lock = lock_records();
	int fd = create_locked(lab);

	close(lock);
	if (fd == -EBUSY)
		warnx("a lab named %s runs already: choose another --name, or end it with "
		      "'vif-lab stop --name %s'",
		      lab->name, lab->name);
	else if (fd < 0 && fd != -EEXIST)
		warnx("%s: %s", LAB_DIR, strerror(-fd));
	return fd;
}

int record_open(const char *name, struct lab *lab)
{
	char path[PATH_MAX];
	int fd, err, lock = lock_records();

	record_path(name, path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	err = fd < 0 ? -errno : record_is_held(fd) ? record_read(fd, name, lab) : -ENOENT;
	close(lock);
	if (fd < 0)
		return err;
	if (!err)
		return fd;
	close(fd);
	return err;
}

static void each_name(void (*visit)(const char *name, void *arg), void *arg)
{
	DIR *dir = opendir(LAB_DIR);
	struct dirent *e;

	if (!dir)
		return;
	while ((e = readdir(dir)))
		if (lab_name_valid(e->d_name))
			visit(e->d_name, arg);
	closedir(dir);
}

static void sweep_if_dead(const char *name, void *arg)
{
	int fd = record_grab(name, 0);

	(void)arg;
	if (fd < 0)
		return;
	sweep_locked(fd, name);
	close(fd);
}

void record_sweep_dead(void)
{
	int lock = lock_records();

	each_name(sweep_if_dead, NULL);
	close(lock);
}

struct visitor {
	void (*visit)(const struct lab *lab, pid_t user, pid_t init);
};

static void visit_if_alive(const char *name, void *arg)
{
	struct visitor *v = arg;
	struct lab lab;
	int fd = record_open(name, &lab);

	if (fd < 0)
		return;
	v->visit(&lab, holder_pid(fd, RECORD_USER), holder_pid(fd, RECORD_INIT));
	close(fd);
}

void record_each(void (*visit)(const struct lab *lab, pid_t user, pid_t init))
{
	each_name(visit_if_alive, &(struct visitor){ visit });
}
