/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Address dispatch: what reaches a device, with which offset, and what never does. */
#include "unit.h"

#include <errno.h>

#include "hull/bus.h"
#include "hull/loop.h"
#include "hull/util.h"

/* A device that remembers its last access. */
struct probe {
	unsigned reads;
	unsigned writes;
	uint64_t off;
	unsigned len;
	uint64_t val;    /* last written; or *val at the entry of a read */
	uint64_t answer; /* of reads */
	bool silent;     /* leave *val alone */
	struct loop *loop;
	bool locked; /* the lock was held by this thread in every access */
};

static bool lock_is_mine(struct loop *loop)
{
	return __atomic_load_n(&loop->held, __ATOMIC_RELAXED) && pthread_equal(loop->owner, pthread_self());
}

static void probe_read(void *dev, uint64_t off, unsigned len, uint64_t *val)
{
	struct probe *p = dev;

	p->reads++;
	p->off = off;
	p->len = len;
	p->val = *val;
	if (p->loop)
		p->locked = p->locked && lock_is_mine(p->loop);
	if (!p->silent)
		*val = p->answer;
}

static void probe_write(void *dev, uint64_t off, unsigned len, uint64_t val)
{
	struct probe *p = dev;

	p->writes++;
	p->off = off;
	p->len = len;
	p->val = val;
	if (p->loop)
		p->locked = p->locked && lock_is_mine(p->loop);
}

enum { ALL_WIDTHS = IO_WIDTH_1 | IO_WIDTH_2 | IO_WIDTH_4 | IO_WIDTH_8 };

static const struct io_ops any = {.read = probe_read, .write = probe_write, .widths = ALL_WIDTHS};
static const struct io_ops bytes = {.read = probe_read, .write = probe_write, .widths = IO_WIDTH_1};
static const struct io_ops words = {
	.read = probe_read, .write = probe_write, .widths = IO_WIDTH_2 | IO_WIDTH_4};
static const struct io_ops read_only = {.read = probe_read, .widths = ALL_WIDTHS};
static const struct io_ops write_only = {.write = probe_write, .widths = ALL_WIDTHS};

static int add(struct bus *bus, uint64_t base, uint64_t len, const struct io_ops *ops, struct probe *p)
{
	const struct bus_range range = {.base = base, .len = len, .ops = ops, .dev = p};
	struct err err = {0};
	int r = bus_add(bus, &range, &err);

	if (r < 0)
		check_err(&err, r);
	return r;
}

static unsigned accesses(const struct probe *p)
{
	return p->reads + p->writes;
}

static void test_dispatch(void **state)
{
	struct probe p = {.answer = UINT64_C(0x1122334455667788)};
	struct bus bus;

	(void)state;
	bus_init(&bus, "memory");
	assert_int_equal(add(&bus, 0x1000, 0x100, &any, &p), 0);
	assert_true(bus_read(&bus, 0x1010, 4) == 0x55667788);
	assert_int_equal(p.reads, 1);
	assert_true(p.off == 0x10 && p.len == 4 && p.val == 0xffffffff);
	bus_write(&bus, 0x10f8, 8, UINT64_MAX - 1);
	assert_int_equal(p.writes, 1);
	assert_true(p.off == 0xf8 && p.len == 8 && p.val == UINT64_MAX - 1);
	bus_finish(&bus);
}

/* Both directions see exactly `len` bytes, whatever is given above them. */
static void test_widths_are_cut(void **state)
{
	static const struct {
		unsigned len;
		uint64_t mask;
	} w[] = {{1, 0xff}, {2, 0xffff}, {4, 0xffffffff}, {8, UINT64_MAX}};
	struct probe p = {.answer = UINT64_C(0x8877665544332211)};
	struct bus bus;

	(void)state;
	bus_init(&bus, "memory");
	assert_int_equal(add(&bus, 0, 16, &any, &p), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(w); i++) {
		assert_true(bus_read(&bus, 0, w[i].len) == (p.answer & w[i].mask));
		assert_true(p.val == w[i].mask);
		bus_write(&bus, 8, w[i].len, UINT64_C(0xfedcba9876543210));
		assert_true(p.val == (UINT64_C(0xfedcba9876543210) & w[i].mask));
		assert_int_equal(p.len, w[i].len);
	}
	p.silent = true;
	assert_int_equal(bus_read(&bus, 0, 2), 0xffff);
	bus_finish(&bus);
}

