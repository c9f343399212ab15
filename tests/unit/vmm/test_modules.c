/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which modules a root needs: the lists of depmod, sound and hostile; the kernel's version; superblocks. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "filesystem.h"
#include "hull/util.h"
#include "module_tree.h"
#include "modules.h"

static const char dep[] =
	"kernel/fs/jbd2/jbd2.ko:\n"
	"kernel/fs/mbcache.ko:\n"
	"kernel/lib/crc16.ko:\n"
	"kernel/fs/ext4/ext4.ko.xz: kernel/fs/mbcache.ko kernel/fs/jbd2/jbd2.ko kernel/lib/crc16.ko\n"
	"kernel/crypto/crc32c_generic.ko:\n"
	"kernel/arch/x86/crypto/crc32c-intel.ko:\n"
	"kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko\n"
	"kernel/drivers/virtio/virtio_ring.ko:\n"
	"kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio.ko "
	"kernel/drivers/virtio/virtio_ring.ko\n"
	"kernel/drivers/block/xvirtio_blk.ko:\n";
static const char builtin[] = "kernel/fs/overlayfs/overlay.ko\nkernel/drivers/virtio/virtio-pci.ko\n";
static const char softdep[] = "# a comment\nsoftdep ext4 pre: crypto-crc32c post: mbcache\n"
			      "softdep jbd2 post: virtio\n";
static const char alias[] = "alias pci:v00001AF4d* virtio_pci\n"
			    "alias crypto-crc32c crc32c_generic\n"
			    "alias crypto-crc32c crc32c_intel\n";

static struct modules_lists sound(void)
{
	return (struct modules_lists){
		.dir = "DIR", .dep = dep, .builtin = builtin, .softdep = softdep, .alias = alias};
}

static void expect_order(const struct modules_order *order, const char *const *paths, unsigned count)
{
	assert_int_equal(order->count, count);
	for (unsigned i = 0; i < count; i++)
		assert_string_equal(order->paths[i], paths[i]);
}

static void dependencies_come_first(void **state)
{
	static const char *const want[] = {"kernel/drivers/virtio/virtio_ring.ko",
					   "kernel/drivers/virtio/virtio.ko",
					   "kernel/drivers/block/virtio_blk.ko"};
	struct modules_lists lists = sound();
	struct modules_order order = {0};

	(void)state;
	assert_int_equal(modules_add(&lists, "virtio_blk", &order, NULL), 0);
	assert_int_equal(modules_add(&lists, "virtio", &order, NULL), 0); /* there already */
	expect_order(&order, want, ARRAY_SIZE(want));
}

static void soft_dependencies_by_alias(void **state)
{
	static const char *const want[] = {"kernel/crypto/crc32c_generic.ko",
					   "kernel/arch/x86/crypto/crc32c-intel.ko",
					   "kernel/lib/crc16.ko",
					   "kernel/fs/jbd2/jbd2.ko",
					   "kernel/fs/mbcache.ko",
					   "kernel/fs/ext4/ext4.ko.xz"};
	struct modules_lists lists = sound();
	struct modules_order order = {0};

	(void)state;
	assert_int_equal(modules_add(&lists, "ext4", &order, NULL), 0);
	expect_order(&order, want, ARRAY_SIZE(want));
}

static void missing_lists(void **state)
{
	struct modules_lists lists = {.dir = "DIR", .dep = dep};
	struct modules_order order = {0};

	(void)state;
	assert_int_equal(modules_add(&lists, "ext4", &order, NULL), 0);
	assert_int_equal(order.count, 4); /* without crc32c */
	/* Nobody can tell what is missing from what is built in. */
	assert_int_equal(modules_add(&lists, "overlay", &order, NULL), 0);
	assert_int_equal(order.count, 4);
	lists.dep = "";
	assert_int_equal(modules_add(&lists, "ext4", &order, NULL), 0);
	assert_int_equal(order.count, 4);
}

