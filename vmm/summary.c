/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The end of a run, in words; see summary.h. */
#include "summary.h"

#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hull/util.h"
#include "sandbox/filter.h"
#include "supervisor.h"

enum { TAIL_LINES = 15, LINE_BYTES = 1200, WAIT_MS = 1000 };

static bool say(int fd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A line for a reader who may have gone: waits for room, but not for ever. False: there was none. */
static bool say(int fd, const char *fmt, ...)
{
	struct pollfd room = {.fd = fd, .events = POLLOUT};
	char line[LINE_BYTES];
	va_list ap;
	int n;

	if (poll(&room, 1, WAIT_MS) != 1)
		return false;
	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n > 0)
		fd_write_full(fd, line, min_u64((uint64_t)n, sizeof(line) - 1));
	return true;
}

/* An error goes to stderr even when a log file takes the rest. */
static void say_error(const struct vm_config *config, int log, const char *text)
{
	say(log, "hull: %s\n", text);
	if (config->log)
		say(STDERR_FILENO, "hull: %s\n", text);
}

int summary_failed(const struct vm_config *config, int log, const char *text)
{
	say_error(config, log, text);
	return EXIT_HULL_FAILED;
}

void summary_note(const struct vm_config *config, int log, const char *text)
{
	struct pollfd room = {.fd = log, .events = POLLOUT};

	/* The supervisor has signals to wait for. */
	if (config->log_level >= LOG_INFO && poll(&room, 1, 0) == 1)
		say(log, "hull: %s\n", text);
}

void summary_warning(const struct vm_config *config, int log, const char *text)
{
	struct pollfd room = {.fd = log, .events = POLLOUT};

	if (config->log_level >= LOG_WARN && poll(&room, 1, 0) == 1)
		say(log, "hull: warning: %s\n", text);
}

void summary_share_lost(const struct vm_config *config, int log, const char *text)
{
	char line[LINE_BYTES - 32];

	snprintf(line, sizeof(line), "%s: programs of the guest wait for its files for ever", text);
	summary_warning(config, log, line);
}

/* ---- the timeline ---- */

static bool print_timeline(int log, const struct report *r)
{
	static const char *const names[PHASES] = {
		[PHASE_PARSE] = "options parsed",       [PHASE_OPEN] = "files opened",
		[PHASE_DECODE] = "kernel decoded",      [PHASE_CONFINE] = "worker forked and confined",
		[PHASE_MEMORY] = "VM and memory",       [PHASE_KERNEL] = "tables and kernel loaded",
		[PHASE_VCPUS] = "vCPUs and devices",    [PHASE_ENTRY] = "first entry",
		[PHASE_CONSOLE] = "first console byte", [PHASE_END] = "end",
	};
	uint64_t start = r->phase_ns[PHASE_START];
	uint64_t last = start;

	if (!say(log, "hull: timeline, microseconds since the start and since the line before:\n"))
		return false;
	for (unsigned i = PHASE_START + 1; i < PHASES; i++) {
		const char *name = names[i];

		if (r->phase_ns[i] < last)
			continue;
		if (i == PHASE_DECODE && r->from_cache)
			name = "kernel from cache";
		if (!say(log, "hull: %10" PRIu64 " %+10" PRId64 "  %s\n", (r->phase_ns[i] - start) / 1000,
			 (int64_t)((r->phase_ns[i] - last) / 1000), name))
			return false;
		last = r->phase_ns[i];
	}
	return true;
}

static void print_details(int log, const struct report *r)
{
	char how[sizeof(r->how) * 4];

	text_escape(how, sizeof(how), r->how, sizeof(r->how));
	if (how[0] && !say(log, "hull: kernel entered as %s\n", how))
		return; /* nor would it take the rest */
	if (!print_timeline(log, r))
		return;
	say(log,
	    "hull: exits to user space: %" PRIu64 " port, %" PRIu64 " memory, %" PRIu64 " signal, %" PRIu64
	    " other\n",
	    r->exits[EXIT_PIO], r->exits[EXIT_MMIO], r->exits[EXIT_SIGNAL], r->exits[EXIT_OTHER]);
	if (r->dropped)
		say(log, "hull: %" PRIu64 " bytes of console output were not taken and dropped\n",
		    r->dropped);
}