static void test_unassigned(void **state)
{
	struct probe p = {0};
	struct bus bus;

	(void)state;
	bus_init(&bus, "port");
	assert_int_equal(bus_read(&bus, 0x80, 1), 0xff);
	bus_write(&bus, 0x80, 1, 0);
	assert_int_equal(add(&bus, 0x100, 8, &any, &p), 0);
	assert_int_equal(bus_read(&bus, 0, 1), 0xff);
	assert_int_equal(bus_read(&bus, 0xff, 1), 0xff);
	assert_int_equal(bus_read(&bus, 0x108, 1), 0xff);
	assert_int_equal(bus_read(&bus, 0x108, 2), 0xffff);
	assert_true(bus_read(&bus, 0xffff, 4) == 0xffffffff);
	assert_true(bus_read(&bus, UINT64_MAX, 8) == UINT64_MAX);
	assert_true(bus_read(&bus, 0x200, 3) == 0xffffff);
	assert_true(bus_read(&bus, 0x200, 7) == UINT64_C(0xffffffffffffff));
	bus_write(&bus, 0xff, 1, 1);
	bus_write(&bus, 0x108, 1, 1);
	bus_write(&bus, 0xffff, 4, 1);
	bus_write(&bus, UINT64_MAX, 8, 1);
	assert_int_equal(accesses(&p), 0);
	bus_finish(&bus);
}

static void test_straddling(void **state)
{
	struct probe a = {0};
	struct probe b = {0};
	struct bus bus;

	(void)state;
	bus_init(&bus, "memory");
	assert_int_equal(add(&bus, 0x100, 8, &any, &a), 0);
	assert_int_equal(add(&bus, 0x108, 8, &any, &b), 0);
	assert_int_equal(bus_read(&bus, 0x107, 2), 0xffff);
	assert_true(bus_read(&bus, 0x105, 4) == 0xffffffff);
	assert_true(bus_read(&bus, 0x10c, 8) == UINT64_MAX);
	assert_int_equal(bus_read(&bus, 0xff, 2), 0xffff);
	bus_write(&bus, 0x107, 2, 0);
	bus_write(&bus, 0x10f, 8, 0);
	bus_write(&bus, 0xfd, 4, 0);
	assert_int_equal(accesses(&a) + accesses(&b), 0);
	/* The last ones that fit. */
	bus_read(&bus, 0x106, 2);
	assert_true(a.reads == 1 && a.off == 6);
	bus_read(&bus, 0x108, 8);
	assert_true(b.reads == 1 && b.off == 0);
	bus_finish(&bus);
}

static void test_undeclared_widths(void **state)
{
	struct probe b = {0};
	struct probe w = {0};
	struct bus bus;

	(void)state;
	bus_init(&bus, "port");
	assert_int_equal(add(&bus, 0, 16, &bytes, &b), 0);
	assert_int_equal(add(&bus, 16, 16, &words, &w), 0);
	assert_int_equal(bus_read(&bus, 0, 2), 0xffff);
	assert_true(bus_read(&bus, 0, 4) == 0xffffffff);
	assert_true(bus_read(&bus, 0, 8) == UINT64_MAX);
	bus_write(&bus, 0, 2, 0);
	bus_write(&bus, 0, 4, 0);
	assert_int_equal(accesses(&b), 0);
	assert_int_equal(bus_read(&bus, 16, 1), 0xff);
	assert_true(bus_read(&bus, 16, 8) == UINT64_MAX);
	bus_write(&bus, 16, 1, 0);
	bus_write(&bus, 16, 8, 0);
	assert_int_equal(accesses(&w), 0);
	bus_read(&bus, 0, 1);
	bus_write(&bus, 16, 2, 0);
	bus_write(&bus, 16, 4, 0);
	assert_int_equal(b.reads, 1);
	assert_int_equal(w.writes, 2);
	bus_finish(&bus);
}

