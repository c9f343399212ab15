/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guest memory: the one door from a guest address to host memory, and what is behind it. */
#include "unit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "hull/mem.h"
#include "hull/util.h"

static const uint64_t page = 4096;
static const uint64_t low_size = 3 * MIB(2) + 4096;
static const uint64_t high_base = GIB(4);
static const uint64_t high_size = MIB(4);

/* A machine in small: RAM from 0, a gap, RAM from 4 GiB. */
static struct guest_mem two_regions(void)
{
	struct guest_mem mem = {0};
	struct err err = {0};

	assert_int_equal(mem_add_ram(&mem, 0, low_size, &err), 0);
	assert_int_equal(mem_add_ram(&mem, high_base, high_size, &err), 0);
	mem_freeze(&mem);
	return mem;
}

static void test_inside(void **state)
{
	struct guest_mem mem = two_regions();
	uint8_t *low = mem.regions[0].hva;
	uint8_t *high = mem.regions[1].hva;

	(void)state;
	assert_ptr_equal(mem_ptr(&mem, 0, 1), low);
	assert_ptr_equal(mem_ptr(&mem, 0, low_size), low);
	assert_ptr_equal(mem_ptr(&mem, 12345, 100), low + 12345);
	assert_ptr_equal(mem_ptr(&mem, low_size - 1, 1), low + low_size - 1);
	assert_ptr_equal(mem_ptr(&mem, high_base, 1), high);
	assert_ptr_equal(mem_ptr(&mem, high_base, high_size), high);
	assert_ptr_equal(mem_ptr(&mem, high_base + high_size - 8, 8), high + high_size - 8);
	assert_true(mem_size(&mem) == low_size + high_size);
	mem_finish(&mem);
}

static void test_not_ram(void **state)
{
	struct guest_mem mem = two_regions();

	(void)state;
	/* Past an end, by a byte and by much. */
	assert_null(mem_ptr(&mem, low_size - 1, 2));
	assert_null(mem_ptr(&mem, 0, low_size + 1));
	assert_null(mem_ptr(&mem, low_size, 1));
	assert_null(mem_ptr(&mem, high_base + high_size - 1, 2));
	assert_null(mem_ptr(&mem, high_base + high_size, 1));
	/* The gap, both sides of it, and across. */
	assert_null(mem_ptr(&mem, GIB(3), 1));
	assert_null(mem_ptr(&mem, high_base - 1, 1));
	assert_null(mem_ptr(&mem, high_base - 1, 2));
	assert_null(mem_ptr(&mem, 0, high_base + 1));
	assert_null(mem_ptr(&mem, 0, high_base + high_size));
	mem_finish(&mem);
}

static void test_wrapping_sums(void **state)
{
	struct guest_mem mem = two_regions();

	(void)state;
	assert_null(mem_ptr(&mem, UINT64_MAX, 1));
	assert_null(mem_ptr(&mem, UINT64_MAX, 2));
	assert_null(mem_ptr(&mem, UINT64_MAX - 4095, 4096 + 16));
	assert_null(mem_ptr(&mem, 0, UINT64_MAX));
	assert_null(mem_ptr(&mem, page, UINT64_MAX));
	assert_null(mem_ptr(&mem, page, UINT64_MAX - page + 1));
	assert_null(mem_ptr(&mem, page, UINT64_MAX - page + 2));
	assert_null(mem_ptr(&mem, high_base, UINT64_MAX - high_base + 1));
	assert_null(mem_ptr(&mem, high_base + 1, UINT64_MAX));
	mem_finish(&mem);
}

static void test_no_bytes(void **state)
{
	struct guest_mem mem = two_regions();

	(void)state;
	assert_ptr_equal(mem_ptr(&mem, 0, 0), mem.regions[0].hva);
	assert_ptr_equal(mem_ptr(&mem, 77, 0), mem.regions[0].hva + 77);
	assert_ptr_equal(mem_ptr(&mem, low_size, 0), mem.regions[0].hva + low_size);
	assert_ptr_equal(mem_ptr(&mem, high_base + high_size, 0), mem.regions[1].hva + high_size);
	assert_null(mem_ptr(&mem, low_size + 1, 0));
	assert_null(mem_ptr(&mem, high_base - 1, 0));
	assert_null(mem_ptr(&mem, UINT64_MAX, 0));
	mem_finish(&mem);
}

