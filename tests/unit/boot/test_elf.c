/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ELF kernels: PVH notes, 32 and 64 bits, and headers with every field at its extremes. */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "support.h"
#include "x86_64/elf.h"

enum {
	CODE = 0x200000,     /* where the test guests are linked */
	CODE_OFFSET = 0x200, /* of the code in the file */
	NOTE_OFFSET = 0x180,
	CODE_LEN = 100,
};

/* A tiny guest: one segment, and a PVH note if `desc` is not 0: of that many bytes. */
static struct bytes tiny64(unsigned desc, uint64_t entry)
{
	Elf64_Ehdr eh = {
		.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_entry = CODE + 8,
		.e_phoff = sizeof(eh),
		.e_ehsize = sizeof(eh),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = desc ? 2 : 1,
	};
	Elf64_Phdr ph[2] = {
		{.p_type = PT_LOAD,
		 .p_offset = CODE_OFFSET,
		 .p_vaddr = 0xffffffff80200000,
		 .p_paddr = CODE,
		 .p_filesz = CODE_LEN,
		 .p_memsz = 3 * CODE_LEN},
		{.p_type = PT_NOTE, .p_offset = NOTE_OFFSET, .p_filesz = 16 + desc, .p_align = 4},
	};
	Elf64_Nhdr note = {.n_namesz = 4, .n_descsz = desc, .n_type = 18};
	struct bytes b = {0};

	bytes_add(&b, NULL, CODE_OFFSET + CODE_LEN);
	memcpy(b.p, &eh, sizeof(eh));
	memcpy(b.p + sizeof(eh), ph, sizeof(ph));
	memcpy(b.p + NOTE_OFFSET, &note, sizeof(note));
	memcpy(b.p + NOTE_OFFSET + 12, "Xen", 4);
	store_le64(b.p + NOTE_OFFSET + 16, entry);
	memset(b.p + CODE_OFFSET, 0xf4, CODE_LEN);
	return b;
}

static struct bytes tiny32(void)
{
	Elf32_Ehdr eh = {
		.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_EXEC,
		.e_machine = EM_386,
		.e_version = EV_CURRENT,
		.e_entry = CODE,
		.e_phoff = sizeof(eh),
		.e_ehsize = sizeof(eh),
		.e_phentsize = sizeof(Elf32_Phdr),
		.e_phnum = 2,
	};
	Elf32_Phdr ph[2] = {
		{.p_type = PT_NOTE, .p_offset = NOTE_OFFSET, .p_filesz = 20, .p_align = 4},
		{.p_type = PT_LOAD,
		 .p_offset = CODE_OFFSET,
		 .p_vaddr = CODE,
		 .p_paddr = CODE,
		 .p_filesz = CODE_LEN,
		 .p_memsz = CODE_LEN},
	};
	Elf32_Nhdr note = {.n_namesz = 4, .n_descsz = 4, .n_type = 18};
	struct bytes b = {0};

	bytes_add(&b, NULL, CODE_OFFSET + CODE_LEN);
	memcpy(b.p, &eh, sizeof(eh));
	memcpy(b.p + sizeof(eh), ph, sizeof(ph));
	memcpy(b.p + NOTE_OFFSET, &note, sizeof(note));
	memcpy(b.p + NOTE_OFFSET + 12, "Xen", 4);
	store_le32(b.p + NOTE_OFFSET + 16, CODE + 4);
	memset(b.p + CODE_OFFSET, 0xf4, CODE_LEN);
	return b;
}

/* Loads it into the machine. A failure is one line that names the file, and quick. */
static int load(const struct machine *m, const struct bytes *b, struct boot_entry *entry, struct err *err)
{
	struct boot_request req = {
		.kernel = {file_with(b->p, b->len), "vmlinux"},
		.decoded_fd = -1,
		.cmdline_base = "console=ttyS0",
		.cmdline_user = "",
		.map = &m->map,
		.rsdp = 0xe0000,
		.random = fake_random,
	};
	struct boot_entry before;
	uint64_t start = cpu_ms();
	int r;

	memset(entry, 0x5a, sizeof(*entry));
	before = *entry;
	*err = (struct err){0};
	r = boot_load(&req, &m->mem, entry, err);
	assert_true(cpu_ms() - start < 100);
	if (r < 0) {
		assert_non_null(strstr(err->msg, "vmlinux"));
		assert_int_equal(err->code, r);
		assert_memory_equal(entry, &before, sizeof(before));
	}
	close(req.kernel.fd);
	return r;
}

