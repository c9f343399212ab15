/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is said to the agent of a copy, against agents of all sorts: their bytes lie in the socket before, as
 * nothing of the host's is needed to know them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "agent_frame.h"
#include "agent_identity.h"
#include "hull/util.h"

static const uint64_t patience_ns = UINT64_C(60) * 1000000000;
static const struct agent_identity nothing;

static int host, agent;

static int begin(void **state)
{
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	host = pair[0];
	agent = pair[1];
	return 0;
}

static int end(void **state)
{
	(void)state;
	fd_close(&host);
	fd_close(&agent);
	return 0;
}

static void say(uint32_t type, const void *data, uint32_t len)
{
	uint8_t header[AGENT_HEADER];

	agent_frame_header(header, (enum agent_type)type, len);
	assert_int_equal(send(agent, header, sizeof(header), 0), sizeof(header));
	if (len)
		assert_int_equal(send(agent, data, len, 0), len);
}

static void say_hello(void)
{
	say(AGENT_HELLO, "\1\0\0", 4);
}

static int identify(const struct agent_identity *identity, struct err *err)
{
	if (err)
		*err = (struct err){.code = 0};
	return agent_identify(host, identity, patience_ns, err);
}

static uint32_t hear(uint32_t type, uint8_t data[static AGENT_MAX_SEED])
{
	uint8_t header[AGENT_HEADER];
	uint32_t len;

	assert_int_equal(recv(agent, header, sizeof(header), MSG_WAITALL), sizeof(header));
	assert_int_equal(load_le32(header), type);
	len = load_le32(header + 4);
	assert_in_range(len, 0, AGENT_MAX_SEED);
	if (len)
		assert_int_equal(recv(agent, data, len, MSG_WAITALL), len);
	return len;
}

static void test_all(void **state)
{
	struct agent_mac mac = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 9}};
	uint8_t data[AGENT_MAX_SEED];
	struct agent_identity id;
	struct timespec now;
	struct err err;

	(void)state;
	assert_int_equal(agent_identity_make(&id, "web_1"), 0);
	for (unsigned i = 0; i < CONFIG_MAX_NETS; i++)
		id.macs[i] = mac;
	id.mac_count = CONFIG_MAX_NETS;
	say_hello();
	say(AGENT_DONE, NULL, 0);
	assert_int_equal(identify(&id, &err), 0);
	assert_int_equal(hear(AGENT_HOSTNAME, data), 5);
	assert_memory_equal(data, "web_1", 5);
	assert_int_equal(hear(AGENT_MACHINE_ID, data), AGENT_ID_DIGITS);
	assert_memory_equal(data, id.machine_id, AGENT_ID_DIGITS);
	assert_int_equal(hear(AGENT_SEED, data), AGENT_SEED_BYTES);
	assert_memory_equal(data, id.seed, AGENT_SEED_BYTES);
	for (unsigned i = 0; i < CONFIG_MAX_NETS; i++) {
		assert_int_equal(hear(AGENT_MAC, data), sizeof(mac));
		assert_memory_equal(data, &mac, sizeof(mac));
	}
	assert_int_equal(hear(AGENT_CLOCK, data), 8);
	clock_gettime(CLOCK_REALTIME, &now);
	assert_true((uint64_t)now.tv_sec - load_le64(data) / 1000000000u <= 60);
	assert_int_equal(hear(AGENT_IDENTIFY, data), 0);
	assert_int_equal(recv(agent, data, 1, MSG_DONTWAIT), -1);
}

/* What is not to change is not said. */
static void test_nothing(void **state)
{
	uint8_t data[AGENT_MAX_SEED];
	struct err err;

	(void)state;
	say_hello();
	say(AGENT_DONE, NULL, 0);
	assert_int_equal(identify(&nothing, &err), 0);
	assert_int_equal(hear(AGENT_IDENTIFY, data), 0);
	assert_int_equal(recv(agent, data, 1, MSG_DONTWAIT), -1);
}

static void test_made(void **state)
{
	struct agent_identity a, b;
	char name[AGENT_MAX_HOSTNAME + 2];

	(void)state;
	assert_int_equal(agent_identity_make(&a, NULL), 0);
	assert_int_equal(agent_identity_make(&b, "b"), 0);
	assert_string_equal(a.hostname, "");
	assert_string_equal(b.hostname, "b");
	assert_string_not_equal(a.machine_id, b.machine_id);
	assert_memory_not_equal(a.seed, b.seed, sizeof(a.seed));
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(agent_identity_make(&a, NULL), 0);
		assert_int_equal(strspn(a.machine_id, "0123456789abcdef"), AGENT_ID_DIGITS);
		assert_int_equal(strlen(a.machine_id), AGENT_ID_DIGITS);
		assert_int_equal(a.machine_id[12], '4');
		assert_non_null(strchr("89ab", a.machine_id[16]));
	}
	memset(name, 'x', sizeof(name));
	name[AGENT_MAX_HOSTNAME + 1] = '\0';
	assert_int_equal(agent_identity_make(&a, name), -EINVAL);
	name[AGENT_MAX_HOSTNAME] = '\0';
	assert_int_equal(agent_identity_make(&a, name), 0);
	assert_string_equal(a.hostname, name);
	assert_int_equal(agent_identity_make(&a, "a b"), -EINVAL);
	assert_int_equal(agent_identity_make(&a, "-a"), -EINVAL);
}

