/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Kernel payloads: every codec, each made by its own tool, whole and damaged. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

struct codec {
	const char *tool;
	const char *command; /* as the kernel's build runs it */
	const char *quick;   /* with less memory and time, for the tests that decode often */
	bool own_size;       /* the format ends in the size itself */
	bool checked;        /* has a checksum of its content by default */
};

static const struct codec gzip = {"gzip", "gzip -n -f -9", "gzip -n -f -1", true, true};
static const struct codec bzip2 = {"bzip2", "bzip2 -9", "bzip2 -1", false, true};
static const struct codec xz = {"xz", "xz --check=crc32 --x86 --lzma2=dict=32MiB",
				"xz --check=crc32 --x86 --lzma2=preset=1", false, true};
static const struct codec lzma = {"lzma", "lzma -9", "lzma -1", false, false};
static const struct codec lzo = {"lzop", "lzop -9", "lzop -1", false, true};
static const struct codec lz4 = {"lz4", "lz4 -l -9 -c", "lz4 -l -1 -c", false, false};
static const struct codec zstd = {"zstd", "zstd -22 --ultra -q", "zstd -3 -q", false, true};

enum { LIMIT = 512 << 20 };

/* A test kernel, compressed by `codec`, without the size behind it. */
struct packed {
	struct bytes plain;
	struct bytes data;
};

static struct packed pack(const struct codec *codec, const char *command, size_t text)
{
	struct packed p;

	need_tool(codec->tool);
	p.plain = make_vmlinux(&(struct kernel_shape){.text = text, .lists = 3}, NULL);
	p.data = pipe_through(codec->tool, command, p.plain.p, p.plain.len);
	return p;
}

static void packed_free(struct packed *p)
{
	bytes_free(&p->plain);
	bytes_free(&p->data);
}

/* Decodes a bzImage with this payload. On success *ret holds what came out. */
static int decode(const struct setup_header *hdr, const void *payload, size_t len, uint64_t limit,
		  struct bytes *ret, struct err *err)
{
	struct bytes bz = make_bzimage(hdr, payload, len);
	int in = file_with(bz.p, bz.len);
	int out = file_with("", 0);
	struct boot_file file = {in, "vmlinuz"};
	struct boot_cache_key key;
	uint64_t start = cpu_ms();
	int r;

	assert_int_equal(boot_cache_key(in, &key), 0);
	*err = (struct err){0};
	r = boot_decode(&file, &key, out, limit, err);
	assert_true(cpu_ms() - start < 5000);
	if (r == 0) {
		assert_int_equal(fchmod(out, 0600), 0);
		assert_true(boot_cache_valid(out, &key));
		*ret = file_content(out, BOOT_CACHE_DATA);
	} else {
		/* One line that names the file, and nothing that could be taken for a kernel. */
		assert_non_null(strstr(err->msg, "vmlinuz"));
		assert_null(strchr(err->msg, '\n'));
		assert_int_equal(err->code, r);
		assert_false(boot_cache_valid(out, &key));
	}
	close(in);
	close(out);
	bytes_free(&bz);
	return r;
}