static void check_start_info(const struct machine *m, const struct boot_entry *entry)
{
	const uint8_t *info = mem_ptr(&m->mem, entry->info, 56);
	const uint8_t *map;

	assert_int_equal(load_le32(info), 0x336ec578);
	assert_int_equal(load_le32(info + 4), 1);
	assert_int_equal(load_le32(info + 12), 0); /* modules */
	assert_string_equal((char *)mem_ptr(&m->mem, load_le64(info + 24), 1), "console=ttyS0");
	assert_int_equal(load_le64(info + 32), 0xe0000);
	assert_int_equal(load_le32(info + 48), m->map.count);
	map = mem_ptr(&m->mem, load_le64(info + 40), m->map.count * 24);
	for (unsigned i = 0; i < m->map.count; i++, map += 24) {
		assert_int_equal(load_le64(map), m->map.entries[i].gpa);
		assert_int_equal(load_le64(map + 8), m->map.entries[i].size);
		assert_int_equal(load_le32(map + 16), m->map.entries[i].kind);
	}
}

static void test_pvh(void **state)
{
	struct bytes files[] = {tiny64(4, CODE + 4), tiny64(8, CODE + 4), tiny32()};
	struct boot_entry entry;
	struct machine m;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		machine_init(&m, 4);
		if (load(&m, &files[i], &entry, &err) < 0)
			fail_msg("%s", err.msg);
		assert_int_equal(entry.protocol, BOOT_PVH);
		assert_int_equal(entry.ip, CODE + 4);
		assert_memory_equal(mem_ptr(&m.mem, CODE, CODE_LEN), files[i].p + CODE_OFFSET, CODE_LEN);
		assert_string_equal(entry.how, "vmlinux, PVH entry");
		check_start_info(&m, &entry);
		/* The other entry is not used, wherever it is. */
		store_le32(files[i].p + 24, 0x1000);
		assert_int_equal(load(&m, &files[i], &entry, &err), 0);
		assert_int_equal(entry.ip, CODE + 4);
		machine_finish(&m);
		bytes_free(&files[i]);
	}
}

static void test_pvh_initrd(void **state)
{
	struct bytes b = tiny64(8, CODE + 4);
	struct boot_file initrd = {file_with("archive", 7), "initrd"};
	struct machine m;
	struct boot_request req = {
		.kernel = {file_with(b.p, b.len), "vmlinux"},
		.decoded_fd = -1,
		.initrds = &initrd,
		.initrd_count = 1,
		.map = &m.map,
	};
	struct boot_entry entry;
	const uint8_t *info;
	const uint8_t *module;

	(void)state;
	machine_init(&m, 4);
	assert_int_equal(boot_load(&req, &m.mem, &entry, NULL), 0);
	info = mem_ptr(&m.mem, entry.info, 56);
	assert_int_equal(load_le32(info + 12), 1);
	module = mem_ptr(&m.mem, load_le64(info + 16), 32);
	assert_int_equal(load_le64(module), MIB(4) - 4096);
	assert_int_equal(load_le64(module + 8), 7);
	assert_memory_equal(mem_ptr(&m.mem, MIB(4) - 4096, 7), "archive", 7);
	close(initrd.fd);
	close(req.kernel.fd);
	machine_finish(&m);
	bytes_free(&b);
}

/* Without a note: the 64-bit entry, physical or virtual. */
static void test_64_bit_entry(void **state)
{
	struct bytes b = tiny64(0, 0);
	Elf64_Ehdr *eh = (void *)b.p;
	struct boot_entry entry;
	struct machine m;
	struct err err;

	(void)state;
	machine_init(&m, 4);
	assert_int_equal(load(&m, &b, &entry, &err), 0);
	assert_int_equal(entry.protocol, BOOT_LINUX64);
	assert_int_equal(entry.ip, CODE + 8);
	eh->e_entry = 0xffffffff80200010;
	assert_int_equal(load(&m, &b, &entry, &err), 0);
	assert_int_equal(entry.ip, CODE + 0x10);
	eh->e_entry = CODE + 3 * CODE_LEN;
	assert_int_equal(load(&m, &b, &entry, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "64-bit entry"));
	machine_finish(&m);
	bytes_free(&b);
}

