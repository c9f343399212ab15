/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bzImage around the payload, damaged in every field; the decoded file and its name. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "decoded.h"
#include "support.h"

enum { LIMIT = 64 << 20 };

/* A sound bzImage whose payload is a plain ELF file, which needs no tool. */
static struct bytes sound(struct setup_header *hdr)
{
	struct bytes plain = make_vmlinux(&(struct kernel_shape){.lists = 3}, NULL);
	struct bytes bz;

	*hdr = make_setup(plain.len);
	bz = make_bzimage(hdr, plain.p, plain.len);
	bytes_free(&plain);
	return bz;
}

/* Decodes a file of these bytes; a message must name it. */
static int decode(const struct bytes *b, struct err *err)
{
	struct boot_file file = {file_with(b->p, b->len), "/boot/vmlinuz"};
	struct boot_cache_key key = {0};
	int out = file_with("", 0);
	uint64_t start = cpu_ms();
	int r;

	*err = (struct err){0};
	r = boot_decode(&file, &key, out, LIMIT, err);
	assert_true(cpu_ms() - start < 1000);
	if (r < 0)
		assert_non_null(strstr(err->msg, "/boot/vmlinuz"));
	close(file.fd);
	close(out);
	return r;
}

static struct setup_header *setup_of(struct bytes *bz)
{
	return (struct setup_header *)(void *)(bz->p + 0x1f1);
}

static void test_sound(void **state)
{
	struct setup_header hdr;
	struct bytes bz = sound(&hdr);
	struct err err;

	(void)state;
	if (decode(&bz, &err) < 0)
		fail_msg("%s", err.msg);
	bytes_free(&bz);
}

static void test_old_protocol(void **state)
{
	struct setup_header hdr;
	struct bytes bz = sound(&hdr);
	struct err err;

	(void)state;
	setup_of(&bz)->version = 0x020b;
	assert_int_equal(decode(&bz, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "2.12"));
	assert_non_null(strstr(err.msg, "2.11"));
	bytes_free(&bz);
}

static void test_32_bit(void **state)
{
	struct setup_header hdr;
	struct bytes bz = sound(&hdr);
	struct err err;

	(void)state;
	setup_of(&bz)->xloadflags = 0;
	assert_int_equal(decode(&bz, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "32-bit"));
	bytes_free(&bz);
}

/* Lying lengths: each is refused, or harmless. */
static void test_lying_header(void **state)
{
	static const uint64_t values[] = {0,      1,          4,          0x7f,       0x80,      0xff,
					  0x1000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
	static const struct {
		size_t offset;
		size_t size;
	} fields[] = {
#define FIELD(name) {offsetof(struct setup_header, name), sizeof(((struct setup_header *)0)->name)}
		FIELD(setup_sects),  FIELD(syssize),         FIELD(boot_flag),        FIELD(jump),
		FIELD(header),       FIELD(version),         FIELD(payload_offset),   FIELD(payload_length),
		FIELD(init_size),    FIELD(pref_address),    FIELD(kernel_alignment), FIELD(xloadflags),
		FIELD(cmdline_size), FIELD(initrd_addr_max),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(values); j++) {
			struct setup_header hdr;
			struct bytes bz = sound(&hdr);
			struct err err;

			memcpy((uint8_t *)setup_of(&bz) + fields[i].offset, &values[j], fields[i].size);
			decode(&bz, &err);
			bytes_free(&bz);
		}
	}
}

static void test_lying_payload(void **state)
{
	struct setup_header hdr;
	struct bytes bz = sound(&hdr);
	struct setup_header *h = setup_of(&bz);
	uint32_t len = h->payload_length;
	struct err err;

	(void)state;
	h->payload_length = len + 1;
	assert_int_equal(decode(&bz, &err), -EINVAL);
	h->payload_length = 0;
	assert_int_equal(decode(&bz, &err), -EINVAL);
	h->payload_length = 4;
	assert_int_equal(decode(&bz, &err), -EINVAL);
	h->payload_length = len;
	h->payload_offset = 0xffffffff;
	assert_int_equal(decode(&bz, &err), -EINVAL);
	h->payload_offset = 1024;
	h->setup_sects = 255; /* the body would begin behind much of the payload */
	assert_int_equal(decode(&bz, &err), -EINVAL);
	bytes_free(&bz);
}

static void test_cut(void **state)
{
	struct setup_header hdr;
	struct bytes bz = sound(&hdr);
	size_t whole = bz.len;
	struct err err;

	(void)state;
	for (size_t len = 1; len < whole; len += len < 0x300 ? 7 : 997) {
		bz.len = len;
		assert_int_equal(decode(&bz, &err), -EINVAL);
	}
	bytes_free(&bz);
}