/* Neighbours in guest memory are not neighbours in the host's: nothing may span them. */
static void test_adjacent_regions(void **state)
{
	struct guest_mem mem = {0};
	struct err err = {0};

	(void)state;
	assert_int_equal(mem_add_ram(&mem, page, page, &err), 0);
	assert_int_equal(mem_add_ram(&mem, 0, page, &err), 0);
	assert_int_equal(mem_add_ram(&mem, 2 * page, page, &err), 0);
	assert_non_null(mem_ptr(&mem, 0, page));
	assert_non_null(mem_ptr(&mem, page, page));
	assert_null(mem_ptr(&mem, 0, page + 1));
	assert_null(mem_ptr(&mem, page - 1, 2));
	assert_null(mem_ptr(&mem, page, 2 * page));
	mem_finish(&mem);
}

static void test_empty(void **state)
{
	struct guest_mem mem = {0};

	(void)state;
	assert_null(mem_ptr(&mem, 0, 0));
	assert_null(mem_ptr(&mem, 0, 1));
	assert_true(mem_size(&mem) == 0);
	mem_finish(&mem);
	mem_finish(NULL);
}

static void test_order(void **state)
{
	static const uint64_t at[] = {MIB(8), 0, MIB(32), MIB(16), MIB(2)};
	struct guest_mem mem = {0};
	struct err err = {0};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(at); i++)
		assert_int_equal(mem_add_ram(&mem, at[i], page * (i + 1), &err), 0);
	assert_int_equal(mem.count, ARRAY_SIZE(at));
	for (unsigned i = 1; i < mem.count; i++)
		assert_true(mem.regions[i - 1].gpa < mem.regions[i].gpa);
	for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
		assert_non_null(mem_ptr(&mem, at[i], page * (i + 1)));
		assert_null(mem_ptr(&mem, at[i], page * (i + 1) + 1));
	}
	mem_finish(&mem);
}

/* Only when both addresses agree modulo 2 MiB can the host use huge pages. */
static void test_alignment(void **state)
{
	static const uint64_t at[] = {0,      4096, MIB(2) + 8192, MIB(6) - 4096, GIB(4), GIB(5) + MIB(1),
				      MIB(32)};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
		struct guest_mem mem = {0};
		struct err err = {0};
		uint64_t size = page * (1 + i * 700);

		assert_int_equal(mem_add_ram(&mem, at[i], size, &err), 0);
		assert_true(((uintptr_t)mem.regions[0].hva - at[i]) % MEM_ALIGN == 0);
		assert_true(mem.regions[0].gpa == at[i] && mem.regions[0].size == size);
		assert_int_equal(mem.regions[0].fd, -1);
		mem_finish(&mem);
	}
}

static void test_memory_is_zero_and_writable(void **state)
{
	struct guest_mem mem = two_regions();
	uint8_t *p = mem_ptr(&mem, 0, low_size);
	uint64_t sum = 0;

	(void)state;
	for (uint64_t i = 0; i < low_size; i++)
		sum += p[i];
	assert_true(sum == 0);
	memset(p, 0x5a, low_size);
	p = mem_ptr(&mem, high_base, high_size);
	assert_int_equal(p[0], 0);
	memset(p, 0xa5, high_size);
	assert_int_equal(*(uint8_t *)mem_ptr(&mem, low_size - 1, 1), 0x5a);
	mem_finish(&mem);
}

/* 1 when the kernel can read a byte there, 0 when it is mapped without access, -1 when it is not mapped. */
static int readable(const void *address)
{
	const uint8_t *at = (const uint8_t *)((uintptr_t)address & ~(uintptr_t)4095);
	unsigned char resident;
	int fds[2];
	int r = 1;

	assert_int_equal(pipe(fds), 0);
	if (write(fds[1], address, 1) < 0) {
		assert_int_equal(errno, EFAULT);
		r = mincore((void *)(uintptr_t)at, 4096, &resident) == 0 ? 0 : -1;
	}
	close(fds[0]);
	close(fds[1]);
	return r;
}

static void test_guard_pages(void **state)
{
	struct guest_mem mem = two_regions();

	(void)state;
	for (unsigned i = 0; i < mem.count; i++) {
		const struct mem_region *r = &mem.regions[i];

		assert_int_equal(readable(r->hva - 1), 0);
		assert_int_equal(readable(r->hva), 1);
		assert_int_equal(readable(r->hva + r->size - 1), 1);
		assert_int_equal(readable(r->hva + r->size), 0);
	}
	mem_finish(&mem);
}

