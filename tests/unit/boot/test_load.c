/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a bzImage to guest memory: addresses, relocations, initrds, zero page, tables. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "decoded.h"
#include "support.h"
#include "x86_64/layout.h"

/* The memory that a test kernel without bss needs, from its entry on. */
enum { KERNEL_SIZE = (2 << 20) + 8192 };

/* A request with all that belongs to it. */
struct boot {
	struct machine m;
	struct boot_request req;
	struct boot_file initrds[4];
	struct boot_entry entry;
	struct err err;
};

/* A kernel of this shape, decoded, in a machine of `mib`. */
static void boot_init(struct boot *b, unsigned mib, const struct kernel_shape *shape,
		      void (*change)(struct setup_header *hdr))
{
	struct bytes plain = make_vmlinux(shape, NULL);
	struct setup_header hdr = make_setup(plain.len);
	struct boot_cache_key key = {0};
	struct bytes bz;

	if (change)
		change(&hdr);
	bz = make_bzimage(&hdr, plain.p, plain.len);
	*b = (struct boot){0};
	machine_init(&b->m, mib);
	b->req = (struct boot_request){
		.kernel = {file_with(bz.p, bz.len), "vmlinuz"},
		.decoded_fd = file_with("", 0),
		.initrds = b->initrds,
		.cmdline_base = "console=ttyS0",
		.cmdline_user = "panic=-1",
		.quiet = true,
		.map = &b->m.map,
		.rsdp = 0xe1230,
		.random = fake_random,
	};
	if (boot_decode(&b->req.kernel, &key, b->req.decoded_fd, 64 << 20, &b->err) < 0)
		fail_msg("%s", b->err.msg);
	bytes_free(&plain);
	bytes_free(&bz);
}

static void boot_finish(struct boot *b)
{
	for (unsigned i = 0; i < b->req.initrd_count; i++)
		close(b->initrds[i].fd);
	close(b->req.kernel.fd);
	close(b->req.decoded_fd);
	machine_finish(&b->m);
}

static int load(struct boot *b)
{
	uint64_t start = cpu_ms();
	int r = boot_load(&b->req, &b->m.mem, &b->entry, &b->err);

	assert_true(r == 0 || cpu_ms() - start < 100);
	return r;
}

static void must_load(struct boot *b)
{
	if (load(b) < 0)
		fail_msg("%s", b->err.msg);
}

static void add_initrd(struct boot *b, const void *p, size_t len, const char *path)
{
	b->initrds[b->req.initrd_count++] = (struct boot_file){file_with(p, len), path};
}

static const struct boot_params *params(const struct boot *b)
{
	return mem_ptr(&b->m.mem, b->entry.info, sizeof(struct boot_params));
}

/* What a word of the kernel's text is now. */
static uint64_t text64(const struct boot *b, uint64_t off)
{
	return load_le64(mem_ptr(&b->m.mem, b->entry.ip + off, 8));
}

static uint32_t text32(const struct boot *b, uint64_t off)
{
	return load_le32(mem_ptr(&b->m.mem, b->entry.ip + off, 4));
}

/* ---- addresses ---- */

static void test_nokaslr(void **state)
{
	struct boot b;

	(void)state;
	boot_init(&b, 64, &(struct kernel_shape){.lists = 3, .bss = 12345}, NULL);
	b.req.cmdline_user = "a nokaslr b";
	must_load(&b);
	assert_int_equal(b.entry.protocol, BOOT_LINUX64);
	assert_int_equal(b.entry.ip, LINK_ADDR);
	assert_int_equal(params(&b)->hdr.loadflags & KASLR_FLAG, 0);
	assert_int_equal(text64(&b, RELOC_AT_64), RELOC_VALUE);
	assert_int_equal(text32(&b, RELOC_AT_INVERSE), RELOC_VALUE);
	assert_int_equal(text32(&b, RELOC_AT_32), RELOC_VALUE);
	assert_string_equal(b.entry.how, "bzImage unpacked, 64-bit entry");
	/* The second segment, at its own distance. */
	assert_int_equal(*(char *)mem_ptr(&b.m.mem, LINK_ADDR + MIB(2), 1), 'd');
	boot_finish(&b);
}