static void test_32_bit_without_note(void **state)
{
	struct bytes b = tiny32();
	struct boot_entry entry;
	struct machine m;
	struct err err;

	(void)state;
	machine_init(&m, 4);
	store_le32(b.p + NOTE_OFFSET + 8, 17); /* another note */
	assert_int_equal(load(&m, &b, &entry, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "PVH"));
	machine_finish(&m);
	bytes_free(&b);
}

/* Notes before the one looked for, and notes that lie. */
static void test_notes(void **state)
{
	static const struct {
		uint32_t namesz, descsz;
	} bad[] = {{0xffffffff, 4}, {4, 0xffffffff}, {0xffffffff, 0xffffffff}, {4, 0}, {0, 0},
		   {5, 8},          {4, 5}};
	struct boot_entry entry;
	struct machine m;
	struct err err;

	(void)state;
	machine_init(&m, 4);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct bytes b = tiny64(8, CODE + 4);

		store_le32(b.p + NOTE_OFFSET, bad[i].namesz);
		store_le32(b.p + NOTE_OFFSET + 4, bad[i].descsz);
		assert_int_equal(load(&m, &b, &entry, &err), 0);
		assert_int_equal(entry.protocol, BOOT_LINUX64);
		bytes_free(&b);
	}
	{
		struct bytes b = tiny64(8, CODE + 4);
		Elf64_Phdr *ph = (void *)(b.p + sizeof(Elf64_Ehdr));

		/* The note is longer than its segment. */
		ph[1].p_filesz = 23;
		assert_int_equal(load(&m, &b, &entry, &err), 0);
		assert_int_equal(entry.protocol, BOOT_LINUX64);
		bytes_free(&b);
	}
	{
		struct bytes b = tiny64(8, CODE + 4);
		Elf64_Phdr *ph = (void *)(b.p + sizeof(Elf64_Ehdr));
		static const uint32_t other[] = {4, 8, 17}; /* 20 bytes: "GNU", eight bytes */

		/* Move the note up and put another one before it. */
		memmove(b.p + NOTE_OFFSET + 24, b.p + NOTE_OFFSET, 24);
		memcpy(b.p + NOTE_OFFSET, other, sizeof(other));
		memcpy(b.p + NOTE_OFFSET + 12, "GNU", 4);
		ph[1].p_filesz = 48;
		assert_int_equal(load(&m, &b, &entry, &err), 0);
		assert_int_equal(entry.protocol, BOOT_PVH);
		assert_int_equal(entry.ip, CODE + 4);
		/* An entry outside of the kernel. */
		store_le64(b.p + NOTE_OFFSET + 24 + 16, CODE - 1);
		assert_int_equal(load(&m, &b, &entry, &err), -EINVAL);
		assert_non_null(strstr(err.msg, "PVH entry"));
		bytes_free(&b);
	}
	machine_finish(&m);
}

/* The PVH note behind `before` bytes of empty notes (a multiple of 12), in the last of `segments`. */
static struct bytes note_behind(size_t before, unsigned segments)
{
	static const uint32_t pvh[] = {4, 8, 18};
	struct bytes b = tiny64(8, 0);
	Elf64_Phdr ph[ELF_MAX_PHDRS];
	uint64_t entry = CODE + 4;
	size_t start;

	memcpy(ph, b.p + sizeof(Elf64_Ehdr), 2 * sizeof(*ph));
	bytes_add(&b, NULL, align_up(b.len, 8) - b.len);
	start = b.len;
	bytes_add(&b, NULL, before);
	bytes_add(&b, pvh, sizeof(pvh));
	bytes_add(&b, "Xen", 4);
	bytes_add(&b, &entry, 8);
	for (unsigned i = 1; i <= segments; i++) {
		ph[i] = ph[1];
		ph[i].p_offset = start;
		ph[i].p_filesz = before + (i == segments ? 24 : 0);
	}
	((Elf64_Ehdr *)(void *)b.p)->e_phoff = b.len;
	((Elf64_Ehdr *)(void *)b.p)->e_phnum = (uint16_t)(1 + segments);
	bytes_add(&b, ph, (1 + segments) * sizeof(*ph));
	return b;
}

