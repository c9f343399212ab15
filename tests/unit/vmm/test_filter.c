/* SPDX-License-Identifier: GPL-2.0-or-later */
/* System call filters: what they let pass, what they end, and what is said of it. */
#include "sandbox/filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DONE = 7 };

/* Shared with the processes that are ended. */
static struct sandbox_note *note;
static pid_t own_pid; /* of the process that is confined */

static int setup(void **state)
{
	(void)state;
	note = mmap(NULL, sizeof(*note), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return note == MAP_FAILED;
}

static void skip_without_filters(void)
{
	if (sandbox_filters_probe() != SANDBOX_FILTERS_HERE)
		skip();
}

/* The status of a process that takes the role's filter, does `fn`, and ends with DONE. */
static int run(enum syscall_role role, void (*fn)(void))
{
	int status;
	pid_t pid;

	memset(note, 0, sizeof(*note));
	pid = fork();
	if (pid == 0) {
		struct err err = {0};

		if (prctl(PR_SET_NAME, "tester") < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		    sandbox_filters_start(note, &err) < 0)
			_exit(1);
		own_pid = getpid();
		sandbox_thread(role);
		fn();
		syscall(SYS_exit_group, DONE);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void expect_violation(enum syscall_role role, void (*fn)(void), int number, const char *words)
{
	char text[SANDBOX_VIOLATION_TEXT];
	const int status = run(role, fn);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 125);
	assert_int_equal(note->role, role);
	assert_int_equal(note->number, number);
	assert_true(sandbox_violation(note, status, "the worker", text, sizeof(text)));
	assert_string_equal(text, words);
}

static void expect_done(enum syscall_role role, void (*fn)(void))
{
	char text[SANDBOX_VIOLATION_TEXT];
	const int status = run(role, fn);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), DONE);
	assert_int_equal(note->role, 0);
	assert_false(sandbox_violation(note, status, "the worker", text, sizeof(text)));
	assert_string_equal(text, "");
}

static void open_file(void)
{
	syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);
}

static void make_socket(void)
{
	syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
}

static void do_ioctl(void)
{
	syscall(SYS_ioctl, 0, 0x5412, "x"); /* TIOCSTI */
}

static void map_code(void)
{
	syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void map_data(void)
{
	syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void signal_init(void)
{
	syscall(SYS_tgkill, 1, 1, SIGCONT);
}

static void signal_self(void)
{
	syscall(SYS_tgkill, own_pid, own_pid, 0);
}

static void take_the_handler(void)
{
	struct sigaction sa = {.sa_handler = SIG_IGN};

	sigaction(SIGSYS, &sa, NULL);
}

static void wake(void)
{
	unsigned word = 0;

	syscall(SYS_futex, &word, 1 | 128, 1, NULL, NULL, 0); /* FUTEX_WAKE, private */
	syscall(SYS_futex, &word, 1, 1, NULL, NULL, 0);
}

static void requeue(void)
{
	unsigned word = 0;

	syscall(SYS_futex, &word, 3, 1, 1, &word, 0); /* FUTEX_REQUEUE */
}

static void x32(void)
{
	syscall(0x40000000 | SYS_write, 1, "", 0);
}

static void test_forbidden(void **state)
{
	(void)state;
	skip_without_filters();
	expect_violation(
		ROLE_VCPU, open_file, SYS_openat,
		"the sandbox ended the worker: thread tester made the forbidden system call openat (257)");
	expect_violation(
		ROLE_MAIN, make_socket, SYS_socket,
		"the sandbox ended the worker: thread tester made the forbidden system call socket (41)");
	expect_violation(
		ROLE_MAIN, do_ioctl, SYS_ioctl,
		"the sandbox ended the worker: thread tester made the forbidden system call ioctl (16)");
	expect_violation(
		ROLE_FILES, map_code, SYS_mmap,
		"the sandbox ended the worker: thread tester made the forbidden system call mmap (9)");
	expect_violation(
		ROLE_MAIN, signal_init, SYS_tgkill,
		"the sandbox ended the worker: thread tester made the forbidden system call tgkill (234)");
	expect_violation(
		ROLE_IO, take_the_handler, SYS_rt_sigaction,
		"the sandbox ended the worker: thread tester made the forbidden system call rt_sigaction (13)");
	expect_violation(
		ROLE_NET, requeue, SYS_futex,
		"the sandbox ended the worker: thread tester made the forbidden system call futex (202)");
}

static void test_allowed(void **state)
{
	(void)state;
	skip_without_filters();
	expect_done(ROLE_MAIN, map_data);
	expect_done(ROLE_MAIN, signal_self);
	expect_done(ROLE_VCPU, wake);
	expect_done(ROLE_FILES, open_file);
}

/* Another architecture's numbers: no handler is asked. */
static void test_other_architecture(void **state)
{
	char text[SANDBOX_VIOLATION_TEXT];
	int status;

	(void)state;
	skip_without_filters();
	status = run(ROLE_VCPU, x32);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
	assert_true(sandbox_violation(note, status, "the worker", text, sizeof(text)));
	assert_string_equal(text, "the worker was killed by its system call filter");
}

/* Words of a process that is not believed. */
static void test_hostile_note(void **state)
{
	struct sandbox_note lie = {.role = 0x1234567, .number = 100000};
	char text[SANDBOX_VIOLATION_TEXT];

	(void)state;
	memset(lie.thread, '\n', sizeof(lie.thread));
	assert_true(sandbox_violation(&lie, 0, "the worker", text, sizeof(text)));
	assert_null(strchr(text, '\n'));
	assert_non_null(strstr(text, "? (100000)"));
	lie.number = -1;
	assert_true(sandbox_violation(&lie, 0, "the worker", text, sizeof(text)));
	assert_non_null(strstr(text, "cannot confine itself"));
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(sandbox_syscall_name(0), "read");
	assert_string_equal(sandbox_syscall_name(SYS_execve), "execve");
	assert_string_equal(sandbox_syscall_name(-1), "?");
	assert_string_equal(sandbox_syscall_name(INT32_MAX), "?");
	assert_string_equal(sandbox_syscall_name(511), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forbidden),
		cmocka_unit_test(test_allowed),
		cmocka_unit_test(test_other_architecture),
		cmocka_unit_test(test_hostile_note),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("filter", tests, setup, NULL);
}