static void test_whole(void **state)
{
	const struct codec *codec = *state;
	struct packed p = pack(codec, codec->command, 700 << 10);
	struct setup_header hdr = make_setup(p.plain.len);
	struct bytes got = {0};
	struct err err;

	if (!codec->own_size)
		add_size(&p.data, p.plain.len);
	assert_true(p.data.len < p.plain.len);
	if (decode(&hdr, p.data.p, p.data.len, LIMIT, &got, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(got.len, p.plain.len);
	assert_memory_equal(got.p, p.plain.p, got.len);
	bytes_free(&got);
	packed_free(&p);
}

static void test_cut(void **state)
{
	const struct codec *codec = *state;
	struct packed p = pack(codec, codec->quick, 100 << 10);
	struct setup_header hdr = make_setup(p.plain.len);
	size_t step = p.data.len / 50 + 1;
	struct bytes got;
	struct err err;

	for (size_t len = 0; len < p.data.len; len += len < 64 ? 1 : step) {
		struct bytes cut = {0};
		int r;

		bytes_add(&cut, p.data.p, len);
		add_size(&cut, p.plain.len);
		r = decode(&hdr, cut.p, cut.len, LIMIT, &got, &err);
		/* Without its first bytes the kind of a payload cannot be known. */
		if (len < 9)
			assert_true(r == -ENOTSUP || r == -EINVAL);
		else
			assert_int_equal(r, -EINVAL);
		bytes_free(&cut);
	}
	packed_free(&p);
}

static void test_flipped(void **state)
{
	const struct codec *codec = *state;
	struct packed p = pack(codec, codec->quick, 100 << 10);
	struct setup_header hdr = make_setup(p.plain.len);
	uint64_t seed = 12345;
	unsigned failed = 0;

	if (!codec->own_size)
		add_size(&p.data, p.plain.len);
	for (unsigned i = 0; i < 150; i++) {
		struct bytes got = {0};
		struct err err;
		uint64_t at = noise(&seed);
		uint8_t *byte = &p.data.p[at % p.data.len];
		uint8_t bit = (uint8_t)(1 << (at >> 32) % 8);
		int r;

		*byte ^= bit;
		r = decode(&hdr, p.data.p, p.data.len, LIMIT, &got, &err);
		*byte ^= bit;
		if (r < 0) {
			failed++;
			assert_true(r == -EINVAL || r == -EFBIG || r == -ENOTSUP || r == -ENOMEM);
			continue;
		}
		assert_int_equal(got.len, p.plain.len);
		if (codec->checked)
			assert_memory_equal(got.p, p.plain.p, got.len);
		bytes_free(&got);
	}
	/* lzma and lz4 notice only what breaks their own structure. */
	assert_true(failed > (codec->checked ? 100 : 0));
	packed_free(&p);
}

/* A payload that says other sizes than it has. */
static void test_lying_size(void **state)
{
	const struct codec *codec = *state;
	struct packed p = pack(codec, codec->quick, 100 << 10);
	struct setup_header hdr = make_setup(p.plain.len);
	const struct {
		uint64_t size;
		int code;
	} cases[] = {
		{0, -EINVAL},
		{1, -EFBIG},
		{p.plain.len - 1, -EFBIG},
		{p.plain.len + 1, -EINVAL},
		{hdr.init_size, -EINVAL},
		{(uint64_t)hdr.init_size + 1, -EINVAL},
		{UINT32_MAX, -EINVAL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bytes lie = {0};
		struct bytes got;
		struct err err;

		bytes_add(&lie, p.data.p, p.data.len);
		if (codec->own_size)
			lie.len -= 4;
		add_size(&lie, cases[i].size);
		/* gzip's own check of the size comes first. */
		if (codec->own_size)
			assert_true(decode(&hdr, lie.p, lie.len, LIMIT, &got, &err) < 0);
		else
			assert_int_equal(decode(&hdr, lie.p, lie.len, LIMIT, &got, &err), cases[i].code);
		bytes_free(&lie);
	}
	packed_free(&p);
}

/* Many zeros behind the start of an ELF file, in few bytes. */
static struct bytes bomb(const struct codec *codec, size_t len)
{
	struct bytes plain = make_vmlinux(&(struct kernel_shape){.text = 4096}, NULL);
	struct bytes data;

	bytes_add(&plain, NULL, len - plain.len);
	data = pipe_through(codec->tool, codec->quick, plain.p, plain.len);
	bytes_free(&plain);
	return data;
}

static void test_bomb(void **state)
{
	const struct codec *codec = *state;
	size_t size = 32 << 20;
	struct bytes data;
	struct bytes got;
	struct err err;
	struct setup_header hdr = make_setup(size);
	uint64_t start;

	need_tool(codec->tool);
	data = bomb(codec, size);
	if (!codec->own_size)
		add_size(&data, size);
	assert_true(data.len < size / 100);
	/* It says so: more than the limit. */
	assert_int_equal(decode(&hdr, data.p, data.len, size - 1, &got, &err), -EFBIG);
	/* It does not say so. */
	data.len -= 4;
	add_size(&data, 1 << 20);
	start = cpu_ms();
	assert_int_equal(decode(&hdr, data.p, data.len, LIMIT, &got, &err), -EFBIG);
	assert_true(cpu_ms() - start < 1000);
	bytes_free(&data);
}

/* Not a kernel behind the codec: noticed at the first bytes. */
static void test_no_elf(void **state)
{
	const struct codec *codec = *state;
	struct bytes plain = {0};
	struct setup_header hdr = make_setup(8 << 20);
	struct bytes data;
	struct bytes got;
	struct err err;

	need_tool(codec->tool);
	bytes_add(&plain, NULL, 8 << 20);
	data = pipe_through(codec->tool, codec->quick, plain.p, plain.len);
	if (!codec->own_size)
		add_size(&data, plain.len);
	assert_int_equal(decode(&hdr, data.p, data.len, LIMIT, &got, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "what is compressed in it is not an ELF kernel"));
	bytes_free(&plain);
	bytes_free(&data);
}

/* lz4's legacy format has blocks of 8 MiB: more than one, and the last not full. */
static void test_lz4_blocks(void **state)
{
	struct packed p;
	struct setup_header hdr;
	struct bytes got = {0};
	struct err err;

	(void)state;
	p = pack(&lz4, lz4.command, (17 << 20) + 123);
	hdr = make_setup(p.plain.len);
	add_size(&p.data, p.plain.len);
	if (decode(&hdr, p.data.p, p.data.len, LIMIT, &got, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(got.len, p.plain.len);
	assert_memory_equal(got.p, p.plain.p, got.len);
	bytes_free(&got);
	packed_free(&p);
}

/* A block of more than 8 MiB cannot be, even if its bytes are there. */
static void test_lz4_huge_block(void **state)
{
	static const uint8_t magic[] = {0x02, 0x21, 0x4c, 0x18};
	uint32_t len = (8 << 20) + (8 << 20) / 255 + 16 + 1;
	struct setup_header hdr = make_setup(16 << 20);
	struct bytes data = {0};
	struct bytes got;
	struct err err;

	(void)state;
	bytes_add(&data, magic, sizeof(magic));
	bytes_add(&data, &len, sizeof(len));
	bytes_add(&data, NULL, len);
	add_size(&data, 1 << 20);
	assert_int_equal(decode(&hdr, data.p, data.len, LIMIT, &got, &err), -EINVAL);
	bytes_free(&data);
}

/* Headers that ask for gigabytes of dictionary. */
static void test_huge_dictionary(void **state)
{
	struct packed p;
	struct setup_header hdr;
	struct bytes got;
	struct err err;

	(void)state;
	p = pack(&lzma, lzma.quick, 0);
	hdr = make_setup(p.plain.len);
	add_size(&p.data, p.plain.len);
	store_le32(p.data.p + 1, 0xffff0000); /* the dictionary's size, behind the byte of properties */
	assert_int_equal(decode(&hdr, p.data.p, p.data.len, LIMIT, &got, &err), -ENOMEM);
	packed_free(&p);

	p = pack(&xz, xz.quick, 0);
	hdr = make_setup(p.plain.len);
	bytes_free(&p.data);
	p.data = pipe_through("xz", "xz --check=crc32 --lzma2=preset=0,dict=256MiB", p.plain.p, p.plain.len);
	add_size(&p.data, p.plain.len);
	assert_int_equal(decode(&hdr, p.data.p, p.data.len, LIMIT, &got, &err), -ENOMEM);
	packed_free(&p);
}

static void test_huge_window_zstd(void **state)
{
	/* RFC 8878, 3.1.1.1: magic, descriptor 0, window, an empty last block; the payload's size. */
	uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0, 0x01, 0x00, 0x00, 0, 0x10, 0, 0};
	struct setup_header hdr = make_setup(1 << 20);
	struct bytes got;
	struct err err;

	(void)state;
	/* The window's size is 2 to the power of 10 + exponent. */
	for (unsigned exponent = 0; exponent < 32; exponent++) {
		frame[5] = (uint8_t)(exponent << 3);
		assert_int_equal(decode(&hdr, frame, sizeof(frame), LIMIT, &got, &err),
				 10 + exponent <= 27 ? -EINVAL : -ENOMEM);
	}
}

/* What the kernel's build uses most of: 128 MiB of dictionary. */
static void test_large_dictionary(void **state)
{
	struct packed p;
	struct setup_header hdr;
	struct bytes got = {0};
	struct err err;

	(void)state;
	p = pack(&xz, xz.quick, 0);
	hdr = make_setup(p.plain.len);
	bytes_free(&p.data);
	p.data = pipe_through("xz", "xz --check=crc32 --x86 --lzma2=preset=0,dict=128MiB", p.plain.p,
			      p.plain.len);
	add_size(&p.data, p.plain.len);
	if (decode(&hdr, p.data.p, p.data.len, LIMIT, &got, &err) < 0)
		fail_msg("%s", err.msg);
	assert_memory_equal(got.p, p.plain.p, p.plain.len);
	bytes_free(&got);
	packed_free(&p);
}

static void test_unknown(void **state)
{
	struct setup_header hdr = make_setup(1 << 20);
	struct bytes got;
	struct err err;
	char noise_bytes[100];

	(void)state;
	memset(noise_bytes, 'x', sizeof(noise_bytes));
	assert_int_equal(decode(&hdr, noise_bytes, sizeof(noise_bytes), LIMIT, &got, &err), -ENOTSUP);
}

/* A payload that is not compressed at all. */
static void test_plain_elf(void **state)
{
	struct bytes plain = make_vmlinux(&(struct kernel_shape){.lists = 2}, NULL);
	struct setup_header hdr = make_setup(plain.len);
	struct bytes got = {0};
	struct err err;

	(void)state;
	assert_int_equal(decode(&hdr, plain.p, plain.len, LIMIT, &got, &err), 0);
	assert_int_equal(got.len, plain.len);
	assert_memory_equal(got.p, plain.p, got.len);
	bytes_free(&got);
	bytes_free(&plain);
}

/* Pages of zeros take no place in the decoded file. */
static void test_sparse(void **state)
{
	struct bytes plain = make_vmlinux(&(struct kernel_shape){0}, NULL);
	size_t used = plain.len;
	struct setup_header hdr;
	struct boot_cache_key key = {0};
	struct boot_file file;
	struct bytes data;
	struct bytes bz;
	struct stat st;
	int out = file_with("", 0);

	(void)state;
	bytes_add(&plain, NULL, 16 << 20);
	bytes_add(&plain, "end", 3);
	hdr = make_setup(plain.len);
	data = pipe_through("gzip", "gzip -n -f -9", plain.p, plain.len);
	bz = make_bzimage(&hdr, data.p, data.len);
	file = (struct boot_file){file_with(bz.p, bz.len), "vmlinuz"};
	assert_int_equal(boot_decode(&file, &key, out, LIMIT, NULL), 0);
	assert_int_equal(fstat(out, &st), 0);
	assert_int_equal(st.st_size, BOOT_CACHE_DATA + plain.len);
	assert_true((uint64_t)st.st_blocks * 512 < used + (64 << 10));
	bytes_free(&data);
	data = file_content(out, BOOT_CACHE_DATA);
	assert_memory_equal(data.p, plain.p, plain.len);
	bytes_free(&data);
	bytes_free(&plain);
	bytes_free(&bz);
	close(file.fd);
	close(out);
}

#define EACH(test, codec)                                                             \
	{                                                                             \
#test "[" #codec "]", test, NULL, NULL, (void *)(uintptr_t) & (codec) \
	}
#define CODEC(codec)                                                               \
	EACH(test_whole, codec), EACH(test_cut, codec), EACH(test_flipped, codec), \
		EACH(test_lying_size, codec), EACH(test_bomb, codec), EACH(test_no_elf, codec)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CODEC(gzip),
		CODEC(bzip2),
		CODEC(xz),
		CODEC(lzma),
		CODEC(lzo),
		CODEC(lz4),
		CODEC(zstd),
		cmocka_unit_test(test_lz4_blocks),
		cmocka_unit_test(test_lz4_huge_block),
		cmocka_unit_test(test_huge_dictionary),
		cmocka_unit_test(test_huge_window_zstd),
		cmocka_unit_test(test_large_dictionary),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_plain_elf),
		cmocka_unit_test(test_sparse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