static void built_in_and_absent(void **state)
{
	struct modules_lists lists = sound();
	struct modules_order order = {0};
	struct err err = {0};

	(void)state;
	assert_int_equal(modules_add(&lists, "overlay", &order, &err), 0);
	assert_int_equal(modules_add(&lists, "virtio_pci", &order, &err), 0); /* "virtio-pci" */
	assert_int_equal(order.count, 0);
	assert_int_equal(modules_add(&lists, "xfs", &order, &err), -ENOENT);
	assert_string_equal(err.msg, "DIR: the kernel has no module xfs");
	assert_int_equal(order.count, 0);
}

static void loops_end(void **state)
{
	struct modules_lists lists = {.dir = "DIR", .dep = "a.ko: b.ko\nb.ko: c.ko a.ko\nc.ko: b.ko\n"};
	struct modules_order order = {0};
	struct err err = {0};

	(void)state;
	assert_int_equal(modules_add(&lists, "a", &order, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "no end"));
	lists = (struct modules_lists){
		.dir = "DIR", .dep = "a.ko:\nb.ko:\n", .softdep = "softdep a pre: b\nsoftdep b pre: a\n"};
	order.count = 0;
	assert_int_equal(modules_add(&lists, "a", &order, &err), -EINVAL);
}

/* More modules than any root needs: an error, and no more than there is place for. */
static void wide_lists_are_bounded(void **state)
{
	struct modules_lists lists = {.dir = "DIR"};
	struct modules_order order = {0};
	char *text = calloc(1, 1 << 20);
	size_t len = 0;

	(void)state;
	assert_non_null(text);
	for (unsigned i = 0; i < 100; i++)
		len += (size_t)sprintf(text + len, "m%u.ko:\n", i);
	len += (size_t)sprintf(text + len, "all.ko:");
	for (unsigned i = 0; i < 100; i++)
		len += (size_t)sprintf(text + len, " m%u.ko", i);
	lists.dep = text;
	assert_int_equal(modules_add(&lists, "all", &order, NULL), -E2BIG);
	assert_int_equal(order.count, MODULES_MAX);
	free(text);
}

static void paths_stay_inside(void **state)
{
	static const char *const bad[] = {"../a.ko:\n", "kernel/../../a.ko:\n", "/etc/a.ko:\n",
					  "x/..//a.ko:\n"};
	struct modules_order order = {0};
	char *text;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct modules_lists lists = {.dir = "DIR", .dep = bad[i]};

		assert_int_equal(modules_add(&lists, "a", &order, NULL), -EINVAL);
		assert_int_equal(order.count, 0);
	}
	/* "..a" is a name like any other. */
	{
		struct modules_lists lists = {.dir = "DIR", .dep = "..x/a.ko:\n"};

		assert_int_equal(modules_add(&lists, "a", &order, NULL), 0);
	}
	/* A path that is longer than the place for it. */
	text = calloc(1, 100000);
	assert_non_null(text);
	memset(text, 'd', 90000);
	memcpy(text + 90000, "/b.ko:", 7);
	{
		struct modules_lists lists = {.dir = "DIR", .dep = text};

		assert_int_equal(modules_add(&lists, "b", &order, NULL), -EINVAL);
	}
	free(text);
}

static void nonsense_is_refused(void **state)
{
	struct modules_order order = {0};
	struct modules_lists lists = {.dir = "DIR",
				      .dep = "a.ko: nothing\n: b.ko\n:::\n\n.ko:\nlast.ko: .ko"};
	char name[3 * MODULES_NAME_MAX];

	(void)state;
	assert_int_equal(modules_add(&lists, "a", &order, NULL), -EINVAL);
	assert_int_equal(modules_add(&lists, "last", &order, NULL), -EINVAL);
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	lists.builtin = "";
	assert_int_equal(modules_add(&lists, name, &order, NULL), -ENOENT);
	assert_int_equal(modules_add(&lists, "", &order, NULL), -ENOENT);
	assert_int_equal(order.count, 0);
}

/* ---- the kernel's version ---- */