/* KVM splits an access at a page boundary: 3 + 1, 5 + 3. No device sees such a width. */
static void test_odd_widths(void **state)
{
	static const unsigned odd[] = {3, 5, 6, 7};
	struct probe p = {0};
	struct bus bus;

	(void)state;
	bus_init(&bus, "memory");
	assert_int_equal(add(&bus, 0, 64, &any, &p), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(odd); i++) {
		assert_true(bus_read(&bus, 8, odd[i]) == (UINT64_C(1) << (8 * odd[i])) - 1);
		bus_write(&bus, 8, odd[i], 0);
	}
	assert_int_equal(accesses(&p), 0);
	bus_finish(&bus);
}

static void test_one_direction(void **state)
{
	struct probe r = {.answer = 5};
	struct probe w = {0};
	struct bus bus;

	(void)state;
	bus_init(&bus, "port");
	assert_int_equal(add(&bus, 0, 8, &read_only, &r), 0);
	assert_int_equal(add(&bus, 8, 8, &write_only, &w), 0);
	assert_int_equal(bus_read(&bus, 0, 1), 5);
	bus_write(&bus, 0, 1, 1);
	assert_int_equal(bus_read(&bus, 8, 1), 0xff);
	bus_write(&bus, 8, 1, 7);
	assert_int_equal(w.val, 7);
	bus_finish(&bus);
}

static void test_top_of_the_space(void **state)
{
	struct probe p = {.answer = 1};
	struct bus bus;

	(void)state;
	bus_init(&bus, "memory");
	assert_int_equal(add(&bus, UINT64_MAX - 3, 4, &any, &p), 0);
	assert_int_equal(bus_read(&bus, UINT64_MAX, 1), 1);
	assert_true(p.off == 3);
	assert_int_equal(bus_read(&bus, UINT64_MAX - 3, 4), 1);
	/* Beyond 2^64: not in the range, and not at address 0 either. */
	assert_int_equal(add(&bus, 0, 8, &any, &p), 0);
	p.reads = 0;
	assert_int_equal(bus_read(&bus, UINT64_MAX, 2), 0xffff);
	assert_true(bus_read(&bus, UINT64_MAX - 3, 8) == UINT64_MAX);
	assert_int_equal(p.reads, 0);
	bus_finish(&bus);
}

static void test_whole_space(void **state)
{
	struct probe p = {0};
	struct bus bus;

	(void)state;
	bus_init(&bus, "memory");
	assert_int_equal(add(&bus, 0, UINT64_MAX, &any, &p), 0);
	bus_write(&bus, UINT64_MAX - 1, 1, 3);
	assert_true(p.writes == 1 && p.off == UINT64_MAX - 1);
	bus_write(&bus, UINT64_MAX, 1, 3);
	assert_int_equal(p.writes, 1);
	bus_finish(&bus);
}

static void test_bad_ranges(void **state)
{
	struct probe p = {0};
	struct bus bus;

	(void)state;
	bus_init(&bus, "memory");
	assert_int_equal(add(&bus, 0x100, 0, &any, &p), -EINVAL);
	assert_int_equal(add(&bus, UINT64_MAX, 2, &any, &p), -EINVAL);
	assert_int_equal(add(&bus, 1, UINT64_MAX, &any, &p), 0);
	assert_int_equal(add(&bus, 2, UINT64_MAX, &any, &p), -EINVAL);
	assert_int_equal(bus.count, 1);
	bus_finish(&bus);
}

