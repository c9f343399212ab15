/* SPDX-License-Identifier: GPL-2.0-or-later */
/* FIT images, made by mkimage and dtc, whole and damaged. */
#include <errno.h>
#include <fcntl.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

enum { LIMIT = 64 << 20 };

/* A directory for mkimage's files, gone with workdir_finish(). */
struct workdir {
	char path[32];
};

static void workdir_init(struct workdir *w)
{
	strcpy(w->path, "/tmp/hull-test-XXXXXX");
	assert_non_null(mkdtemp(w->path));
}

static void workdir_finish(struct workdir *w)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -r %s", w->path);
	assert_int_equal(system(command), 0);
}

static void put(const struct workdir *w, const char *name, const void *p, size_t len)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", w->path, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_full(fd, p, len), 0);
	close(fd);
}

static struct bytes get(const struct workdir *w, const char *name)
{
	char path[96];
	struct bytes b;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", w->path, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	b = file_content(fd, 0);
	close(fd);
	return b;
}

/* What goes into a FIT image. */
struct recipe {
	const char *compression; /* of the kernel; "none" */
	const char *arch;        /* "x86_64" */
	const char *hashes;      /* nodes in each image */
	const char *unhashed;    /* the image that has none: "kernel", "ramdisk", "" */
	const char *config;      /* further properties of the configuration */
	const char *images;      /* further images */
	const char *options;     /* of mkimage */
	bool no_ramdisk;
	bool no_default;
};

static const struct recipe plain = {"none",
				    "x86_64",
				    "hash-1 { algo = \"sha256\"; }; hash-2 { algo = \"crc32\"; };",
				    "",
				    "bootargs = \"from-fit panic=1\";",
				    "",
				    "",
				    false,
				    false};

static void make_its(const struct recipe *r, char *its, size_t cap)
{
	snprintf(its, cap,
		 "/dts-v1/; / { description = \"test\"; #address-cells = <1>;\n"
		 "images { kernel { description = \"k\"; data = /incbin/(\"kernel\"); type = \"kernel\";\n"
		 "  arch = \"%s\"; os = \"linux\"; compression = \"%s\"; load = <0>; entry = <0>; %s };\n"
		 " ramdisk { description = \"r\"; data = /incbin/(\"ramdisk\"); type = \"ramdisk\";\n"
		 "  arch = \"x86_64\"; os = \"linux\"; compression = \"none\"; %s }; %s };\n"
		 "configurations { %s other { description = \"o\"; kernel = \"kernel\"; %s %s }; \n"
		 " conf { description = \"c\"; kernel = \"kernel\"; %s %s }; }; };\n",
		 r->arch, r->compression, strcmp(r->unhashed, "kernel") ? r->hashes : "",
		 strcmp(r->unhashed, "ramdisk") ? r->hashes : "", r->images,
		 r->no_default ? "" : "default = \"conf\";",
		 r->no_default && !r->no_ramdisk ? "ramdisk = \"ramdisk\";" : "",
		 r->no_default ? r->config : "", r->no_ramdisk ? "" : "ramdisk = \"ramdisk\";", r->config);
}

/* Runs mkimage over `kernel` and a ramdisk "RAMDISK". */
static struct bytes make_fit(const struct recipe *r, const struct bytes *kernel)
{
	struct workdir w;
	struct bytes fit;
	char its[4096];
	char command[256];

	need_tool("mkimage");
	need_tool("dtc");
	workdir_init(&w);
	make_its(r, its, sizeof(its));
	put(&w, "kernel", kernel->p, kernel->len);
	put(&w, "ramdisk", "RAMDISK", 7);
	put(&w, "its", its, strlen(its));
	if (strstr(r->images, "board.dtb")) {
		static const char dts[] = "/dts-v1/; / { chosen { bootargs = \"from-tree\"; }; };";

		put(&w, "dts", dts, strlen(dts));
		snprintf(command, sizeof(command), "cd %s && dtc -q -o board.dtb dts >log 2>&1", w.path);
		assert_int_equal(system(command), 0);
	}
	snprintf(command, sizeof(command),
		 "cd %s && mkimage %s -f its fit >log 2>&1 || { sed 's/^/# /' log; false; }", w.path,
		 r->options);
	assert_int_equal(system(command), 0);
	fit = get(&w, "fit");
	workdir_finish(&w);
	return fit;
}