static void test_not_a_kernel(void **state)
{
	struct boot_file dir = {open("/", O_RDONLY | O_DIRECTORY), "some/dir"};
	struct boot_file null = {open("/dev/null", O_RDONLY), "/dev/null"};
	struct boot_file empty = {file_with("", 0), "empty"};
	struct boot_file text = {file_with("hello, world, I am a text\n", 26), "readme"};
	struct boot_file zip = {file_with("\x1f\x8b\x08\0\0\0\0\0", 8), "vmlinux.gz"};
	struct boot_file *const files[] = {&dir, &null, &empty, &text, &zip};
	struct boot_cache_key key = {0};
	int out = file_with("", 0);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		struct err err = {0};

		assert_true(files[i]->fd >= 0);
		assert_false(boot_decodable(files[i]));
		assert_int_equal(boot_decode(files[i], &key, out, LIMIT, &err), -EINVAL);
		assert_non_null(strstr(err.msg, files[i]->path));
		close(files[i]->fd);
	}
	close(out);
}

static void test_decodable(void **state)
{
	struct setup_header hdr;
	struct bytes bz = sound(&hdr);
	struct bytes elf = make_vmlinux(&(struct kernel_shape){0}, NULL);
	struct boot_file file = {file_with(bz.p, bz.len), "bzImage"};
	struct boot_file fit = {file_with("\xd0\x0d\xfe\xed....", 8), "fit"};
	struct boot_file vmlinux = {file_with(elf.p, elf.len), "vmlinux"};

	(void)state;
	assert_true(boot_decodable(&file));
	assert_true(boot_decodable(&fit));
	assert_false(boot_decodable(&vmlinux));
	close(file.fd);
	close(fit.fd);
	close(vmlinux.fd);
	bytes_free(&bz);
	bytes_free(&elf);
}

/* ---- the decoded file ---- */

static void test_header(void **state)
{
	struct setup_header hdr;
	size_t elf_len;
	struct bytes plain = make_vmlinux(&(struct kernel_shape){.lists = 2}, &elf_len);
	struct boot_cache_key key = {1, 2, 3, 4};
	struct decoded_header got;
	struct boot_file file;
	struct bytes bz;
	int out = file_with("", 0);

	(void)state;
	hdr = make_setup(plain.len);
	bz = make_bzimage(&hdr, plain.p, plain.len);
	file = (struct boot_file){file_with(bz.p, bz.len), "vmlinuz"};
	assert_int_equal(boot_decode(&file, &key, out, LIMIT, NULL), 0);
	assert_int_equal(decoded_read(out, &got, "vmlinuz", NULL), 0);
	assert_memory_equal(&got.key, &key, sizeof(key));
	assert_int_equal(got.payload_len, plain.len);
	assert_int_equal(got.has_setup, 1);
	assert_int_equal(got.setup.init_size, hdr.init_size);
	assert_int_equal(got.setup.pref_address, LINK_ADDR);
	assert_int_equal(got.relocs.lists, 2);
	assert_int_equal(got.relocs.offset, elf_len);
	assert_int_equal(got.relocs.len, plain.len - elf_len);
	close(file.fd);
	close(out);
	bytes_free(&plain);
	bytes_free(&bz);
}