static void test_overlap(void **state)
{
	struct probe p = {0};
	struct bus bus;

	(void)state;
	bus_init(&bus, "port");
	assert_int_equal(add(&bus, 0x100, 0x10, &any, &p), 0);
	assert_int_equal(add(&bus, 0x120, 0x10, &any, &p), 0);
	assert_int_equal(add(&bus, 0x100, 0x10, &any, &p), -EEXIST);
	assert_int_equal(add(&bus, 0x100, 1, &any, &p), -EEXIST);
	assert_int_equal(add(&bus, 0x10f, 1, &any, &p), -EEXIST);
	assert_int_equal(add(&bus, 0xff, 2, &any, &p), -EEXIST);
	assert_int_equal(add(&bus, 0, 0x1000, &any, &p), -EEXIST);
	assert_int_equal(add(&bus, 0x110, 0x11, &any, &p), -EEXIST);
	assert_int_equal(add(&bus, 0, UINT64_MAX, &any, &p), -EEXIST);
	assert_int_equal(bus.count, 2);
	assert_int_equal(add(&bus, 0x110, 0x10, &any, &p), 0);
	assert_int_equal(add(&bus, 0xff, 1, &any, &p), 0);
	assert_int_equal(bus.count, 4);
	bus_finish(&bus);
}

/* As many as there may be, added in a scattered order; each is found, the gaps are not. */
static void test_many(void **state)
{
	static struct probe probes[BUS_MAX_RANGES];
	struct probe extra = {0};
	struct bus bus;

	(void)state;
	memset(probes, 0, sizeof(probes));
	bus_init(&bus, "memory");
	for (unsigned i = 0; i < BUS_MAX_RANGES; i++) {
		unsigned k = i * 101 % BUS_MAX_RANGES; /* odd: visits each once */

		assert_int_equal(add(&bus, 0x1000 + k * UINT64_C(0x20), 0x10, &any, &probes[k]), 0);
	}
	assert_int_equal(bus.count, BUS_MAX_RANGES);
	assert_int_equal(add(&bus, 0, 1, &any, &extra), -ENOSPC);
	assert_int_equal(add(&bus, 0x1000, 1, &any, &extra), -EEXIST);
	for (unsigned k = 0; k < BUS_MAX_RANGES; k++) {
		uint64_t base = 0x1000 + k * UINT64_C(0x20);

		bus_read(&bus, base + 0xf, 1);
		bus_write(&bus, base, 1, k & 0xff);
		assert_int_equal(bus_read(&bus, base + 0x10, 1), 0xff);
		assert_int_equal(probes[k].reads, 1);
		assert_int_equal(probes[k].writes, 1);
		assert_int_equal(probes[k].val, k & 0xff);
	}
	for (unsigned i = 1; i < bus.count; i++)
		assert_true(bus.ranges[i - 1].base < bus.ranges[i].base);
	bus_finish(&bus);
}

static void test_lock(void **state)
{
	struct loop loop;
	struct err err = {0};
	struct probe p = {.loop = &loop, .locked = true};
	struct bus_range range = {.base = 0, .len = 8, .ops = &any, .dev = &p, .loop = &loop};
	struct bus bus;

	(void)state;
	assert_int_equal(loop_init(&loop, &err), 0);
	bus_init(&bus, "port");
	assert_int_equal(bus_add(&bus, &range, &err), 0);
	bus_read(&bus, 0, 1);
	bus_write(&bus, 0, 1, 1);
	assert_int_equal(accesses(&p), 2);
	assert_true(p.locked);
	assert_false(loop.held);
	/* What does not reach the device does not wait for its lock. */
	loop_lock(&loop);
	watchdog(10);
	assert_int_equal(bus_read(&bus, 7, 2), 0xffff);
	assert_int_equal(bus_read(&bus, 8, 1), 0xff);
	watchdog(0);
	loop_unlock(&loop);
	bus_finish(&bus);
	loop_finish(&loop);
}

enum { THREADS = 4, ROUNDS = 20000 };

static void count_write(void *dev, uint64_t off, unsigned len, uint64_t val)
{
	uint64_t *count = dev;

	(void)off;
	(void)len;
	*count += val;
}

static void *write_often(void *arg)
{
	struct bus *bus = arg;

	for (unsigned i = 0; i < ROUNDS; i++)
		bus_write(bus, 0, 1, 1);
	return NULL;
}

