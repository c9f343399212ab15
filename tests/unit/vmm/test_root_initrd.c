/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the first stage is told and given: /root.conf, and the modules for a machine. */
#include "config_words.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "hull/util.h"
#include "root_conf.h"
#include "root_needs.h"

/* ---- /root.conf ---- */

static void conf_is(struct vm_config *c, enum filesystem_kind kind, const char *expected)
{
	char *text = NULL;

	assert_int_equal(root_conf_make(c, kind, &text, NULL), 0);
	assert_string_equal(text, expected);
	free(text);
}

static void conf_of(char *const words[], bool directory, enum filesystem_kind kind, const char *expected)
{
	struct vm_config c = accepted(words);

	if (directory)
		assert_int_equal(config_root_is_directory(&c, NULL), 0);
	conf_is(&c, kind, expected);
}

static void conf_of_images(void **state)
{
	(void)state;
	conf_of(WORDS(W("--root=r")), false, FILESYSTEM_EXT,
		"device /dev/vda\nmode rw\nfstype ext4\nhostname hull\n");
	conf_of(WORDS(W("--root=r,cow"), W("--name=web.1"), W("-ntap=t"), W("-nuser"), W("--agent")), false,
		FILESYSTEM_PARTITIONS, "device /dev/vda\nmode cow\ndhcp eth1\nhostname web.1\nagent\n");
	conf_of(WORDS(W("--root=r,ro"), W("--"), W("x")), false, FILESYSTEM_UNKNOWN,
		"device /dev/vda\nmode ro\nhostname hull\ncommand\n");
}

static void conf_of_directories(void **state)
{
	(void)state;
	/* An image's content has no say. */
	conf_of(WORDS(W("--root=r"), W("-dx")), true, FILESYSTEM_EXT, "tag root\nmode cow\nhostname hull\n");
	conf_of(WORDS(W("--root=r,rw"), W("--agent")), true, FILESYSTEM_UNKNOWN,
		"tag root\nmode rw\nhostname hull\nagent\n");
	conf_of(WORDS(W("--agent"), W("--workdir=/w"), W("--"), W("x")), false, FILESYSTEM_UNKNOWN,
		"tag root\nmode cow\nhostname hull\ndir /w\ncommand\n");
	/* What the guest has of its own, such as /run, must not hide where COMMAND starts. */
	conf_of(WORDS(W("--root=/"), W("--workdir=/run/a b"), W("--"), W("x")), true, FILESYSTEM_UNKNOWN,
		"tag root\nmode cow\nhostname hull\ndir /run/a\\040b\ncommand\n");
}

/* Without --workdir that is where the caller is. */
static void conf_of_the_callers_directory(void **state)
{
	struct vm_config c = accepted(WORDS(W("--root=/"), W("--"), W("x")));
	char *text = NULL;
	char *cwd = getcwd(NULL, 0);

	(void)state;
	assert_int_equal(config_root_is_directory(&c, NULL), 0);
	assert_int_equal(chdir("/usr"), 0);
	assert_int_equal(root_conf_make(&c, FILESYSTEM_UNKNOWN, &text, NULL), 0);
	assert_non_null(strstr(text, "\ndir /usr\n"));
	assert_int_equal(chdir(cwd), 0);
	free(cwd);
	free(text);
}

static void conf_without_root(void **state)
{
	(void)state;
	conf_of(WORDS(W("-i/i"), W("-dx"), W("--"), W("x")), false, FILESYSTEM_UNKNOWN,
		"hostname hull\ncommand\n");
}

/* The tags are the configuration's, the order is that in which they can be mounted. */
static void conf_of_shares(void **state)
{
	(void)state;
	conf_of(WORDS(W("--share=a:/b/c,ro"), W("--share=x:/b"), W("--share=y:/a"), W("--root=r"), W("--"),
		      W("x")),
		true, FILESYSTEM_UNKNOWN,
		"tag root\nmode cow\nhostname hull\nshare share2 /a rw\nshare share1 /b rw\n"
		"share share0 /b/c ro\ncommand\n");
	conf_of(WORDS(W("-i/i"), W("--share=a:/b c\\d\ne\tf"), W("--"), W("x")), false, FILESYSTEM_UNKNOWN,
		"hostname hull\nshare share0 /b\\040c\\134d\\012e\tf rw\ncommand\n");
}

/* Nothing is cut off, however long it is. */
static void conf_with_the_longest_path(void **state)
{
	struct vm_config c = accepted(WORDS(W("-i/i"), W("--share=a:/b"), W("--"), W("x")));
	char *text = NULL;

	(void)state;
	memset(c.shares[0].target + 1, ' ', CONFIG_MAX_PATH - 2);
	c.shares[0].target[CONFIG_MAX_PATH - 1] = '\0';
	assert_int_equal(root_conf_make(&c, FILESYSTEM_UNKNOWN, &text, NULL), 0);
	assert_int_equal(strlen(text),
			 strlen("hostname hull\nshare share0 / rw\ncommand\n") + 4 * (CONFIG_MAX_PATH - 2));
	free(text);
}

