/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The link between a worker and who wants a snapshot of it: both may be somebody's who means no good. */
#include "config_words.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "grants.h"
#include "hull/snapshot.h"
#include "hull/util.h"
#include "leaks.h"
#include "save_link.h"
#include "saved_config.h"
#include "snapshot_take.h"

enum { PATIENCE_MS = 5000 };

struct fx {
	int client, worker; /* the two ends */
	unsigned fds;
};

static int setup(void **state)
{
	struct fx *fx = calloc(1, sizeof(*fx));
	int pair[2];

	assert_non_null(fx);
	fx->fds = open_fds();
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	fx->client = pair[0];
	fx->worker = pair[1];
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	struct fx *fx = *state;

	fd_close(&fx->client);
	fd_close(&fx->worker);
	assert_int_equal(open_fds(), fx->fds);
	free(fx);
	return 0;
}

/* ---- messages ---- */

static void test_messages(void **state)
{
	struct fx *fx = *state;
	struct save_message message = {.kind = SAVE_DONE, .error = -5}, got;
	int fds[2] = {0, 1}, received[2] = {-1, -1};
	unsigned count = 9;

	memset(message.text, 'x', SAVE_TEXT); /* not ended */
	for (unsigned n = 0; n <= 2; n++) {
		assert_int_equal(save_link_send(fx->worker, &message, fds, n, PATIENCE_MS), 0);
		assert_int_equal(save_link_receive(fx->client, &got, received, &count, PATIENCE_MS), 0);
		assert_int_equal(count, n);
		assert_int_equal(got.error, -5);
		assert_int_equal(strlen(got.text), SAVE_TEXT - 1);
		while (count > 0)
			close(received[--count]);
	}
	assert_int_equal(save_link_receive(fx->client, &got, received, &count, 1), -ETIMEDOUT);
	assert_int_equal(count, 0);
	/* Too short, too long, too many descriptors. */
	assert_int_equal(send(fx->worker, &message, sizeof(message) - 1, 0), sizeof(message) - 1);
	assert_int_equal(save_link_receive(fx->client, &got, received, &count, PATIENCE_MS), -EBADMSG);
	{
		char more[sizeof(message) + 1] = {0};

		assert_int_equal(send(fx->worker, more, sizeof(more), 0), sizeof(more));
	}
	assert_int_equal(save_link_receive(fx->client, &got, received, &count, PATIENCE_MS), -EBADMSG);
	{
		const int three[3] = {0, 1, 2};

		if (save_link_send(fx->worker, &message, three, 3, PATIENCE_MS) == 0)
			assert_int_equal(save_link_receive(fx->client, &got, received, &count, PATIENCE_MS),
					 -EBADMSG);
	}
	/* Nobody reads. */
	{
		int r = 0;

		while (r == 0)
			r = save_link_send(fx->worker, &message, NULL, 0, 1);
		assert_int_equal(r, -ETIMEDOUT);
	}
	fd_close(&fx->client);
	assert_int_equal(save_link_send(fx->worker, &message, NULL, 0, PATIENCE_MS), -EPIPE);
	assert_int_equal(save_link_receive(fx->worker, &got, received, &count, PATIENCE_MS), -EPIPE);
}

/* ---- the client ---- */

/* What the worker does once it has the order. */
struct worker {
	int link;
	struct vm_config *config; /* what it says of itself; NULL: no state at all */
	bool other_identity, incremental, huge, rubbish, no_done, no_supervisor;
	uint64_t memory;
	unsigned shares;   /* that it says it has got from the supervisor */
	bool rewrites;     /* afterwards */
	bool grants;       /* it says itself, once more, what it is given */
	const char *error; /* NULL: it went well */
	uint32_t kind;     /* of the last message; 0: SAVE_DONE */
	unsigned got_disks;
	int kept;
};

static void write_state(const struct worker *w, int fd, const uint8_t *identity)
{
	struct saved_memory saved = {.bytes = w->memory, .incremental = w->incremental};
	const struct saved_extra extra = {
		.disk_bytes = {512, 512}, .macs = {{2, 1, 1, 1, 1, 1}}, .pairs = {1}};
	struct snapshot_writer *writer = NULL;
	const void *bytes;
	size_t len;

	memcpy(saved.identity, identity, sizeof(saved.identity));
	saved.identity[0] ^= w->other_identity;
	if (w->incremental)
		saved.base[0] = 1;
	if (snapshot_writer_create(&writer, NULL) < 0)
		return;
	saved_memory_put(writer, &saved);
	saved_config_put(writer, w->config, &extra);
	if (snapshot_writer_finish(writer, &bytes, &len, NULL) == 0)
		(void)fd_pwrite_full(fd, bytes, len, 0);
	snapshot_writer_destroy(writer);
}