/* vCPUs that access one device at once: without the lock, counts are lost. */
static void test_many_threads(void **state)
{
	static const struct io_ops counting = {.write = count_write, .widths = IO_WIDTH_1};
	uint64_t count = 0;
	struct loop loop;
	struct err err = {0};
	struct bus_range range = {.base = 0, .len = 1, .ops = &counting, .dev = &count, .loop = &loop};
	pthread_t threads[THREADS];
	struct bus bus;

	(void)state;
	assert_int_equal(loop_init(&loop, &err), 0);
	bus_init(&bus, "port");
	assert_int_equal(bus_add(&bus, &range, &err), 0);
	for (unsigned i = 0; i < THREADS; i++)
		threads[i] = start_thread(write_often, &bus);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_true(count == THREADS * ROUNDS);
	bus_finish(&bus);
	loop_finish(&loop);
}

static void test_remove(void **state)
{
	struct probe p[3] = {{.answer = 1}, {.answer = 2}, {.answer = 3}};
	struct bus bus;

	(void)state;
	bus_init(&bus, "memory");
	assert_int_equal(bus_remove(&bus, 0), -ENOENT);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(add(&bus, 0x1000 * (i + 1), 0x1000, &any, &p[i]), 0);
	assert_int_equal(bus_remove(&bus, 0x2001), -ENOENT);
	assert_int_equal(bus_remove(&bus, 0x4000), -ENOENT);
	assert_int_equal(bus_remove(&bus, 0xfff), -ENOENT);
	assert_int_equal(bus_remove(&bus, 0x2000), 0);
	assert_int_equal(bus_remove(&bus, 0x2000), -ENOENT);
	assert_int_equal(bus.count, 2);
	assert_int_equal(bus_read(&bus, 0x1fff, 1), 1);
	assert_int_equal(bus_read(&bus, 0x2000, 1), 0xff);
	assert_int_equal(bus_read(&bus, 0x3000, 1), 3);
	/* Its place is free again, for another one. */
	assert_int_equal(add(&bus, 0x2800, 0x800, &any, &p[1]), 0);
	assert_int_equal(bus_read(&bus, 0x2800, 1), 2);
	assert_int_equal(bus_remove(&bus, 0x1000), 0);
	assert_int_equal(bus_remove(&bus, 0x3000), 0);
	assert_int_equal(bus_remove(&bus, 0x2800), 0);
	assert_int_equal(bus.count, 0);
	assert_int_equal(bus_read(&bus, 0x2800, 1), 0xff);
	assert_int_equal(add(&bus, 0, UINT64_MAX, &any, &p[0]), 0);
	bus_finish(&bus);
}

/* 10^5 ranges come and go, and nothing is allocated for that. */
static void test_many_moves(void **state)
{
	const struct bus_range *ranges;
	struct probe p = {0};
	struct bus bus;

	(void)state;
	bus_init(&bus, "memory");
	assert_int_equal(add(&bus, 0, 0x1000, &any, &p), 0);
	ranges = bus.ranges;
	for (uint64_t i = 1; i <= 100000; i++) {
		assert_int_equal(add(&bus, i << 12, 0x1000, &any, &p), 0);
		assert_int_equal(bus_remove(&bus, i << 12), 0);
	}
	assert_int_equal(bus.count, 1);
	assert_ptr_equal(bus.ranges, ranges);
	bus_finish(&bus);
}

/* A device that moves itself while it is accessed, as the root does with BARs: no deadlock. */
struct mover {
	struct bus *bus;
	struct bus_range range;
};

static void mover_write(void *dev, uint64_t off, unsigned len, uint64_t val)
{
	struct mover *m = dev;

	(void)off;
	(void)len;
	assert_int_equal(bus_remove(m->bus, m->range.base), 0);
	m->range.base = val;
	assert_int_equal(bus_add(m->bus, &m->range, NULL), 0);
}