/* ---- a crash ---- */

static void print_lines(int fd, const char *text, size_t len, const char *indent)
{
	while (len > 0) {
		const char *end = memchr(text, '\n', len);
		size_t n = end ? (size_t)(end - text) : len;
		size_t shown = n > 0 && text[n - 1] == '\r' ? n - 1 : n;
		char line[LINE_BYTES - 16];

		text_escape(line, sizeof(line), text, shown);
		if (!say(fd, "%s%s\n", indent, line))
			return;
		n += end != NULL;
		text += n;
		len -= n;
	}
}

/* Where the last `lines` lines of the text begin. */
static size_t last_lines(const char *text, size_t len, unsigned lines)
{
	size_t at = len > 0 && text[len - 1] == '\n' ? len - 1 : len;

	while (at > 0) {
		if (text[at - 1] == '\n' && --lines == 0)
			break;
		at--;
	}
	return at;
}

/* Where the first line with `words` begins; `len` when there is none. */
static size_t line_with(const char *text, size_t len, const char *words)
{
	const char *at = memmem(text, len, words, strlen(words));

	while (at && at > text && at[-1] != '\n')
		at--;
	return at ? (size_t)(at - text) : len;
}

/* Where the console says why: the kernel's line, and that of the first stage (firmware/init/) before it. */
static size_t reason_line(const char *text, size_t len)
{
	return min_u64(line_with(text, len, "Kernel panic - not syncing"),
		       line_with(text, len, "hull-init: "));
}

/*
 * The length without the kernel's trace of calls where the first stage has said why it ended: to the
 * kernel that is a panic, to the user a line.
 */
static size_t without_trace(const char *text, size_t len)
{
	const size_t panic = line_with(text, len, "Attempted to kill init!");
	const char *end;

	if (line_with(text, len, "hull-init: ") >= panic)
		return len;
	end = memchr(text + panic, '\n', len - panic);
	return end ? (size_t)(end - text) + 1 : len;
}

/* With COMMAND the console is on stderr or nowhere (open.c), else on stdout. */
static bool is_console_seen(const struct vm_config *config)
{
	if (config->command.argv)
		return !config->log && config->log_level >= LOG_INFO;
	return isatty(STDOUT_FILENO) && isatty(STDERR_FILENO);
}

/* The guest's last words, unless the user has just read them on the same terminal. */
static void print_tail(const struct vm_config *config, const struct report *r)
{
	const bool seen = is_console_seen(config);
	size_t len = without_trace(r->tail, min_u64(r->tail_len, REPORT_TAIL_BYTES));
	size_t from = min_u64(last_lines(r->tail, len, TAIL_LINES), reason_line(r->tail, len));

	if (len == 0 || seen)
		return;
	say(STDERR_FILENO, "hull: the end of the guest's console:\n");
	print_lines(STDERR_FILENO, r->tail + from, len - from, "  ");
}

static int crashed(const struct vm_config *config, int log, const struct report *r, bool registers)
{
	char text[sizeof(r->text) * 4];
	char line[sizeof(text) + 32];

	text_escape(text, sizeof(text), r->text, sizeof(r->text));
	snprintf(line, sizeof(line), "the guest crashed: %s", text);
	say_error(config, log, line);
	if (registers)
		print_lines(log, r->registers, strnlen(r->registers, sizeof(r->registers)), "  ");
	print_tail(config, r);
	return EXIT_GUEST_CRASHED;
}

/* ---- COMMAND ---- */

