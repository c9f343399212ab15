/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ACPI tables: found from the RSDP, sums right, and read back by acpica's
 * compiler, which must disassemble and recompile them without a word.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "aml.h"
#include "hull/acpi.h"
#include "hull/power.h"
#include "hull/util.h"

#define AREA     UINT64_C(0xe0000)
#define AREA_LEN UINT64_C(0x20000)

static const struct device_place places[] = {
	{
		.type = "serial",
		.ranges = {{SPACE_PIO, 0x3f8, 8}},
		.gsi = 4,
		.acpi_hid = "PNP0501",
		.acpi_name = "COM1",
	},
	{.type = "rtc", .ranges = {{SPACE_PIO, 0x70, 2}}, .gsi = -1},
	{.type = "i8042", .ranges = {{SPACE_PIO, 0x60, 1}, {SPACE_PIO, 0x64, 1}}, .gsi = -1},
	{
		.type = "virtio-mmio",
		.ranges = {{SPACE_MMIO, 0xd0000000, 0x1000}, {SPACE_MMIO, 0x200000000, 0x1000}},
		.gsi = 23,
		.acpi_hid = "LNRO0005",
		.acpi_name = "VR00",
		.acpi_uid = 7,
	},
	{.type = "pci-root", .ranges = {{SPACE_PIO, 0xcf8, 8}, {SPACE_MMIO, 0xe0000000, 1 << 20}}, .gsi = -1},
	{.type = "power", .ranges = {{SPACE_PIO, 0x600, POWER_REGS}}, .gsi = 9},
	{
		.type = "pvpanic",
		.ranges = {{SPACE_PIO, 0x505, 1}},
		.gsi = -1,
		.acpi_hid = "QEMU0001",
		.acpi_name = "PEVT",
	},
};

static struct acpi_machine machine(unsigned cpus)
{
	struct acpi_machine m = {
		.cpus = cpus,
		.lapic_base = 0xfee00000,
		.ioapic_base = 0xfec00000,
		.places = places,
		.place_count = ARRAY_SIZE(places),
		.generation = 0x12345678a0,
		.ecam_base = 0xe0000000,
		.ecam_size = MIB(1),
		.mmio32_base = 0xc0000000,
		.mmio32_size = 0x20000000,
		.mmio64_base = GIB(4),
		.mmio64_size = GIB(64),
	};

	return m;
}

/* Tables in the memory of a guest, and what was found in them. */
struct tables {
	struct guest_mem mem;
	uint64_t rsdp;
	const uint8_t *xsdt, *fadt, *madt, *mcfg, *dsdt;
};

static unsigned sum(const uint8_t *p, size_t len)
{
	unsigned s = 0;

	for (size_t i = 0; i < len; i++)
		s += p[i];
	return s & 0xff;
}

static uint32_t length(const uint8_t *t)
{
	return load_le32(t + 4);
}

static const uint8_t *table_at(struct tables *t, uint64_t gpa, const char *signature)
{
	const uint8_t *p;

	assert_true(gpa % 16 == 0);
	assert_true(gpa >= AREA && gpa < AREA + AREA_LEN);
	p = mem_ptr(&t->mem, gpa, 36);
	assert_non_null(p);
	if (signature)
		assert_memory_equal(p, signature, 4);
	assert_true(range_fits(gpa - AREA, length(p), AREA_LEN));
	assert_int_equal(sum(p, length(p)), 0);
	assert_memory_equal(p + 10, "HULL  ", 6);
	return p;
}

static void find(struct tables *t)
{
	const uint8_t *rsdp = mem_ptr(&t->mem, t->rsdp, 36);
	unsigned count;

	assert_non_null(rsdp);
	assert_memory_equal(rsdp, "RSD PTR ", 8);
	assert_int_equal(sum(rsdp, 20), 0);
	assert_int_equal(sum(rsdp, 36), 0);
	assert_int_equal(rsdp[15], 2);
	t->xsdt = table_at(t, load_le64(rsdp + 24), "XSDT");
	count = (length(t->xsdt) - 36) / 8;
	for (unsigned i = 0; i < count; i++) {
		const uint8_t *p = table_at(t, load_le64(t->xsdt + 36 + 8 * i), NULL);

		if (memcmp(p, "FACP", 4) == 0)
			t->fadt = p;
		else if (memcmp(p, "APIC", 4) == 0)
			t->madt = p;
		else if (memcmp(p, "MCFG", 4) == 0)
			t->mcfg = p;
		else
			fail_msg("unknown table %.4s", (const char *)p);
	}
	assert_non_null(t->fadt);
	assert_non_null(t->madt);
	assert_int_equal(load_le32(t->fadt + 40), load_le64(t->fadt + 140));
	t->dsdt = table_at(t, load_le64(t->fadt + 140), "DSDT");
}

