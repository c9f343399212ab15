/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copies of a machine; see copies.h. */
#include "copies.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent_identity.h"
#include "control_client.h"
#include "hull/arch.h"
#include "hull/util.h"
#include "open_net.h"
#include "restored.h"
#include "summary.h"
#include "supervisor.h"

/* What a copy gets to begin, and its agent to answer; on a host that is emulated itself more. */
static const uint64_t patience_ns = UINT64_C(60) * 1000000000;
enum { EMULATED_FACTOR = 10, TRIES = 20, TRY_MS = 50, MESSAGE_BYTES = 512 };

/* ---- what differs ---- */

/* Replaces each "{}" in `text`, of `cap` bytes. False: it does not fit. */
static bool put_number(char *text, size_t cap, unsigned number)
{
	char digits[12];
	char *at;

	snprintf(digits, sizeof(digits), "%u", number);
	while ((at = strstr(text, "{}"))) {
		const size_t tail = strlen(at + 2), len = strlen(digits);

		if ((size_t)(at - text) + len + tail + 1 > cap)
			return false;
		memmove(at + len, at + 2, tail + 1);
		memcpy(at, digits, len);
	}
	return true;
}

static char *numbered(const char *word, unsigned number)
{
	const size_t cap = strlen(word) * 4 + 16;
	char *text = malloc(cap);

	if (text) {
		snprintf(text, cap, "%s", word);
		put_number(text, cap, number);
	}
	return text;
}

static int number_command(struct vm_config *c, unsigned number)
{
	char **words;

	if (!c->command.argv)
		return 0;
	words = calloc(c->command.argc + 1, sizeof(*words));
	if (!words)
		return -ENOMEM;
	for (unsigned i = 0; i < c->command.argc; i++)
		words[i] = numbered(c->command.argv[i], number);
	for (unsigned i = 0; i < c->command.argc; i++) {
		if (!words[i]) {
			free(words);
			return -ENOMEM;
		}
	}
	c->command.argv = words;
	return 0;
}

static int configure(struct vm_config *c, const struct copies_order *order, unsigned number)
{
	bool fits;

	config_copy(c, order->config);
	fits = put_number(c->name, sizeof(c->name), number) &&
	       put_number(c->vsock.path, sizeof(c->vsock.path), number);
	for (unsigned i = 0; i < c->disk_count; i++)
		fits &= put_number(c->disks[i].path, sizeof(c->disks[i].path), number);
	for (unsigned i = 0; i < c->net_count; i++) {
		fits &= put_number(c->nets[i].ifname, sizeof(c->nets[i].ifname), number);
		if (!order->alike) {
			net_fresh_mac(c->nets[i].mac);
			c->nets[i].new_mac = true;
		}
	}
	if (c->log) {
		c->log = numbered(c->log, number);
		if (!c->log)
			return -ENOMEM;
	}
	return fits ? number_command(c, number) : -ENAMETOOLONG;
}

/* ---- a copy, in a process of its own ---- */

/* Whatever the caller has done about signals: copies_stop() must be heard, by programs that are started, too.
 */