/* ---- modules ---- */

static const char *const all_modules[] = {
	"virtio_pci",
	"virtio_mmio",
	"virtio_blk",
	"virtiofs",
	"overlay",
	"ext4",
	"xfs",
	"vfat",
	"nls_ascii",
	"nls_cp437",
	"virtio_net",
	"virtio_console",
	"virtio_balloon",
	"virtio_rng",
	"vmw_vsock_virtio_transport",
	"nls_iso8859",
	"i6300esb",
	"button",
	"evdev",
	"pvpanic_mmio",
	"vmgenid",
};

/* modules.dep of a kernel that has all but `without`; virtiofs stands on fuse. */
static void make_dep(char *dep, size_t cap, const char *without)
{
	size_t len = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(all_modules); i++) {
		const char *name = all_modules[i];

		if (strcmp(name, without) != 0)
			len += (size_t)snprintf(dep + len, cap - len, "k/%s.ko:%s\n", name,
						strcmp(name, "virtiofs") == 0 ? " k/fuse.ko" : "");
	}
	if (strcmp(without, "fuse") != 0)
		snprintf(dep + len, cap - len, "k/fuse.ko:\n");
}

static int modules_of(struct vm_config *c, enum filesystem_kind kind, const char *without,
		      struct modules_order *order, struct err *err)
{
	char dep[2000];
	const struct modules_lists lists = {.dir = "DIR", .dep = dep, .builtin = "k/other.ko\n"};

	make_dep(dep, sizeof(dep), without);
	order->count = 0;
	return root_needs_resolve(c, kind, &lists, order, err);
}

static bool has(const struct modules_order *order, const char *name)
{
	char path[MODULES_PATH_MAX];

	snprintf(path, sizeof(path), "k/%s.ko", name);
	for (unsigned i = 0; i < order->count; i++) {
		if (strcmp(order->paths[i], path) == 0)
			return true;
	}
	return false;
}

/* The modules in `expected`, between spaces, in this order, and then those that every machine has. */
static void modules_are(char *const words[], enum filesystem_kind kind, const char *expected)
{
	static const char *const always[] = {"button",         "evdev",      "pvpanic_mmio",
					     "virtio_balloon", "virtio_rng", "vmgenid"};
	struct vm_config c = accepted(words);
	struct modules_order order;
	struct err err = {0};
	unsigned without = c.command.argv ? 2 : 0; /* nobody listens to the button */
	char list[400] = "";

	if (modules_of(&c, kind, "", &order, &err) < 0)
		fail_msg("%s", err.msg);
	for (unsigned i = 0; i < ARRAY_SIZE(always); i++)
		assert_int_equal(has(&order, always[i]), i >= without);
	for (unsigned i = 0; i < order.count - ARRAY_SIZE(always) + without; i++) {
		const char *path = order.paths[i];

		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%.*s", i ? " " : "",
			 (int)strlen(path) - 5, path + 2);
	}
	assert_string_equal(list, expected);
}

static void modules_for_roots(void **state)
{
	(void)state;
	modules_are(WORDS(W("--root=r")), FILESYSTEM_XFS, "virtio_pci virtio_blk xfs");
	modules_are(WORDS(W("--root=r,cow"), W("--transport=mmio")), FILESYSTEM_UNKNOWN,
		    "virtio_mmio virtio_blk ext4 overlay");
	modules_are(WORDS(W("--root=r"), W("-a"), W("rootfstype=vfat,x")), FILESYSTEM_PARTITIONS,
		    "virtio_pci virtio_blk ext4 vfat");
	modules_are(WORDS(W("--root=r"), W("--share=a:/b")), FILESYSTEM_EXT,
		    "virtio_pci virtio_blk ext4 fuse virtiofs");
	modules_are(WORDS(W("--root=r,ro"), W("--share=a:/b")), FILESYSTEM_EXT,
		    "virtio_pci virtio_blk ext4 fuse virtiofs overlay");
	modules_are(WORDS(W("--root=r,ro")), FILESYSTEM_EXT, "virtio_pci virtio_blk ext4");
}