static void build(struct tables *t, const struct acpi_machine *m)
{
	struct err err;

	memset(t, 0, sizeof(*t));
	assert_int_equal(mem_add_ram(&t->mem, 0, MIB(2), &err), 0);
	mem_freeze(&t->mem);
	if (acpi_build(m, &t->mem, AREA, AREA_LEN, &t->rsdp, &err) != 0)
		fail_msg("%s", err.msg);
	find(t);
}

static void test_fadt(void **state)
{
	struct acpi_machine m = machine(1);
	struct tables t;
	const uint8_t *f;

	(void)state;
	build(&t, &m);
	f = t.fadt;
	assert_int_equal(length(f), 276);
	assert_int_equal(f[8], 6);
	assert_int_equal(load_le32(f + 36), 0);                /* no FACS */
	assert_int_equal(load_le16(f + 109), 1 << 2 | 1 << 5); /* no VGA, no clock, no keyboard controller */
	assert_true(load_le32(f + 112) & 1 << 20);             /* hardware-reduced */
	assert_true(load_le32(f + 112) & 1 << 10);             /* reset register */
	assert_int_equal(f[116], 1);
	assert_int_equal(load_le64(f + 120), 0x600 + POWER_RESET);
	assert_int_equal(f[128], POWER_RESET_VALUE);
	assert_int_equal(load_le64(f + 248), 0x600 + POWER_SLEEP_CONTROL);
	assert_int_equal(load_le64(f + 260), 0x600 + POWER_SLEEP_STATUS);
	mem_finish(&t.mem);
}

static void test_madt(void **state)
{
	(void)state;
	for (unsigned cpus = 1; cpus <= 64; cpus++) {
		struct acpi_machine m = machine(cpus);
		unsigned found = 0, ioapics = 0, nmis = 0;
		struct tables t;

		build(&t, &m);
		assert_int_equal(load_le32(t.madt + 36), 0xfee00000);
		assert_int_equal(load_le32(t.madt + 40), 0); /* the 8259s are none of the guest's business */
		for (uint32_t at = 44; at < length(t.madt); at += t.madt[at + 1]) {
			const uint8_t *e = t.madt + at;

			assert_true(e[1] >= 2 && at + e[1] <= length(t.madt));
			if (e[0] == 0) {
				assert_int_equal(e[2], found);
				assert_int_equal(e[3], found);
				assert_int_equal(load_le32(e + 4), 1);
				found++;
			} else if (e[0] == 1) {
				assert_int_equal(load_le32(e + 4), 0xfec00000);
				assert_int_equal(load_le32(e + 8), 0);
				ioapics++;
			} else {
				assert_int_equal(e[0], 4);
				nmis++;
			}
		}
		assert_int_equal(found, cpus);
		assert_int_equal(ioapics, 1);
		assert_int_equal(nmis, 1);
		assert_true(length(t.dsdt) < KIB(64));
		mem_finish(&t.mem);
	}
}

static void test_mcfg(void **state)
{
	struct acpi_machine m = machine(1);
	struct tables t;

	(void)state;
	build(&t, &m);
	assert_non_null(t.mcfg);
	assert_int_equal(length(t.mcfg), 60);
	assert_int_equal(load_le64(t.mcfg + 44), 0xe0000000);
	assert_int_equal(t.mcfg[54], 0);
	assert_int_equal(t.mcfg[55], 0); /* the last bus is the first */
	mem_finish(&t.mem);

	m.ecam_size = 0;
	build(&t, &m);
	assert_null(t.mcfg);
	mem_finish(&t.mem);
}

