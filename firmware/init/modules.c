/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loading modules. The host has put them into order, dependencies first. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init.h"

static void load(const char *name)
{
	char path[WORD_MAX];
	int fd;

	snprintf(path, sizeof(path), "/modules/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		say("%s: %s", path, strerror(errno));
		return;
	}
	/*
	 * "There already" is fine, and so is "no such device": an accelerated
	 * checksum on a CPU without the instruction has a general one beside it.
	 * Any other failure may do no harm either; if it does, the mount says so.
	 */
	if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST && errno != ENODEV)
		say("module %s: %s", name, strerror(errno));
	close(fd);
	unlink(path); /* it is in the kernel now: give back the memory */
}

void load_modules(void)
{
	char *name = read_file("/modules/order");

	while (*name) {
		size_t len = strcspn(name, "\n");
		char *next = name + len + (name[len] == '\n');

		name[len] = '\0';
		if (len > 0)
			load(name);
		name = next;
	}
	unlink("/modules/order");
	rmdir("/modules");
}
