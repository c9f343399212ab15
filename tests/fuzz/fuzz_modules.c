/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes what is looked at to choose a kernel's modules: depmod's lists, the version in a kernel's header,
 * and the kind of file system on a disk.
 *
 * The input: a byte that chooses; lists: the name of a module, modules.dep, .builtin, .softdep and .alias,
 * each up to a byte 0.
 */
#include "fuzz.h"
#include "fuzz_file.h"

#include <string.h>

#include "filesystem.h"
#include "module_tree.h"
#include "modules.h"

enum { TEXTS = 5 };

/* Texts up to a NUL; those that the input lacks are "". */
static void split(struct fuzz_input *in, char *texts[TEXTS])
{
	for (unsigned i = 0; i < TEXTS; i++) {
		const uint8_t *end = in->left > 0 ? memchr(in->data, 0, in->left) : NULL;
		size_t len = end ? (size_t)(end - in->data) : in->left;

		texts[i] = malloc(len + 1);
		require(texts[i] != NULL);
		fuzz_bytes(in, texts[i], len);
		texts[i][len] = '\0';
		if (end)
			fuzz_u8(in);
	}
}

/* A path that leads out of the tree would open any file of the host. */
static void check_path(const char *path)
{
	const char *p = path;

	require(path[0] != '/' && path[0] != '\0' && strlen(path) < MODULES_PATH_MAX);
	while ((p = strstr(p, "..")) != NULL) {
		require((p != path && p[-1] != '/') || (p[2] != '/' && p[2] != '\0'));
		p++;
	}
}

static void lists(struct fuzz_input *in)
{
	static struct modules_order order;
	char *texts[TEXTS];
	struct modules_lists l = {.dir = "modules"};

	split(in, texts);
	l.dep = texts[1];
	l.builtin = texts[2][0] ? texts[2] : NULL;
	l.softdep = texts[3];
	l.alias = texts[4];
	memset(&order, 0, sizeof(order));
	if (strlen(texts[0]) < MODULES_NAME_MAX && modules_add(&l, texts[0], &order, NULL) == 0)
		(void)modules_add(&l, "ext4", &order, NULL);
	require(order.count <= MODULES_MAX);
	for (unsigned i = 0; i < order.count; i++)
		check_path(order.paths[i]);
	for (unsigned i = 0; i < TEXTS; i++)
		free(texts[i]);
}

static void header(struct fuzz_input *in)
{
	char version[MODULE_TREE_VERSION_MAX];
	int fd = fuzz_file(in->data, in->left);

	if (module_tree_kernel_version(fd, version)) {
		require(strnlen(version, sizeof(version)) < sizeof(version));
		require(version[0] != '.' && version[0] != '\0' && !strchr(version, '/'));
	}
	close(fd);
}

static void disk(struct fuzz_input *in)
{
	int fd = fuzz_file("", 0);

	/* At the places where there may be something. */
	while (in->left > 0) {
		static const uint32_t places[] = {0, 54, 82, 510, 512, 1024, 1080, 65600};
		uint8_t bytes[8];
		uint8_t at = fuzz_u8(in);

		fuzz_bytes(in, bytes, sizeof(bytes));
		require(fd_pwrite_full(fd, bytes, 1 + at / 32U, (off_t)(places[at % ARRAY_SIZE(places)])) ==
			0);
	}
	(void)filesystem_name(filesystem_detect(fd));
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};

	switch (fuzz_u8(&in) % 4) {
	case 0:
		header(&in);
		break;
	case 1:
		disk(&in);
		break;
	default:
		lists(&in);
		break;
	}
	return 0;
}
