/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The order of things; see init.h. */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* vdprintf() and no stdio: a line reaches the console whole, or as far as it came. */
static void print(const char *fmt, va_list ap)
{
	dprintf(STDERR_FILENO, "hull-init: ");
	vdprintf(STDERR_FILENO, fmt, ap);
	dprintf(STDERR_FILENO, "\n");
}

void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print(fmt, ap);
	va_end(ap);
}

void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print(fmt, ap);
	va_end(ap);
	sync();
	_exit(1);
}

char *read_file(const char *path)
{
	static char none[1];
	size_t used = 0;
	size_t cap = 4096;
	char *text = malloc(cap);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;

	while (fd >= 0 && text && (n = read(fd, text + used, cap - used - 1)) > 0) {
		used += (size_t)n;
		if (used == cap - 1) {
			char *more = realloc(text, cap *= 2);

			if (!more)
				free(text);
			text = more;
		}
	}
	if (fd >= 0)
		close(fd);
	if (fd < 0 || !text || n < 0)
		return none;
	text[used] = '\0';
	return text;
}

static void mount_kernel(const char *type, const char *dir)
{
	mkdir(dir, 0755);
	if (mount(type, dir, type, MS_NOSUID, NULL) < 0 && errno != EBUSY)
		say("cannot mount %s on %s: %s", type, dir, strerror(errno));
}

/* Returns only when `path` cannot be executed. */
static void try_init(const char *path, char **argv)
{
	argv[0] = (char *)path;
	execv(path, argv);
	/* Not there: the next place. There, but not fit: that should be known. */
	if (errno != ENOENT)
		say("%s: cannot be executed: %s", path, strerror(errno));
}

/* The kernel found no console if its driver is one of the modules: there is one now. */
static void open_console(void)
{
	int fd = open("/dev/console", O_RDWR | O_NOCTTY);

	if (fd < 0)
		return;
	for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++)
		dup2(fd, i);
	if (fd > STDERR_FILENO)
		close(fd);
}

int main(int argc, char **argv)
{
	static const char *const places[] = {"/sbin/init", "/etc/init", "/bin/init", "/bin/sh"};
	static char *no_arguments[2];
	struct settings settings;

	if (getpid() != 1) {
		dprintf(STDERR_FILENO, "hull-init: is the first process of a guest, nothing else\n");
		return 1;
	}
	mount_kernel("devtmpfs", "/dev");
	mount_kernel("proc", "/proc");
	mount_kernel("sysfs", "/sys");
	read_settings(&settings);
	load_modules();
	open_console();
	mount_root(&settings, "/root");
	start_network(&settings);
	show_name_servers("/root");
	switch_root("/root");
	if (argc < 1)
		argv = no_arguments;
	if (settings.init[0]) {
		try_init(settings.init, argv);
		/* As the kernel does: who asks for one init gets no other. */
		die("init=%s: not found in the root file system, or not executable", settings.init);
	}
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		try_init(places[i], argv);
	die("no init in the root file system: looked for /sbin/init, /etc/init, /bin/init and /bin/sh");
}