/* Decodes and loads as hull does. `initrd`: one more file behind the ramdisk. */
struct run {
	struct machine m;
	struct boot_entry entry;
	struct err err;
	int decode; /* result of boot_decode() */
};

static int run_fit(struct run *run, const struct bytes *fit, const char *initrd)
{
	struct boot_file extra = {initrd ? file_with(initrd, strlen(initrd)) : -1, "extra"};
	struct boot_request req;
	struct boot_cache_key key = {0};
	uint64_t start = cpu_ms();
	int out = file_with("", 0);
	int r;

	*run = (struct run){0};
	machine_init(&run->m, 64);
	req = (struct boot_request){
		.kernel = {file_with(fit->p, fit->len), "image.itb"},
		.decoded_fd = -1,
		.initrds = &extra,
		.initrd_count = initrd ? 1 : 0,
		.cmdline_base = "console=ttyS0",
		.cmdline_user = "user",
		.map = &run->m.map,
		.rsdp = 0xe0000,
		.random = fake_random,
	};
	assert_true(boot_decodable(&req.kernel) || fit->len < 4);
	r = run->decode = boot_decode(&req.kernel, &key, out, LIMIT, &run->err);
	if (r == 0)
		req.decoded_fd = out;
	if (r == 0 || r == -ENOTSUP)
		r = boot_load(&req, &run->m.mem, &run->entry, &run->err);
	if (r < 0)
		assert_non_null(strstr(run->err.msg, "image.itb"));
	assert_true(cpu_ms() - start < 1000);
	close(req.kernel.fd);
	close(out);
	if (initrd)
		close(extra.fd);
	return r;
}

static void run_finish(struct run *run)
{
	machine_finish(&run->m);
}

static void must_run(struct run *run, const struct bytes *fit, const char *initrd)
{
	if (run_fit(run, fit, initrd) < 0)
		fail_msg("%s", run->err.msg);
}

static const char *cmdline(const struct run *run)
{
	return mem_ptr(&run->m.mem,
		       ((struct boot_params *)mem_ptr(&run->m.mem, run->entry.info, 4096))->hdr.cmd_line_ptr,
		       1);
}

static const char *ramdisk(const struct run *run, uint32_t *len)
{
	const struct boot_params *bp = mem_ptr(&run->m.mem, run->entry.info, 4096);

	*len = bp->hdr.ramdisk_size;
	return *len ? mem_ptr(&run->m.mem, bp->hdr.ramdisk_image, *len) : NULL;
}

static void check_ramdisk(const struct run *run, const char *want, uint32_t want_len)
{
	uint32_t len = 0;
	const char *p = ramdisk(run, &len);

	assert_int_equal(len, want_len);
	assert_memory_equal(p, want, len);
}

static struct bytes vmlinux(void)
{
	return make_vmlinux(&(struct kernel_shape){0}, NULL);
}

/* An ELF kernel that is not compressed is loaded from where it is in the file. */
static void test_plain(void **state)
{
	struct bytes kernel = vmlinux();
	struct bytes fit = make_fit(&plain, &kernel);
	struct run run;

	(void)state;
	must_run(&run, &fit, NULL);
	assert_int_equal(run.decode, -ENOTSUP);
	assert_string_equal(run.entry.how, "FIT, vmlinux, 64-bit entry");
	assert_memory_equal(mem_ptr(&run.m.mem, LINK_ADDR, 4096), kernel.p + TEXT_OFFSET, 4096);
	assert_string_equal(cmdline(&run), "console=ttyS0 from-fit panic=1 user");
	check_ramdisk(&run, "RAMDISK", 7);
	run_finish(&run);
	must_run(&run, &fit, "more");
	check_ramdisk(&run, "RAMDISK\0more", 12);
	run_finish(&run);
	bytes_free(&kernel);
	bytes_free(&fit);
}

