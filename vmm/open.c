/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Configuration to open descriptors; see open.h. */
#include "open.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "hull/util.h"
#include "run_dir.h"
#include "terminal.h"
#include "unix_socket.h"

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* -k, $HULL_KERNEL, ~/.local/share/hull/vmlinuz, /boot/vmlinuz-$(uname -r): the first that there is. */
static int find_kernel(const struct vm_config *config, char *path, size_t len, struct err *err)
{
	const char *env = getenv("HULL_KERNEL");
	const char *home = getenv("HOME");
	struct utsname u;

	if (config->kernel || (env && *env)) {
		snprintf(path, len, "%s", config->kernel ? config->kernel : env);
		return 0;
	}
	if (home && *home) {
		snprintf(path, len, "%s/.local/share/hull/vmlinuz", home);
		if (exists(path))
			return 0;
	}
	if (uname(&u) == 0) {
		snprintf(path, len, "/boot/vmlinuz-%s", u.release);
		if (exists(path))
			return 0;
	}
	return err_set(err, -ENOENT,
		       "no kernel: give one with -k, or put one at ~/.local/share/hull/vmlinuz (on Debian: "
		       "'apt-get download' a linux-image package and 'dpkg -x' it)");
}

static int open_regular(const char *path, struct boot_file *ret_file, struct err *err)
{
	/* O_NONBLOCK: a FIFO must not hold us up before we see that it is one. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0)
		return err_errno(err, -errno, "%s", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return err_set(err, -EINVAL, "%s: not a regular file", path);
	}
	*ret_file = (struct boot_file){.fd = fd, .path = path};
	return 0;
}

static int open_kvm(struct err *err)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	switch (errno) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return err_set(err, -ENOENT, "/dev/kvm is not there; 'hull doctor' says what to do");
	case EACCES:
	case EPERM:
		return err_set(err, -EACCES, "/dev/kvm: no permission; 'hull doctor' says what to do");
	default:
		return err_errno(err, -errno, "/dev/kvm");
	}
}

static int open_log(const struct vm_config *config, struct err *err)
{
	int fd = config->log ? open(config->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0666)
			     : fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);

	return fd >= 0 ? fd
		       : err_errno(err, -errno, "%s%s", config->log ? "--log " : "",
				   config->log ? config->log : "stderr");
}

/*
 * Standard input for the console. Where it can be had, an open file description
 * of our own: it can be non-blocking, which on the caller's would be the
 * caller's, too. A regular file keeps the caller's, for its position.
 */
static int open_input(void)
{
	struct stat st;
	int fd = -1;

	if (fstat(STDIN_FILENO, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)))
		fd = open("/proc/self/fd/0", O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fd >= 0 ? fd : fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
}

/*
 * With COMMAND the streams are the command's: the console's output goes where hull's own messages go,
 * if the user wants to see any, and it has no input.
 */
static void open_console(struct resources *res, const struct vm_config *config)
{
	if (config->console == CONSOLE_NONE)
		return;
	if (config->command.argv) {
		if (config->log || config->log_level >= LOG_INFO)
			res->console_out = fcntl(res->log, F_DUPFD_CLOEXEC, 3);
		return;
	}
	res->console_in = open_input();
	res->console_is_terminal = isatty(STDIN_FILENO);
	res->console_out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	if (!terminal_size(&res->console_cols, &res->console_rows))
		res->console_cols = res->console_rows = 0;
}

/* A file's error begins with its path: which option named it goes before. */
static void name_option(struct err *err, const char *option)
{
	const struct err cause = *err;

	err_set(err, cause.code, "%s %s", option, cause.msg);
}

static int open_disks(struct resources *res, const struct vm_config *config, bool lock, struct err *err)
{
	int r = 0;

	for (unsigned i = 0; i < config->disk_count && r == 0; i++) {
		r = disk_file_open(&res->disks[i], &config->disks[i], lock, res->disks, i, err);
		if (r == 0)
			res->disk_count++;
		else if (i == 0 && config->root.path[0] && !config->root.directory)
			name_option(err, "--root");
		else
			name_option(err, "--disk");
	}
	return r;
}

int resources_open_shares(struct resources *res, const struct vm_config *config, const int *same,
			  struct err *err)
{
	int r = 0;

	for (unsigned i = 0; i < config->share_count && r == 0; i++) {
		const char *option = i == 0 && config->root.directory ? "--root" : "--share";

		r = share_file_open(&res->shares[i], &config->shares[i], option, same ? same[i] : -1, err);
		if (r == 0)
			res->share_count++;
	}
	return r;
}

static int open_nets(struct resources *res, const struct vm_config *config, struct err *err)
{
	int r = 0;

	for (unsigned i = 0; i < config->net_count && r == 0; i++) {
		/* Ports are those of the one with passt. */
		r = net_file_open(&res->nets[i], &config->nets[i], config->published, config->published_count,
				  err);
		if (r == 0)
			res->net_count++;
	}
	return r;
}

/* --vsock without a path: a socket in the run directory. */
static int vsock_path(struct resources *res, const struct vm_config *config, struct err *err)
{
	char dir[sizeof(res->vsock_path)];
	struct err cause = {0};
	int r, n;

	if (config->vsock.path[0]) {
		memcpy(res->vsock_path, config->vsock.path, sizeof(res->vsock_path));
		return 0;
	}
	r = run_dir(dir, sizeof(dir), &cause);
	if (r < 0)
		return err_set(err, r, "--vsock: %s (path= names another place)", cause.msg);
	n = snprintf(res->vsock_path, sizeof(res->vsock_path), "%s/%s.vsock", dir, config->name);
	if (n < 0 || (size_t)n >= sizeof(res->vsock_path)) {
		res->vsock_path[0] = '\0'; /* nothing to remove */
		return err_set(
			err, -ENAMETOOLONG,
			"--vsock: the socket %s/%s.vsock has too long a path (path= names another place)",
			dir, config->name);
	}
	return 0;
}

/* The sockets that are other programs' way to the guest. */
static int open_sockets(struct resources *res, const struct vm_config *config, struct err *err)
{
	int r = 0;

	if (config->vsock.cid && !config->vsock.implied) {
		r = vsock_path(res, config, err);
		if (r < 0)
			return r;
		r = unix_socket_listen(res->vsock_path, &res->vsock_listen, err);
		if (r < 0)
			name_option(err, "--vsock");
	}
	for (unsigned i = 0; i < config->port_count && r == 0; i++) {
		r = unix_socket_listen(config->ports[i].path, &res->port_listen[i], err);
		if (r == 0)
			res->port_paths[res->port_count++] = config->ports[i].path;
		else
			name_option(err, "--console virtio");
	}
	return r;
}

void resources_init(struct resources *res)
{
	*res = (struct resources){.kvm = -1,
				  .log = -1,
				  .console_in = -1,
				  .console_out = -1,
				  .decoded = -1,
				  .memory = -1,
				  .ready = -1,
				  .starter = -1,
				  .vsock_listen = -1,
				  .kernel.fd = -1};
}

static int open_files(struct resources *res, const struct vm_config *config, bool lock, struct err *err)
{
	int r;

	resources_init(res);
	r = find_kernel(config, res->kernel_path, sizeof(res->kernel_path), err);
	if (r < 0)
		return r;
	r = open_regular(res->kernel_path, &res->kernel, err);
	if (r < 0)
		name_option(err, config->kernel ? "--kernel" : "the default kernel");
	for (unsigned i = 0; r == 0 && i < config->initrd_count; i++) {
		r = open_regular(config->initrds[i], &res->initrds[i], err);
		if (r == 0)
			res->initrd_count++;
		else
			name_option(err, "--initrd");
	}
	if (r == 0)
		r = resources_open_shares(res, config, NULL, err);
	return r == 0 ? open_disks(res, config, lock, err) : r;
}

int resources_open_files(struct resources *ret_res, const struct vm_config *config, struct err *err)
{
	return open_files(ret_res, config, false, err);
}

int resources_open_host(struct resources *res, const struct vm_config *config, struct err *err)
{
	int r;

	res->log = open_log(config, err);
	if (res->log < 0)
		return res->log;
	res->kvm = open_kvm(err);
	if (res->kvm < 0)
		return res->kvm;
	open_console(res, config);
	r = open_sockets(res, config, err);
	return r == 0 ? open_nets(res, config, err) : r;
}

int resources_open(struct resources *ret_res, const struct vm_config *config, struct err *err)
{
	int r = open_files(ret_res, config, true, err);

	return r < 0 ? r : resources_open_host(ret_res, config, err);
}

void resources_close(struct resources *res)
{
	fd_close(&res->kvm);
	fd_close(&res->log);
	fd_close(&res->console_in);
	fd_close(&res->console_out);
	fd_close(&res->decoded);
	fd_close(&res->memory);
	fd_close(&res->ready);
	fd_close(&res->starter);
	fd_close(&res->kernel.fd);
	for (unsigned i = 0; i < res->initrd_count; i++)
		fd_close(&res->initrds[i].fd);
	res->initrd_count = 0;
	for (unsigned i = 0; i < res->disk_count; i++)
		disk_file_close(&res->disks[i]);
	res->disk_count = 0;
	if (res->vsock_listen >= 0)
		unix_socket_unlink(res->vsock_path);
	fd_close(&res->vsock_listen);
	for (unsigned i = 0; i < res->port_count; i++) {
		unix_socket_unlink(res->port_paths[i]);
		fd_close(&res->port_listen[i]);
	}
	res->port_count = 0;
	for (unsigned i = 0; i < res->share_count; i++)
		share_file_close(&res->shares[i]);
	res->share_count = 0;
	for (unsigned i = 0; i < res->net_count; i++)
		net_file_close(&res->nets[i]);
	res->net_count = 0;
}
