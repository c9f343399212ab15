/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared directories: opened, and served by confined processes that end with their links. In the
 * file server's place there is a function here that looks around and tells what it sees.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hull/util.h"
#include "leaks.h"
#include "open_share.h"
#include "share_process.h"

static const uint64_t second = UINT64_C(1000000000);

/* ---- in the file server's place ---- */

struct sight {
	struct file_share share;
	struct stat root;
	char text[8]; /* of the file "name" in the directory, by its path below proc_fd */
	unsigned fds; /* that are open, beside the standard ones */
	mode_t umask;
	bool no_new_privs; /* confined */
	bool all_descriptors;
};

static void read_name(const struct file_share *share, char text[static 8])
{
	char path[64];
	int fd = openat(share->root_fd, "name", O_PATH | O_NOFOLLOW | O_CLOEXEC);
	int again;

	if (fd < 0)
		return;
	snprintf(path, sizeof(path), "%d", fd);
	again = openat(share->proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (again >= 0) {
		if (read(again, text, 7) < 0)
			text[0] = '\0';
		close(again);
	}
	close(fd);
}

static unsigned count_fds(void)
{
	unsigned n = 0;

	for (int fd = STDERR_FILENO + 1; fd < 1000; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

int file_server_run(const struct file_share *share, int link, struct err *err)
{
	struct sight sight = {.share = *share};
	struct rlimit limit = {0};
	char order = 0;

	sight.fds = count_fds();
	sight.umask = umask(0);
	sight.no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
	getrlimit(RLIMIT_NOFILE, &limit);
	sight.all_descriptors = limit.rlim_cur == limit.rlim_max;
	fstat(share->root_fd, &sight.root);
	read_name(share, sight.text);
	if (send(link, &sight, sizeof(sight), 0) < 0)
		return err_set(err, -errno, "send");
	if (recv(link, &order, 1, 0) == 1 && order == 'f')
		return err_set(err, -EIO, "told to fail");
	while (order == 'h') /* hangs */
		pause();
	return 0;
}

/* ---- */

struct fx {
	char dirs[2][64];
	char log[64];
	int log_fd;
	unsigned fds;
	struct vm_config *config;
	struct share_file files[2];
	struct share_processes processes;
};

static void make_file(const char *dir, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/name", dir);
	f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int setup(void **state)
{
	struct fx *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	fx->config = calloc(1, sizeof(*fx->config));
	assert_non_null(fx->config);
	for (unsigned i = 0; i < 2; i++) {
		struct config_share *share = &fx->config->shares[i];

		fx->files[i] = (struct share_file){-1, -1};
		snprintf(fx->dirs[i], sizeof(fx->dirs[i]), "/tmp/hull-share-XXXXXX");
		assert_non_null(mkdtemp(fx->dirs[i]));
		snprintf(share->path, sizeof(share->path), "%s", fx->dirs[i]);
	}
	make_file(fx->dirs[0], "first");
	make_file(fx->dirs[1], "second");
	fx->config->share_count = 2;
	fx->config->shares[1].read_only = true;
	fx->config->shares[1].cache = SHARE_CACHE_WRITEBACK;
	snprintf(fx->log, sizeof(fx->log), "/tmp/hull-share-log-XXXXXX");
	fx->log_fd = mkostemp(fx->log, O_CLOEXEC | O_APPEND);
	assert_true(fx->log_fd >= 0);
	fx->fds = open_fds();
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	struct fx *fx = *state;

	for (unsigned i = 0; i < 2; i++) {
		char path[128];

		share_file_close(&fx->files[i]);
		snprintf(path, sizeof(path), "%s/name", fx->dirs[i]);
		unlink(path);
		rmdir(fx->dirs[i]);
	}
	share_processes_wait(&fx->processes, 10 * second);
	assert_int_equal(open_fds(), fx->fds);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* none is left over */
	close(fx->log_fd);
	unlink(fx->log);
	free(fx->config);
	free(fx);
	return 0;
}

static void start(struct fx *fx)
{
	struct err err = {0};

	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(share_file_open(&fx->files[i], &fx->config->shares[i], "--share", -1, &err),
				 0);
	assert_int_equal(share_processes_start(&fx->processes, fx->config, fx->files, fx->log_fd, &err), 0);
	assert_int_equal(fx->processes.count, 2);
}

static struct sight look(struct fx *fx, unsigned i)
{
	struct sight sight;

	assert_int_equal(recv(fx->files[i].link, &sight, sizeof(sight), 0), sizeof(sight));
	return sight;
}

static size_t read_log(const struct fx *fx, char *text, size_t cap)
{
	ssize_t n = pread(fx->log_fd, text, cap - 1, 0);

	assert_true(n >= 0);
	text[n] = '\0';
	return (size_t)n;
}

/* Each has its directory, and nothing else. */
static void test_servers(void **state)
{
	struct fx *fx = *state;
	char log[256];

	fx->config->command = (struct config_command){.user = "1234"};
	start(fx);
	for (unsigned i = 0; i < 2; i++) {
		struct sight sight = look(fx, i);
		struct stat st;

		assert_int_equal(stat(fx->dirs[i], &st), 0);
		assert_int_equal(sight.root.st_ino, st.st_ino);
		assert_int_equal(sight.root.st_dev, st.st_dev);
		assert_string_equal(sight.text, i == 0 ? "first" : "second");
		assert_int_equal(sight.fds, 3); /* directory, link, /proc/self/fd */
		assert_int_equal(sight.umask, 0);
		assert_true(sight.no_new_privs);
		assert_true(sight.all_descriptors);
		assert_int_equal(sight.share.read_only, i == 1);
		assert_int_equal(sight.share.cache, i == 1 ? FILE_CACHE_WRITEBACK : FILE_CACHE_AUTO);
		assert_int_equal(sight.share.uid, getuid());
		assert_int_equal(sight.share.gid, getgid());
		assert_int_equal(sight.share.guest_uid, 1234);
		assert_int_equal(sight.share.guest_gid, 1234);
		assert_true(fx->files[i].root >= 0); /* for a snapshot */
	}
	assert_int_equal(read_log(fx, log, sizeof(log)), 0);
}

static void test_settings(void **state)
{
	struct fx *fx = *state;

	assert_int_equal(share_process_settings(fx->config, 0).guest_uid, 0);
	snprintf(fx->config->command.user, sizeof(fx->config->command.user), "somebody");
	assert_int_equal(share_process_settings(fx->config, 0).guest_uid, 0);
	fx->config->shares[0].cache = SHARE_CACHE_LONG;
	assert_int_equal(share_process_settings(fx->config, 0).cache, FILE_CACHE_LONG);
	assert_false(share_process_settings(fx->config, 0).read_only);
}

static void make_passwd(const struct fx *fx, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/etc", fx->dirs[0]);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/etc/passwd", fx->dirs[0]);
	f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void remove_passwd(const struct fx *fx)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/etc/passwd", fx->dirs[0]);
	unlink(path);
	snprintf(path, sizeof(path), "%s/etc", fx->dirs[0]);
	rmdir(path);
}

static void expect_owner(struct fx *fx, uint32_t uid, uint32_t gid)
{
	start(fx);
	for (unsigned i = 0; i < 2; i++) {
		struct sight sight = look(fx, i);

		assert_int_equal(sight.share.guest_uid, uid);
		assert_int_equal(sight.share.guest_gid, gid);
		assert_int_equal(sight.fds, 3);
		share_file_close(&fx->files[i]);
	}
	share_processes_wait(&fx->processes, 10 * second);
}

/* A name is that of the root directory's own users, for all shares. */
static void test_user_by_name(void **state)
{
	struct fx *fx = *state;

	make_passwd(
		fx,
		"root:x:0:0::/root:/bin/sh\nnonsense\nsome:x:12:34::/:/bin/sh\nsomebody:x:123:456::/:/bin/sh\n");
	snprintf(fx->config->command.user, sizeof(fx->config->command.user), "somebody");
	expect_owner(fx, 0, 0); /* the root is no directory */
	fx->config->root.directory = true;
	expect_owner(fx, 123, 456);
	snprintf(fx->config->command.user, sizeof(fx->config->command.user), "nobody");
	expect_owner(fx, 0, 0);
	remove_passwd(fx);
	expect_owner(fx, 0, 0);
}

/* The tree may be anybody's: its links lead nowhere else, and what is no file is not read. */
static void test_user_by_hostile_name(void **state)
{
	struct fx *fx = *state;
	char path[128];

	make_passwd(fx, "");
	snprintf(path, sizeof(path), "%s/etc/passwd", fx->dirs[0]);
	unlink(path);
	assert_int_equal(symlink("/etc/passwd", path),
			 0); /* itself, in that tree; there is a "daemon" in the host's */
	snprintf(fx->config->command.user, sizeof(fx->config->command.user), "daemon");
	fx->config->root.directory = true;
	expect_owner(fx, 0, 0);
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	expect_owner(fx, 0, 0);
	remove_passwd(fx);
}

/* They end with their links, and are no trouble to anybody. */
static void test_end(void **state)
{
	struct fx *fx = *state;
	struct pollfd poll_first;
	char log[256];

	start(fx);
	look(fx, 0);
	look(fx, 1);
	poll_first = (struct pollfd){.fd = fx->files[0].link, .events = POLLIN};
	fd_close(&fx->files[1].link);
	assert_int_equal(waitpid(fx->processes.pids[1], NULL, 0), fx->processes.pids[1]);
	fx->processes.count = 1;
	assert_int_equal(poll(&poll_first, 1, 0), 0); /* one has nothing to do with the other */
	fd_close(&fx->files[0].link);
	share_processes_wait(&fx->processes, 10 * second);
	assert_int_equal(kill(fx->processes.pids[0], 0), -1);
	assert_int_equal(fx->processes.count, 0);
	assert_int_equal(read_log(fx, log, sizeof(log)), 0);
}

static void test_failure_is_told(void **state)
{
	struct fx *fx = *state;
	char log[256], byte;

	start(fx);
	look(fx, 0);
	assert_int_equal(send(fx->files[0].link, "f", 1, 0), 1);
	assert_int_equal(recv(fx->files[0].link, &byte, 1, 0), 0); /* the worker sees the end */
	read_log(fx, log, sizeof(log));
	assert_non_null(strstr(log, fx->dirs[0]));
	assert_non_null(strstr(log, "told to fail"));
}

/* Signals of the terminal do not end it, and what does not end is killed. */
static void test_hangs(void **state)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGPIPE, SIGXFSZ};
	struct fx *fx = *state;

	start(fx);
	look(fx, 0);
	look(fx, 1);
	for (unsigned i = 0; i < ARRAY_SIZE(signals); i++)
		assert_int_equal(kill(fx->processes.pids[0], signals[i]), 0);
	assert_int_equal(send(fx->files[0].link, "h", 1, 0), 1);
	fd_close(&fx->files[0].link);
	fd_close(&fx->files[1].link);
	assert_int_equal(waitpid(fx->processes.pids[0], NULL, WNOHANG), 0);
	share_processes_wait(&fx->processes, second / 20);
	assert_int_equal(kill(fx->processes.pids[0], 0), -1);
}

static void test_open(void **state)
{
	struct fx *fx = *state;
	struct config_share share = {.path = "/nowhere/at/all"};
	struct share_file file = {.root = -1, .link = -1};
	struct err err = {0};

	assert_int_equal(share_file_open(&file, &share, "--share", -1, &err), -ENOENT);
	assert_memory_equal(err.msg, "--share /nowhere/at/all", 23);
	snprintf(share.path, sizeof(share.path), "%s/name", fx->dirs[0]);
	assert_int_equal(share_file_open(&file, &share, "--root", -1, &err), -ENOTDIR);
	assert_memory_equal(err.msg, "--root /tmp/", 12);
	assert_int_equal(file.root, -1);
	snprintf(share.path, sizeof(share.path), "%s", fx->dirs[0]);
	assert_int_equal(share_file_open(&file, &share, "--root", -1, &err), 0);
	assert_int_equal(fcntl(file.root, F_GETFL) & O_PATH, O_PATH);
	assert_int_equal(fcntl(file.root, F_GETFD), FD_CLOEXEC);
	share_file_close(&file);
	share_file_close(&file);
}

/* A copy has the directories of its original, also when a link to another one lies at the path by then. */
static void test_open_same(void **state)
{
	struct fx *fx = *state;
	struct config_share share = {.path = ""};
	struct share_file file = {.root = -1, .link = -1};
	char link[128];
	struct err err = {0};
	int same = open(fx->dirs[0], O_PATH | O_DIRECTORY | O_CLOEXEC);

	snprintf(share.path, sizeof(share.path), "%s", fx->dirs[0]);
	assert_int_equal(share_file_open(&file, &share, "--share", same, &err), 0);
	share_file_close(&file);
	snprintf(link, sizeof(link), "%s/link", fx->dirs[0]);
	assert_int_equal(symlink("/etc", link), 0);
	snprintf(share.path, sizeof(share.path), "%s", link);
	assert_int_equal(share_file_open(&file, &share, "--share", same, &err), -ESTALE);
	assert_non_null(strstr(err.msg, "link: it is another directory by now"));
	assert_int_equal(file.root, -1);
	assert_int_equal(unlink(link), 0);
	close(same);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_servers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_settings, setup, teardown),
		cmocka_unit_test_setup_teardown(test_user_by_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_user_by_hostile_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failure_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hangs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_open, setup, teardown),
		cmocka_unit_test_setup_teardown(test_open_same, setup, teardown),
	};

	return cmocka_run_group_tests_name("share_process", tests, NULL, NULL);
}