static void test_external(void **state)
{
	struct bytes kernel = vmlinux();
	struct recipe recipe = plain;
	static const char *const options[] = {"-E", "-E -p 0x4000"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		struct bytes fit;
		struct run run;

		recipe.options = options[i];
		fit = make_fit(&recipe, &kernel);
		must_run(&run, &fit, NULL);
		assert_memory_equal(mem_ptr(&run.m.mem, LINK_ADDR, 4096), kernel.p + TEXT_OFFSET, 4096);
		check_ramdisk(&run, "RAMDISK", 7);
		run_finish(&run);
		/* Cut off: the data is outside. */
		fit.len -= 100;
		assert_int_equal(run_fit(&run, &fit, NULL), -EINVAL);
		run_finish(&run);
		bytes_free(&fit);
	}
	bytes_free(&kernel);
}

static void test_compressed(void **state)
{
	static const struct {
		const char *name, *tool, *command;
	} codecs[] = {{"gzip", "gzip", "gzip -9"}, {"bzip2", "bzip2", "bzip2"}, {"lzma", "lzma", "lzma"},
		      {"lzo", "lzop", "lzop"},     {"lz4", "lz4", "lz4 -c"},    {"lz4", "lz4", "lz4 -l -c"},
		      {"zstd", "zstd", "zstd -q"}};
	struct bytes kernel = vmlinux();
	struct recipe recipe = plain;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(codecs); i++) {
		struct bytes data = pipe_through(codecs[i].tool, codecs[i].command, kernel.p, kernel.len);
		struct bytes fit;
		struct run run;

		recipe.compression = codecs[i].name;
		fit = make_fit(&recipe, &data);
		must_run(&run, &fit, NULL);
		assert_int_equal(run.decode, 0);
		assert_string_equal(run.entry.how, "FIT, vmlinux, 64-bit entry");
		assert_memory_equal(mem_ptr(&run.m.mem, LINK_ADDR, 4096), kernel.p + TEXT_OFFSET, 4096);
		check_ramdisk(&run, "RAMDISK", 7);
		run_finish(&run);
		bytes_free(&fit);
		bytes_free(&data);
	}
	bytes_free(&kernel);
}

static void test_bzimage(void **state)
{
	struct bytes kernel = make_vmlinux(&(struct kernel_shape){.lists = 3}, NULL);
	struct setup_header hdr = make_setup(kernel.len);
	struct bytes bz = make_bzimage(&hdr, kernel.p, kernel.len);
	struct bytes fit = make_fit(&plain, &bz);
	struct run run;

	(void)state;
	must_run(&run, &fit, NULL);
	assert_int_equal(run.decode, 0);
	assert_string_equal(run.entry.how, "FIT, bzImage unpacked, 64-bit entry, kaslr");
	run_finish(&run);
	bytes_free(&fit);
	bytes_free(&bz);

	/* A payload of an unknown kind: the bzImage unpacks itself. */
	memset(kernel.p, 'x', 16);
	bz = make_bzimage(&hdr, kernel.p, kernel.len);
	fit = make_fit(&plain, &bz);
	must_run(&run, &fit, NULL);
	assert_int_equal(run.decode, -ENOTSUP);
	assert_string_equal(run.entry.how, "FIT, bzImage unpacks itself, 64-bit entry");
	run_finish(&run);
	bytes_free(&fit);
	bytes_free(&bz);
	bytes_free(&kernel);
}

/* Not a kernel inside, in every way. */
static void test_not_a_kernel(void **state)
{
	struct bytes text = {0};
	struct recipe recipe = plain;
	struct bytes packed;
	struct bytes fit;
	struct run run;

	(void)state;
	need_tool("gzip");
	bytes_add(&text, NULL, 10000);
	fit = make_fit(&plain, &text);
	assert_int_equal(run_fit(&run, &fit, NULL), -EINVAL);
	run_finish(&run);
	bytes_free(&fit);
	packed = pipe_through("gzip", "gzip", text.p, text.len);
	recipe.compression = "gzip";
	fit = make_fit(&recipe, &packed);
	assert_int_equal(run_fit(&run, &fit, NULL), -EINVAL);
	run_finish(&run);
	bytes_free(&fit);
	bytes_free(&packed);
	bytes_free(&text);
}