/* The note is found wherever it is in what is read at once, but not behind more than anybody needs. */
static void test_many_notes(void **state)
{
	static const struct {
		size_t before;
		unsigned segments;
		bool found;
	} cases[] = {
		{0, 1, true},           /* one note, and nothing before it */
		{0, 63, true},          /* empty segments */
		{12 * 5000, 1, true},   /* many notes */
		{12 * 80, 63, true},    /* in many segments */
		{12 * 5458, 1, true},   /* 65,520 bytes */
		{12 * 5460, 1, false},  /* 65,544 bytes */
		{12 * 2800, 2, false},  /* 67,224 bytes in two segments */
		{12 * 5461, 63, false}, /* all that fits: it must not take long */
	};
	struct boot_entry entry;
	struct machine m;
	struct bytes b;
	struct err err;
	uint64_t start;

	(void)state;
	machine_init(&m, 4);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		b = note_behind(cases[i].before, cases[i].segments);
		start = cpu_ms();
		assert_int_equal(load(&m, &b, &entry, &err), 0);
		assert_true(cpu_ms() - start < 50);
		if (entry.protocol != (cases[i].found ? BOOT_PVH : BOOT_LINUX64))
			fail_msg("case %zu", i);
		bytes_free(&b);
	}
	for (size_t before = 0; before < 9000; before += 12) {
		b = note_behind(before, 1);
		assert_int_equal(load(&m, &b, &entry, &err), 0);
		assert_int_equal(entry.protocol, BOOT_PVH);
		assert_int_equal(entry.ip, CODE + 4);
		bytes_free(&b);
	}
	machine_finish(&m);
}

/* Segments where something else is, or nothing. */
static void test_bad_places(void **state)
{
	static const struct {
		uint64_t paddr, memsz;
		int code;
	} cases[] = {
		{0, 300, -ENOSPC},         /* real-mode vectors */
		{0x1000, 300, -ENOSPC},    /* GDT */
		{0x5000, 300, -ENOSPC},    /* page tables */
		{0x1ff00, 0x200, -ENOSPC}, /* ends of the boot data */
		{0x20000, 300, 0},         /* behind them */
		{0x9fb00, 0x200, -ENOSPC}, /* past the end of low memory */
		{0xe0000, 300, -ENOSPC},   /* ACPI tables */
		{MIB(4) - 300, 300, 0},    /* the last bytes of RAM */
		{MIB(4) - 299, 300, -ENOSPC},
		{MIB(4), 300, -ENOSPC},
		{0xfee00000, 300, -ENOSPC},
		{GIB(5), 300, -ENOSPC},
		{UINT64_MAX - 299, 300, -EINVAL},
		{UINT64_MAX, 300, -EINVAL},
		{CODE, UINT64_MAX, -EINVAL},
		{CODE, UINT64_MAX - CODE, -EINVAL},
		{CODE, MIB(2), 0},
		{CODE, MIB(2) + 1, -ENOSPC},
		{CODE, CODE_LEN - 1, -EINVAL}, /* less than in the file */
	};
	struct boot_entry entry;
	struct machine m;
	struct err err;

	(void)state;
	machine_init(&m, 4);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bytes b = tiny64(8, 0);
		Elf64_Phdr *ph = (void *)(b.p + sizeof(Elf64_Ehdr));
		int r;

		ph[0].p_paddr = cases[i].paddr;
		ph[0].p_memsz = cases[i].memsz;
		store_le64(b.p + NOTE_OFFSET + 16, cases[i].paddr);
		r = load(&m, &b, &entry, &err);
		if (r != cases[i].code)
			fail_msg("case %zu: %d %s", i, r, err.msg);
		bytes_free(&b);
	}
	machine_finish(&m);
}

