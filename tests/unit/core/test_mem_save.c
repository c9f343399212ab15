/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guest memory to a file and back: against a copy of it, with every kind of memory, and in chains. */
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "hull/mem.h"
#include "hull/util.h"

enum { PAGE = 4096, FIRST_PAGES = 9000, SECOND_PAGES = 1024, PAGES = FIRST_PAGES + SECOND_PAGES, CHAIN = 3 };

static const int go_on;

/* Memory, what it should be, and the random numbers for that. */
struct fx {
	struct guest_mem mem;
	uint8_t *truth;
	uint64_t random;
	int pagemap;
};

static uint64_t next_random(struct fx *fx)
{
	fx->random = fx->random * UINT64_C(6364136223846793005) + 1442695040888963407;
	return fx->random >> 33;
}

static uint8_t *page_at(const struct fx *fx, uint64_t page)
{
	const bool second = page >= FIRST_PAGES;

	return fx->mem.regions[second].hva + (page - (second ? FIRST_PAGES : 0)) * PAGE;
}

static void put(struct fx *fx, uint64_t page, uint64_t offset, uint8_t value)
{
	page_at(fx, page)[offset] = value;
	fx->truth[page * PAGE + offset] = value;
}

static int file_of(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* `from`: the file of a snapshot, whose content the memory has at first; -1: none. */
static struct fx *make(enum mem_region_kind kind, int from, bool with_pagemap)
{
	const uint64_t sizes[2] = {(uint64_t)FIRST_PAGES * PAGE, (uint64_t)SECOND_PAGES * PAGE};
	struct fx *fx = calloc(1, sizeof(*fx));
	struct err err = {0};
	uint64_t offset = 0;

	assert_non_null(fx);
	for (unsigned i = 0; i < 2; i++) {
		const uint64_t gpa = i ? GIB(4) : 0;
		int r;

		if (kind == MEM_ANONYMOUS)
			r = mem_add_ram(&fx->mem, gpa, sizes[i], &err);
		else if (kind == MEM_SHARED)
			r = mem_add_shared_ram(&fx->mem, gpa, sizes[i], &err);
		else
			r = mem_add_private_ram(&fx->mem, gpa, sizes[i], dup(from), offset, &err);
		assert_int_equal(r, 0);
		offset += sizes[i];
	}
	mem_freeze(&fx->mem);
	fx->truth = calloc(PAGES, PAGE);
	assert_non_null(fx->truth);
	if (kind == MEM_PRIVATE_FILE)
		assert_int_equal(fd_pread_full(from, fx->truth, (size_t)PAGES * PAGE, 0), 0);
	fx->pagemap = with_pagemap ? open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC) : -1;
	assert_true(!with_pagemap || fx->pagemap >= 0);
	fx->random = 42;
	return fx;
}

static void destroy(struct fx *fx)
{
	fd_close(&fx->pagemap);
	mem_finish(&fx->mem);
	free(fx->truth);
	free(fx);
}

/* Writes here and there, zeroes again, gives back; the ends of regions and pieces among them. */
static void change(struct fx *fx)
{
	static const uint64_t special[] = {0, 1, 8191, 8192, FIRST_PAGES - 1, FIRST_PAGES, PAGES - 1};

	for (unsigned i = 0; i < 400; i++) {
		const uint64_t page = next_random(fx) % 8 ? next_random(fx) % PAGES
							  : special[next_random(fx) % ARRAY_SIZE(special)];

		put(fx, page, next_random(fx) % 3 ? next_random(fx) % PAGE : PAGE - 1,
		    (uint8_t)next_random(fx));
	}
	for (unsigned i = 0; i < 60; i++) {
		const uint64_t page = next_random(fx) % PAGES;

		memset(page_at(fx, page), 0, PAGE);
		memset(fx->truth + page * PAGE, 0, PAGE);
	}
	for (unsigned i = 0; i < 60; i++) {
		const uint64_t page = next_random(fx) % PAGES;

		assert_int_equal(mem_discard_ptr(&fx->mem, page_at(fx, page), PAGE), 0);
		memset(fx->truth + page * PAGE, 0, PAGE);
	}
	for (uint64_t page = 3000; page < 3600; page++) /* longer than what is written at once */
		put(fx, page, 7, (uint8_t)(next_random(fx) | 1));
	assert_memory_equal(fx->truth, fx->mem.regions[0].hva, (size_t)FIRST_PAGES * PAGE);
}

static uint8_t *read_all(int fd)
{
	uint8_t *bytes = malloc((size_t)PAGES * PAGE);
	struct stat st;

	assert_non_null(bytes);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, (off_t)PAGES * PAGE);
	assert_int_equal(fd_pread_full(fd, bytes, (size_t)PAGES * PAGE, 0), 0);
	return bytes;
}

static bool is_zero(const uint8_t *page)
{
	return page[0] == 0 && memcmp(page, page + 1, PAGE - 1) == 0;
}