static void test_hashes(void **state)
{
	static const char *const algos[] = {"crc32", "md5", "sha1", "sha256", "sha384", "sha512"};
	struct bytes kernel = vmlinux();
	struct recipe recipe = plain;
	char node[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(algos); i++) {
		struct bytes fit;
		struct run run;
		uint8_t *at;

		snprintf(node, sizeof(node), "hash { algo = \"%s\"; };", algos[i]);
		recipe.hashes = node;
		fit = make_fit(&recipe, &kernel);
		must_run(&run, &fit, NULL);
		assert_string_equal(run.entry.how, "FIT, vmlinux, 64-bit entry");
		run_finish(&run);

		/* One bit of the kernel, of the ramdisk. */
		at = memmem(fit.p, fit.len, kernel.p, 64);
		assert_non_null(at);
		at[kernel.len - 1] ^= 1;
		assert_int_equal(run_fit(&run, &fit, NULL), -EINVAL);
		assert_non_null(strstr(run.err.msg, algos[i]));
		assert_non_null(strstr(run.err.msg, "kernel"));
		run_finish(&run);
		at[kernel.len - 1] ^= 1;
		at = memmem(fit.p, fit.len, "RAMDISK", 7);
		assert_non_null(at);
		at[0] ^= 1;
		assert_int_equal(run_fit(&run, &fit, NULL), -EINVAL);
		assert_non_null(strstr(run.err.msg, "ramdisk"));
		run_finish(&run);
		bytes_free(&fit);
	}
	bytes_free(&kernel);
}

/* A second hash that is wrong, one that is not known, none at all. */
static void test_other_hashes(void **state)
{
	struct bytes kernel = vmlinux();
	struct recipe recipe = plain;
	struct bytes packed;
	struct bytes fit;
	struct run run;
	uint8_t *at;

	(void)state;
	fit = make_fit(&plain, &kernel);
	at = memmem(fit.p, fit.len, "crc32", 6);
	assert_non_null(at);
	memcpy(at, "crc\x1b[", 5);
	assert_int_equal(run_fit(&run, &fit, NULL), -EINVAL);
	assert_non_null(strstr(run.err.msg, "unknown hash \"crc?[\""));
	run_finish(&run);
	memcpy(at, "sha1\0", 5);
	assert_int_equal(run_fit(&run, &fit, NULL), -EINVAL);
	run_finish(&run);
	bytes_free(&fit);

	recipe.unhashed = "kernel";
	fit = make_fit(&recipe, &kernel);
	must_run(&run, &fit, NULL);
	assert_string_equal(run.entry.how, "FIT without hash, vmlinux, 64-bit entry");
	run_finish(&run);
	bytes_free(&fit);

	recipe.unhashed = "ramdisk";
	fit = make_fit(&recipe, &kernel);
	must_run(&run, &fit, NULL);
	assert_string_equal(run.entry.how, "FIT without hash, vmlinux, 64-bit entry");
	run_finish(&run);
	bytes_free(&fit);

	/* Also when it has been unpacked. */
	packed = pipe_through("gzip", "gzip -9", kernel.p, kernel.len);
	recipe.compression = "gzip";
	for (size_t i = 0; i < 2; i++) {
		recipe.unhashed = i == 0 ? "kernel" : "ramdisk";
		fit = make_fit(&recipe, &packed);
		must_run(&run, &fit, NULL);
		assert_int_equal(run.decode, 0);
		assert_string_equal(run.entry.how, "FIT without hash, vmlinux, 64-bit entry");
		run_finish(&run);
		bytes_free(&fit);
	}
	bytes_free(&packed);

	/* Hashes of the wrong length: an empty one equals everything. */
	for (int len = 0; len < 64; len += 16) {
		struct bytes bigger = {0};
		char zeros[64] = {0};
		int node;

		fit = make_fit(&plain, &kernel);
		bytes_add(&bigger, NULL, fit.len + 4096);
		assert_int_equal(fdt_open_into(fit.p, bigger.p, (int)bigger.len), 0);
		node = fdt_path_offset(bigger.p, "/images/kernel/hash-1");
		assert_true(node > 0);
		assert_int_equal(fdt_setprop(bigger.p, node, "value", zeros, len), 0);
		assert_int_equal(run_fit(&run, &bigger, NULL), -EINVAL);
		assert_non_null(strstr(run.err.msg, "wrong sha256"));
		run_finish(&run);
		bytes_free(&bigger);
		bytes_free(&fit);
	}
	bytes_free(&kernel);
}