static void modules_for_commands(void **state)
{
	static const char vsock[] = "vmw_vsock_virtio_transport";
	char expected[200];

	(void)state;
	snprintf(expected, sizeof(expected), "virtio_pci fuse virtiofs overlay %s", vsock);
	modules_are(WORDS(W("--"), W("x")), FILESYSTEM_UNKNOWN, expected);
	/* An image's file system is none of a directory's needs. */
	modules_are(WORDS(W("-a"), W("rootfstype=xfs"), W("--"), W("x")), FILESYSTEM_EXT, expected);
	snprintf(expected, sizeof(expected), "virtio_pci virtio_blk ext4 xfs %s", vsock);
	modules_are(WORDS(W("-dx"), W("-a"), W("root=/dev/vda1 rootfstype=xfs"), W("--"), W("x")),
		    FILESYSTEM_UNKNOWN, expected);
	snprintf(expected, sizeof(expected), "virtio_pci virtio_blk %s virtio_net", vsock);
	modules_are(WORDS(W("-i/i"), W("-dx"), W("-nuser"), W("--"), W("x")), FILESYSTEM_UNKNOWN, expected);
	snprintf(expected, sizeof(expected), "virtio_pci virtio_blk ext4 %s virtio_console", vsock);
	modules_are(WORDS(W("--root=r"), W("--agent"), W("--console=virtio")), FILESYSTEM_EXT, expected);
}

/* What the machine cannot do without is missing: a line that says what, and for what. */
static void essential_modules(void **state)
{
	static const struct {
		const char *module, *reason;
	} all[] = {
		{"virtio_pci", "--transport"},
		{"virtio_blk", "a disk"},
		{"virtiofs", "--share"},
		{"fuse", "--share"},
		{"overlay", "cow"},
		{"vmw_vsock_virtio_transport", "COMMAND"},
		{"virtio_console", "--console virtio"},
		{"virtio_net", "a network"},
	};
	struct vm_config c =
		accepted(WORDS(W("-dx"), W("--root=r"), W("-nuser"), W("--console=virtio"), W("--"), W("x")));
	struct modules_order order;

	(void)state;
	assert_int_equal(config_root_is_directory(&c, NULL), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
		struct err err = {0};
		char expected[80];

		snprintf(expected, sizeof(expected), "DIR: the kernel has no module %s: ", all[i].module);
		assert_int_equal(modules_of(&c, FILESYSTEM_UNKNOWN, all[i].module, &order, &err), -ENOENT);
		if (strncmp(err.msg, expected, strlen(expected)) != 0 || !strstr(err.msg, all[i].reason))
			fail_msg("'%s' is not about %s", err.msg, all[i].module);
	}
	c = accepted(WORDS(W("--root=r"), W("--agent")));
	for (unsigned i = 0; i < 2; i++) {
		struct err err = {0};

		assert_int_equal(modules_of(&c, FILESYSTEM_EXT, i ? "ext4" : "vmw_vsock_virtio_transport",
					    &order, &err),
				 -ENOENT);
		assert_non_null(strstr(err.msg, i ? "the file system of --root" : "--agent needs it"));
	}
}

static void other_modules(void **state)
{
	static const char *const all[] = {"virtio_rng", "virtio_balloon", "i6300esb", "button", "ext4",
					  "evdev",      "pvpanic_mmio",   "overlay",  "vmgenid"};
	struct vm_config c =
		accepted(WORDS(W("--root=r,ro"), W("--share=a:/b"), W("--watchdog=exit"), W("--vsock=3")));
	struct modules_order order;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(all); i++)
		assert_int_equal(modules_of(&c, FILESYSTEM_UNKNOWN, all[i], &order, NULL), 0);
	assert_int_equal(modules_of(&c, FILESYSTEM_UNKNOWN, "vmw_vsock_virtio_transport", &order, NULL), 0);
	assert_false(has(&order, "vmw_vsock_virtio_transport"));
	assert_true(has(&order, "i6300esb"));
}

/* What is built in is no module, and is not missing. */
static void built_in(void **state)
{
	const struct modules_lists lists = {
		.dir = "DIR",
		.dep = "k/virtio_pci.ko:\n",
		.builtin = "k/virtiofs.ko\nk/overlay.ko\nk/vmw_vsock_virtio_transport.ko\n",
	};
	struct vm_config c = accepted(WORDS(W("--"), W("x")));
	struct modules_order order = {.count = 0};

	(void)state;
	assert_int_equal(root_needs_resolve(&c, FILESYSTEM_UNKNOWN, &lists, &order, NULL), 0);
	assert_int_equal(order.count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conf_of_images),
		cmocka_unit_test(conf_of_directories),
		cmocka_unit_test(conf_of_the_callers_directory),
		cmocka_unit_test(conf_without_root),
		cmocka_unit_test(conf_of_shares),
		cmocka_unit_test(conf_with_the_longest_path),
		cmocka_unit_test(modules_for_roots),
		cmocka_unit_test(modules_for_commands),
		cmocka_unit_test(essential_modules),
		cmocka_unit_test(other_modules),
		cmocka_unit_test(built_in),
	};

	return cmocka_run_group_tests_name("root-initrd", tests, NULL, NULL);
}