/* The code at f000:fff0 writes the reset value to the reset register. */
static void test_reset_vector(void **state)
{
	static const uint8_t want[] = {0xfa, 0xba, 0x00, 0x06, 0xb0, POWER_RESET_VALUE,
				       0xee, 0xf4, 0xeb, 0xfd};
	struct acpi_machine m = machine(1);
	struct tables t;
	uint8_t *p;

	(void)state;
	build(&t, &m);
	p = mem_ptr(&t.mem, 0xffff0, 16);
	assert_non_null(p);
	assert_memory_equal(p, want, sizeof(want));
	/* An area that ends before it leaves it alone, as does one that starts after it. */
	memset(p, 0x11, 16);
	assert_int_equal(acpi_build(&m, &t.mem, AREA, AREA_LEN - 1, &t.rsdp, NULL), 0);
	assert_int_equal(acpi_build(&m, &t.mem, MIB(1), AREA_LEN, &t.rsdp, NULL), 0);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(p[i], 0x11);
	mem_finish(&t.mem);
}

/* The area must be big enough, byte by byte; no byte after it is touched. */
static void test_area(void **state)
{
	struct acpi_machine m = machine(64);
	struct tables t;
	uint64_t rsdp = 42;
	uint64_t len = 0;
	uint8_t *area;

	(void)state;
	build(&t, &m);
	area = mem_ptr(&t.mem, AREA, AREA_LEN);
	for (;; len++) {
		int r;

		area[len] = 0xa5;
		r = acpi_build(&m, &t.mem, AREA, len, &rsdp, NULL);
		assert_int_equal(area[len], 0xa5);
		if (r == 0)
			break;
		assert_int_equal(r, -ENOSPC);
		assert_int_equal(rsdp, 42);
		assert_true(len < AREA_LEN);
	}
	assert_int_equal(rsdp, AREA);
	assert_true(len > 2000);
	t.rsdp = rsdp;
	find(&t);
	mem_finish(&t.mem);
}

static void test_refused(void **state)
{
	struct device_place bad[] = {places[5], places[0]};
	struct acpi_machine m = machine(0);
	struct guest_mem mem = {0};
	struct err err;
	uint64_t rsdp;

	(void)state;
	assert_int_equal(mem_add_ram(&mem, 0, MIB(2), &err), 0);
	assert_int_equal(acpi_build(&m, &mem, AREA, AREA_LEN, &rsdp, &err), -EINVAL);
	m = machine(65);
	assert_int_equal(acpi_build(&m, &mem, AREA, AREA_LEN, &rsdp, &err), -EINVAL);
	m = machine(1);
	assert_int_equal(acpi_build(&m, &mem, AREA + 8, AREA_LEN, &rsdp, &err), -EINVAL);
	assert_int_equal(acpi_build(&m, &mem, MIB(2) - 16, AREA_LEN, &rsdp, &err), -EINVAL);
	m.generation = 0x9fc04;
	assert_int_equal(acpi_build(&m, &mem, AREA, AREA_LEN, &rsdp, &err), -EINVAL);
	m.generation = UINT64_MAX - 7;
	assert_int_equal(acpi_build(&m, &mem, AREA, AREA_LEN, &rsdp, &err), -EINVAL);
	m.generation = 0;
	assert_int_equal(acpi_build(&m, &mem, AREA, AREA_LEN, &rsdp, &err), 0);
	m.place_count = 1; /* no power device */
	assert_int_equal(acpi_build(&m, &mem, AREA, AREA_LEN, &rsdp, &err), -EINVAL);
	m.places = bad;
	m.place_count = 2;
	assert_int_equal(acpi_build(&m, &mem, AREA, AREA_LEN, &rsdp, &err), 0);
	bad[1].acpi_name = NULL;
	assert_int_equal(acpi_build(&m, &mem, AREA, AREA_LEN, &rsdp, &err), -EINVAL);
	bad[1] = places[0];
	bad[1].ranges[0].len = 256; /* more than a port descriptor can say */
	assert_int_equal(acpi_build(&m, &mem, AREA, AREA_LEN, &rsdp, &err), -EINVAL);
	bad[1].ranges[0].base = 0xffff;
	bad[1].ranges[0].len = 2;
	assert_int_equal(acpi_build(&m, &mem, AREA, AREA_LEN, &rsdp, &err), -EINVAL);
	bad[0].gsi = -1;
	bad[1] = places[0];
	assert_int_equal(acpi_build(&m, &mem, AREA, AREA_LEN, &rsdp, &err), -EINVAL);
	mem_finish(&mem);
}

/* ---- the emitter ---- */

