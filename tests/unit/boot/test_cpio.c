/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cpio archive: read back by cpio itself. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "cpio.h"
#include "support.h"

static struct bytes archive(void)
{
	struct cpio cpio = {.fd = file_with("", 0)};
	struct bytes b;

	assert_int_equal(cpio_directory(&cpio, "dev", 0755, NULL), 0);
	assert_int_equal(cpio_device(&cpio, "dev/console", 0600, 5, 1, NULL), 0);
	assert_int_equal(cpio_file(&cpio, "init", 0755, "12345", 5, NULL), 0);
	assert_int_equal(cpio_file(&cpio, "empty", 0644, "", 0, NULL), 0);
	/* Content that the caller writes itself. */
	assert_int_equal(fd_pwrite_full(cpio.fd, "abcdefg", 7, (off_t)cpio_data(&cpio, "own")), 0);
	assert_int_equal(cpio_written(&cpio, "own", 0640, 7, NULL), 0);
	assert_int_equal(cpio_end(&cpio, NULL), 0);
	b = file_content(cpio.fd, 0);
	assert_int_equal(b.len % 4, 0);
	assert_int_equal(b.len, cpio.pos);
	close(cpio.fd);
	return b;
}

static void cpio_lists_it(void **state)
{
	static const char want[] = "drwxr-xr-x 0 dev\n"
				   "crw------- 1 dev/console\n"
				   "-rwxr-xr-x 5 init\n"
				   "-rw-r--r-- 0 empty\n"
				   "-rw-r----- 7 own\n";
	struct bytes in = archive();
	struct bytes out;

	(void)state;
	out = pipe_through("cpio",
			   "TZ=UTC LC_ALL=C cpio -itv -H newc --quiet | awk '{print $1, $(NF-4), $NF}'", in.p,
			   in.len);
	assert_int_equal(out.len, sizeof(want) - 1);
	assert_memory_equal(out.p, want, out.len);
	bytes_free(&in);
	bytes_free(&out);
}

static void cpio_unpacks_it(void **state)
{
	struct bytes in = archive();
	struct bytes out = pipe_through("cpio", "cpio -i -H newc --quiet --to-stdout init own", in.p, in.len);

	(void)state;
	assert_int_equal(out.len, 12);
	assert_memory_equal(out.p, "12345abcdefg", 12);
	bytes_free(&in);
	bytes_free(&out);
}

/* Every length of a name and a content has its padding: the next header is where the kernel looks for it. */
static void entries_are_aligned(void **state)
{
	(void)state;
	for (unsigned n = 1; n < 9; n++) {
		struct cpio cpio = {.fd = file_with("", 0)};
		const char *name = &"abcdefgh"[8 - n];
		struct bytes b;

		assert_int_equal(cpio_file(&cpio, name, 0644, "12345678", n, NULL), 0);
		assert_int_equal(cpio.pos % 4, 0);
		assert_int_equal(cpio.pos, align_up(align_up(110 + n + 1, 4) + n, 4));
		assert_int_equal(cpio_end(&cpio, NULL), 0);
		b = file_content(cpio.fd, 0);
		assert_memory_equal(b.p, "070701", 6);
		assert_memory_equal(b.p + 110, name, n + 1);
		assert_memory_equal(b.p + align_up(110 + n + 1, 4), "12345678", n);
		assert_memory_equal(b.p + align_up(align_up(110 + n + 1, 4) + n, 4), "070701", 6);
		bytes_free(&b);
		close(cpio.fd);
	}
}

static void what_does_not_fit(void **state)
{
	struct cpio cpio = {.fd = file_with("", 0)};
	char name[CPIO_NAME_MAX + 2];

	(void)state;
	memset(name, 'n', sizeof(name));
	name[CPIO_NAME_MAX + 1] = '\0';
	assert_int_equal(cpio_directory(&cpio, name, 0755, NULL), -EINVAL);
	name[CPIO_NAME_MAX] = '\0';
	assert_int_equal(cpio_directory(&cpio, name, 0755, NULL), 0);
	assert_int_equal(cpio_written(&cpio, "big", 0644, UINT64_C(1) << 32, NULL), -EFBIG);
	close(cpio.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cpio_lists_it),
		cmocka_unit_test(cpio_unpacks_it),
		cmocka_unit_test(entries_are_aligned),
		cmocka_unit_test(what_does_not_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