static void test_key(void **state)
{
	char path[] = "/tmp/hull-test-XXXXXX";
	int fd = mkstemp(path);
	const struct timespec times[2] = {{1000, 5}, {2000, 7}};
	struct boot_cache_key a;
	struct boot_cache_key b;
	char name_a[BOOT_CACHE_NAME_MAX];
	char name_b[BOOT_CACHE_NAME_MAX];

	(void)state;
	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(fd_write_full(fd, "abc", 3), 0);
	assert_int_equal(futimens(fd, times), 0);
	assert_int_equal(boot_cache_key(fd, &a), 0);
	assert_int_equal(a.size, 3);
	assert_int_equal(a.mtime_ns, 2000 * 1000000000ULL + 7);
	boot_cache_name(&a, name_a);
	assert_null(strchr(name_a, '/'));

	/* Another time, another name. */
	assert_int_equal(futimens(fd, &(const struct timespec[2]){{1000, 5}, {2000, 8}}[0]), 0);
	assert_int_equal(boot_cache_key(fd, &b), 0);
	boot_cache_name(&b, name_b);
	assert_string_not_equal(name_a, name_b);
	assert_int_equal(boot_cache_key(-1, &b), -EBADF);
	close(fd);

	/* The longest name is whole. */
	a = (struct boot_cache_key){UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
	boot_cache_name(&a, name_a);
	assert_string_equal(name_a + strlen(name_a) - 3, ".v2");
}

/* A decoded kernel in a real file, for `key`. */
static int valid_file(const struct boot_cache_key *key)
{
	char path[] = "/tmp/hull-test-XXXXXX";
	int fd = mkstemp(path);
	struct setup_header hdr;
	struct bytes bz = sound(&hdr);
	struct boot_file file = {file_with(bz.p, bz.len), "vmlinuz"};

	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(boot_decode(&file, key, fd, LIMIT, NULL), 0);
	close(file.fd);
	bytes_free(&bz);
	return fd;
}

static void test_valid(void **state)
{
	const struct boot_cache_key key = {1, 2, 3, 4};
	struct boot_cache_key other;
	int fd = valid_file(&key);
	struct stat st;
	off_t len;

	(void)state;
	assert_true(boot_cache_valid(fd, &key));
	for (unsigned i = 0; i < 4; i++) {
		other = key;
		((uint64_t *)&other)[i]++;
		assert_false(boot_cache_valid(fd, &other));
	}

	/* Others could have written it. */
	assert_int_equal(fchmod(fd, 0602), 0);
	assert_false(boot_cache_valid(fd, &key));
	assert_int_equal(fchmod(fd, 0620), 0);
	assert_false(boot_cache_valid(fd, &key));
	assert_int_equal(fchmod(fd, 0644), 0);
	assert_true(boot_cache_valid(fd, &key));
	if (geteuid() == 0) {
		assert_int_equal(fchown(fd, 1234, 1234), 0);
		assert_false(boot_cache_valid(fd, &key));
		assert_int_equal(fchown(fd, 0, 0), 0);
	}

	/* Too short, too long. */
	assert_int_equal(fstat(fd, &st), 0);
	len = st.st_size;
	assert_int_equal(ftruncate(fd, len - 1), 0);
	assert_false(boot_cache_valid(fd, &key));
	assert_int_equal(ftruncate(fd, len + 1), 0);
	assert_false(boot_cache_valid(fd, &key));
	assert_int_equal(ftruncate(fd, len), 0);
	assert_true(boot_cache_valid(fd, &key));
	assert_int_equal(ftruncate(fd, 100), 0);
	assert_false(boot_cache_valid(fd, &key));
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_false(boot_cache_valid(fd, &key));
	close(fd);
	fd = open("/", O_RDONLY | O_DIRECTORY);
	assert_false(boot_cache_valid(fd, &key));
	close(fd);
}

/* Every byte of the header counts. */
static void test_valid_header(void **state)
{
	const struct boot_cache_key key = {1, 2, 3, 4};
	int fd = valid_file(&key);

	(void)state;
	for (off_t i = 0; i < BOOT_CACHE_DATA; i += i < 300 ? 1 : 61) {
		uint8_t byte;
		uint8_t changed;

		assert_int_equal(fd_pread_full(fd, &byte, 1, i), 0);
		changed = byte ^ 0x10;
		assert_int_equal(fd_pwrite_full(fd, &changed, 1, i), 0);
		assert_false(boot_cache_valid(fd, &key));
		assert_int_equal(fd_pwrite_full(fd, &byte, 1, i), 0);
	}
	assert_true(boot_cache_valid(fd, &key));
	close(fd);
}

/* A decoding that was interrupted leaves a file without a header. */
static void test_header_last(void **state)
{
	const struct boot_cache_key key = {1, 2, 3, 4};
	struct setup_header hdr;
	struct bytes bz = sound(&hdr);
	struct boot_file file;
	uint8_t page[BOOT_CACHE_DATA];
	uint8_t zeros[BOOT_CACHE_DATA] = {0};
	int out = file_with("", 0);

	(void)state;
	/* The ELF file inside is damaged where only the last check sees it: no program headers. */
	store_le16(bz.p + 2048 + 56, 0);
	file = (struct boot_file){file_with(bz.p, bz.len), "vmlinuz"};
	assert_int_equal(boot_decode(&file, &key, out, LIMIT, NULL), -EINVAL);
	assert_int_equal(fd_pread_full(out, page, sizeof(page), 0), 0);
	assert_memory_equal(page, zeros, sizeof(page));
	close(file.fd);
	close(out);
	bytes_free(&bz);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sound),         cmocka_unit_test(test_old_protocol),
		cmocka_unit_test(test_32_bit),        cmocka_unit_test(test_lying_header),
		cmocka_unit_test(test_lying_payload), cmocka_unit_test(test_cut),
		cmocka_unit_test(test_not_a_kernel),  cmocka_unit_test(test_decodable),
		cmocka_unit_test(test_header),        cmocka_unit_test(test_key),
		cmocka_unit_test(test_valid),         cmocka_unit_test(test_valid_header),
		cmocka_unit_test(test_header_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