int summary_command(const struct vm_config *config, int log, const struct agent_result *result,
		    const char *name)
{
	char text[sizeof(result->text) + 400];
	char shown[256];

	text_escape(shown, sizeof(shown), name, strlen(name));
	if (result->end == AGENT_END_FAILED) {
		/* What the guest has not got is not the program's fault. */
		const bool named = result->status == EXIT_HULL_FAILED ||
				   strncmp(result->text, shown, strlen(shown)) == 0;

		snprintf(text, sizeof(text), "%s%s%s", named ? "" : shown, named ? "" : ": ", result->text);
		say_error(config, log, text);
	}
	if (result->output_error) {
		snprintf(text, sizeof(text), "%s: output is lost: %s: %s", shown, result->output,
			 strerrordesc_np(result->output_error));
		say_error(config, log, text);
		return result->status ? result->status : EXIT_HULL_FAILED;
	}
	return result->status;
}

static bool has_status(const struct agent_result *result)
{
	return result && (result->end == AGENT_END_EXITED || result->end == AGENT_END_FAILED);
}

/* The machine was stopped because of what it did not do. */
static int gave_up(const struct vm_config *config, int log, const struct report *r, const struct ending *e)
{
	char text[sizeof(e->command->text) + 128];

	if (e->no_boot)
		snprintf(text, sizeof(text), "the guest did not come up within %g s%s",
			 (double)e->quiet_ns / 1e9,
			 config->log_level < LOG_INFO ? "; 'hull run -v' shows what its kernel says" : "");
	else if (e->command && e->command->end == AGENT_END_NONSENSE)
		snprintf(text, sizeof(text), "hull's agent in the guest does not keep to its protocol: %s",
			 e->command->text);
	else
		snprintf(text, sizeof(text), "hull's agent in the guest ended before COMMAND");
	say_error(config, log, text);
	print_tail(config, r);
	return EXIT_GUEST_CRASHED;
}

/* The guest ended by itself, and COMMAND has no status. Where COMMAND came to run, it was its own doing. */
static int ended_before(const struct vm_config *config, int log, const struct report *r,
			const struct ending *e, const char *how)
{
	char text[96];

	if (e->signal)
		return EXIT_BY_SIGNAL + e->signal;
	snprintf(text, sizeof(text), "%s before COMMAND had ended", how);
	say_error(config, log, text);
	if (!e->command)
		print_tail(config, r);
	return EXIT_HULL_FAILED;
}

/* ---- the worker's end ---- */

/* A worker with a process namespace ends itself where others are killed by abort(3). */
static int fatal_signal(int wait_status)
{
	if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) > EXIT_BY_SIGNAL)
		return WEXITSTATUS(wait_status) - EXIT_BY_SIGNAL;
	return WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
}

/* Whatever the outcome was to be: it is not to be believed. */
static bool broke_rules(const struct vm_config *config, int log, const struct report *r,
			const struct ending *e)
{
	char text[SANDBOX_VIOLATION_TEXT];

	if (!sandbox_violation(&r->worker_note, e->wait_status, "the worker", text, sizeof(text)))
		return false;
	summary_failed(config, log, text);
	return true;
}

static int worker_died(const struct vm_config *config, int log, const struct ending *e)
{
	const int sig = fatal_signal(e->wait_status);
	char text[160];

	if (sig > 0) {
		snprintf(text, sizeof(text), "the worker was killed by signal %d (%s)%s", sig, strsignal(sig),
			 sig == SIGKILL ? ": perhaps the host ran out of memory" : "");
	} else {
		snprintf(text, sizeof(text), "the worker ended with status %d and no outcome",
			 WEXITSTATUS(e->wait_status));
	}
	return summary_failed(config, log, text);
}

static int stopped(const struct vm_config *config, int log, const struct report *r, const struct ending *e)
{
	char text[96];

	if (e->share_lost)
		return summary_failed(config, log, e->share_text);
	if (e->no_boot || e->agent_lost)
		return gave_up(config, log, r, e);

	if (e->timed_out) {
		snprintf(text, sizeof(text), "stopped: --timeout of %g s expired",
			 (double)config->timeout_ns / 1e9);
		say_error(config, log, text);
		return EXIT_TIMED_OUT;
	}
	if (config->log_level >= LOG_WARN && e->unheard)
		say(log, "hull: the guest does not take Ctrl-C: stopped\n");
	else if (config->log_level >= LOG_WARN && e->grace_over && config->command.argv)
		say(log, "hull: COMMAND did not end within %.1f s after SIG%s: stopped\n",
		    (double)e->waited_ns / 1e9, sigabbrev_np(e->signal));
	else if (config->log_level >= LOG_INFO && e->button_ns)
		say(log, "hull: signal %d: the guest did not shut down and was stopped after %.1f s\n",
		    e->signal, (double)e->waited_ns / 1e9);
	else if (config->log_level >= LOG_INFO)
		say(log, "hull: stopped by signal %d\n", e->signal);
	return EXIT_BY_SIGNAL + e->signal;
}