static void test_configurations(void **state)
{
	struct bytes kernel = vmlinux();
	struct recipe recipe = plain;
	struct bytes fit;
	struct run run;
	uint32_t len;
	uint8_t *at;

	(void)state;
	/* No default: the first. */
	recipe.no_default = true;
	fit = make_fit(&recipe, &kernel);
	must_run(&run, &fit, NULL);
	assert_string_equal(cmdline(&run), "console=ttyS0 from-fit panic=1 user");
	run_finish(&run);
	bytes_free(&fit);

	/* Nothing but a kernel. */
	recipe = plain;
	recipe.no_ramdisk = true;
	recipe.config = "";
	fit = make_fit(&recipe, &kernel);
	must_run(&run, &fit, NULL);
	assert_string_equal(cmdline(&run), "console=ttyS0 user");
	assert_null(ramdisk(&run, &len));
	run_finish(&run);
	bytes_free(&fit);

	/* A default that does not exist, a kernel that does not. */
	fit = make_fit(&plain, &kernel);
	at = memmem(fit.p, fit.len, "conf\0", 5);
	assert_non_null(at);
	at[0] = 'x';
	assert_int_equal(run_fit(&run, &fit, NULL), -EINVAL);
	run_finish(&run);
	at[0] = 'c';
	at = memmem(fit.p, fit.len, "ramdisk\0", 8);
	assert_non_null(at);
	at[0] = '\n';
	assert_int_equal(run_fit(&run, &fit, NULL), -EINVAL);
	assert_null(strchr(run.err.msg, '\n'));
	run_finish(&run);
	bytes_free(&fit);
	bytes_free(&kernel);
}

static void test_bootargs_of_tree(void **state)
{
	struct bytes kernel = vmlinux();
	struct recipe recipe = plain;
	struct bytes fit;
	struct run run;

	(void)state;
	recipe.images = "fdt { description = \"f\"; data = /incbin/(\"board.dtb\"); type = \"flat_dt\";"
			" arch = \"x86_64\"; compression = \"none\"; hash { algo = \"sha1\"; }; };";
	recipe.config = "fdt = \"fdt\";";
	fit = make_fit(&recipe, &kernel);
	must_run(&run, &fit, NULL);
	assert_string_equal(cmdline(&run), "console=ttyS0 from-tree user");
	run_finish(&run);
	bytes_free(&fit);
	bytes_free(&kernel);
}

static void test_other_architecture(void **state)
{
	struct bytes kernel = vmlinux();
	struct recipe recipe = plain;
	struct bytes fit;
	struct run run;

	(void)state;
	recipe.arch = "arm64";
	fit = make_fit(&recipe, &kernel);
	assert_int_equal(run_fit(&run, &fit, NULL), -EINVAL);
	assert_non_null(strstr(run.err.msg, "not for x86"));
	run_finish(&run);
	bytes_free(&fit);
	bytes_free(&kernel);
}

static void test_unknown_compression(void **state)
{
	struct bytes kernel = vmlinux();
	struct recipe recipe = plain;
	struct bytes fit;
	struct run run;
	uint8_t *at;

	(void)state;
	fit = make_fit(&recipe, &kernel);
	at = memmem(fit.p, fit.len, "none\0", 5);
	assert_non_null(at);
	memcpy(at, "rar\0", 5);
	assert_int_equal(run_fit(&run, &fit, NULL), -EINVAL);
	assert_non_null(strstr(run.err.msg, "rar"));
	run_finish(&run);
	bytes_free(&fit);
	bytes_free(&kernel);
}

/* A device tree that is no FIT image. */
static void test_device_tree(void **state)
{
	static const char dts[] = "/dts-v1/; / { chosen { bootargs = \"x\"; }; };";
	struct bytes tree;
	struct run run;

	(void)state;
	tree = pipe_through("dtc", "dtc -q -", dts, strlen(dts));
	assert_int_equal(run_fit(&run, &tree, NULL), -EINVAL);
	assert_non_null(strstr(run.err.msg, "not a FIT image"));
	run_finish(&run);
	bytes_free(&tree);
}