static void test_no_random(void **state)
{
	struct boot b;

	(void)state;
	boot_init(&b, 64, &(struct kernel_shape){.lists = 3}, NULL);
	b.req.random = NULL;
	must_load(&b);
	assert_int_equal(b.entry.ip, LINK_ADDR);
	assert_int_equal(params(&b)->hdr.setup_data, 0);
	assert_int_equal(params(&b)->hdr.loadflags & KASLR_FLAG, 0);
	boot_finish(&b);
}

static void check_kaslr(unsigned lists)
{
	uint64_t phys[3];
	uint64_t virt[3];
	struct boot b;

	for (unsigned i = 0; i < 3; i++) {
		uint64_t delta;

		boot_init(&b, 256, &(struct kernel_shape){.lists = lists}, NULL);
		must_load(&b);
		phys[i] = b.entry.ip;
		delta = text64(&b, RELOC_AT_64) - RELOC_VALUE;
		virt[i] = delta;
		assert_int_equal(phys[i] % MIB(2), 0);
		assert_true(phys[i] >= LINK_ADDR && phys[i] + KERNEL_SIZE <= MIB(256));
		assert_int_equal(delta % MIB(2), 0);
		assert_true(delta < GIB(1) - LINK_ADDR);
		assert_int_equal(text32(&b, RELOC_AT_32), (uint32_t)(RELOC_VALUE + delta));
		assert_int_equal(text32(&b, RELOC_AT_INVERSE),
				 (uint32_t)(lists == 3 ? RELOC_VALUE - delta : RELOC_VALUE));
		assert_int_equal(params(&b)->hdr.loadflags & KASLR_FLAG, KASLR_FLAG);
		assert_string_equal(b.entry.how, "bzImage unpacked, 64-bit entry, kaslr");
		boot_finish(&b);
	}
	assert_true(phys[0] != phys[1] || phys[1] != phys[2]);
	assert_true(virt[0] != virt[1] || virt[1] != virt[2]);
}

static void test_kaslr_three_lists(void **state)
{
	(void)state;
	check_kaslr(3);
}

static void test_kaslr_two_lists(void **state)
{
	(void)state;
	check_kaslr(2);
}

static void test_without_relocations(void **state)
{
	struct boot b;

	(void)state;
	boot_init(&b, 64, &(struct kernel_shape){.lists = 0}, NULL);
	must_load(&b);
	assert_int_equal(b.entry.ip, LINK_ADDR);
	assert_int_equal(params(&b)->hdr.loadflags & KASLR_FLAG, 0);
	boot_finish(&b);
}

/* Less RAM than the preferred address. */
static void test_small_ram(void **state)
{
	struct boot b;

	(void)state;
	boot_init(&b, 8, &(struct kernel_shape){.lists = 3}, NULL);
	must_load(&b);
	assert_true(b.entry.ip >= MIB(2) && b.entry.ip + KERNEL_SIZE <= MIB(8));
	boot_finish(&b);
}

static void test_too_small_ram(void **state)
{
	struct boot b;

	(void)state;
	boot_init(&b, 8, &(struct kernel_shape){.lists = 3, .bss = 100 << 20}, NULL);
	assert_int_equal(load(&b), -ENOSPC);
	assert_non_null(strstr(b.err.msg, "vmlinuz"));
	assert_non_null(strstr(b.err.msg, "needs at least 106 MiB"));
	boot_finish(&b);
}

static void not_relocatable(struct setup_header *hdr)
{
	hdr->relocatable_kernel = 0;
}