/* Every length around the steps of the encoding. */
static void test_pkg_length(void **state)
{
	static const struct {
		size_t content;
		uint8_t enc[4];
		unsigned n;
	} cases[] = {
		{4, {0x05}, 1},
		{62, {0x3f}, 1},
		{63, {0x41, 0x04}, 2},
		{64, {0x42, 0x04}, 2},
		{4093, {0x4f, 0xff}, 2},
		{4094, {0x81, 0x00, 0x01}, 3},
		{70000, {0x83, 0x17, 0x11}, 3},
	};
	size_t cap = 80000;
	uint8_t *buf = malloc(cap);

	(void)state;
	assert_non_null(buf);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct aml a = {.buf = buf, .cap = cap};
		size_t mark = aml_scope(&a, "\\_SB");

		for (size_t k = 5; k < cases[i].content; k++)
			aml_byte(&a, 0xee);
		if (cases[i].content < 5) { /* a relative name is a byte shorter */
			a.len = 0;
			mark = aml_scope(&a, "_SB");
		}
		aml_end(&a, mark);
		assert_false(a.full);
		assert_int_equal(a.len, 1 + cases[i].n + cases[i].content);
		assert_memory_equal(buf + 1, cases[i].enc, cases[i].n);
		assert_memory_equal(buf + a.len - 1, cases[i].content < 6 ? "_" : "\xee", 1);
	}
	free(buf);
}

static void test_integers(void **state)
{
	static const struct {
		uint64_t v;
		uint8_t enc[9];
		unsigned n;
	} cases[] = {
		{0, {0x00}, 1},
		{1, {0x01}, 1},
		{2, {0x0a, 0x02}, 2},
		{0xff, {0x0a, 0xff}, 2},
		{0x100, {0x0b, 0x00, 0x01}, 3},
		{0x10000, {0x0c, 0x00, 0x00, 0x01, 0x00}, 5},
		{UINT64_C(1) << 32, {0x0e, 0, 0, 0, 0, 1, 0, 0, 0}, 9},
	};
	uint8_t buf[16];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct aml a = {.buf = buf, .cap = sizeof(buf)};

		aml_int(&a, cases[i].v);
		assert_int_equal(a.len, cases[i].n);
		assert_memory_equal(buf, cases[i].enc, cases[i].n);
	}
}

static void test_ids(void **state)
{
	static const uint8_t pnp0501[] = {0x0c, 0x41, 0xd0, 0x05, 0x01};
	static const char acpi0007[] = "\x0d"
				       "ACPI0007";
	uint8_t buf[16];
	struct aml a = {.buf = buf, .cap = sizeof(buf)};

	(void)state;
	aml_hid(&a, "PNP0501");
	assert_int_equal(a.len, sizeof(pnp0501));
	assert_memory_equal(buf, pnp0501, sizeof(pnp0501));
	a.len = 0;
	aml_hid(&a, "ACPI0007");
	assert_int_equal(a.len, sizeof(acpi0007));
	assert_memory_equal(buf, acpi0007, sizeof(acpi0007));
}

/* ---- acpica's opinion ---- */

static void write_file(const char *dir, const char *name, const void *data, size_t len)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_full(fd, data, len), 0);
	fd_close(&fd);
}

/* Runs a shell command in `dir` and gives what it printed; the caller frees it. */
static char *run(const char *dir, const char *command, int *ret_status)
{
	enum { CAP = 1 << 20 };
	char line[1024];
	char *out = calloc(1, CAP);
	FILE *f;
	size_t n;

	assert_non_null(out);
	snprintf(line, sizeof(line), "cd '%s' && { %s ; } 2>&1", dir, command);
	f = popen(line, "re");
	assert_non_null(f);
	n = fread(out, 1, CAP - 1, f);
	out[n] = '\0';
	*ret_status = pclose(f);
	return out;
}

static void expect_quiet(const char *dir, const char *command)
{
	int status;
	char *out = run(dir, command, &status);

	/* The compiler's messages; its summary counts "Errors" and "Warnings". */
	if (status != 0 || strstr(out, "Error ") || strstr(out, "Warning ") || strstr(out, "Remark "))
		fail_msg("%s:\n%s", command, out);
	free(out);
}

static unsigned count(const char *text, const char *word)
{
	unsigned n = 0;

	for (; (text = strstr(text, word)) != NULL; text++)
		n++;
	return n;
}

