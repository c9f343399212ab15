/* SPDX-License-Identifier: GPL-2.0-or-later */
/* FIT images; see fit.h. */
#include "fit.h"

#include <errno.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fit_hash.h"
#include "hull/util.h"

enum {
	FIT_MAX = 256 << 20, /* of the tree with the data inside it */
	DTB_MAX = 1 << 20,
	NAME_MAX_LEN = 40,
};

static int damaged(const struct fit *fit, const char *what, struct err *err)
{
	return err_set(err, -EINVAL, "%s: the FIT image is damaged: %s", fit->img.path, what);
}

/*
 * True if each tag lies behind the one before it, up to the end. libfdt 1.6.1 adds the length of a property
 * to its offset without a look at the sum: a length of -12 leads back to the same property, for ever.
 */
static bool tags_advance(const void *blob)
{
	int at = 0;
	int next = 0;
	uint32_t tag;

	do {
		at = next;
		tag = fdt_next_tag(blob, at, &next);
	} while (tag != FDT_END && next > at);
	return next > at;
}

/* A tree in memory, read from `img` and checked. The caller frees *ret. */
static int read_tree(const struct image *img, size_t max, void **ret, size_t *ret_size, struct err *err)
{
	uint64_t head[(sizeof(struct fdt_header) + 7) / 8] = {0};
	uint64_t size;
	void *blob;
	int r;

	if (img->len < sizeof(struct fdt_header))
		return err_set(err, -EINVAL, "%s: the device tree is cut short", img->path);
	r = image_read(img, 0, head, sizeof(struct fdt_header), err);
	if (r < 0)
		return r;
	size = fdt_totalsize(head);
	if (fdt_check_header(head) < 0 || size > img->len)
		return err_set(err, -EINVAL, "%s: the device tree is damaged or cut short", img->path);
	if (size > max)
		return err_set(err, -EFBIG, "%s: the device tree is larger than %zu MiB", img->path,
			       max >> 20);
	blob = malloc((size_t)size);
	if (!blob)
		return err_errno(err, -ENOMEM, "%s", img->path);
	r = image_read(img, 0, blob, (size_t)size, err);
	if (r == 0 && (!tags_advance(blob) || fdt_check_full(blob, (size_t)size) < 0))
		r = err_set(err, -EINVAL, "%s: the device tree is damaged", img->path);
	if (r < 0) {
		free(blob);
		return r;
	}
	*ret = blob;
	*ret_size = (size_t)size;
	return 0;
}

/* A property that is one string, or NULL. */
static const char *string_prop(const void *blob, int node, const char *name)
{
	int len = 0;
	const char *s = fdt_getprop(blob, node, name, &len);

	/* It may be a list of strings, of which the first counts. */
	return s && len > 0 && memchr(s, '\0', (size_t)len) ? s : NULL;
}

/* A property that is one cell. False: there is none. */
static bool cell_prop(const void *blob, int node, const char *name, uint32_t *ret)
{
	int len = 0;
	const void *p = fdt_getprop(blob, node, name, &len);

	if (!p || len != 4)
		return false;
	*ret = __builtin_bswap32(load_le32(p));
	return true;
}

int fit_open(const struct image *img, struct fit *ret, struct err *err)
{
	const char *name;
	int configs;
	int r;

	*ret = (struct fit){.img = *img};
	r = read_tree(img, FIT_MAX, &ret->blob, &ret->size, err);
	if (r < 0)
		return r;
	ret->images = fdt_path_offset(ret->blob, "/images");
	configs = fdt_path_offset(ret->blob, "/configurations");
	if (ret->images < 0 || configs < 0)
		return err_set(err, -EINVAL, "%s: a device tree, but not a FIT image with a kernel",
			       img->path);
	name = string_prop(ret->blob, configs, "default");
	ret->config =
		name ? fdt_subnode_offset(ret->blob, configs, name) : fdt_first_subnode(ret->blob, configs);
	return ret->config < 0 ? damaged(ret, "no default configuration", err) : 0;
}

void fit_close(struct fit *fit)
{
	free(fit->blob);
	fit->blob = NULL;
}

/* A copy of `s` for messages: what a terminal would act on becomes '?'. */
static void printable(char out[static NAME_MAX_LEN], const char *s)
{
	snprintf(out, NAME_MAX_LEN, "%s", s);
	for (; *out; out++) {
		if ((unsigned char)*out < ' ' || (unsigned char)*out > '~')
			*out = '?';
	}
}

/* The node of the image that the configuration calls `role`: > 0, or 0 if there is none. */
static int find_image(const struct fit *fit, const char *role, int *ret_node, struct err *err)
{
	const char *name = string_prop(fit->blob, fit->config, role);
	char shown[NAME_MAX_LEN];

	*ret_node = 0;
	if (!name)
		return 0;
	*ret_node = fdt_subnode_offset(fit->blob, fit->images, name);
	if (*ret_node >= 0)
		return 0;
	printable(shown, name);
	return err_set(err, -EINVAL, "%s: the FIT image has no image \"%s\", which is its %s", fit->img.path,
		       shown, role);
}

/* Where the data of an image is: in the tree, or (external) behind it in the file. */
static int find_data(const struct fit *fit, int node, struct image *ret, struct err *err)
{
	uint64_t base = align_up(fit->size, 4); /* what data-offset counts from */
	uint32_t pos;
	uint32_t size;
	int len = 0;
	const char *data = fdt_getprop(fit->blob, node, "data", &len);
	uint64_t start;

	if (data)
		return image_part(&fit->img, (uint64_t)(data - (const char *)fit->blob), (uint64_t)len, ret,
				  err);
	if (!cell_prop(fit->blob, node, "data-size", &size))
		return damaged(fit, "an image without data", err);
	if (cell_prop(fit->blob, node, "data-position", &pos))
		start = pos;
	else if (cell_prop(fit->blob, node, "data-offset", &pos))
		start = base + pos;
	else
		return damaged(fit, "an image without data", err);
	return image_part(&fit->img, start, size, ret, err);
}

