/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sandbox from inside: what confined processes can do no more, and what they still can.
 * tests/sandbox/run looks at those of machines, from outside.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hull/util.h"
#include "sandbox/layers.h"

enum { MAX_ANSWERS = 12 };

/* What a confined process has found out; shared with it. */
struct answers {
	int confined;          /* of sandbox_confine() */
	int code[MAX_ANSWERS]; /* 0 or -errno of what it tried */
	struct sandbox_state state;
	struct err err;
};

struct fx {
	struct answers *answers;
	struct sandbox_note *note;
	char dir[64];
	int dir_fd; /* O_PATH */
	int link[2];
	struct sandbox sandbox;
	int keep[4];
};

static int setup(void **state)
{
	struct fx *fx = calloc(1, sizeof(*fx));
	char path[128];

	assert_non_null(fx);
	fx->answers = mmap(NULL, sizeof(*fx->answers) + sizeof(*fx->note), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(fx->answers, MAP_FAILED);
	fx->note = (struct sandbox_note *)(fx->answers + 1);
	snprintf(fx->dir, sizeof(fx->dir), "/tmp/hull-sandbox-XXXXXX");
	assert_non_null(mkdtemp(fx->dir));
	snprintf(path, sizeof(path), "%s/a", fx->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/b", fx->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/a/file", fx->dir);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0700));
	fx->dir_fd = open(fx->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(fx->dir_fd >= 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fx->link), 0);
	fx->sandbox = (struct sandbox){.kind = SANDBOX_WORKER,
				       .mode = SANDBOX_ON,
				       .uid = CONFIG_DEFAULT_UID,
				       .messages = STDERR_FILENO,
				       .keep = fx->keep,
				       .keep_count = 1,
				       .link = fx->link[1],
				       .root = -1,
				       .proc = -1,
				       .max_files = 64,
				       .note = fx->note};
	fx->keep[0] = fx->link[1];
	*state = fx;
	return 0;
}

static void remove_below(const struct fx *fx, const char *name, int flags)
{
	unlinkat(fx->dir_fd, name, flags);
}

static int teardown(void **state)
{
	struct fx *fx = *state;

	remove_below(fx, "a/file", 0);
	remove_below(fx, "b/file", 0);
	remove_below(fx, "new", 0);
	remove_below(fx, "null", 0); /* one may be made: what overlayfs takes for a hole */
	remove_below(fx, "a", AT_REMOVEDIR);
	remove_below(fx, "b", AT_REMOVEDIR);
	assert_int_equal(rmdir(fx->dir), 0);
	close(fx->dir_fd);
	close(fx->link[0]);
	close(fx->link[1]);
	munmap(fx->answers, sizeof(*fx->answers) + sizeof(*fx->note));
	free(fx);
	return 0;
}

/* ---- in the confined process ---- */

static int result(int r)
{
	if (r < 0)
		return -errno;
	return 0;
}

static _Noreturn void confined(struct fx *fx, void (*fn)(struct fx *fx, int *code))
{
	struct answers *a = fx->answers;

	close(fx->link[0]);
	a->confined = sandbox_confine(&fx->sandbox, &a->err);
	a->state = fx->sandbox.state;
	if (a->confined == 0)
		fn(fx, a->code);
	_exit(0);
}