static void check_dsdt_text(const char *dir, unsigned cpus)
{
	static const char pvpanic_port[] = "IO (Decode16,\n"
					   "                    0x0505,             // Range Minimum\n"
					   "                    0x0505,             // Range Maximum\n"
					   "                    0x01,               // Alignment\n"
					   "                    0x01,               // Length\n";
	const char *const want[] = {
		"Name (_HID, EisaId (\"PNP0501\")",
		"IO (Decode16,\n                    0x03F8,",
		"Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive, ,, )",
		"Name (_HID, \"LNRO0005\")",
		"Device (PEVT)",
		"Name (_HID, \"QEMU0001\")",
		pvpanic_port,
		"Name (_HID, EisaId (\"PNP0A03\")",
		"Name (_HID, EisaId (\"PNP0C0C\")",
		"Name (_HID, \"ACPI0013\"",
		"Memory32Fixed (ReadWrite,\n                    0xE0000000,",
		"OperationRegion (PREG, SystemIO, 0x0603, One)",
		"Notify (PWRB, 0x80)",
		"If ((Local0 & 0x02))",
		"Notify (VGEN, 0x80)",
		"Name (_CID, Package (0x02)",
		"\"VM_Gen_Counter\",",
		"\"VMGENCTR\"",
		"Name (_DDN, \"VM_Gen_Counter\")",
		"Name (ADDR, Package (0x02)",
		"0x345678A0,",
		"_S5, Package (0x04)",
		"0x0000000200000000,", /* memory above 4 GiB */
		"0x00000010FFFFFFFF,",
		"QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Prefetchable, ReadWrite,",
	};
	int status;
	char *text = run(dir, "cat dsdt.dsl", &status);

	assert_int_equal(status, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(want); i++) {
		if (!strstr(text, want[i]))
			fail_msg("not in the DSDT: %s\n%s", want[i], text);
	}
	assert_int_equal(count(text, "\"ACPI0007\""), cpus);
	free(text);
}

static void check_with_iasl(unsigned cpus)
{
	struct acpi_machine m = machine(cpus);
	char dir[] = "/tmp/hull-acpi-XXXXXX";
	char command[64];
	int status;
	struct tables t;

	build(&t, &m);
	assert_non_null(mkdtemp(dir));
	write_file(dir, "dsdt.dat", t.dsdt, length(t.dsdt));
	write_file(dir, "facp.dat", t.fadt, length(t.fadt));
	write_file(dir, "apic.dat", t.madt, length(t.madt));
	write_file(dir, "mcfg.dat", t.mcfg, length(t.mcfg));
	write_file(dir, "xsdt.dat", t.xsdt, length(t.xsdt));
	expect_quiet(dir, "iasl -d dsdt.dat && test -s dsdt.dsl");
	expect_quiet(dir, "iasl -d facp.dat apic.dat mcfg.dat xsdt.dat && test -s xsdt.dsl");
	expect_quiet(dir, "iasl -ve dsdt.dsl && iasl dsdt.dsl");
	expect_quiet(dir, "for t in facp apic mcfg xsdt; do iasl $t.dsl || exit 1; done");
	check_dsdt_text(dir, cpus);
	/* Without optimisation, the compiler writes what the emitter wrote. */
	expect_quiet(
		dir,
		"iasl -oa -p again dsdt.dsl && tail -c +37 dsdt.dat >a && tail -c +37 again.aml >b && cmp a b");
	snprintf(command, sizeof(command), "rm -r '%s'", dir);
	free(run("/", command, &status));
	mem_finish(&t.mem);
}

static void test_iasl(void **state)
{
	int status;

	(void)state;
	free(run("/", "command -v iasl", &status));
	if (status != 0) {
		print_message("iasl (acpica-tools) is not installed\n");
		skip();
	}
	check_with_iasl(1);
	check_with_iasl(64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fadt),         cmocka_unit_test(test_madt),
		cmocka_unit_test(test_mcfg),         cmocka_unit_test(test_area),
		cmocka_unit_test(test_reset_vector), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_pkg_length),   cmocka_unit_test(test_integers),
		cmocka_unit_test(test_ids),          cmocka_unit_test(test_iasl),
	};

	return cmocka_run_group_tests_name("acpi", tests, NULL, NULL);
}