/* The guest ended by itself, or because a signal pressed its power button. */
static int shut_down(const struct vm_config *config, int log, const struct ending *e, const char *how)
{
	if (config->log_level >= LOG_INFO && e->button_ns)
		say(log, "hull: signal %d: %s\n", e->signal, how);
	else if (config->log_level >= LOG_INFO)
		say(log, "hull: %s\n", how);
	return e->button_ns ? EXIT_BY_SIGNAL + e->signal : 0;
}

static int failed(const struct vm_config *config, int log, const struct report *r)
{
	char text[sizeof(r->text) * 4];

	text_escape(text, sizeof(text), r->text, sizeof(r->text));
	summary_failed(config, log, text);
	print_lines(log, r->registers, strnlen(r->registers, sizeof(r->registers)), "  ");
	return EXIT_HULL_FAILED;
}

static int ended_by_guest(const struct vm_config *config, int log, const struct report *r,
			  const struct ending *e)
{
	const char *how =
		r->outcome == OUTCOME_RESET ? "the guest reset the machine" : "the guest powered off";

	/* After the guest's end the worker writes what disks have in flight. */
	if (WIFSIGNALED(e->wait_status) && !e->killed_by_us)
		return worker_died(config, log, e);
	return config->command.argv ? ended_before(config, log, r, e, how) : shut_down(config, log, e, how);
}

static int status_of(const struct vm_config *config, int log, const struct report *r, const struct ending *e)
{
	bool verbose = config->log_level >= LOG_INFO;

	switch (r->outcome) {
	case OUTCOME_POWEROFF:
	case OUTCOME_RESET:
		return ended_by_guest(config, log, r, e);
	case OUTCOME_QUIT:
		if (verbose)
			say(log, "hull: stopped by the escape key\n");
		return 0;
	case OUTCOME_PANIC:
		return crashed(config, log, r, false);
	case OUTCOME_TRIPLE_FAULT:
		return crashed(config, log, r, verbose);
	case OUTCOME_INTERNAL_ERROR:
		return crashed(config, log, r, true);
	case OUTCOME_WATCHDOG:
		say_error(config, log, "the guest's watchdog has expired");
		print_tail(config, r);
		return EXIT_GUEST_CRASHED;
	case OUTCOME_FAIL_ENTRY:
	case OUTCOME_MEMORY_LOST:
	case OUTCOME_FAILED:
		return failed(config, log, r);
	case OUTCOME_STOPPED:
		return stopped(config, log, r, e);
	case OUTCOME_NONE:
		break;
	}
	if (e->killed_by_us || e->share_lost || e->no_boot || e->agent_lost)
		return stopped(config, log, r, e);
	return worker_died(config, log, e);
}

int summary_print(const struct vm_config *config, int log, const struct report *shared,
		  const struct ending *ending)
{
	const struct report copy = *shared; /* which a worker that lives on cannot change under us */
	const struct report *r = &copy;
	int status;

	if (broke_rules(config, log, r, ending))
		return EXIT_HULL_FAILED;
	status = has_status(ending->command)
			 ? summary_command(config, log, ending->command, config->command.argv[0])
			 : status_of(config, log, r, ending);
	if (config->log_level >= LOG_INFO)
		print_details(log, r);
	if (r->lost && config->log_level >= LOG_WARN)
		say(config->log ? STDERR_FILENO : log,
		    "hull: warning: %" PRIu64 " bytes of messages were not taken by the log and dropped\n",
		    r->lost);
	return status;
}