/* Checks every hash of an image. */
static int check_hashes(const struct fit *fit, int node, const char *role, struct fit_part *part,
			struct err *err)
{
	char shown[NAME_MAX_LEN];
	int sub;
	int r;

	fdt_for_each_subnode(sub, fit->blob, node)
	{
		const char *name = fdt_get_name(fit->blob, sub, NULL);
		const char *algo = string_prop(fit->blob, sub, "algo");
		int len = 0;
		const void *value = fdt_getprop(fit->blob, sub, "value", &len);

		if (!name || strncmp(name, "hash", 4) != 0)
			continue;
		if (!algo || !value)
			return damaged(fit, "an incomplete hash", err);
		r = fit_hash_check(&part->img, algo, value, (size_t)len, err);
		if (r == -ENOTSUP) {
			printable(shown, algo);
			return err_set(err, -EINVAL, "%s: the %s of the FIT image has an unknown hash \"%s\"",
				       fit->img.path, role, shown);
		}
		if (r == -EBADMSG)
			return err_set(err, -EINVAL, "%s: the %s of the FIT image is damaged: wrong %s",
				       fit->img.path, role, algo);
		if (r < 0)
			return r;
		part->hashed = true;
	}
	return 0;
}

/* Finds an image by its role and verifies it. A length of 0: there is none. */
static int open_part(const struct fit *fit, const char *role, struct fit_part *ret, int *ret_node,
		     struct err *err)
{
	const char *arch;
	int node;
	int r;

	*ret = (struct fit_part){.kind = PAYLOAD_UNKNOWN};
	r = find_image(fit, role, &node, err);
	if (r < 0 || node == 0)
		return r;
	arch = string_prop(fit->blob, node, "arch");
	if (arch && strcmp(arch, "x86") != 0 && strcmp(arch, "x86_64") != 0)
		return err_set(err, -EINVAL, "%s: the %s of the FIT image is not for x86", fit->img.path,
			       role);
	r = find_data(fit, node, &ret->img, err);
	if (r < 0)
		return r;
	if (ret->img.len == 0)
		return damaged(fit, "an empty image", err);
	*ret_node = node;
	return check_hashes(fit, node, role, ret, err);
}

int fit_kernel(const struct fit *fit, struct fit_part *ret, struct err *err)
{
	static const struct {
		const char *name;
		enum payload_kind kind;
	} codecs[] = {
		{"none", PAYLOAD_UNKNOWN}, {"gzip", PAYLOAD_GZIP}, {"bzip2", PAYLOAD_BZIP2},
		{"lzma", PAYLOAD_LZMA},    {"lzo", PAYLOAD_LZO},   {"lz4", PAYLOAD_LZ4_FRAME},
		{"zstd", PAYLOAD_ZSTD},
	};
	uint8_t magic[PAYLOAD_MAGIC] = {0};
	char shown[NAME_MAX_LEN];
	const char *name;
	int node = 0;
	int r;

	r = open_part(fit, "kernel", ret, &node, err);
	if (r < 0)
		return r;
	if (ret->img.len == 0)
		return err_set(err, -EINVAL, "%s: the FIT image has no kernel", fit->img.path);
	name = string_prop(fit->blob, node, "compression");
	if (!name)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(codecs); i++) {
		if (strcmp(name, codecs[i].name) != 0)
			continue;
		ret->kind = codecs[i].kind;
		if (ret->kind != PAYLOAD_LZ4_FRAME)
			return 0;
		/* U-Boot reads lz4 frames; "lz4 -l" is the kernel's own taste. Take both. */
		r = image_read(&ret->img, 0, magic, (size_t)min_u64(sizeof(magic), ret->img.len), err);
		if (r == 0 && payload_detect(magic) == PAYLOAD_LZ4)
			ret->kind = PAYLOAD_LZ4;
		return r;
	}
	printable(shown, name);
	return err_set(err, -EINVAL, "%s: the kernel of the FIT image has an unknown compression \"%s\"",
		       fit->img.path, shown);
}

int fit_ramdisk(const struct fit *fit, struct fit_part *ret, struct err *err)
{
	int node = 0;

	return open_part(fit, "ramdisk", ret, &node, err);
}

/* /chosen/bootargs of the tree in `img`; NULL if there is none. */
static int tree_bootargs(const struct image *img, char **ret, struct err *err)
{
	size_t size = 0;
	void *blob = NULL;
	const char *args;
	int chosen;
	int r;

	r = read_tree(img, DTB_MAX, &blob, &size, err);
	if (r < 0)
		return r;
	chosen = fdt_path_offset(blob, "/chosen");
	args = chosen < 0 ? NULL : string_prop(blob, chosen, "bootargs");
	*ret = strdup(args ? args : "");
	free(blob);
	return *ret ? 0 : err_errno(err, -ENOMEM, "%s", img->path);
}

int fit_bootargs(const struct fit *fit, char **ret, struct err *err)
{
	const char *args = string_prop(fit->blob, fit->config, "bootargs");
	struct fit_part tree = {0};
	int node = 0;
	int r;

	if (!args) {
		r = open_part(fit, "fdt", &tree, &node, err);
		if (r < 0)
			return r;
		if (tree.img.len > 0)
			return tree_bootargs(&tree.img, ret, err);
		args = "";
	}
	*ret = strdup(args);
	return *ret ? 0 : err_errno(err, -ENOMEM, "%s", fit->img.path);
}