static void say_grants(int link, const struct vm_config *config)
{
	const struct save_message message = {.kind = SAVE_GRANTS};
	int fd = grants_file(config);

	assert_true(fd >= 0);
	assert_int_equal(save_link_send(link, &message, &fd, 1, PATIENCE_MS), 0);
	close(fd);
}

static void *be_worker(void *arg)
{
	struct worker *w = arg;
	struct save_message m = {0}, done = {.kind = w->kind ? w->kind : SAVE_DONE, .bytes = 77};
	int state = -1;

	while (m.kind != SAVE_GO) {
		int fds[2] = {-1, -1};
		unsigned count;

		if (save_link_receive(w->link, &m, fds, &count, PATIENCE_MS) < 0)
			break;
		w->got_disks += m.kind == SAVE_DISK;
		if (m.kind == SAVE_STATE) {
			state = fds[0];
			fds[0] = -1;
		}
		fd_close(&fds[0]);
		fd_close(&fds[1]);
	}
	if (w->config)
		write_state(w, state, m.identity);
	if (w->rubbish)
		(void)fd_pwrite_full(state, "rubbish", 7, 3);
	if (w->huge)
		(void)!ftruncate(state, (off_t)SNAPSHOT_MAX_BYTES + 1);
	for (unsigned i = 0; i < w->shares; i++) {
		const struct save_message share = {.kind = SAVE_SHARE, .index = i};
		int fd = open("/", O_PATH | O_CLOEXEC);

		(void)save_link_send(w->link, &share, &fd, 1, PATIENCE_MS);
		fd_close(&fd);
	}
	if (w->grants)
		say_grants(w->link, w->config);
	if (w->error) {
		done.error = -EIO;
		snprintf(done.text, sizeof(done.text), "%s", w->error);
	}
	if (!w->no_done)
		(void)save_link_send(w->link, &done, NULL, 0, PATIENCE_MS);
	w->kept = state;
	fd_close(&w->link);
	return NULL;
}

static struct vm_config *machine(char *const words[])
{
	struct vm_config *config = malloc(sizeof(*config));

	assert_non_null(config);
	*config = accepted(words);
	return config;
}

/* A VM as its supervisor describes it: 64 MiB, two disks, a network. */
static struct control_snapshot_answer the_vm(const struct fx *fx)
{
	return (struct control_snapshot_answer){.link = fx->client,
						.memory = MIB(64),
						.disk_count = 2,
						.disks = {"a", "b"},
						.net_count = 1,
						.nets = {NET_USER}};
}

static char *const the_words[] = {W("--memory=64M"), W("--disk=/x,id=a"), W("--disk=/y,id=b"),
				  W("--net=user"), NULL};

/* Takes one; *ret_state is the file that the client has made of it. */
static int take(struct fx *fx, struct worker *w, unsigned shares, int *ret_state, struct err *err)
{
	struct control_snapshot_answer vm = the_vm(fx);
	int memory = memfd_create("memory", MFD_CLOEXEC), state = memfd_create("state", MFD_CLOEXEC);
	const int disks[CONFIG_MAX_DISKS] = {memory, -1};
	struct snapshot_take t = {.vm = &vm, .memory = memory, .disks = disks, .pages = -1};
	pthread_t thread;
	int r;

	if (!w->no_supervisor) {
		struct vm_config *given = machine(the_words);

		say_grants(fx->worker, given);
		free(given);
	}
	vm.share_count = shares;
	memset(t.identity, 7, sizeof(t.identity));
	w->link = fx->worker;
	w->kept = -1;
	w->memory = w->memory ? w->memory : MIB(64);
	fx->worker = -1;
	assert_int_equal(pthread_create(&thread, NULL, be_worker, w), 0);
	r = snapshot_take(&t, state, err);
	assert_int_equal(pthread_join(thread, NULL), 0);
	if (r == 0) {
		assert_non_null(t.snapshot);
		assert_int_equal(t.bytes, 77);
		assert_int_equal(w->got_disks, 1);
	}
	for (unsigned i = 0; i < CONFIG_MAX_SHARES; i++) {
		assert_true(i < shares || t.shares[i] < 0);
		fd_close(&t.shares[i]);
	}
	snapshot_close(t.snapshot);
	fd_close(&memory);
	if (ret_state)
		*ret_state = state;
	else
		fd_close(&state);
	return r;
}

