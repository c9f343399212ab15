/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Windows onto files: what lies in them, files that change while they are read, holes. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "image.h"

enum { SIZE = 64 << 10 };

static int open_image(struct image *img, size_t len)
{
	static uint8_t bytes[SIZE];
	const int fd = file_with(bytes, len);
	const struct boot_file file = {fd, "kernel"};

	memset(bytes, 'x', sizeof(bytes));
	assert_int_equal(fd_pwrite_full(fd, bytes, len, 0), 0);
	assert_int_equal(image_init(&file, img, NULL), 0);
	return fd;
}

static void check_refused(int fd, const char *why)
{
	const struct boot_file file = {fd, "kernel"};
	struct err err = {0};
	struct image img;

	assert_true(image_init(&file, &img, &err) < 0);
	assert_non_null(strstr(err.msg, why));
}

static void no_images(void **state)
{
	int fds[2];

	(void)state;
	fds[0] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check_refused(fds[0], "is a directory");
	close(fds[0]);
	fds[0] = file_with("", 0);
	check_refused(fds[0], "is empty");
	close(fds[0]);
	check_refused(fds[0], "kernel: "); /* closed */
	assert_int_equal(pipe(fds), 0);
	check_refused(fds[0], "not a regular file");
	close(fds[0]);
	close(fds[1]);
}

static void windows(void **state)
{
	struct image img, part, rest;
	uint8_t bytes[16];
	int fd = open_image(&img, SIZE);

	(void)state;
	assert_int_equal(image_part(&img, 100, 50, &part, NULL), 0);
	assert_int_equal(image_part(&part, 40, 10, &rest, NULL), 0);
	assert_int_equal(rest.offset, 140);
	assert_int_equal(image_part(&part, 40, 11, &rest, NULL), -EINVAL);
	assert_int_equal(image_part(&part, UINT64_MAX, 2, &rest, NULL), -EINVAL);
	assert_int_equal(image_read(&part, 34, bytes, 16, NULL), 0);
	assert_int_equal(image_read(&part, 35, bytes, 16, NULL), -EINVAL);
	assert_int_equal(image_read(&part, UINT64_MAX - 7, bytes, 16, NULL), -EINVAL);
	close(fd);
}

static void the_file_shrinks(void **state)
{
	struct machine m;
	struct image img;
	struct err err = {0};
	uint8_t bytes[16];
	int fd = open_image(&img, SIZE);

	(void)state;
	machine_init(&m, 4);
	assert_int_equal(ftruncate(fd, 1000), 0);
	assert_int_equal(image_read(&img, 990, bytes, 16, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "shrank"));
	/* Its end looks like a hole. */
	err = (struct err){0};
	assert_int_equal(image_load(&img, 0, SIZE, &m.mem, MIB(1), &err), -EINVAL);
	assert_non_null(strstr(err.msg, "shrank"));
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(image_load(&img, 0, SIZE, &m.mem, MIB(1), NULL), -EINVAL);
	assert_int_equal(image_kind(&img), IMAGE_UNKNOWN);
	machine_finish(&m);
	close(fd);
	assert_int_equal(image_read(&img, 0, bytes, 1, &err), -EBADF);
}

static void into_ram(void **state)
{
	struct machine m;
	struct image img;
	int fd = open_image(&img, 4096);
	const struct boot_file file = {fd, "kernel"};
	const uint8_t *ram;

	(void)state;
	machine_init(&m, 4);
	/* Data, a hole, data, and a hole up to the end. */
	assert_int_equal(fd_pwrite_full(fd, "end", 3, 1 << 20), 0);
	assert_int_equal(ftruncate(fd, 2 << 20), 0);
	assert_int_equal(image_init(&file, &img, NULL), 0);
	assert_int_equal(image_load(&img, 0, 2 << 20, &m.mem, MIB(1), NULL), 0);
	ram = mem_ptr(&m.mem, MIB(1), 2 << 20);
	assert_memory_equal(ram, "xxx", 3);
	assert_int_equal(ram[4096], 0);
	assert_memory_equal(ram + (1 << 20), "end", 4);
	assert_int_equal(image_load(&img, 0, 0, &m.mem, MIB(1), NULL), 0);
	/* More than there is, of the one and of the other. */
	assert_int_equal(image_load(&img, 1, 2 << 20, &m.mem, MIB(1), NULL), -EINVAL);
	assert_int_equal(image_load(&img, 0, 2 << 20, &m.mem, MIB(3), NULL), -ENOSPC);
	assert_int_equal(image_load(&img, UINT64_MAX, 2, &m.mem, MIB(1), NULL), -EINVAL);
	machine_finish(&m);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_images),
		cmocka_unit_test(windows),
		cmocka_unit_test(the_file_shrinks),
		cmocka_unit_test(into_ram),
	};

	return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