static int save_whole(struct fx *fx)
{
	struct mem_save job = {.fd = file_of("whole"), .pagemap = fx->pagemap, .stop = &go_on};
	struct err err = {0};
	uint64_t pages = 0;
	struct stat st;
	uint8_t *got;

	assert_int_equal(mem_save(&fx->mem, &job, &err), 0);
	got = read_all(job.fd);
	assert_memory_equal(got, fx->truth, (size_t)PAGES * PAGE);
	for (uint64_t p = 0; p < PAGES; p++)
		pages += !is_zero(fx->truth + p * PAGE);
	/* Zeroes are holes, and there is nothing else. */
	assert_int_equal(job.bytes, pages * PAGE);
	assert_int_equal(fstat(job.fd, &st), 0);
	assert_true((uint64_t)st.st_blocks * 512 <= pages * PAGE);
	free(got);
	return job.fd;
}

static void test_whole(void **state)
{
	static const enum mem_region_kind kinds[] = {MEM_ANONYMOUS, MEM_SHARED};

	(void)state;
	for (unsigned i = 0; i < 2 * ARRAY_SIZE(kinds); i++) {
		struct fx *fx = make(kinds[i / 2], -1, i % 2);

		close(save_whole(fx)); /* never touched */
		for (unsigned round = 0; round < 2; round++) {
			change(fx);
			close(save_whole(fx));
		}
		destroy(fx);
	}
}

static void test_whole_of_private(void **state)
{
	struct fx *first = make(MEM_ANONYMOUS, -1, true);
	int file;

	(void)state;
	change(first);
	file = save_whole(first);
	for (unsigned i = 0; i < 2; i++) {
		struct fx *fx = make(MEM_PRIVATE_FILE, file, i);

		close(save_whole(fx));
		for (unsigned round = 0; round < 2; round++) {
			change(fx);
			close(save_whole(fx));
		}
		destroy(fx);
	}
	close(file);
	destroy(first);
}

static void test_untouched_stays_so(void **state)
{
	struct fx *fx = make(MEM_ANONYMOUS, -1, true);
	unsigned char *resident = malloc(FIRST_PAGES);
	unsigned count = 0;

	(void)state;
	assert_non_null(resident);
	put(fx, 5000, 0, 1);
	close(save_whole(fx));
	assert_int_equal(mincore(fx->mem.regions[1].hva, (size_t)SECOND_PAGES * PAGE, resident), 0);
	for (unsigned i = 0; i < SECOND_PAGES; i++)
		count += resident[i] & 1;
	/* save_whole() has not looked at the second region, and nor has mem_save(). */
	assert_int_equal(count, 0);
	free(resident);
	destroy(fx);
}

/* A page is what the newest one says that has it. */
static void check_chain(const struct fx *fx, const struct mem_base *bases, unsigned count)
{
	uint8_t page[PAGE];

	for (uint64_t p = 0; p < PAGES; p++) {
		unsigned i = 0;

		while (i < count - 1 && !mem_pages_has(bases[i].pages, p))
			i++;
		assert_int_equal(fd_pread_full(bases[i].fd, page, PAGE, (off_t)(p * PAGE)), 0);
		assert_memory_equal(page, fx->truth + p * PAGE, PAGE);
	}
}

static void chain(enum mem_region_kind kind, bool with_pagemap)
{
	struct fx *first = make(MEM_ANONYMOUS, -1, true);
	struct mem_base bases[CHAIN + 1] = {{0}};
	uint8_t *before = malloc((size_t)PAGES * PAGE);
	struct fx *fx;

	assert_non_null(before);
	change(first);
	bases[CHAIN] = (struct mem_base){.fd = save_whole(first)};
	fx = kind == MEM_PRIVATE_FILE ? make(kind, bases[CHAIN].fd, with_pagemap)
				      : make(kind, -1, with_pagemap);
	memcpy(before, first->truth, (size_t)PAGES * PAGE);
	for (unsigned i = CHAIN; i-- > 0;) {
		struct mem_save job = {
			.fd = file_of("next"),
			.pagemap = fx->pagemap,
			.bases = &bases[i + 1],
			.base_count = CHAIN - i,
			.written = calloc(1, PAGES / 8 + 1),
			.stop = &go_on,
		};
		struct err err = {0};

		assert_non_null(job.written);
		if (i != CHAIN - 2) /* one without a change */
			change(fx);
		assert_int_equal(mem_save(&fx->mem, &job, &err), 0);
		/* All that differs, and nothing else. */
		for (uint64_t p = 0; p < PAGES; p++)
			assert_int_equal(mem_pages_has(job.written, p),
					 memcmp(before + p * PAGE, fx->truth + p * PAGE, PAGE) != 0);
		bases[i] = (struct mem_base){.fd = job.fd, .pages = job.written};
		check_chain(fx, &bases[i], CHAIN - i + 1);
		memcpy(before, fx->truth, (size_t)PAGES * PAGE);
	}
	for (unsigned i = 0; i <= CHAIN; i++) {
		free((void *)(uintptr_t)bases[i].pages);
		close(bases[i].fd);
	}
	free(before);
	destroy(fx);
	destroy(first);
}

