/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The handler of SIGBUS; see lost_memory.h. It runs in the middle of anything, on any
 * thread, and behind a filter of system calls: it writes memory and calls exit_group, nothing else.
 *
 * A handler is the process's and gets no argument of ours: hence the one static object.
 */
#include "lost_memory.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static struct {
	const struct guest_mem *mem;
	struct report *report;
} watch;

static char *put_text(char *to, const char *text)
{
	while (*text)
		*to++ = *text++;
	return to;
}

static char *put_hex(char *to, uint64_t value)
{
	unsigned shift = 60;

	while (shift > 0 && !(value >> shift))
		shift -= 4;
	for (;; shift -= 4) {
		*to++ = "0123456789abcdef"[value >> shift & 15];
		if (shift == 0)
			return to;
	}
}

/* The region with the host's address `at`, or NULL: it is not RAM. */
static const struct mem_region *find_region(const void *at)
{
	for (unsigned i = 0; i < watch.mem->count; i++) {
		const struct mem_region *region = &watch.mem->regions[i];

		if ((uintptr_t)at - (uintptr_t)region->hva < region->size)
			return region;
	}
	return NULL;
}

static void on_bus_error(int sig, siginfo_t *info, void *context)
{
	/* A code above 0 is the kernel's: it tells the address. Others are sent by kill(2). */
	const struct mem_region *region = info->si_code > 0 ? find_region(info->si_addr) : NULL;
	char *to = watch.report->text;

	(void)sig;
	(void)context;
	if (!region)
		return; /* the handler was for once: the same access is a crash now */
	to = put_text(to, "guest memory lost at 0x");
	to = put_hex(to, region->gpa + ((uintptr_t)info->si_addr - (uintptr_t)region->hva));
	to = put_text(to, " (an access of hull's)");
	*to = '\0';
	watch.report->outcome = OUTCOME_MEMORY_LOST;
	_exit(0);
}

void lost_memory_watch(const struct guest_mem *mem, struct report *report)
{
	struct sigaction sa = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | (int)SA_RESETHAND};

	watch.mem = mem;
	watch.report = report;
	sigaction(SIGBUS, &sa, NULL);
}
