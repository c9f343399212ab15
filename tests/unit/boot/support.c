/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See support.h. */
#include "support.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define KERNEL_MAP 0xffffffff80000000ULL

void bytes_add(struct bytes *b, const void *p, size_t len)
{
	b->p = realloc(b->p, b->len + len + 1);
	assert_non_null(b->p);
	if (p)
		memcpy(b->p + b->len, p, len);
	else
		memset(b->p + b->len, 0, len);
	b->len += len;
}

void bytes_free(struct bytes *b)
{
	free(b->p);
	*b = (struct bytes){0};
}

int file_with(const void *p, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fd_pwrite_full(fd, p, len, 0), 0);
	return fd;
}

struct bytes file_content(int fd, uint64_t off)
{
	struct bytes b = {0};
	off_t end = lseek(fd, 0, SEEK_END);

	assert_true(end >= (off_t)off);
	bytes_add(&b, NULL, (size_t)end - (size_t)off);
	assert_int_equal(fd_pread_full(fd, b.p, b.len, (off_t)off), 0);
	return b;
}

uint64_t noise(uint64_t *state)
{
	/* xorshift64 */
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

uint64_t cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void need_tool(const char *tool)
{
	char command[160];

	snprintf(command, sizeof(command), "command -v %s >/dev/null 2>&1", tool);
	if (system(command) != 0) {
		print_message("# %s is not installed\n", tool);
		skip();
	}
}

struct bytes pipe_through(const char *tool, const char *command, const void *in, size_t len)
{
	char full[512];
	int in_fd;
	int out_fd;
	struct bytes out;

	need_tool(tool);
	in_fd = file_with(in, len);
	out_fd = file_with("", 0);
	snprintf(full, sizeof(full), "(%s) </proc/%d/fd/%d >/proc/%d/fd/%d", command, getpid(), in_fd,
		 getpid(), out_fd);
	assert_int_equal(system(full), 0);
	out = file_content(out_fd, 0);
	close(in_fd);
	close(out_fd);
	return out;
}

/* Something that compresses about as well as code does. */
static void fill_text(uint8_t *p, size_t len)
{
	uint64_t state = 0x9e3779b97f4a7c15ULL;

	for (size_t i = 0; i < len; i++) {
		uint64_t r = noise(&state);

		if (r % 4 == 0 || i < 64)
			p[i] = (uint8_t)(r >> 8);
		else
			p[i] = p[i - 1 - (r >> 16) % 63];
	}
}

static void add_word(struct bytes *b, uint32_t word)
{
	bytes_add(b, &word, sizeof(word));
}

struct bytes make_vmlinux(const struct kernel_shape *shape, size_t *ret_elf_len)
{
	size_t text = shape->text ? shape->text : 64 << 10;
	size_t data = 8192;
	uint64_t data_addr = LINK_ADDR + align_up(text, 2 << 20);
	uint32_t base = (uint32_t)(KERNEL_MAP + LINK_ADDR);
	struct bytes b = {0};
	const Elf64_Nhdr note = {.n_namesz = 4, .n_descsz = 8, .n_type = 18};
	Elf64_Ehdr eh = {
		.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_entry = shape->entry ? shape->entry : LINK_ADDR,
		.e_phoff = sizeof(eh),
		.e_ehsize = sizeof(eh),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = shape->pvh ? 3 : 2,
	};
	Elf64_Phdr ph[3] = {
		{.p_type = PT_LOAD,
		 .p_offset = TEXT_OFFSET,
		 .p_vaddr = KERNEL_MAP + LINK_ADDR,
		 .p_paddr = LINK_ADDR,
		 .p_filesz = text,
		 .p_memsz = text},
		/* As the per-CPU section of older kernels: virtual address 0. */
		{.p_type = PT_LOAD,
		 .p_offset = TEXT_OFFSET + text,
		 .p_vaddr = 0,
		 .p_paddr = data_addr,
		 .p_filesz = data,
		 .p_memsz = data + shape->bss},
		{.p_type = PT_NOTE,
		 .p_offset = sizeof(eh) + sizeof(ph),
		 .p_filesz = sizeof(note) + 12,
		 .p_align = 4},
	};

	bytes_add(&b, &eh, sizeof(eh));
	bytes_add(&b, ph, eh.e_phnum * sizeof(*ph));
	if (shape->pvh) {
		bytes_add(&b, &note, sizeof(note));
		bytes_add(&b, "Xen", 4);
		bytes_add(&b, &shape->pvh, 8);
	}
	bytes_add(&b, NULL, TEXT_OFFSET - b.len + text);
	fill_text(b.p + TEXT_OFFSET, text);
	store_le64(b.p + TEXT_OFFSET + RELOC_AT_64, RELOC_VALUE);
	store_le32(b.p + TEXT_OFFSET + RELOC_AT_INVERSE, RELOC_VALUE);
	store_le32(b.p + TEXT_OFFSET + RELOC_AT_32, RELOC_VALUE);
	bytes_add(&b, NULL, data);
	memset(b.p + b.len - data, 'd', data);
	if (ret_elf_len)
		*ret_elf_len = b.len;
	if (shape->lists > 0) {
		add_word(&b, 0);
		add_word(&b, base + RELOC_AT_64);
		if (shape->lists == 3) {
			add_word(&b, 0);
			add_word(&b, base + RELOC_AT_INVERSE);
		}
		add_word(&b, 0);
		add_word(&b, base + RELOC_AT_32);
	}
	return b;
}

struct setup_header make_setup(size_t unpacked)
{
	struct setup_header hdr = {
		.setup_sects = 1,
		.boot_flag = 0xaa55,
		.jump = 0x6aeb, /* the header ends at 0x202 + 0x6a */
		.version = 0x020f,
		.loadflags = LOADED_HIGH,
		.initrd_addr_max = 0x7fffffff,
		.kernel_alignment = 2 << 20,
		.relocatable_kernel = 1,
		.xloadflags = XLF_KERNEL_64,
		.cmdline_size = 2047,
		.pref_address = LINK_ADDR,
		.init_size = (uint32_t)align_up(unpacked + (1 << 20), 4096),
	};

	memcpy(&hdr.header, "HdrS", 4);
	return hdr;
}

struct bytes make_bzimage(const struct setup_header *hdr, const void *payload, size_t len)
{
	struct setup_header h = *hdr;
	struct bytes b = {0};

	h.payload_offset = 1024;
	h.payload_length = (uint32_t)len;
	if (h.syssize == 0)
		h.syssize = (uint32_t)((1024 + len + 15) / 16);
	bytes_add(&b, NULL, 1024 + 1024);
	memcpy(b.p + 0x1f1, &h, sizeof(h));
	memset(b.p + 1024, 0xcc, 1024);
	bytes_add(&b, payload, len);
	return b;
}

void add_size(struct bytes *b, uint64_t size)
{
	add_word(b, (uint32_t)size);
}

static void add_entry(struct mem_map *map, uint64_t gpa, uint64_t size, enum mem_kind kind)
{
	map->entries[map->count++] = (struct mem_map_entry){gpa, size, kind};
}

void machine_init(struct machine *m, unsigned mib)
{
	struct err err = {0};

	*m = (struct machine){0};
	if (mem_add_ram(&m->mem, 0, MIB(mib), &err) < 0)
		fail_msg("%s", err.msg);
	mem_freeze(&m->mem);
	add_entry(&m->map, 0, 0x9fc00, MEM_KIND_RAM);
	add_entry(&m->map, 0xe0000, 0x20000, MEM_KIND_RESERVED);
	if (mib > 1)
		add_entry(&m->map, MIB(1), MIB(mib) - MIB(1), MEM_KIND_RAM);
}

void machine_finish(struct machine *m)
{
	mem_finish(&m->mem);
}

uint64_t fake_random(void)
{
	static uint64_t n = 0x5eed;

	return n++;
}
