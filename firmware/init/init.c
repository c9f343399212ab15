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
#include <termios.h>
#include <unistd.h>

#include "agent.h"
#include "hull/agent.h"

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
	char text[AGENT_MAX_TEXT];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	say("%s", text);
	if (getpid() == 1)
		agent_tell_failure(text);
	sync();
	tcdrain(STDERR_FILENO); /* the panic does not wait for it */
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

/* All that is around the root; this process is in it afterwards. */
static void enter_root(const struct settings *settings)
{
	static const char *const target = "/root";
	bool shown = true;
	char *servers = NULL;

	if (settings->hostname[0] && sethostname(settings->hostname, strlen(settings->hostname)) < 0)
		say("host name %s: %s", settings->hostname, strerror(errno));
	if (has_root(settings))
		mount_root(settings, target);
	start_network(settings);
	if (has_root(settings)) {
		shown = show_name_servers(target);
		if (!shown)
			servers = read_file(RESOLV_CONF);
		switch_root(target, settings->command);
	} else {
		unlink("/init");
		unlink("/root.conf");
		mkdir("/etc", 0755);
		if (access(RESOLV_CONF, F_OK) == 0 && rename(RESOLV_CONF, "/etc/resolv.conf") < 0)
			say("no name servers: %s", strerror(errno));
	}
	if (!settings->command)
		return;
	mount_for_command(settings);
	if (servers)
		write_name_servers(servers);
}

static void __attribute__((noreturn)) hand_over(const struct settings *settings, char **argv)
{
	static const char *const places[] = {"/sbin/init", "/etc/init", "/bin/init", "/bin/sh"};

	if (settings->init[0]) {
		try_init(settings->init, argv);
		/* As the kernel does: who asks for one init gets no other. */
		die("init=%s: not found in the root file system, or not executable", settings->init);
	}
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		try_init(places[i], argv);
	die("no init in the root file system: looked for /sbin/init, /etc/init, /bin/init and /bin/sh");
}

int main(int argc, char **argv)
{
	static char *no_arguments[2];
	static struct settings settings;
	pid_t pid;

	if (getpid() != 1) {
		dprintf(STDERR_FILENO, "hull-init: is the first process of a guest, nothing else\n");
		return 1;
	}
	umask(022);
	mount_kernel("devtmpfs", "/dev");
	mount_kernel("proc", "/proc");
	mount_kernel("sysfs", "/sys");
	parse_settings(&settings, read_file("/root.conf"), read_file("/proc/cmdline"));
	load_modules(!settings.command);
	open_console();
	enter_root(&settings);
	mount_shares(&settings);
	if (settings.command)
		agent_run_machine(settings.dhcp);
	if (settings.agent) {
		pid = fork();
		if (pid == 0)
			agent_serve(argc < 1 ? NULL : argv[0], settings.dhcp);
		if (pid < 0)
			say("the agent cannot be started: %s", strerror(errno));
	}
	hand_over(&settings, argc < 1 ? no_arguments : argv);
}