static void be_asked_to_end(void)
{
	static const int wanted[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	sigset_t set;

	sigemptyset(&set);
	for (unsigned i = 0; i < ARRAY_SIZE(wanted); i++) {
		signal(wanted[i], SIG_DFL);
		sigaddset(&set, wanted[i]);
	}
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static _Noreturn void be_copy(struct copies *c, const struct copy *copy, int ready, int messages)
{
	struct vm_config *machine = calloc(1, sizeof(*machine));
	int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);

	fd_close(&c->word[1]);
	setsid();
	be_asked_to_end();
	/* Those who wait for it close their end, and it may go on to say things. */
	signal(SIGPIPE, SIG_IGN);
	if (!machine || nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 || dup2(nothing, STDOUT_FILENO) < 0 ||
	    dup2(messages, STDERR_FILENO) < 0)
		_exit(EXIT_HULL_FAILED);
	close(messages);
	close(nothing);
	/* The machine has no COMMAND: that is run in it as in any other. */
	config_copy(machine, copy->config);
	machine->command = (struct config_command){0};
	_exit(restored_run(machine, c->order->extra, c->order->source, ready, c->word[0], monotonic_ns()));
}

static int start_one(struct copies *c, unsigned index, struct err *err)
{
	const struct copies_order *order = c->order;
	struct copy *copy = &c->list[index];
	int ready[2], messages[2];
	int r;

	copy->config = calloc(1, sizeof(*copy->config));
	r = copy->config ? configure(copy->config, order, index + 1) : -ENOMEM;
	if (r < 0)
		return err_errno(err, r, "copy %u", index + 1);
	memcpy(copy->name, copy->config->name, sizeof(copy->name));
	if (pipe2(ready, O_CLOEXEC) < 0)
		return err_errno(err, -errno, "%s", copy->name);
	if (pipe2(messages, O_CLOEXEC) < 0) {
		r = -errno;
		fd_close(&ready[0]);
		fd_close(&ready[1]);
		return err_errno(err, r, "%s", copy->name);
	}
	copy->pid = fork();
	if (copy->pid == 0)
		be_copy(c, copy, ready[1], messages[1]);
	r = copy->pid < 0 ? -errno : 0;
	fd_close(&ready[1]);
	fd_close(&messages[1]);
	copy->ready = ready[0];
	copy->messages = messages[0];
	return r < 0 ? err_errno(err, r, "%s", copy->name) : 0;
}

/* ---- waiting for them ---- */

/* What it has said before it ended, the first line of it. */
static int failed(struct copy *copy, struct err *err)
{
	char text[MESSAGE_BYTES];
	size_t len = 0;
	const char *start = text;
	ssize_t n;

	while (len < sizeof(text) - 1 && (n = read(copy->messages, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (strncmp(start, "hull: ", 6) == 0)
		start += 6;
	return err_set(err, -EREMOTEIO, "%s: %s", copy->name, *start ? start : "it did not start");
}

static int interrupted(struct err *err)
{
	return err_set(err, -EINTR, "interrupted: no copy is left");
}

static int wait_ready(struct copy *copy, int signals, uint64_t deadline_ns, struct err *err)
{
	struct pollfd fds[] = {{.fd = copy->ready, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
	uint64_t now;
	char byte;
	int n;

	do {
		now = monotonic_ns();
		n = poll(fds, ARRAY_SIZE(fds),
			 now < deadline_ns ? (int)((deadline_ns - now) / 1000000 + 1) : 0);
	} while (n < 0 && errno == EINTR);
	if (n == 0)
		return err_set(err, -ETIMEDOUT, "%s does not start", copy->name);
	if (fds[1].revents)
		return interrupted(err);
	if (read(copy->ready, &byte, 1) != 1)
		return failed(copy, err);
	fd_close(&copy->ready);
	fd_close(&copy->messages);
	return 0;
}

static void make_identity(const struct copies_order *order, const struct copy *copy,
			  struct agent_identity *ret)
{
	/* What cannot be made is left out: the guest's kernel has been told that it is a copy. */
	(void)agent_identity_make(ret, order->alike ? NULL : copy->name);
	if (order->alike)
		ret->machine_id[0] = '\0';
	for (unsigned i = 0; !order->alike && i < copy->config->net_count; i++) {
		struct agent_mac *mac = &ret->macs[ret->mac_count++];

		memcpy(mac->old, order->extra->macs[i], sizeof(mac->old));
		memcpy(mac->fresh, copy->config->nets[i].mac, sizeof(mac->fresh));
	}
}

/* Its connections are reset while it begins: then it is asked again. */
static int identify(const struct copies_order *order, const struct copy *copy, uint64_t deadline_ns,
		    struct err *err)
{
	static const struct timespec pause = {.tv_nsec = TRY_MS * 1000000};
	struct agent_identity identity = {0};
	struct err cause = {0};
	int r = -ECONNRESET;

	make_identity(order, copy, &identity);
	for (unsigned i = 0; (r == -ECONNRESET || r == -ENOTCONN) && i < TRIES; i++) {
		const uint64_t now = monotonic_ns();
		int fd = -1;

		if (i > 0)
			nanosleep(&pause, NULL);
		r = control_client_exec(copy->name, &fd, &cause);
		if (r == 0)
			r = agent_identify(fd, &identity, now < deadline_ns ? deadline_ns - now : 0, &cause);
		fd_close(&fd);
	}
	if (r > 0)
		summary_warning(copy->config, STDERR_FILENO, cause.msg);
	return r < 0 ? err_set(err, r, "%s: %s", copy->name, cause.msg) : 0;
}

/* Signals that ask for the end: until all copies run, or none, they wait to be read from a descriptor. */
static int hold_signals(sigset_t *ret_before, struct err *err)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigprocmask(SIG_BLOCK, &set, ret_before);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0) {
		err_errno(err, -errno, "signals");
		sigprocmask(SIG_SETMASK, ret_before, NULL);
	}
	return fd;
}

static int start_all(struct copies *c, int signals, struct err *err)
{
	const struct copies_order *order = c->order;
	const uint64_t deadline_ns =
		monotonic_ns() + (arch_host_is_emulated() ? EMULATED_FACTOR : 1) * patience_ns;
	int r = 0;

	while (c->count < order->count && r == 0) {
		c->list[c->count] = (struct copy){.ready = -1, .messages = -1};
		r = start_one(c, c->count++, err);
	}
	for (unsigned i = 0; i < c->count && r == 0; i++)
		r = wait_ready(&c->list[i], signals, deadline_ns, err);
	for (unsigned i = 0; i < c->count && r == 0 && order->config->agent; i++) {
		struct pollfd asked = {.fd = signals, .events = POLLIN};

		r = poll(&asked, 1, 0) == 1 ? interrupted(err)
					    : identify(order, &c->list[i], deadline_ns, err);
	}
	/* One byte that all see: whenever this process is killed, all go on or none does. */
	if (r == 0 && order->outlive && write(c->word[1], "", 1) != 1)
		r = err_errno(err, -errno, "copies");
	return r;
}

int copies_start(struct copies *ret, const struct copies_order *order, struct err *err)
{
	struct copies c = {.order = order};
	sigset_t before;
	int signals, r;

	if (pipe2(c.word, O_CLOEXEC) < 0)
		return err_errno(err, -errno, "copies");
	c.list = calloc(order->count, sizeof(*c.list));
	if (!c.list) {
		fd_close(&c.word[0]);
		fd_close(&c.word[1]);
		return err_errno(err, -ENOMEM, "copies");
	}
	signals = hold_signals(&before, err);
	r = signals < 0 ? signals : start_all(&c, signals, err);
	if (r < 0) {
		copies_stop(&c);
		copies_finish(&c);
	}
	*ret = c;
	if (signals >= 0) {
		fd_close(&signals);
		sigprocmask(SIG_SETMASK, &before, NULL);
	}
	return r;
}

/* ---- the end ---- */

void copies_stop(struct copies *c)
{
	for (unsigned i = 0; i < c->count; i++) {
		if (c->list[i].pid > 0)
			kill(c->list[i].pid, SIGINT);
	}
	for (unsigned i = 0; i < c->count; i++) {
		struct copy *copy = &c->list[i];

		if (copy->pid > 0)
			waitpid(copy->pid, NULL, 0);
		copy->pid = 0;
	}
}

/* What configure() has made of it. */
static void free_config(struct vm_config *c, const struct vm_config *order)
{
	if (!c)
		return;
	if (c->log != order->log)
		free((void *)(uintptr_t)c->log);
	if (c->command.argv != order->command.argv) {
		for (unsigned i = 0; i < c->command.argc; i++)
			free(c->command.argv[i]);
		free((void *)(uintptr_t)c->command.argv);
	}
	free(c);
}

void copies_finish(struct copies *c)
{
	if (!c->list)
		return;
	fd_close(&c->word[0]);
	fd_close(&c->word[1]);
	while (c->count > 0) {
		struct copy *copy = &c->list[--c->count];

		fd_close(&copy->ready);
		fd_close(&copy->messages);
		free_config(copy->config, c->order->config);
	}
	free(c->list);
	c->list = NULL;
}