static void test_taken(void **state)
{
	struct fx *fx = *state;
	struct worker w = {.config = machine(the_words)};
	struct err err = {0};
	char before[64] = "", after[64] = "";
	int file = -1;

	if (take(fx, &w, 0, &file, &err) < 0)
		fail_msg("%s", err.msg);
	/* What the worker does to its file later is not in that of the client. */
	assert_int_equal(pread(file, before, sizeof(before), 0), sizeof(before));
	assert_int_equal(pwrite(w.kept, "changed", 7, 0), 7);
	assert_int_equal(pread(file, after, sizeof(after), 0), sizeof(after));
	assert_memory_equal(before, after, sizeof(before));
	assert_memory_equal(before, "HULLSNAP", 8);
	close(w.kept);
	close(file);
	free(w.config);
}

static void refused_as(void **state, struct worker w, unsigned shares, int code, const char *says)
{
	struct err err = {0};

	assert_int_equal(setup(state), 0);
	assert_int_equal(take(*state, &w, shares, NULL, &err), code);
	if (!strstr(err.msg, says) || strchr(err.msg, '\n'))
		fail_msg("'%s' has no '%s'", err.msg, says);
	fd_close(&w.kept);
	free(w.config);
	assert_int_equal(teardown(state), 0);
}

static void test_hostile_worker(void **state)
{
	static const char other[] = "does not say of itself what its supervisor says";
	char *const more[][2] = {
		{W("--disk=/y,id=b"), W("--publish=8080:80")},
		{W("--disk=/y,id=b"), W("--vsock=5")},
		{W("--disk=/y,id=b"), W("--cpus=2")},
		{W("--disk=/y,id=b,ro"), NULL},
	};
	void **s = state;

	refused_as(s, (struct worker){.config = machine((char *[]){W("--memory=64M"), NULL})}, 0, -EPROTO,
		   other);
	refused_as(s,
		   (struct worker){.config = machine((char *[]){W("--memory=64M"), W("--disk=/x,id=a"),
								W("--disk=/y,id=c"), W("--net=user"), NULL})},
		   0, -EPROTO, other);
	refused_as(
		s,
		(struct worker){.config = machine((char *[]){W("--memory=64M"), W("--disk=/x,id=a"),
							     W("--disk=/y,id=b"), W("--net=tap=t"), NULL})},
		0, -EPROTO, other);
	refused_as(s,
		   (struct worker){.memory = MIB(128),
				   .config = machine((char *[]){W("--memory=128M"), W("--disk=/x,id=a"),
								W("--disk=/y,id=b"), W("--net=user"), NULL})},
		   0, -EPROTO, other);
	refused_as(s, (struct worker){.config = machine(the_words), .other_identity = true}, 0, -EPROTO,
		   other);
	refused_as(s, (struct worker){.config = machine(the_words), .incremental = true}, 0, -EPROTO, other);
	/* A directory that nobody has given, and one that the machine says nothing of. */
	refused_as(s, (struct worker){.config = machine(the_words), .shares = 1}, 0, -EBADMSG, "has ended");
	refused_as(s, (struct worker){.config = machine(the_words), .shares = 1}, 1, -EPROTO, other);
	refused_as(s, (struct worker){.config = machine(the_words), .shares = 2}, 1, -EBADMSG, "has ended");
	/* Something that it was not given, and nobody who says what it was. */
	for (unsigned i = 0; i < ARRAY_SIZE(more); i++) {
		char *words[] = {W("--memory=64M"), W("--disk=/x,id=a"), more[i][0],
				 W("--net=user"),   more[i][1],          NULL};

		refused_as(s, (struct worker){.config = machine(words)}, 0, -EPROTO, other);
		refused_as(s, (struct worker){.config = machine(words), .grants = true}, 0, -EBADMSG,
			   "has ended");
		/* Nothing else is wrong with it. */
		refused_as(s,
			   (struct worker){.config = machine(words), .no_supervisor = true, .grants = true},
			   0, 0, "");
	}
	refused_as(s, (struct worker){.config = machine(the_words), .no_supervisor = true}, 0, -EPROTO,
		   other);
	refused_as(s, (struct worker){.config = machine(the_words), .rubbish = true}, 0, -EINVAL, "");
	refused_as(s, (struct worker){.config = machine(the_words), .huge = true}, 0, -EPROTO, "too large");
	refused_as(s, (struct worker){0}, 0, -EINVAL, "");
	refused_as(s, (struct worker){.no_done = true}, 0, -EPIPE, "has ended, or makes another");
	refused_as(s, (struct worker){.kind = SAVE_GO}, 0, -EBADMSG, "has ended");
	refused_as(s, (struct worker){.kind = 1u << 31}, 0, -EBADMSG, "has ended");
	refused_as(s, (struct worker){.error = "a disk is full"}, 0, -EREMOTEIO, "a disk is full");
	refused_as(s, (struct worker){.error = "\x1b[31m\nred"}, 0, -EREMOTEIO, "?[31m?red");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_messages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_taken, setup, teardown),
		cmocka_unit_test(test_hostile_worker),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