static void test_finish_unmaps(void **state)
{
	struct guest_mem mem = two_regions();
	const uint8_t *low = mem.regions[0].hva;
	const uint8_t *high = mem.regions[1].hva;

	(void)state;
	mem_finish(&mem);
	assert_int_equal(readable(low), -1);
	assert_int_equal(readable(low - 1), -1);
	assert_int_equal(readable(low + low_size), -1);
	assert_int_equal(readable(high), -1);
	assert_int_equal(readable(high + high_size), -1);
	assert_int_equal(mem.count, 0);
	assert_null(mem_ptr(&mem, 0, 1));
	mem_finish(&mem);
}

/* What lies beside the trimmed mapping is given back, not kept. */
static void test_no_address_space_is_lost(void **state)
{
	uint64_t sizes[2];

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		FILE *f = fopen("/proc/self/statm", "re");

		assert_non_null(f);
		assert_int_equal(fscanf(f, "%" SCNu64, &sizes[i]), 1);
		fclose(f);
		for (unsigned k = 0; i == 0 && k < 200; k++) {
			struct guest_mem mem = two_regions();

			mem_finish(&mem);
		}
	}
	assert_true(sizes[1] <= sizes[0] + 256);
}

static void check_refused(struct guest_mem *mem, uint64_t gpa, uint64_t size, int code)
{
	struct guest_mem before = *mem;
	struct err err = {0};

	assert_int_equal(mem_add_ram(mem, gpa, size, &err), code);
	check_err(&err, code);
	assert_memory_equal(mem, &before, sizeof(before));
}

static void test_bad_ranges(void **state)
{
	struct guest_mem mem = {0};

	(void)state;
	check_refused(&mem, 0, 0, -EINVAL);
	check_refused(&mem, 1, page, -EINVAL);
	check_refused(&mem, 2048, page, -EINVAL);
	check_refused(&mem, 0, page + 1, -EINVAL);
	check_refused(&mem, 0, 1, -EINVAL);
	check_refused(&mem, UINT64_MAX - 4095, page, -EINVAL);
	check_refused(&mem, UINT64_MAX - 4095, 2 * page, -EINVAL);
	check_refused(&mem, page, UINT64_MAX - 4095, -EINVAL);
	check_refused(&mem, 0, UINT64_MAX - 4095, -EINVAL);
	check_refused(&mem, 0, UINT64_C(1) << 63, -EINVAL);
}

static void test_more_than_the_host_has(void **state)
{
	struct guest_mem mem = {0};

	(void)state;
	check_refused(&mem, 0, UINT64_C(1) << 56, -ENOMEM);
}

static void test_overlap(void **state)
{
	const uint64_t base = MIB(4);
	const uint64_t size = MIB(1);
	struct guest_mem mem = {0};
	struct err err = {0};

	(void)state;
	assert_int_equal(mem_add_ram(&mem, base, size, &err), 0);
	check_refused(&mem, base, size, -EINVAL);
	check_refused(&mem, base, page, -EINVAL);
	check_refused(&mem, base + page, page, -EINVAL);
	check_refused(&mem, base + size - page, page, -EINVAL);
	check_refused(&mem, base + size - page, MIB(1), -EINVAL);
	check_refused(&mem, base - page, 2 * page, -EINVAL);
	check_refused(&mem, base - page, 2 * MIB(1), -EINVAL);
	check_refused(&mem, 0, GIB(1), -EINVAL);
	assert_int_equal(mem_add_ram(&mem, base - page, page, &err), 0);
	assert_int_equal(mem_add_ram(&mem, base + size, page, &err), 0);
	mem_finish(&mem);
}

static void test_too_many(void **state)
{
	struct guest_mem mem = {0};
	struct err err = {0};

	(void)state;
	for (unsigned i = 0; i < MEM_MAX_REGIONS; i++)
		assert_int_equal(mem_add_ram(&mem, i * MIB(1), page, &err), 0);
	check_refused(&mem, MEM_MAX_REGIONS * MIB(1), page, -ENOSPC);
	mem_finish(&mem);
}