static void test_not_relocatable(void **state)
{
	struct boot b;

	(void)state;
	boot_init(&b, 64, &(struct kernel_shape){.lists = 0}, not_relocatable);
	must_load(&b);
	assert_int_equal(b.entry.ip, LINK_ADDR);
	boot_finish(&b);
	boot_init(&b, 8, &(struct kernel_shape){.lists = 0}, not_relocatable);
	assert_int_equal(load(&b), -ENOSPC);
	boot_finish(&b);
}

/* A decoded bzImage is entered by its ELF header, whether it has a PVH note or not. */
static void test_entry(void **state)
{
	static const struct {
		uint64_t entry, pvh; /* pvh: of the note, 0: none */
		bool good;
	} cases[] = {
		{LINK_ADDR + 16, 0, true},
		{KERNEL_MAP + LINK_ADDR + 16, 0, true},
		{LINK_ADDR + 16, LINK_ADDR, true},
		{KERNEL_MAP + LINK_ADDR + 16, LINK_ADDR, true},
		{LINK_ADDR + 16, LINK_ADDR - 1, true}, /* bad, but not used */
		{LINK_ADDR - 1, 0, false},
		{LINK_ADDR - 1, LINK_ADDR, false},
		{UINT64_MAX, LINK_ADDR, false},
		{GIB(1), LINK_ADDR, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct boot b;
		int r;

		boot_init(&b, 64, &(struct kernel_shape){.entry = cases[i].entry, .pvh = cases[i].pvh}, NULL);
		r = load(&b);
		if (r != (cases[i].good ? 0 : -EINVAL))
			fail_msg("case %zu: %d %s", i, r, b.err.msg);
		if (cases[i].good) {
			assert_int_equal(b.entry.protocol, BOOT_LINUX64);
			assert_int_equal(b.entry.ip, LINK_ADDR + 16);
		} else {
			assert_non_null(strstr(b.err.msg, "vmlinuz"));
			assert_non_null(strstr(b.err.msg, "64-bit entry"));
			assert_null(strchr(b.err.msg, '\n'));
		}
		boot_finish(&b);
	}
}

/* ---- damaged relocations ---- */

static void test_bad_relocations(void **state)
{
	const uint32_t base = 0x80000000 + LINK_ADDR;
	const uint32_t bad[] = {1, base - 1, base + MIB(2) + 8192 - 3, 0x7fffffff, 0xffffffff, 0x80000000};
	struct decoded_header header;
	struct boot b;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		for (unsigned word = 1; word < 6; word += 2) {
			boot_init(&b, 64, &(struct kernel_shape){.lists = 3}, NULL);
			assert_int_equal(decoded_read(b.req.decoded_fd, &header, "", NULL), 0);
			assert_int_equal(header.relocs.lists, 3);
			assert_int_equal(
				fd_pwrite_full(b.req.decoded_fd, &bad[i], 4,
					       (off_t)(BOOT_CACHE_DATA + header.relocs.offset + word * 4)),
				0);
			assert_int_equal(load(&b), -EINVAL);
			assert_non_null(strstr(b.err.msg, "relocations"));
			boot_finish(&b);
		}
	}
}

/* A header that says another number of lists, or another place. */
static void test_lying_relocations(void **state)
{
	struct decoded_header header;
	struct boot b;

	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		boot_init(&b, 64, &(struct kernel_shape){.lists = 3}, NULL);
		assert_int_equal(decoded_read(b.req.decoded_fd, &header, "", NULL), 0);
		if (i == 0)
			header.relocs.lists = 2;
		else if (i == 1)
			header.relocs.offset += 8;
		else if (i == 2)
			header.relocs.offset = UINT64_MAX;
		else if (i == 3)
			header.relocs.len = UINT64_MAX;
		else if (i == 4)
			header.relocs.len -= 1;
		else
			header.relocs.lists = 100;
		assert_int_equal(decoded_write(b.req.decoded_fd, &header, "", NULL), 0);
		assert_int_equal(load(&b), -EINVAL);
		boot_finish(&b);
	}
}