static void run(struct fx *fx, void (*fn)(struct fx *fx, int *code))
{
	struct err err = {0};
	int status = -1;
	pid_t pid;

	fx->answers->confined = 1;
	pid = sandbox_fork(&fx->sandbox, &err);
	if (pid == 0)
		confined(fx, fn);
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static bool has(const struct fx *fx, enum sandbox_layer layer)
{
	return layer_is_there(&fx->answers->state, layer);
}

/* ---- the worker ---- */

static int entries_of_root(void)
{
	DIR *dir = opendir("/");
	int n = 0;

	if (!dir)
		return -errno;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

static int connect_tcp(int *ret_bind)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*ret_bind = result(bind(fd, (struct sockaddr *)&to, sizeof(to)));
	r = result(connect(fd, (struct sockaddr *)&to, sizeof(to)));
	close(fd);
	return r;
}

static void try_as_worker(struct fx *fx, int *code)
{
	struct rlimit files = {0};

	code[8] = result(fcntl(fx->link[1], F_GETFD));
	code[9] = result(fcntl(fx->dir_fd, F_GETFD));
	code[0] = entries_of_root();
	code[1] = result(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
	code[2] = result(open("/new", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	code[3] = result(open("..", O_PATH | O_CLOEXEC));
	code[4] = connect_tcp(&code[5]);
	code[6] = result(kill(fx->sandbox.parent, 0));
	code[7] = result(setuid(0));
	getrlimit(RLIMIT_NOFILE, &files);
	code[10] = (int)files.rlim_max;
	code[11] = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
}

static void test_worker(void **state)
{
	struct fx *fx = *state;
	const int *code = fx->answers->code;

	run(fx, try_as_worker);
	assert_int_equal(fx->answers->confined, 0);
	if (has(fx, LAYER_ROOT) && !has(fx, LAYER_LANDLOCK))
		assert_int_equal(code[0], 0);
	if (has(fx, LAYER_LANDLOCK)) {
		assert_int_equal(code[0], -EACCES);
		assert_int_equal(code[1], has(fx, LAYER_ROOT) ? -ENOENT : -EACCES);
	}
	if (has(fx, LAYER_ROOT))
		assert_int_equal(code[2], -EROFS);
	assert_int_not_equal(code[2], 0);
	if (fx->answers->state.landlock_abi >= 4) {
		assert_int_equal(code[4], -EACCES);
		assert_int_equal(code[5], -EACCES);
	}
	if (has(fx, LAYER_NAMESPACES)) {
		assert_int_equal(code[6], -ESRCH);
		assert_int_not_equal(code[4], 0);
	}
	if (geteuid() != 0 || has(fx, LAYER_UID))
		assert_int_not_equal(code[7], 0);
	assert_int_equal(code[8], 0);
	assert_int_equal(code[9], -EBADF);
	assert_int_equal(code[10], 64);
	assert_int_equal(code[11], 0);
}

static void grow_file(struct fx *fx, int *code)
{
	const struct sandbox_limits limits = {.file_bytes = 4096, .threads = 100};
	struct rlimit now = {0};
	int fd = memfd_create("x", MFD_CLOEXEC);

	signal(SIGXFSZ, SIG_IGN);
	sandbox_seal(&fx->sandbox, &limits);
	code[0] = result((int)pwrite(fd, "x", 1, 4095));
	code[1] = result((int)pwrite(fd, "x", 1, 4096));
	getrlimit(RLIMIT_NPROC, &now);
	code[2] = now.rlim_max == 100;
}

static void test_seal(void **state)
{
	struct fx *fx = *state;
	const int *code = fx->answers->code;

	run(fx, grow_file);
	assert_int_equal(code[0], 0);
	assert_int_equal(code[1], -EFBIG);
	assert_int_equal(code[2], (fx->answers->state.namespaces & CLONE_NEWUSER) != 0);
}

/* Who is late finds nobody, and ends. */
static void test_parent_gone(void **state)
{
	struct fx *fx = *state;

	if (!(fx->sandbox.state.namespaces & CLONE_NEWPID))
		run(fx, grow_file);
	if (!has(fx, LAYER_NAMESPACES))
		skip();
	close(fx->link[0]);
	run(fx, grow_file);
	assert_int_equal(fx->answers->confined, -ESRCH);
	fx->link[0] = -1;
}

static void test_off(void **state)
{
	struct fx *fx = *state;

	fx->sandbox.mode = SANDBOX_OFF;
	run(fx, try_as_worker);
	assert_int_equal(fx->answers->confined, 0);
	assert_int_equal(fx->answers->state.have, 1u << LAYER_CAPABILITIES);
	assert_int_equal(fx->answers->state.namespaces, 0);
	assert_int_equal(fx->answers->code[1], 0); /* /etc/passwd */
	assert_int_equal(fx->answers->code[6], 0);
	assert_int_equal(fx->answers->code[9], -EBADF);
}

static void test_too_few_files(void **state)
{
	struct fx *fx = *state;
	struct rlimit now;

	getrlimit(RLIMIT_NOFILE, &now);
	fx->sandbox.max_files = now.rlim_max + 1;
	run(fx, grow_file);
	assert_int_equal(fx->answers->confined, -EMFILE);
	assert_non_null(strstr(fx->answers->err.msg, "open files"));
}

/* ---- a file server ---- */

static int exists(int dir, const char *name)
{
	struct stat st;

	return result(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW));
}

static void try_as_files(struct fx *fx, int *code)
{
	char *const argv[] = {NULL};

	code[0] = result(openat(fx->dir_fd, "a/file", O_RDONLY | O_CLOEXEC));
	code[1] = result(openat(fx->dir_fd, "a/file", O_RDWR | O_CLOEXEC));
	code[2] = result(openat(fx->dir_fd, "new", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	code[3] = result(renameat(fx->dir_fd, "a/file", fx->dir_fd, "b/file"));
	code[4] = result(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
	code[5] = result(openat(fx->dir_fd, "../../etc/passwd", O_RDONLY | O_CLOEXEC));
	code[6] = exists(fx->dir_fd, "..");
	code[7] = result(execveat(fx->dir_fd, code[3] == 0 ? "b/file" : "a/file", argv, argv, 0));
	code[8] = result(mknodat(fx->dir_fd, "null", S_IFCHR, makedev(0, 0)));
	code[9] = result(openat(fx->sandbox.proc, "../../../etc/passwd", O_RDONLY | O_CLOEXEC));
}

static void share(struct fx *fx, bool read_only)
{
	fx->sandbox.kind = SANDBOX_FILES;
	fx->sandbox.root = fx->dir_fd;
	fx->sandbox.proc = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	fx->sandbox.read_only = read_only;
	fx->sandbox.max_files = 0;
	fx->keep[1] = fx->dir_fd;
	fx->keep[2] = fx->sandbox.proc;
	fx->sandbox.keep_count = 3;
	run(fx, try_as_files);
	close(fx->sandbox.proc);
	assert_int_equal(fx->answers->confined, 0);
	if (!has(fx, LAYER_LANDLOCK) && !has(fx, LAYER_ROOT))
		skip();
}

static void expect_no_way_out(const struct fx *fx)
{
	const int *code = fx->answers->code;

	for (unsigned i = 4; i <= 5; i++)
		assert_true(code[i] == -ENOENT || code[i] == -EACCES);
	assert_true(code[9] == -ENOENT || code[9] == -EACCES);
	if (has(fx, LAYER_LANDLOCK)) {
		assert_int_equal(code[7], -EACCES);
		assert_int_not_equal(code[8], 0);
	}
}

static void test_files(void **state)
{
	struct fx *fx = *state;
	const int *code = fx->answers->code;

	share(fx, false);
	for (unsigned i = 0; i <= 3; i++)
		assert_int_equal(code[i], 0);
	expect_no_way_out(fx);
	assert_int_equal(exists(fx->dir_fd, "new"), 0); /* it is the host's directory */
}

static void test_read_only_files(void **state)
{
	struct fx *fx = *state;
	const int *code = fx->answers->code;

	share(fx, true);
	assert_int_equal(code[0], 0);
	for (unsigned i = 1; i <= 3; i++)
		assert_true(code[i] == -EROFS || code[i] == -EACCES);
	expect_no_way_out(fx);
	assert_int_equal(exists(fx->dir_fd, "new"), -ENOENT);
}

/* ---- in words ---- */

static void test_words(void **state)
{
	struct sandbox sb = {.mode = SANDBOX_ON};
	struct sandbox_state *s = &sb.state;
	char text[SANDBOX_TEXT];
	struct err err = {0};

	(void)state;
	s->wanted = (1u << SANDBOX_LAYERS) - 1;
	s->namespaces = CLONE_NEWNET | CLONE_NEWPID;
	s->landlock_abi = 5;
	for (unsigned i = 0; i < SANDBOX_LAYERS; i++)
		layer_note(s, i, 0);
	sandbox_describe(s, text);
	assert_string_equal(text,
			    "namespaces (network, PID), empty root, unprivileged user, no capabilities, "
			    "Landlock (ABI 5), system call filters");
	layer_note(s, LAYER_NAMESPACES, -EPERM);
	s->have &= ~(1u << LAYER_ROOT);
	s->wanted &= ~(1u << LAYER_UID);
	s->have &= ~(1u << LAYER_UID);
	sandbox_describe(s, text);
	assert_string_equal(text,
			    "no capabilities, Landlock (ABI 5), system call filters; missing: namespaces "
			    "(Operation not permitted), root");
	assert_int_equal(layer_check(&sb, &err), 0);
	sb.mode = SANDBOX_STRICT;
	assert_int_equal(layer_check(&sb, &err), -EPERM);
	assert_non_null(
		strstr(err.msg, "--sandbox strict: 'namespaces' is missing: Operation not permitted"));
	layer_note(s, LAYER_NAMESPACES, 0);
	assert_int_equal(layer_check(&sb, &err), -ENOTSUP);
	assert_non_null(strstr(err.msg, "'root' is missing"));
	layer_note(s, LAYER_ROOT, 1);
	assert_int_equal(layer_check(&sb, &err), 0);
}

static void test_try(void **state)
{
	struct sandbox_state s = {0};

	(void)state;
	assert_true(sandbox_try(&s));
	assert_true(layer_is_there(&s, LAYER_CAPABILITIES));
	assert_int_equal(layer_is_wanted(&s, LAYER_UID), geteuid() == 0);
	for (unsigned i = 0; i < SANDBOX_LAYERS; i++) {
		if (layer_is_wanted(&s, i) && !layer_is_there(&s, i) && i != LAYER_ROOT)
			assert_true(s.why[i] < 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_worker, setup, teardown),
		cmocka_unit_test_setup_teardown(test_seal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_parent_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_off, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_few_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_only_files, setup, teardown),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_try),
	};

	return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