static void test_note(void **state)
{
	struct err err;

	(void)state;
	say_hello();
	say(AGENT_NOTE, "no\nlease", 8);
	say(AGENT_DONE, NULL, 0);
	assert_int_equal(agent_identify(host, &nothing, patience_ns, NULL), 1);
	say_hello();
	say(AGENT_NOTE, "no\nlease", 8);
	say(AGENT_DONE, NULL, 0);
	assert_int_equal(identify(&nothing, &err), 1);
	assert_string_equal(err.msg, "no\\x0alease");
}

static void test_failed(void **state)
{
	struct err err;

	(void)state;
	say_hello();
	say(AGENT_FAILED, "\x7d\0\0\0clock: \x1b[2J", 15);
	assert_int_equal(identify(&nothing, &err), -EREMOTEIO);
	assert_string_equal(err.msg, "the guest cannot become another machine: clock: \\x1b[2J");
}

/* Before it has said hello, nobody was there; after that, it does not know what it heard. */
static void test_gone(void **state)
{
	struct err err;

	(void)state;
	fd_close(&agent);
	assert_int_equal(identify(&nothing, &err), -ENOTCONN);
	end(state);
	begin(state);
	say_hello();
	fd_close(&agent);
	assert_int_equal(identify(&nothing, &err), -ECONNRESET);
	assert_non_null(strstr(err.msg, "of a hull that cannot copy machines"));
	end(state);
	begin(state);
	say_hello();
	shutdown(agent, SHUT_WR);
	assert_int_equal(identify(&nothing, &err), -ECONNRESET);
}

static void test_silent(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(agent_identify(host, &nothing, 1, &err), -ETIMEDOUT);
	say_hello();
	assert_int_equal(agent_identify(host, &nothing, 1000000, &err), -ETIMEDOUT);
}

/* A guest that lets the host neither send nor go. */
static void test_deaf(void **state)
{
	static uint8_t data[4096];
	struct err err;

	(void)state;
	while (send(host, data, sizeof(data), MSG_DONTWAIT) > 0)
		;
	say_hello();
	assert_int_equal(agent_identify(host, &nothing, 1000000, &err), -ETIMEDOUT);
}

/* A guest that always has something to say, and never the end: what it says is not heard once time is up. */
static void test_talker(void **state)
{
	struct err err;

	(void)state;
	say_hello();
	for (unsigned i = 0; i < 10; i++) {
		say(AGENT_STDOUT, NULL, 0);
		say(AGENT_NOTE, "\0", 1);
	}
	say(AGENT_DONE, NULL, 0);
	assert_int_equal(agent_identify(host, &nothing, 0, &err), -ETIMEDOUT);
	/* With time it is heard to the end. */
	assert_int_equal(identify(&nothing, &err), 0);
}

static void test_nonsense(void **state)
{
	static const struct {
		uint32_t type, len;
		const char *data;
		bool hello;
	} frames[] = {
		{AGENT_DONE, 0, "", false},
		{AGENT_HELLO, 4, "\2\0\0", false},
		{AGENT_HELLO, 4, "\1\0\0", true},
		{AGENT_STARTED, 4, "\1\0\0", true},
		{AGENT_EXITED, 4, "\0\0\0", true},
		{AGENT_STDOUT, 4, "text", true},
		{AGENT_DONE, 1, "x", true},
		{AGENT_NOTE, 0, "", true},
		{AGENT_IDENTIFY, 0, "", true},
		{AGENT_FAILED, 3, "\0\0\0", true},
		{99, 0, "", true},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(frames); i++) {
		struct err err;

		if (frames[i].hello)
			say_hello();
		say(frames[i].type, frames[i].data, frames[i].len);
		assert_int_equal(identify(&nothing, &err), -EPROTO);
		assert_true(strlen(err.msg) > 0);
		end(state);
		begin(state);
	}
	say_hello();
	say(AGENT_NOTE, "a", 1);
	say(AGENT_NOTE, "b", 1);
	assert_int_equal(identify(&nothing, NULL), -EPROTO);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_all),  CASE(test_nothing), CASE(test_made), CASE(test_note),   CASE(test_failed),
		CASE(test_gone), CASE(test_silent),  CASE(test_deaf), CASE(test_talker), CASE(test_nonsense),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("agent_identity", tests, NULL, NULL);
}