/* A table with other than two or three lists is none: the kernel boots where it was linked. */
static void test_strange_table(void **state)
{
	static const uint32_t tails[][4] = {{0, 0, 0, 0}, {5, 0, 0, 0}, {0, 7, 7, 7}};
	struct bytes plain = make_vmlinux(&(struct kernel_shape){0}, NULL);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(tails); i++) {
		struct image img;
		struct kaslr_table table;
		struct bytes b = {0};

		bytes_add(&b, plain.p, plain.len);
		bytes_add(&b, tails[i], sizeof(tails[i]));
		img = (struct image){.fd = file_with(b.p, b.len), .path = "x", .len = b.len};
		assert_int_equal(kaslr_find(&img, plain.len, &table, NULL), 0);
		assert_int_equal(table.lists, 0);
		assert_int_equal(kaslr_find(&img, b.len, &table, NULL), 0);
		assert_int_equal(table.lists, 0);
		assert_int_equal(kaslr_find(&img, plain.len + 1, &table, NULL), 0);
		assert_int_equal(table.lists, 0);
		assert_int_equal(kaslr_find(&img, UINT64_MAX, &table, NULL), 0);
		assert_int_equal(table.lists, 0);
		close(img.fd);
		bytes_free(&b);
	}
	bytes_free(&plain);
}

/* A decoded file that is not one. */
static void test_bad_decoded(void **state)
{
	struct boot b;

	(void)state;
	boot_init(&b, 64, &(struct kernel_shape){.lists = 3}, NULL);
	assert_int_equal(ftruncate(b.req.decoded_fd, BOOT_CACHE_DATA + 1000), 0);
	assert_int_equal(load(&b), -EINVAL);
	assert_int_equal(ftruncate(b.req.decoded_fd, 10), 0);
	assert_int_equal(load(&b), -EINVAL);
	assert_int_equal(ftruncate(b.req.decoded_fd, 0), 0);
	assert_int_equal(load(&b), -EINVAL);
	boot_finish(&b);
}

/* ---- a bzImage that unpacks itself ---- */

static void test_own_entry(void **state)
{
	struct boot b;
	int decoded;

	(void)state;
	boot_init(&b, 64, &(struct kernel_shape){.lists = 3}, NULL);
	decoded = b.req.decoded_fd;
	b.req.decoded_fd = -1;
	must_load(&b);
	assert_int_equal(b.entry.protocol, BOOT_LINUX64);
	assert_int_equal(b.entry.ip, LINK_ADDR + 0x200);
	assert_int_equal(*(uint8_t *)mem_ptr(&b.m.mem, b.entry.ip, 1), 0xcc);
	assert_int_equal(params(&b)->hdr.loadflags & KASLR_FLAG, 0);
	assert_string_equal(b.entry.how, "bzImage unpacks itself, 64-bit entry");
	b.req.decoded_fd = decoded;
	boot_finish(&b);
}

static void huge_init_size(struct setup_header *hdr)
{
	hdr->init_size = 0xfffff000;
}

static void tiny_init_size(struct setup_header *hdr)
{
	hdr->init_size = 4096;
}

static void strange_address(struct setup_header *hdr)
{
	hdr->pref_address = UINT64_MAX - 100;
}

static void test_own_entry_lies(void **state)
{
	void (*const changes[])(struct setup_header *) = {huge_init_size, tiny_init_size, strange_address};
	static const int codes[] = {-ENOSPC, -EINVAL, 0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		struct boot b;
		int decoded;

		boot_init(&b, 64, &(struct kernel_shape){.lists = 3}, changes[i]);
		decoded = b.req.decoded_fd;
		b.req.decoded_fd = -1;
		assert_int_equal(load(&b), codes[i]);
		b.req.decoded_fd = decoded;
		/* With the payload decoded, what the kernel needs is known better. */
		assert_int_equal(load(&b), 0);
		boot_finish(&b);
	}
}

