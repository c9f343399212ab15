/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of VMs: those that live, and what dead ones have left. */
#include "control_rig.h"

#include <sys/stat.h>

#include "unix_socket.h"
#include "vms.h"

struct fx {
	char dir[40]; /* $XDG_RUNTIME_DIR */
	char run[48];
};

static int setup(void **state)
{
	struct fx *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	snprintf(fx->dir, sizeof(fx->dir), "/tmp/hull-vms-XXXXXX");
	assert_non_null(mkdtemp(fx->dir));
	setenv("XDG_RUNTIME_DIR", fx->dir, 1);
	snprintf(fx->run, sizeof(fx->run), "%s/hull", fx->dir);
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	struct fx *fx = *state;

	assert_int_equal(rmdir(fx->run), 0);
	assert_int_equal(rmdir(fx->dir), 0);
	free(fx);
	return 0;
}

static unsigned list(struct vm_info **ret_vms)
{
	struct err err = {0};
	unsigned fds = open_fds(), count = 0;

	assert_int_equal(vms_list(ret_vms, &count, &err), 0);
	assert_int_equal(open_fds(), fds);
	return count;
}

static void is_empty(void **state)
{
	struct vm_info *vms = NULL;

	(void)state;
	assert_int_equal(list(&vms), 0);
	free(vms);
}

static void living_and_dead(void **state)
{
	struct fx *fx = *state;
	struct vm_info *vms = NULL;
	char path[80];
	pid_t b, a;
	int fd = -1;

	assert_int_equal(mkdir(fx->run, 0700), 0);
	b = fork_server(fx->run, "b", true);
	fork_server(fx->run, "dead", false);
	a = fork_server(fx->run, "a", true);
	snprintf(path, sizeof(path), "%s/dead.vsock", fx->run);
	assert_int_equal(unix_socket_listen(path, &fd, NULL), 0);
	close(fd);
	assert_int_equal(list(&vms), 2);
	assert_string_equal(vms[0].status.name, "a");
	assert_string_equal(vms[1].status.name, "b");
	assert_true(vms[0].answers && vms[1].answers);
	assert_int_equal(vms[1].status.memory, MIB(64));
	free(vms);
	assert_int_equal(access(path, F_OK), -1);
	kill_server(a);
	assert_int_equal(list(&vms), 1);
	assert_string_equal(vms[0].status.name, "b");
	free(vms);
	kill_server(b);
	assert_int_equal(list(&vms), 0);
	free(vms);
}

/* What is no lock of a VM stays. */
static void other_things(void **state)
{
	static const char *const names[] = {"x", ".lock", "a b.lock", "x.lockx", "dir.lock"};
	struct fx *fx = *state;
	struct vm_info *vms = NULL;
	char path[80];

	assert_int_equal(mkdir(fx->run, 0700), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", fx->run, names[i]);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	assert_int_equal(list(&vms), 0);
	free(vms);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", fx->run, names[i]);
		assert_int_equal(rmdir(path), 0);
	}
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {CASE(is_empty), CASE(living_and_dead), CASE(other_things)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
