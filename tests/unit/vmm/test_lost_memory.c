/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Host fault 6: SIGBUS in RAM is lost memory, and anywhere else a crash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hull/util.h"
#include "lost_memory.h"

enum { PAGE = 4096, RAM = 2 << 20, GPA = 1 << 20, LOST = GPA + 3 * PAGE };

/* A page of a file that has become shorter, at `at`, or anywhere. */
static uint8_t *lost_page(void *at)
{
	int fd = memfd_create("lost", MFD_CLOEXEC);
	uint8_t *page;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	page = mmap(at, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | (at ? MAP_FIXED : 0), fd, 0);
	assert_ptr_not_equal(page, MAP_FAILED);
	page[0] = 1;
	assert_int_equal(ftruncate(fd, 0), 0);
	close(fd);
	return page;
}

/* How a process ends that uses `victim`, or is sent a signal when that is NULL. */
static int status_of(const struct guest_mem *mem, struct report *report, volatile uint8_t *victim)
{
	const struct rlimit none = {0, 0};
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &none);
		signal(SIGBUS, SIG_DFL); /* without a sanitizer's word */
		lost_memory_watch(mem, report);
		if (victim)
			victim[16]++;
		for (unsigned i = 0; !victim && i < 2; i++)
			raise(SIGBUS);
		_exit(7);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

struct fx {
	struct guest_mem mem;
	struct report *report;
};

static int setup(void **state)
{
	static struct fx fx;

	fx = (struct fx){0};
	*state = &fx;
	assert_int_equal(report_create(&fx.report, NULL), 0);
	assert_int_equal(report_share(fx.report, NULL), 0);
	assert_int_equal(mem_add_ram(&fx.mem, GPA, RAM, NULL), 0);
	mem_freeze(&fx.mem);
	/* cppcheck-suppress leakReturnValNotUsed ; it is a part of the RAM */
	lost_page(mem_ptr(&fx.mem, LOST, PAGE));
	return 0;
}

static int teardown(void **state)
{
	struct fx *fx = *state;

	mem_finish(&fx->mem);
	report_destroy(fx->report);
	return 0;
}

static void test_in_ram(void **state)
{
	struct fx *fx = *state;
	int status = status_of(&fx->mem, fx->report, mem_ptr(&fx->mem, LOST, PAGE));

	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(fx->report->outcome, OUTCOME_MEMORY_LOST);
	assert_string_equal(fx->report->text, "guest memory lost at 0x103010 (an access of hull's)");
}

static void test_elsewhere(void **state)
{
	struct fx *fx = *state;
	uint8_t *page = lost_page(NULL);
	int status = status_of(&fx->mem, fx->report, page);

	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	assert_int_equal(fx->report->outcome, OUTCOME_NONE);
	munmap(page, PAGE);
}

static void test_sent(void **state)
{
	struct fx *fx = *state;
	int status = status_of(&fx->mem, fx->report, NULL);

	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	assert_int_equal(fx->report->outcome, OUTCOME_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_in_ram, setup, teardown),
		cmocka_unit_test_setup_teardown(test_elsewhere, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sent, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