/* ---- initrds ---- */

static void test_initrds(void **state)
{
	static const char want[] = "aaaaa\0\0\0bb\0\0cccc";
	struct boot b;
	uint64_t addr;

	(void)state;
	boot_init(&b, 64, &(struct kernel_shape){.lists = 3}, NULL);
	add_initrd(&b, "aaaaa", 5, "a.cpio");
	add_initrd(&b, "bb", 2, "b.cpio");
	add_initrd(&b, "cccc", 4, "c.cpio");
	must_load(&b);
	addr = params(&b)->hdr.ramdisk_image;
	assert_int_equal(addr, MIB(64) - 4096);
	assert_int_equal(params(&b)->hdr.ramdisk_size, sizeof(want) - 1);
	assert_int_equal(params(&b)->ext_ramdisk_image, 0);
	assert_int_equal(params(&b)->ext_ramdisk_size, 0);
	assert_memory_equal(mem_ptr(&b.m.mem, addr, sizeof(want) - 1), want, sizeof(want) - 1);
	boot_finish(&b);
}

/* Kernel and initrd never overlap, wherever chance puts the kernel. */
static void test_initrd_and_kaslr(void **state)
{
	struct bytes data = {0};

	(void)state;
	bytes_add(&data, NULL, 21 << 20);
	memset(data.p, 'i', data.len);
	for (unsigned i = 0; i < 40; i++) {
		uint64_t start;
		uint64_t end;
		struct boot b;

		boot_init(&b, 32, &(struct kernel_shape){.lists = 3}, NULL);
		add_initrd(&b, data.p, data.len, "initrd");
		must_load(&b);
		start = params(&b)->hdr.ramdisk_image;
		end = start + params(&b)->hdr.ramdisk_size;
		assert_true(end <= MIB(32) && start % 4096 == 0);
		assert_true(b.entry.ip + KERNEL_SIZE <= start || b.entry.ip >= end);
		assert_int_equal(*(char *)mem_ptr(&b.m.mem, start, 1), 'i');
		assert_int_equal(*(char *)mem_ptr(&b.m.mem, end - 1, 1), 'i');
		boot_finish(&b);
	}
	bytes_free(&data);
}

static void low_initrd(struct setup_header *hdr)
{
	hdr->initrd_addr_max = 0x37fffff; /* 56 MiB - 1 */
}

static void test_initrd_limit(void **state)
{
	struct boot b;

	(void)state;
	boot_init(&b, 64, &(struct kernel_shape){.lists = 3}, low_initrd);
	add_initrd(&b, "12345", 5, "initrd");
	must_load(&b);
	assert_int_equal(params(&b)->hdr.ramdisk_image, 0x3800000 - 4096);
	boot_finish(&b);
}

static void test_initrd_too_large(void **state)
{
	struct bytes data = {0};
	struct boot b;

	(void)state;
	bytes_add(&data, NULL, 20 << 20);
	boot_init(&b, 32, &(struct kernel_shape){.lists = 3}, NULL);
	add_initrd(&b, "small", 5, "first.cpio");
	add_initrd(&b, data.p, data.len, "second.cpio");
	add_initrd(&b, data.p, data.len, "third.cpio");
	assert_int_equal(load(&b), -ENOSPC);
	assert_non_null(strstr(b.err.msg, "third.cpio"));
	boot_finish(&b);

	/* It would fit, but not together with the kernel. */
	boot_init(&b, 32, &(struct kernel_shape){.lists = 3, .bss = 12 << 20}, NULL);
	add_initrd(&b, data.p, data.len, "initrd.cpio");
	assert_int_equal(load(&b), -ENOSPC);
	assert_non_null(strstr(b.err.msg, "initrd.cpio"));
	boot_finish(&b);
	bytes_free(&data);
}