static void test_frozen(void **state)
{
	struct guest_mem mem = two_regions();

	(void)state;
	check_refused(&mem, GIB(8), page, -EINVAL);
	mem_finish(&mem);
}

/* The flags of the mapping that begins at `at`, from smaps: " rd wr hg dd ...". */
static void mapping_flags(const void *at, char *flags, size_t len)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	bool inside = false;
	char line[256];

	if (!f)
		skip();
	flags[0] = '\0';
	while (fgets(line, sizeof(line), f)) {
		uintptr_t from;
		uintptr_t to;

		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
			inside = from <= (uintptr_t)at && (uintptr_t)at < to;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			snprintf(flags, len, "%s", line + 8);
	}
	fclose(f);
}

static void test_huge_pages_and_core_dumps(void **state)
{
	struct guest_mem mem = two_regions();
	char flags[260];

	(void)state;
	for (unsigned i = 0; i < mem.count; i++) {
		mapping_flags(mem.regions[i].hva, flags, sizeof(flags));
		assert_non_null(strstr(flags, " dd"));
		if (access("/sys/kernel/mm/transparent_hugepage", F_OK) == 0)
			assert_non_null(strstr(flags, " hg"));
	}
	mem_finish(&mem);
}

/* Pages of [p, p + len) that the host has memory for. */
static unsigned resident(const void *p, uint64_t len)
{
	unsigned char pages[1024] = {0};
	unsigned n = 0;

	assert_true(len / page <= sizeof(pages));
	assert_int_equal(mincore((void *)(uintptr_t)p, len, pages), 0);
	for (uint64_t i = 0; i < len / page; i++)
		n += pages[i] & 1;
	return n;
}

static bool all_bytes(const uint8_t *p, uint64_t len, uint8_t want)
{
	for (uint64_t i = 0; i < len; i++) {
		if (p[i] != want)
			return false;
	}
	return true;
}

/* Huge pages would leave their rest resident: these tests count small ones. */
static struct guest_mem small_pages(void)
{
	struct guest_mem mem = two_regions();

	for (unsigned i = 0; i < mem.count; i++) {
		madvise(mem.regions[i].hva, mem.regions[i].size, MADV_NOHUGEPAGE);
		memset(mem.regions[i].hva, 0x5a, mem.regions[i].size);
	}
	return mem;
}

/* mem_discard_ptr() for a guest's address. */
static int discard(const struct guest_mem *mem, uint64_t gpa, uint64_t len)
{
	return mem_discard_ptr(mem, mem_ptr(mem, gpa, len), len);
}

static void test_discard(void **state)
{
	struct guest_mem mem = small_pages();
	uint8_t *high = mem.regions[1].hva;
	const uint64_t all = high_size / page;

	(void)state;
	assert_int_equal(resident(high, high_size), all);
	assert_int_equal(discard(&mem, high_base + 3 * page, 5 * page), 0);
	assert_int_equal(resident(high, high_size), all - 5);
	assert_int_equal(resident(high + 3 * page, 5 * page), 0);
	assert_true(all_bytes(high, 3 * page, 0x5a));
	assert_true(all_bytes(high + 8 * page, high_size - 8 * page, 0x5a));
	assert_true(all_bytes(high + 3 * page, 5 * page, 0));
	memset(high + 4 * page, 0x11, page);
	assert_true(all_bytes(high + 4 * page, page, 0x11));
	/* By host address; the first and the last page; nothing at all. */
	assert_int_equal(mem_discard_ptr(&mem, high, page), 0);
	assert_int_equal(mem_discard_ptr(&mem, high + high_size - page, page), 0);
	assert_int_equal(mem_discard_ptr(&mem, high + high_size, 0), 0);
	assert_int_equal(discard(&mem, high_base + page, 0), 0);
	assert_int_equal(resident(high, page) + resident(high + high_size - page, page), 0);
	assert_true(all_bytes(high + page, page, 0x5a));
	/* A region as a whole, and the other one stays. */
	assert_int_equal(discard(&mem, high_base, high_size), 0);
	assert_int_equal(resident(high, high_size), 0);
	assert_true(all_bytes(mem.regions[0].hva, low_size, 0x5a));
	mem_finish(&mem);
}

