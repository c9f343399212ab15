/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See identity.h. */
#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

/* Of <linux/random.h> and <linux/magic.h>, which are not among the headers of this program's C library. */
#define RANDOM_ADD_ENTROPY _IOW('R', 0x03, int[2])
#define RANDOM_RESEED      _IO('R', 0x07)

enum {
	FUSE_MAGIC = 0x65735546,
	TMPFS_MAGIC = 0x01021994,
	ALL_DONE = 1, /* `status` of the child's last word; COMMAND_NOTE: a note; else it failed */
	FAILED = 125,
	NS_PER_S = 1000000000,
	CLOCK_SLACK_NS = 20000000,
	REPORT_FD = 3,
	FDS_MAX = 4096, /* to be closed on kernels without close_range(2), before Linux 5.9 */
};

static const char etc_id[] = "/etc/machine-id";
static const char dbus_id[] = "/var/lib/dbus/machine-id";

/* The first of each kind is kept. */
struct outcome {
	struct command_failure failure; /* status 0: none */
	char note[sizeof(((struct command_failure *)0)->text)];
};

static void __attribute__((format(printf, 2, 3))) failed(struct outcome *o, const char *fmt, ...)
{
	va_list ap;

	if (o->failure.status)
		return;
	o->failure.status = FAILED;
	va_start(ap, fmt);
	vsnprintf(o->failure.text, sizeof(o->failure.text), fmt, ap);
	va_end(ap);
}

/* ---- random numbers and the clock ---- */

static void add_seed(const struct identity *id, struct outcome *o)
{
	struct {
		int bits;
		int size;
		uint8_t bytes[AGENT_MAX_SEED];
	} pool = {.bits = (int)id->seed_len * 8, .size = (int)id->seed_len};
	int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);

	memcpy(pool.bytes, id->seed, id->seed_len);
	if (fd < 0 || ioctl(fd, RANDOM_ADD_ENTROPY, &pool) < 0)
		failed(o, "random seed: /dev/urandom: %s", strerror(errno));
	/* Without the request (before Linux 4.14) the kernel takes it from the pool in its own time. */
	else if (ioctl(fd, RANDOM_RESEED) < 0 && errno != ENOTTY && errno != EINVAL)
		failed(o, "random seed: the kernel's generator: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	explicit_bzero(&pool, sizeof(pool));
}

static int64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static void set_clock(const struct identity *id, struct outcome *o)
{
	int64_t passed = clock_ns(CLOCK_MONOTONIC) - (int64_t)id->clock_at_ns;
	int64_t want = (int64_t)id->clock_ns;
	int64_t off;
	struct timespec ts;

	if (passed > 0 && want <= INT64_MAX - passed)
		want += passed;
	off = clock_ns(CLOCK_REALTIME) - want;
	if (off >= -CLOCK_SLACK_NS && off <= CLOCK_SLACK_NS)
		return;
	ts = (struct timespec){.tv_sec = want / NS_PER_S, .tv_nsec = (long)(want % NS_PER_S)};
	if (clock_settime(CLOCK_REALTIME, &ts) < 0)
		failed(o, "clock: %s", strerror(errno));
}

/* ---- machine-id(5) ---- */

/* Files of the host are others' too: of the host itself, and of other machines. */
static bool is_hosts(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && (unsigned long)fs.f_type == FUSE_MAGIC;
}

/* One write of as many bytes as there are, so that nobody finds half of it. */
static int write_file(const char *path, const char *text)
{
	size_t len = strlen(text);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0444);
	ssize_t n;
	int r = 0;

	if (fd < 0)
		return -errno;
	n = write(fd, text, len);
	if (n < 0 || ftruncate(fd, (off_t)len) < 0)
		r = -errno;
	else if (n < (ssize_t)len)
		r = -ENOSPC;
	close(fd);
	return r;
}

static bool has_text(const char *path, const char *text)
{
	char buf[64];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf));

	if (fd >= 0)
		close(fd);
	return n == (ssize_t)strlen(text) && memcmp(buf, text, (size_t)n) == 0;
}

/* A file in memory over the one that cannot be written, as systemd does it. */
static int cover_file(const char *path, const char *text)
{
	const char *own = "/run/machine-id";
	struct statfs fs;
	int r;

	if (access(path, F_OK) < 0)
		return 0; /* then nobody has one */
	if (statfs("/run", &fs) < 0 || (unsigned long)fs.f_type != TMPFS_MAGIC)
		own = "/dev/.machine-id";
	r = write_file(own, text);
	/* It may lie there already, since an earlier copy, or by systemd. */
	if (r == 0 && !has_text(path, text) && mount(own, path, NULL, MS_BIND, NULL) < 0)
		r = -errno;
	return r;
}