static void test_moves_itself(void **state)
{
	static const struct io_ops ops = {.write = mover_write, .widths = IO_WIDTH_8};
	struct loop loop;
	struct bus bus;
	struct mover m = {.bus = &bus, .range = {0x1000, 8, &ops, &m, &loop}};

	(void)state;
	assert_int_equal(loop_init(&loop, NULL), 0);
	bus_init(&bus, "memory");
	assert_int_equal(bus_add(&bus, &m.range, NULL), 0);
	watchdog(10);
	bus_write(&bus, 0x1000, 8, 0x2000);
	bus_write(&bus, 0x1000, 8, 0x3000);
	assert_true(m.range.base == 0x2000);
	bus_write(&bus, 0x2000, 8, 0x3000);
	assert_true(m.range.base == 0x3000);
	watchdog(0);
	bus_finish(&bus);
	loop_finish(&loop);
}

struct shared_bus {
	struct bus bus;
	bool stop;
	uint64_t wrong;
};

enum { HOMES = 4, HOME_SIZE = 0x1000 };

static void base_read(void *dev, uint64_t off, unsigned len, uint64_t *val)
{
	(void)dev;
	(void)len;
	*val = off;
}

/* Every answer is that of the device, or that of nothing: never one of another offset. */
static void *access_homes(void *arg)
{
	struct shared_bus *s = arg;

	for (uint64_t i = 0; !__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE); i++) {
		uint64_t off = i * 8 % HOME_SIZE;
		uint64_t val = bus_read(&s->bus, (1 + i % HOMES) * HOME_SIZE + off, 8);

		if (val != off && val != UINT64_MAX)
			__atomic_fetch_add(&s->wrong, 1, __ATOMIC_RELAXED);
		bus_write(&s->bus, (1 + i % HOMES) * HOME_SIZE + off, 8, 1);
	}
	return NULL;
}

/* One thread moves a range while two access it. */
static void test_moved_under_access(void **state)
{
	static const struct io_ops ops = {.read = base_read, .write = count_write, .widths = IO_WIDTH_8};
	static struct shared_bus s;
	uint64_t count = 0;
	struct loop loop;
	struct bus_range range = {
		.base = HOME_SIZE, .len = HOME_SIZE, .ops = &ops, .dev = &count, .loop = &loop};
	pthread_t threads[2];

	(void)state;
	assert_int_equal(loop_init(&loop, NULL), 0);
	bus_init(&s.bus, "memory");
	assert_int_equal(bus_add(&s.bus, &range, NULL), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(threads); i++)
		threads[i] = start_thread(access_homes, &s);
	watchdog(60);
	for (unsigned i = 0; i < ROUNDS; i++) {
		assert_int_equal(bus_remove(&s.bus, range.base), 0);
		range.base = (1 + i % HOMES) * HOME_SIZE;
		assert_int_equal(bus_add(&s.bus, &range, NULL), 0);
	}
	__atomic_store_n(&s.stop, true, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	watchdog(0);
	assert_true(s.wrong == 0);
	assert_int_equal(s.bus.count, 1);
	bus_finish(&s.bus);
	loop_finish(&loop);
}

static void test_finish(void **state)
{
	struct bus zeroed = {0};
	struct probe p = {0};
	struct bus bus;

	(void)state;
	bus_finish(NULL);
	bus_finish(&zeroed);
	bus_init(&bus, "port");
	bus_finish(&bus);
	bus_init(&bus, "port");
	assert_int_equal(add(&bus, 0, 1, &any, &p), 0);
	bus_finish(&bus);
	assert_int_equal(bus.count, 0);
	bus_finish(&bus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dispatch),
		cmocka_unit_test(test_widths_are_cut),
		cmocka_unit_test(test_unassigned),
		cmocka_unit_test(test_straddling),
		cmocka_unit_test(test_undeclared_widths),
		cmocka_unit_test(test_odd_widths),
		cmocka_unit_test(test_one_direction),
		cmocka_unit_test(test_top_of_the_space),
		cmocka_unit_test(test_whole_space),
		cmocka_unit_test(test_bad_ranges),
		cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_lock),
		cmocka_unit_test(test_many_threads),
		cmocka_unit_test(test_remove),
		cmocka_unit_test(test_many_moves),
		cmocka_unit_test(test_moves_itself),
		cmocka_unit_test(test_moved_under_access),
		cmocka_unit_test(test_finish),
	};

	return cmocka_run_group_tests_name("bus", tests, NULL, NULL);
}