static void test_chain(void **state)
{
	(void)state;
	chain(MEM_ANONYMOUS, true);
	chain(MEM_SHARED, true);
	chain(MEM_PRIVATE_FILE, true);
}

static void test_chain_without_pagemap(void **state)
{
	(void)state;
	chain(MEM_ANONYMOUS, false);
	chain(MEM_PRIVATE_FILE, false);
}

/* A base that ends early has zeroes there. */
static void test_short_base(void **state)
{
	struct fx *fx = make(MEM_ANONYMOUS, -1, true);
	struct mem_base base = {.fd = file_of("short")};
	uint8_t written[PAGES / 8 + 1] = {0};
	struct mem_save job = {.fd = file_of("next"),
			       .pagemap = fx->pagemap,
			       .bases = &base,
			       .base_count = 1,
			       .written = written,
			       .stop = &go_on};
	struct err err = {0};

	(void)state;
	put(fx, 3, 0, 1);
	put(fx, 8999, 0, 1);
	assert_int_equal(pwrite(base.fd, "x", 1, 100), 1);
	assert_int_equal(mem_save(&fx->mem, &job, &err), 0);
	assert_int_equal(job.bytes, 3 * PAGE);
	assert_true(mem_pages_has(written, 0) && mem_pages_has(written, 3) && mem_pages_has(written, 8999));
	close(base.fd);
	close(job.fd);
	destroy(fx);
}

static void test_load(void **state)
{
	struct fx *fx = make(MEM_ANONYMOUS, -1, true);
	int file, pair[2];

	(void)state;
	change(fx);
	file = save_whole(fx);
	for (unsigned i = 0; i < 2; i++) {
		struct fx *other = make(i ? MEM_SHARED : MEM_ANONYMOUS, -1, true);
		struct err err = {0};

		assert_int_equal(mem_load(&other->mem, file, &err), 0);
		memcpy(other->truth, fx->truth, (size_t)PAGES * PAGE);
		/* Holes were not touched: what is saved of it is as small. */
		close(save_whole(other));
		assert_memory_equal(other->mem.regions[1].hva, fx->mem.regions[1].hva,
				    (size_t)SECOND_PAGES * PAGE);
		destroy(other);
	}
	/* Nothing at all, and what is no file. */
	assert_int_equal(ftruncate(file, 0), 0);
	assert_int_equal(mem_load(&fx->mem, file, NULL), 0);
	assert_int_equal(pipe(pair), 0);
	{
		struct err err = {0};

		assert_true(mem_load(&fx->mem, pair[0], &err) < 0);
		check_err(&err, -ESPIPE);
	}
	close(pair[0]);
	close(pair[1]);
	close(file);
	destroy(fx);
}

static void fails(const struct fx *fx, struct mem_save job, int code)
{
	struct err err = {0};

	job.pagemap = job.pagemap ? job.pagemap : fx->pagemap;
	assert_int_equal(mem_save(&fx->mem, &job, &err), code);
	check_err(&err, code);
}

static void test_errors(void **state)
{
	const struct rlimit small = {8 << 20, RLIM_INFINITY};
	struct fx *fx = make(MEM_ANONYMOUS, -1, true);
	char path[] = "/tmp/hull-save-XXXXXX";
	int file = mkstemp(path), pair[2], stop = 1;
	struct rlimit before;

	(void)state;
	assert_true(file >= 0);
	unlink(path);
	change(fx);
	assert_int_equal(pipe(pair), 0);
	fails(fx, (struct mem_save){.fd = pair[1], .stop = &go_on}, -EINVAL);
	fails(fx, (struct mem_save){.fd = file, .stop = &stop}, -ECANCELED);
	fails(fx, (struct mem_save){.fd = file, .stop = &go_on, .pagemap = pair[0]}, -ESPIPE);
	fails(fx, (struct mem_save){.fd = file, .stop = &go_on, .pagemap = file_of("short")}, -EIO);
	fails(fx,
	      (struct mem_save){.fd = file,
				.stop = &go_on,
				.bases = &(struct mem_base){.fd = pair[0]},
				.base_count = 1},
	      -ESPIPE);
	/* Full in the middle: the size cannot even be set; with a file that has it, a write fails. */
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(ftruncate(file, 0), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	fails(fx, (struct mem_save){.fd = file, .stop = &go_on}, -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(ftruncate(file, (off_t)PAGES * PAGE), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	fails(fx, (struct mem_save){.fd = file, .stop = &go_on}, -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	close(file);
	file = open("/dev/full", O_WRONLY);
	fails(fx, (struct mem_save){.fd = file, .stop = &go_on}, -EINVAL);
	close(file);
	close(pair[0]);
	close(pair[1]);
	destroy(fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_whole_of_private),
		cmocka_unit_test(test_untouched_stays_so),
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_chain_without_pagemap),
		cmocka_unit_test(test_short_base),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_errors),
	};

	watchdog(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