static void set_id_at(const char *path, const char *dir, const char *text, struct outcome *o)
{
	int r = is_hosts(access(path, F_OK) == 0 ? path : dir) ? -EROFS : write_file(path, text);

	if (r == -EROFS || r == -EACCES || r == -EPERM)
		r = cover_file(path, text);
	if (r < 0 && r != -ENOENT) /* no such directory: as with cover_file() */
		failed(o, "%s: %s", path, strerror(-r));
}

static void set_machine_id(const struct identity *id, struct outcome *o)
{
	char text[AGENT_ID_DIGITS + 2];
	struct stat dbus, etc;
	bool two = lstat(dbus_id, &dbus) == 0 && S_ISREG(dbus.st_mode) &&
		   !(stat(etc_id, &etc) == 0 && etc.st_dev == dbus.st_dev && etc.st_ino == dbus.st_ino);

	snprintf(text, sizeof(text), "%s\n", id->machine_id);
	set_id_at(etc_id, "/etc", text, o);
	if (two)
		set_id_at(dbus_id, "/var/lib/dbus", text, o);
}

/* ---- all of it ---- */

static void set_macs(const struct identity *id, const char *dhcp, struct outcome *o)
{
	for (unsigned i = 0; i < id->mac_count; i++) {
		const uint8_t *old = id->macs[i].old;
		int r = change_mac(old, id->macs[i].fresh, dhcp);

		if (r == -ETIMEDOUT)
			snprintf(o->note, sizeof(o->note), "no DHCP server answers on %.*s of the guest",
				 IF_NAME_MAX, dhcp);
		else if (r < 0)
			failed(o, "address %02x:%02x:%02x:%02x:%02x:%02x of a network: %s", old[0], old[1],
			       old[2], old[3], old[4], old[5], strerror(-r));
	}
}

/* Random numbers first: all else may use them. DHCP last: it may wait. */
static void apply(const struct identity *id, const char *dhcp, struct outcome *o)
{
	if (id->seed_len > 0)
		add_seed(id, o);
	if (id->clock_ns > 0)
		set_clock(id, o);
	if (id->hostname[0] && sethostname(id->hostname, strlen(id->hostname)) < 0)
		failed(o, "host name: %s", strerror(errno));
	if (id->machine_id[0])
		set_machine_id(id, o);
	set_macs(id, dhcp, o);
}

/* Connections and streams are the agent's, and are not to stay open because of this process. */
static void keep_only(int report)
{
	if (report != REPORT_FD)
		dup2(report, REPORT_FD);
	if (syscall(SYS_close_range, REPORT_FD + 1, ~0U, 0) == 0)
		return;
	for (int fd = REPORT_FD + 1; fd < FDS_MAX; fd++)
		close(fd);
}

static void __attribute__((noreturn)) run_child(const struct identity *id, const char *dhcp, int report)
{
	struct outcome o = {.note = ""};
	struct command_failure note = {.status = COMMAND_NOTE};

	signal(SIGHUP, SIG_DFL);
	keep_only(report);
	apply(id, dhcp, &o);
	if (!o.failure.status) {
		if (o.note[0]) {
			memcpy(note.text, o.note, sizeof(o.note));
			(void)!write(REPORT_FD, &note, sizeof(note));
		}
		o.failure.status = ALL_DONE;
	}
	/* Less than PIPE_BUF: whole or not at all. */
	_exit(write(REPORT_FD, &o.failure, sizeof(o.failure)) == (ssize_t)sizeof(o.failure) ? 0 : FAILED);
}

bool identity_start(const struct identity *identity, const char *dhcp, struct command *ret,
		    struct command_failure *failure)
{
	int fds[2];
	pid_t pid = -1;

	if (pipe2(fds, O_CLOEXEC) == 0) {
		fcntl(fds[0], F_SETFL, O_NONBLOCK);
		pid = fork();
		if (pid == 0)
			run_child(identity, dhcp, fds[1]);
		close(fds[1]);
		if (pid < 0)
			close(fds[0]);
	}
	if (pid < 0) {
		*failure = (struct command_failure){.status = FAILED};
		snprintf(failure->text, sizeof(failure->text), "no process: %s", strerror(errno));
		return false;
	}
	*ret = (struct command){.pid = pid, .in = -1, .out = {-1, -1}, .terminal = -1, .start = fds[0]};
	return true;
}

enum identity_end identity_ended(struct command *command, struct command_failure *ret)
{
	switch (command_started(command, ret)) {
	case COMMAND_BEGINS:
		return IDENTITY_BUSY;
	case COMMAND_NOTES:
		return IDENTITY_NOTES;
	case COMMAND_FAILED:
		return ret->status == ALL_DONE ? IDENTITY_DONE : IDENTITY_FAILED;
	case COMMAND_RUNS: /* the process has ended, and said nothing */
		break;
	}
	*ret = (struct command_failure){.status = FAILED, .text = "the agent's process was killed"};
	return IDENTITY_FAILED;
}