static void test_bad_initrds(void **state)
{
	struct boot b;

	(void)state;
	boot_init(&b, 32, &(struct kernel_shape){.lists = 3}, NULL);
	add_initrd(&b, "", 0, "empty.cpio");
	assert_int_equal(load(&b), -EINVAL);
	assert_non_null(strstr(b.err.msg, "empty.cpio"));
	assert_non_null(strstr(b.err.msg, "empty"));
	/* Larger than any RAM, by a hole: refused before anything is read. */
	assert_int_equal(ftruncate(b.initrds[0].fd, (off_t)1 << 42), 0);
	assert_int_equal(load(&b), -ENOSPC);
	assert_non_null(strstr(b.err.msg, "empty.cpio"));
	boot_finish(&b);
}

/* ---- zero page and tables ---- */

static void test_zero_page(void **state)
{
	const struct boot_params *bp;
	const struct setup_data *seed;
	uint64_t sum = 0;
	struct boot b;

	(void)state;
	boot_init(&b, 64, &(struct kernel_shape){.lists = 3}, NULL);
	must_load(&b);
	bp = params(&b);
	assert_int_equal(bp->hdr.boot_flag, 0xaa55);
	assert_memory_equal(&bp->hdr.header, "HdrS", 4);
	assert_int_equal(bp->hdr.version, 0x020f);
	assert_int_equal(bp->hdr.type_of_loader, 0xff);
	assert_int_equal(bp->hdr.loadflags & LOADED_HIGH, LOADED_HIGH);
	assert_int_equal(bp->hdr.ramdisk_size, 0);
	assert_int_equal(bp->sentinel, 0);
	assert_int_equal(bp->acpi_rsdp_addr, 0xe1230);
	assert_int_equal(load_le64((const uint8_t *)bp + 0x70), 0xe1230);
	assert_string_equal((char *)mem_ptr(&b.m.mem, bp->hdr.cmd_line_ptr, 1),
			    "console=ttyS0 quiet panic=-1");
	assert_int_equal(bp->e820_entries, b.m.map.count);
	for (unsigned i = 0; i < b.m.map.count; i++) {
		assert_int_equal(bp->e820_table[i].addr, b.m.map.entries[i].gpa);
		assert_int_equal(bp->e820_table[i].size, b.m.map.entries[i].size);
		assert_int_equal(bp->e820_table[i].type, b.m.map.entries[i].kind);
	}
	seed = mem_ptr(&b.m.mem, bp->hdr.setup_data, sizeof(*seed) + 32);
	assert_int_equal(seed->next, 0);
	assert_int_equal(seed->type, SETUP_RNG_SEED);
	assert_int_equal(seed->len, 32);
	for (unsigned i = 0; i < 32; i += 8)
		sum |= load_le64(seed->data + i);
	assert_true(sum != 0);
	boot_finish(&b);
}

/* The page tables, walked as the processor does. */
static uint64_t walk(const struct boot *b, uint64_t va)
{
	const uint8_t *table = mem_ptr(&b->m.mem, b->entry.page_table, 4096);
	uint64_t e = load_le64(table + 8 * ((va >> 39) & 511));

	assert_true(e & 1);
	table = mem_ptr(&b->m.mem, e & ~0xfffULL, 4096);
	e = load_le64(table + 8 * ((va >> 30) & 511));
	assert_true(e & 1);
	table = mem_ptr(&b->m.mem, e & ~0xfffULL, 4096);
	e = load_le64(table + 8 * ((va >> 21) & 511));
	assert_int_equal(e & 0x83, 0x83);
	return (e & ~0x1fffffULL) | (va & 0x1fffff);
}

