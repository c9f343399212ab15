/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes what looks at the guest's console, and what is said of it at the end: the bytes of the output in
 * pieces, then the report of a worker that may have been taken over, with a text of the input's everywhere.
 * All that comes out is a bounded number of printable lines.
 *
 * The input: two bytes that choose, then the output.
 */
#include "fuzz.h"
#include "fuzz_file.h"

#include <fcntl.h>

#include "backend/console_watch.h"
#include "summary.h"

enum { MAX_OUTPUT = 256 << 10 };

static bool watch(const uint8_t *data, size_t size, size_t step, struct console_watch *w)
{
	unsigned panics = 0;

	memset(w, 0, sizeof(*w));
	for (size_t at = 0; at < size; at += step)
		panics += console_watch_feed(w, data + at, min_u64(step, size - at));
	require(panics <= 1);
	return panics > 0;
}

static void check_tail(const struct console_watch *w, const uint8_t *data, size_t size)
{
	uint8_t tail[CONSOLE_WATCH_TAIL];
	size_t len = console_watch_tail(w, tail, sizeof(tail));

	require(len == min_u64(size, sizeof(tail)));
	require(len == 0 || memcmp(tail, data + size - len, len) == 0);
	require(console_watch_tail(w, tail, 10) == min_u64(size, 10));
}

/* Every byte of the report is the input's, over and over. */
static void fill_report(struct report *report, const uint8_t *data, size_t size)
{
	uint8_t *to = (uint8_t *)report;

	for (size_t i = 0; i < sizeof(*report); i++)
		to[i] = size > 0 ? data[i % size] : 0;
}

static void check_output(int fd)
{
	static char text[MAX_OUTPUT];
	uint64_t size = fuzz_file_size(fd);

	require(size < sizeof(text));
	require(fd_pread_full(fd, text, size, 0) == 0);
	require(fuzz_is_text(text, size));
}

static void summarize(uint8_t how, uint8_t outcome, const uint8_t *data, size_t size)
{
	static struct report report;
	static struct vm_config config;
	static char program[] = "true";
	static char *const argv[] = {program};
	const struct ending ending = {.signal = how & 1 ? 15 : 0, .button_ns = how & 2 ? 1 : 0};
	int log = fuzz_file("", 0);
	int saved = dup(STDERR_FILENO);
	int status;

	memset(&config, 0, sizeof(config));
	config.log_level = how & 4 ? LOG_INFO : LOG_WARN;
	config.command.argv = how & 8 ? argv : NULL;
	config.command.argc = how & 8 ? 1 : 0;
	fill_report(&report, data, size);
	if (!(how & 64))
		report.outcome = (enum outcome)(outcome % 16);
	require(saved >= 0 && dup2(log, STDERR_FILENO) == STDERR_FILENO);
	status = summary_print(&config, log, &report, &ending);
	require(dup2(saved, STDERR_FILENO) == STDERR_FILENO);
	close(saved);
	require(status >= 0 && status <= 255);
	check_output(log);
	close(log);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct console_watch a, b;
	struct fuzz_input in = {data, size};
	uint8_t how = fuzz_u8(&in);
	uint8_t outcome = fuzz_u8(&in);

	require(watch(in.data, in.left, in.left + 1, &a) == watch(in.data, in.left, 1U + outcome % 32U, &b));
	check_tail(&a, in.data, in.left);
	check_tail(&b, in.data, in.left);
	if (how & 0x80)
		summarize(how, outcome, in.data, in.left);
	return 0;
}