/* Every 16-, 32- and 64-bit field of both headers at its extremes: refused or loaded, never anything else. */
static void test_extremes(void **state)
{
	static const uint64_t values[] = {0,          1,          0x3f,       0x40,
					  0x7f,       0xff,       0x7fff,     0xffff,
					  0x10000,    0x7fffffff, 0x80000000, 0xffffffff,
					  INT64_MAX,  1ULL << 63, UINT64_MAX, UINT64_MAX - 0x1ff,
					  1ULL << 52, 1ULL << 32};
	struct bytes files[] = {tiny64(8, CODE + 4), tiny32(), tiny64(0, 0)};
	struct boot_entry entry;
	struct machine m;
	struct err err;
	unsigned loaded = 0;

	(void)state;
	machine_init(&m, 4);
	for (size_t f = 0; f < ARRAY_SIZE(files); f++) {
		for (size_t off = 16; off < 64 + 2 * 56; off += 2) {
			for (size_t v = 0; v < ARRAY_SIZE(values); v++) {
				for (size_t len = 2; len <= 8; len *= 2) {
					uint8_t old[8];

					memcpy(old, files[f].p + off, 8);
					memcpy(files[f].p + off, &values[v], len);
					loaded += load(&m, &files[f], &entry, &err) == 0;
					memcpy(files[f].p + off, old, 8);
				}
			}
		}
		bytes_free(&files[f]);
	}
	assert_true(loaded > 100); /* fields that do not matter */
	machine_finish(&m);
}

static void test_cut(void **state)
{
	struct bytes files[] = {tiny64(8, CODE + 4), tiny32()};
	struct boot_entry entry;
	struct machine m;
	struct err err;

	(void)state;
	machine_init(&m, 4);
	for (size_t f = 0; f < ARRAY_SIZE(files); f++) {
		size_t whole = files[f].len;

		for (size_t len = 1; len < whole; len++) {
			files[f].len = len;
			assert_int_equal(load(&m, &files[f], &entry, &err), -EINVAL);
		}
		bytes_free(&files[f]);
	}
	machine_finish(&m);
}

static void test_many_headers(void **state)
{
	struct bytes b = tiny64(8, CODE + 4);
	Elf64_Ehdr *eh = (void *)b.p;
	Elf64_Phdr *table = calloc(65535, sizeof(*table)); /* PT_NULL */
	struct boot_entry entry;
	struct machine m;
	struct err err;

	(void)state;
	assert_non_null(table);
	machine_init(&m, 4);
	eh->e_phnum = 65535;
	assert_int_equal(load(&m, &b, &entry, &err), -EINVAL);
	/* Also when the file really has them. */
	bytes_add(&b, table, 65535 * sizeof(*table));
	free(table);
	assert_int_equal(load(&m, &b, &entry, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "65535"));
	machine_finish(&m);
	bytes_free(&b);
}

static void test_other_files(void **state)
{
	struct bytes b;
	struct boot_entry entry;
	struct machine m;
	struct err err;

	(void)state;
	machine_init(&m, 4);
	b = tiny64(8, CODE + 4);
	((Elf64_Ehdr *)(void *)b.p)->e_machine = EM_AARCH64;
	assert_int_equal(load(&m, &b, &entry, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "x86"));
	bytes_free(&b);
	b = tiny64(8, CODE + 4);
	((Elf64_Ehdr *)(void *)b.p)->e_type = ET_REL;
	assert_int_equal(load(&m, &b, &entry, &err), -EINVAL);
	bytes_free(&b);
	b = tiny64(8, CODE + 4);
	b.p[EI_DATA] = ELFDATA2MSB;
	assert_int_equal(load(&m, &b, &entry, &err), -EINVAL);
	bytes_free(&b);
	bytes_add(&b, "#!/bin/sh\n", 10);
	assert_int_equal(load(&m, &b, &entry, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "not a kernel"));
	bytes_free(&b);
	machine_finish(&m);
}

/* No note, no RAM worth the name. */
static void test_tiny_ram(void **state)
{
	struct bytes b = tiny64(8, CODE + 4);
	struct boot_entry entry;
	struct machine m;
	struct err err;

	(void)state;
	machine_init(&m, 2);
	m.map.entries[0].size = 0x8000;
	assert_int_equal(load(&m, &b, &entry, &err), -ENOSPC);
	m.map.count = 0;
	assert_int_equal(load(&m, &b, &entry, &err), -ENOSPC);
	machine_finish(&m);
	bytes_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pvh),          cmocka_unit_test(test_pvh_initrd),
		cmocka_unit_test(test_64_bit_entry), cmocka_unit_test(test_32_bit_without_note),
		cmocka_unit_test(test_notes),        cmocka_unit_test(test_bad_places),
		cmocka_unit_test(test_extremes),     cmocka_unit_test(test_cut),
		cmocka_unit_test(test_many_headers), cmocka_unit_test(test_other_files),
		cmocka_unit_test(test_tiny_ram),     cmocka_unit_test(test_many_notes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