static void test_tables(void **state)
{
	static const uint64_t addresses[] = {0,         0x1234, MIB(2),     MIB(16),
					     MIB(1023), GIB(1), GIB(3) + 5, GIB(4) - 1};
	const uint8_t *gdt;
	struct boot b;

	(void)state;
	boot_init(&b, 64, &(struct kernel_shape){.lists = 3}, NULL);
	must_load(&b);
	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++)
		assert_int_equal(walk(&b, addresses[i]), addresses[i]);
	gdt = mem_ptr(&b.m.mem, b.entry.gdt, (uint64_t)b.entry.gdt_limit + 1);
	assert_non_null(gdt);
	assert_true(b.entry.gdt_limit >= 0x27);
	assert_int_equal(load_le64(gdt), 0);
	assert_int_equal(load_le64(gdt + 0x10) >> 40 & 0xff, 0x9b); /* present, code */
	assert_int_equal(load_le64(gdt + 0x10) >> 53 & 3, 1);       /* L, not D */
	assert_int_equal(load_le64(gdt + 0x18) >> 40 & 0xff, 0x93); /* present, data */
	/* Nothing below and nothing above the boot data was touched, but the kernel. */
	for (unsigned i = 0; i < BOOT_GDT; i++)
		assert_int_equal(((uint8_t *)mem_ptr(&b.m.mem, 0, BOOT_GDT))[i], 0);
	for (unsigned i = BOOT_DATA_END; i < MIB(1); i++)
		assert_int_equal(((uint8_t *)mem_ptr(&b.m.mem, 0, MIB(1)))[i], 0);
	boot_finish(&b);
}

/* ---- command line ---- */

static void short_cmdline(struct setup_header *hdr)
{
	hdr->cmdline_size = 20;
}

static void any_cmdline(struct setup_header *hdr)
{
	hdr->cmdline_size = 0xffffffff;
}

static void default_cmdline(struct setup_header *hdr)
{
	hdr->cmdline_size = 0;
}

static void test_cmdline_limit(void **state)
{
	static char longer[70000];
	struct boot b;

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	boot_init(&b, 64, &(struct kernel_shape){.lists = 3}, short_cmdline);
	assert_int_equal(load(&b), -E2BIG);
	assert_non_null(strstr(b.err.msg, "vmlinuz"));
	assert_non_null(strstr(b.err.msg, "20"));
	boot_finish(&b);

	/* Whatever the kernel takes, the place for it has an end. */
	boot_init(&b, 64, &(struct kernel_shape){.lists = 3}, any_cmdline);
	b.req.cmdline_user = longer;
	assert_int_equal(load(&b), -E2BIG);
	boot_finish(&b);

	boot_init(&b, 64, &(struct kernel_shape){.lists = 3}, default_cmdline);
	b.req.quiet = false;
	longer[2047 - strlen("console=ttyS0 ")] = '\0';
	b.req.cmdline_user = longer;
	must_load(&b);
	longer[strlen(longer)] = 'x';
	assert_int_equal(load(&b), -E2BIG);
	boot_finish(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nokaslr),
		cmocka_unit_test(test_no_random),
		cmocka_unit_test(test_kaslr_three_lists),
		cmocka_unit_test(test_kaslr_two_lists),
		cmocka_unit_test(test_without_relocations),
		cmocka_unit_test(test_small_ram),
		cmocka_unit_test(test_too_small_ram),
		cmocka_unit_test(test_not_relocatable),
		cmocka_unit_test(test_entry),
		cmocka_unit_test(test_bad_relocations),
		cmocka_unit_test(test_lying_relocations),
		cmocka_unit_test(test_strange_table),
		cmocka_unit_test(test_bad_decoded),
		cmocka_unit_test(test_own_entry),
		cmocka_unit_test(test_own_entry_lies),
		cmocka_unit_test(test_initrds),
		cmocka_unit_test(test_initrd_and_kaslr),
		cmocka_unit_test(test_initrd_limit),
		cmocka_unit_test(test_initrd_too_large),
		cmocka_unit_test(test_bad_initrds),
		cmocka_unit_test(test_zero_page),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_cmdline_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