static int file_with(const void *p, size_t len, off_t at, off_t size)
{
	int fd = memfd_create("test", 0);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	assert_int_equal(fd_pwrite_full(fd, p, len, at), 0);
	return fd;
}

static bool version_of(uint16_t offset, const char *text, char *ret)
{
	uint8_t header[0x1000] = {0};
	int fd;
	bool found;

	memcpy(header + 0x202, "HdrS", 4);
	store_le16(header + 0x20e, offset);
	memcpy(header + 0x800, text, strlen(text));
	fd = file_with(header, sizeof(header), 0, sizeof(header));
	found = module_tree_kernel_version(fd, ret);
	close(fd);
	return found;
}

static void kernel_version(void **state)
{
	char version[MODULE_TREE_VERSION_MAX] = "";
	char text[512];

	(void)state;
	assert_true(version_of(0x600, "6.1.0-1_x+deb~1 (a@b) #1 SMP", version));
	assert_string_equal(version, "6.1.0-1_x+deb~1");
	assert_false(version_of(0x600, "../../etc (a@b)", version));
	assert_false(version_of(0x600, "..", version));
	assert_false(version_of(0x600, "6.1/../x", version));
	assert_false(version_of(0x600, "", version));
	assert_false(version_of(0, "6.1", version));
	assert_false(version_of(0xffff, "6.1", version)); /* behind the file's end */
	memset(text, '6', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_false(version_of(0x600, text, version));
	assert_string_equal(version, "6.1.0-1_x+deb~1"); /* untouched */
}

/* ---- superblocks ---- */

static enum filesystem_kind kind_of(const void *magic, size_t len, off_t at)
{
	int fd = file_with(magic, len, at, 1 << 20);
	enum filesystem_kind kind = filesystem_detect(fd);

	close(fd);
	return kind;
}

static void filesystems(void **state)
{
	int fd = memfd_create("empty", 0);

	(void)state;
	assert_int_equal(filesystem_detect(fd), FILESYSTEM_UNKNOWN);
	close(fd);
	assert_int_equal(kind_of("\x53\xef", 2, 1080), FILESYSTEM_EXT);
	assert_int_equal(kind_of("\x53\xef", 2, 1081), FILESYSTEM_UNKNOWN);
	assert_int_equal(kind_of("XFSB", 4, 0), FILESYSTEM_XFS);
	assert_int_equal(kind_of("_BHRfS_M", 8, 65600), FILESYSTEM_BTRFS);
	assert_int_equal(kind_of("hsqs", 4, 0), FILESYSTEM_SQUASHFS);
	assert_int_equal(kind_of("\xe2\xe1\xf5\xe0", 4, 1024), FILESYSTEM_EROFS);
	assert_int_equal(kind_of("\x10\x20\xf5\xf2", 4, 1024), FILESYSTEM_F2FS);
	assert_int_equal(kind_of("FAT32   ", 8, 82), FILESYSTEM_VFAT);
	assert_int_equal(kind_of("\x55\xaa", 2, 510), FILESYSTEM_PARTITIONS);
	assert_int_equal(kind_of("EFI PART", 8, 512), FILESYSTEM_PARTITIONS);
	assert_int_equal(kind_of("QFI\xfb", 4, 0), FILESYSTEM_QCOW2);
	assert_string_equal(filesystem_name(FILESYSTEM_EXT), "ext4");
	assert_string_equal(filesystem_name(FILESYSTEM_BTRFS), "btrfs");
	assert_null(filesystem_name(FILESYSTEM_PARTITIONS));
	assert_null(filesystem_name(FILESYSTEM_UNKNOWN));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dependencies_come_first),
		cmocka_unit_test(soft_dependencies_by_alias),
		cmocka_unit_test(missing_lists),
		cmocka_unit_test(built_in_and_absent),
		cmocka_unit_test(loops_end),
		cmocka_unit_test(wide_lists_are_bounded),
		cmocka_unit_test(paths_stay_inside),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(kernel_version),
		cmocka_unit_test(filesystems),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