/* In one piece with its host's memory: no half of a huge page is refused, none kept from the guest. */
static void test_discard_huge(void **state)
{
	struct guest_mem mem = two_regions();
	uint8_t *high = mem.regions[1].hva;

	(void)state;
	memset(high, 0x5a, high_size);
	assert_int_equal(discard(&mem, high_base + page, page), 0);
	assert_true(all_bytes(high, page, 0x5a));
	assert_true(all_bytes(high + page, page, 0));
	assert_true(all_bytes(high + 2 * page, high_size - 2 * page, 0x5a));
	assert_int_equal(discard(&mem, high_base, high_size), 0);
	assert_int_equal(resident(high, high_size), 0);
	mem_finish(&mem);
}

static void test_discard_refused(void **state)
{
	struct guest_mem mem = small_pages();
	uint8_t *high = mem.regions[1].hva;
	uint8_t *other = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct {
		uint64_t gpa, len;
	} bad[] = {
		{high_base + 1, page},
		{high_base, page - 1},
		{high_base, 1},
		{high_base - page, page},
		{high_base - page, 2 * page},
		{high_base, high_size + page},
		{high_base + high_size, page},
		{low_size, page},
		{GIB(3), page},
		{0, high_base + high_size},
		{UINT64_MAX - page + 1, page},
		{high_base + page, UINT64_MAX - page + 1},
		{high_base + page, UINT64_MAX - 2 * page + 1},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(discard(&mem, bad[i].gpa, bad[i].len), -EINVAL);
	assert_ptr_not_equal(other, MAP_FAILED);
	memset(other, 0x33, page);
	assert_int_equal(mem_discard_ptr(&mem, other, page), -EINVAL);
	assert_int_equal(mem_discard_ptr(&mem, NULL, page), -EINVAL);
	assert_int_equal(mem_discard_ptr(&mem, high - page, page), -EINVAL);
	assert_int_equal(mem_discard_ptr(&mem, high - page, 2 * page), -EINVAL);
	assert_int_equal(mem_discard_ptr(&mem, high + 1, page), -EINVAL);
	assert_int_equal(mem_discard_ptr(&mem, high, high_size + page), -EINVAL);
	assert_int_equal(mem_discard_ptr(&mem, high, UINT64_MAX - page + 1), -EINVAL);
	assert_true(all_bytes(other, page, 0x33));
	assert_true(all_bytes(high, high_size, 0x5a));
	assert_true(all_bytes(mem.regions[0].hva, low_size, 0x5a));
	assert_int_equal(resident(high, high_size), high_size / page);
	munmap(other, page);
	mem_finish(&mem);
}

/* Of memory in a file the file lets go, too. */
static void test_discard_in_a_file(void **state)
{
	struct guest_mem mem = two_regions();
	struct mem_region *r = &mem.regions[1];
	struct stat st;

	(void)state;
	r->kind = MEM_SHARED;
	r->fd = memfd_create("ram", MFD_CLOEXEC);
	assert_true(r->fd >= 0);
	assert_int_equal(ftruncate(r->fd, (off_t)r->size), 0);
	assert_ptr_equal(mmap(r->hva, r->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, r->fd, 0),
			 r->hva);
	memset(r->hva, 0x5a, 16 * page);
	assert_int_equal(discard(&mem, r->gpa + 2 * page, 4 * page), 0);
	assert_true(all_bytes(r->hva, 2 * page, 0x5a));
	assert_true(all_bytes(r->hva + 6 * page, 10 * page, 0x5a));
	assert_int_equal(fstat(r->fd, &st), 0);
	assert_true((uint64_t)st.st_blocks * 512 <= 12 * page);
	assert_true(all_bytes(r->hva + 2 * page, 4 * page, 0));
	mem_finish(&mem);
}

/* ---- memory that another process can map ---- */

static struct guest_mem shared_regions(void)
{
	struct guest_mem mem = {0};

	assert_int_equal(mem_add_shared_ram(&mem, high_base + page, high_size, NULL), 0);
	assert_int_equal(mem_add_shared_ram(&mem, 0, low_size, NULL), 0);
	mem_freeze(&mem);
	return mem;
}

static void test_shared(void **state)
{
	struct guest_mem mem = shared_regions();

	(void)state;
	assert_int_equal(mem.count, 2);
	for (unsigned i = 0; i < mem.count; i++) {
		const struct mem_region *r = &mem.regions[i];
		uint8_t *other =
			mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, (off_t)r->offset);

		assert_ptr_not_equal(other, MAP_FAILED);
		assert_int_equal(((uintptr_t)r->hva ^ r->gpa) % MEM_ALIGN, 0);
		assert_int_equal((r->offset ^ r->gpa) % MEM_ALIGN, 0);
		assert_int_equal(readable(r->hva - 1), 0);
		assert_int_equal(readable(r->hva + r->size), 0);
		assert_int_equal(r->hva[0] | r->hva[r->size - 1], 0);
		r->hva[0] = 0x12;
		other[r->size - 1] = 0x34;
		assert_int_equal(other[0], 0x12);
		assert_int_equal(r->hva[r->size - 1], 0x34);
		assert_ptr_equal(mem_ptr(&mem, r->gpa, r->size), r->hva);
		munmap(other, r->size);
	}
	mem_finish(&mem);
}

