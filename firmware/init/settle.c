/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See settle.h. sync(2) would do for disks; but who waits for a share whose file server has died waits for
 * ever, and cannot even be killed. So each share has a child that may hang, and which is left alone once
 * there is no progress any more.
 */
#include "settle.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

enum {
	STEP_MS = 5,
	LOOK_MS = 500,      /* from one look at what is unwritten to the next */
	GIVE_UP_MS = 10000, /* after the last progress */
};

void nap(long ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&ts, NULL);
}

/* Turns "\040" of /proc/mounts back, in place. */
static void unescape_mount(char *text)
{
	char *to = text;

	for (const char *from = text; *from; to++) {
		if (from[0] == '\\' && from[1] && from[2] && from[3]) {
			*to = (char)((from[1] & 7) << 6 | (from[2] & 7) << 3 | (from[3] & 7));
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

/* A file may be mounted, too, and devices do something when they are opened. */
static void sync_mount(const char *path)
{
	struct stat st;
	int fd = -1;

	if (stat(path, &st) == 0 && (S_ISDIR(st.st_mode) || S_ISREG(st.st_mode)))
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	syncfs(fd);
	close(fd);
}

/* Does what is to be done for one line of /proc/mounts; returns how many children that has begun: 0 or 1. */
static unsigned settle_mount(char *line, bool shares)
{
	char *save = NULL;
	char *source = strtok_r(line, " ", &save);
	char *dir = strtok_r(NULL, " ", &save);
	const char *type = strtok_r(NULL, " ", &save);
	pid_t pid;

	if (!type || (strcmp(type, "virtiofs") == 0) != shares)
		return 0;
	unescape_mount(dir);
	if (!shares) {
		sync_mount(dir);
		if (strncmp(source, "/dev/", 5) == 0)
			mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL);
		return 0;
	}
	pid = fork();
	if (pid == 0) {
		sync_mount(dir);
		_exit(0);
	}
	return pid > 0;
}

static unsigned settle_mounts(bool shares)
{
	char *line = read_file("/proc/mounts");
	unsigned children = 0;

	while (*line) {
		size_t len = strcspn(line, "\n");
		char *next = line + len + (line[len] == '\n');

		line[len] = '\0';
		children += settle_mount(line, shares);
		line = next;
	}
	return children;
}

/* KiB that are still to be written, of all file systems. */
static unsigned long unwritten(void)
{
	static const char *const names[] = {"\nDirty:", "\nWriteback:", "\nWritebackTmp:"};
	const char *text = read_file("/proc/meminfo");
	unsigned long sum = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *at = strstr(text, names[i]);

		if (at)
			sum += strtoul(at + strlen(names[i]), NULL, 10);
	}
	return sum;
}

static void wait_for_children(unsigned count)
{
	unsigned long least = unwritten();

	for (long idle = 0; count > 0 && idle < GIVE_UP_MS;) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);

		if (pid < 0)
			return;
		if (pid > 0) {
			count--;
			continue;
		}
		nap(STEP_MS);
		idle += STEP_MS;
		if (idle % LOOK_MS == 0) {
			unsigned long now = unwritten();

			if (now < least) {
				least = now;
				idle = 0;
			}
		}
	}
	if (count > 0)
		say("a share does not answer: what is not written there yet is lost");
}

void settle_disks(void)
{
	settle_mounts(false);
	wait_for_children(settle_mounts(true));
}