/* Cut anywhere; any bit of the structure changed: an error or a boot, never anything else. */
static void test_damaged(void **state)
{
	struct bytes kernel = {0};
	struct recipe recipe = plain;
	struct bytes fit;
	struct run run;
	uint64_t seed = 99;
	size_t whole;

	(void)state;
	kernel = vmlinux();
	recipe.options = "-E"; /* so that the tree is small */
	fit = make_fit(&recipe, &kernel);
	whole = fit.len;
	for (size_t len = 1; len < whole; len += len < 2048 ? 13 : 4001) {
		fit.len = len;
		assert_int_equal(run_fit(&run, &fit, NULL), -EINVAL);
		run_finish(&run);
	}
	fit.len = whole;
	{
		/* No end of the structure (FDT_END, 9): an error, not a walk past it. */
		uint8_t *end = fit.p + fdt_off_dt_struct(fit.p) + fdt_size_dt_struct(fit.p) - 1;

		assert_int_equal(*end, FDT_END);
		*end = FDT_NOP;
		assert_int_equal(run_fit(&run, &fit, NULL), -EINVAL);
		run_finish(&run);
		*end = FDT_END;
	}
	{
		/* A property so long that it ends where it begins, or before. */
		static const uint32_t lengths[] = {0xfffffff4, 0xfffffff0, 0xffffffe0, 0x80000000,
						   0x7ffffff0};
		int node = fdt_path_offset(fit.p, "/images");
		int prop = fdt_first_property_offset(fit.p, fdt_first_subnode(fit.p, node));
		uint8_t *len = fit.p + fdt_off_dt_struct(fit.p) + prop + 4;
		uint32_t old;

		memcpy(&old, len, sizeof(old));
		for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
			uint32_t value = __builtin_bswap32(lengths[i]);

			memcpy(len, &value, sizeof(value));
			assert_int_equal(run_fit(&run, &fit, NULL), -EINVAL);
			run_finish(&run);
		}
		memcpy(len, &old, sizeof(old));
	}
	for (unsigned i = 0; i < 3000; i++) {
		uint64_t r = noise(&seed);
		uint8_t *at = &fit.p[4 + r % 2000];
		uint8_t old = *at;

		*at = (uint8_t)(r >> 40 & 1 ? r >> 32 : old ^ (1ULL << (r >> 48) % 8));
		run_fit(&run, &fit, NULL);
		run_finish(&run);
		*at = old;
	}
	bytes_free(&fit);
	bytes_free(&kernel);
}

/* A header that claims sizes without the bytes, or of hundreds of megabytes of nothing. */
static void test_lying_header(void **state)
{
	static const uint32_t sizes[] = {0, 1, 40, 0x7fffffff, 0x80000000, 0xffffffff};
	struct bytes kernel = vmlinux();
	struct bytes fit = make_fit(&plain, &kernel);
	struct boot_file file = {file_with(fit.p, fit.len), "image.itb"};
	struct boot_cache_key key = {0};
	struct err err;
	int out = file_with("", 0);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (off_t field = 4; field < 40; field += 4) {
			uint32_t old;
			uint32_t size = __builtin_bswap32(sizes[i]);

			assert_int_equal(fd_pread_full(file.fd, &old, 4, field), 0);
			assert_int_equal(fd_pwrite_full(file.fd, &size, 4, field), 0);
			err = (struct err){0};
			if (boot_decode(&file, &key, out, LIMIT, &err) < 0)
				assert_non_null(strstr(err.msg, "image.itb"));
			assert_int_equal(fd_pwrite_full(file.fd, &old, 4, field), 0);
		}
	}
	/* The file is as large as it says, but only by a hole. */
	assert_int_equal(ftruncate(file.fd, 0x7fffffff), 0);
	assert_int_equal(fd_pwrite_full(file.fd, "\x7f\xff\xff\xff", 4, 4), 0);
	assert_int_equal(boot_decode(&file, &key, out, LIMIT, &err), -EFBIG);
	close(file.fd);
	close(out);
	bytes_free(&fit);
	bytes_free(&kernel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_external),
		cmocka_unit_test(test_compressed),
		cmocka_unit_test(test_bzimage),
		cmocka_unit_test(test_not_a_kernel),
		cmocka_unit_test(test_hashes),
		cmocka_unit_test(test_other_hashes),
		cmocka_unit_test(test_configurations),
		cmocka_unit_test(test_bootargs_of_tree),
		cmocka_unit_test(test_other_architecture),
		cmocka_unit_test(test_unknown_compression),
		cmocka_unit_test(test_device_tree),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_lying_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