/* Whoever gets the descriptor cannot take memory away, add any, or go on to lock us out. */
static void test_shared_is_sealed(void **state)
{
	struct guest_mem mem = shared_regions();

	(void)state;
	for (unsigned i = 0; i < mem.count; i++) {
		const struct mem_region *r = &mem.regions[i];
		const uint64_t size = r->offset + r->size;

		assert_int_equal(ftruncate(r->fd, (off_t)(size - page)), -1);
		assert_int_equal(errno, EPERM);
		assert_int_equal(ftruncate(r->fd, (off_t)(size + page)), -1);
		assert_int_equal(errno, EPERM);
		assert_int_equal(fcntl(r->fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
		assert_int_equal(errno, EPERM);
		assert_int_equal(fcntl(r->fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	}
	mem_finish(&mem);
}

/* What goes back is gone for everybody, and from the host. */
static void test_shared_discard(void **state)
{
	struct guest_mem mem = shared_regions();
	struct mem_region *r = &mem.regions[1];
	struct stat before, after;
	uint8_t *other = mmap(NULL, r->size, PROT_READ, MAP_SHARED, r->fd, (off_t)r->offset);

	(void)state;
	assert_ptr_not_equal(other, MAP_FAILED);
	memset(r->hva, 0x5a, r->size);
	assert_int_equal(fstat(r->fd, &before), 0);
	assert_int_equal(discard(&mem, r->gpa, r->size), 0);
	assert_int_equal(fstat(r->fd, &after), 0);
	assert_true((uint64_t)(before.st_blocks - after.st_blocks) * 512 >= r->size);
	memset(r->hva, 0x5a, 8 * page);
	assert_int_equal(discard(&mem, r->gpa + page, 2 * page), 0);
	assert_true(all_bytes(other, page, 0x5a));
	assert_true(all_bytes(other + page, 2 * page, 0));
	assert_true(all_bytes(other + 3 * page, 5 * page, 0x5a));
	munmap(other, r->size);
	mem_finish(&mem);
}

/* What will be used is there as a whole, and what lies beside it is not; contents stay. */
static void test_expected(void **state)
{
	struct guest_mem mem = {0};
	uint8_t *hva;

	(void)state;
	assert_int_equal(mem_add_shared_ram(&mem, 0, 3 * MEM_ALIGN, NULL), 0);
	hva = mem.regions[0].hva;
	memset(hva + MEM_ALIGN + page, 0x5a, page);
	mem_expect(&mem, MEM_ALIGN + 5 * page, page);
	/* 512 pages; the host is too old, or short of huge pages, if it has left the two. */
	if (resident(hva + MEM_ALIGN, MEM_ALIGN) > 2)
		assert_int_equal(resident(hva + MEM_ALIGN, MEM_ALIGN), MEM_ALIGN / page);
	else
		print_message("no huge pages of shared memory here\n");
	assert_int_equal(resident(hva, MEM_ALIGN), 0);
	assert_int_equal(resident(hva + 2 * MEM_ALIGN, MEM_ALIGN), 0);
	assert_true(all_bytes(hva + MEM_ALIGN, page, 0));
	assert_true(all_bytes(hva + MEM_ALIGN + page, page, 0x5a));
	assert_true(all_bytes(hva + MEM_ALIGN + 2 * page, MEM_ALIGN - 2 * page, 0));
	/* Not RAM, and a range that wraps. */
	mem_expect(&mem, 3 * MEM_ALIGN - page, 2 * page);
	mem_expect(&mem, UINT64_MAX - page, 2 * page);
	assert_int_equal(resident(hva + 2 * MEM_ALIGN, MEM_ALIGN), 0);
	mem_finish(&mem);
}

static void test_shared_is_closed(void **state)
{
	struct guest_mem mem = shared_regions();
	const int fds[] = {mem.regions[0].fd, mem.regions[1].fd};
	struct guest_mem full = {0};

	(void)state;
	mem_finish(&mem);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(fcntl(fds[i], F_GETFD), -1);
		assert_int_equal(errno, EBADF);
	}
	assert_int_equal(mem_add_shared_ram(&full, 1, page, NULL), -EINVAL);
	assert_int_equal(mem_add_shared_ram(&full, 0, UINT64_MAX & ~(page - 1), NULL), -EINVAL);
	assert_int_equal(full.count, 0);
	assert_int_equal(fcntl(fds[0], F_GETFD), -1);
}

/* What another process sent: both see the same bytes. */
static void test_received(void **state)
{
	struct guest_mem ours = {0}, theirs = {0};
	const struct mem_region *r;

	(void)state;
	assert_int_equal(mem_add_shared_ram(&theirs, MEM_ALIGN, 4 * page, NULL), 0);
	r = &theirs.regions[0];
	assert_int_equal(mem_add_shared(&ours, r->gpa, r->size, dup(r->fd), r->offset, NULL), 0);
	memset(r->hva, 0x5a, r->size);
	assert_true(all_bytes(mem_ptr(&ours, r->gpa, r->size), r->size, 0x5a));
	assert_null(mem_ptr(&ours, r->gpa, r->size + 1));
	/* At another address of the guest, and a part only. */
	assert_int_equal(mem_add_shared(&ours, 4 * MEM_ALIGN, page, dup(r->fd), r->offset + page, NULL), 0);
	memset(r->hva + page, 0x33, page);
	assert_true(all_bytes(mem_ptr(&ours, 4 * MEM_ALIGN, page), page, 0x33));
	mem_finish(&ours);
	mem_finish(&theirs);
}

static void refuse_received(uint64_t size, uint64_t offset, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct guest_mem mem = {0};
	struct err err = {0};

	assert_int_equal(ftruncate(fd, 4 * (off_t)page), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	assert_int_equal(mem_add_shared(&mem, 0, size, fd, offset, &err), -EINVAL);
	check_err(&err, -EINVAL);
	assert_int_equal(mem.count, 0);
	/* It was taken over. */
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void test_received_is_checked(void **state)
{
	(void)state;
	refuse_received(4 * page, 0, 0);
	refuse_received(4 * page, 0, F_SEAL_GROW);
	refuse_received(5 * page, 0, F_SEAL_SHRINK);
	refuse_received(page, 4 * page, F_SEAL_SHRINK);
	refuse_received(page, UINT64_MAX & ~(page - 1), F_SEAL_SHRINK);
	refuse_received(page, 1, F_SEAL_SHRINK);
	refuse_received(0, 0, F_SEAL_SHRINK);
	refuse_received(page + 1, 0, F_SEAL_SHRINK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inside),
		cmocka_unit_test(test_not_ram),
		cmocka_unit_test(test_wrapping_sums),
		cmocka_unit_test(test_no_bytes),
		cmocka_unit_test(test_adjacent_regions),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_alignment),
		cmocka_unit_test(test_memory_is_zero_and_writable),
		cmocka_unit_test(test_guard_pages),
		cmocka_unit_test(test_finish_unmaps),
		cmocka_unit_test(test_no_address_space_is_lost),
		cmocka_unit_test(test_bad_ranges),
		cmocka_unit_test(test_more_than_the_host_has),
		cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_frozen),
		cmocka_unit_test(test_huge_pages_and_core_dumps),
		cmocka_unit_test(test_discard),
		cmocka_unit_test(test_discard_huge),
		cmocka_unit_test(test_discard_refused),
		cmocka_unit_test(test_discard_in_a_file),
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_shared_is_sealed),
		cmocka_unit_test(test_shared_discard),
		cmocka_unit_test(test_expected),
		cmocka_unit_test(test_shared_is_closed),
		cmocka_unit_test(test_received),
		cmocka_unit_test(test_received_is_checked),
	};

	return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
