/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --share, and --root DIR; see config_share.h. */
#include "config_share.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config_disk.h"
#include "config_fields.h"
#include "hull/util.h"

static const char root_tag[] = "root";

static const char *const caches[] = {
	[SHARE_CACHE_AUTO] = "auto",
	[SHARE_CACHE_LONG] = "long",
	[SHARE_CACHE_WRITEBACK] = "writeback",
};

const char *config_share_cache(enum share_cache cache)
{
	return caches[cache];
}

/* ---- --share ---- */

static int set_read_only(void *target, const char *value)
{
	struct config_share *share = target;

	(void)value;
	share->read_only = true;
	return 0;
}

static int set_cache(void *target, const char *value)
{
	struct config_share *share = target;
	int i = config_find_word(value, caches, ARRAY_SIZE(caches));

	if (i < 0)
		return i;
	share->cache = (enum share_cache)i;
	return 0;
}

static const struct config_key share_rows[] = {
	{"ro", NULL, set_read_only},
	{"cache", "auto, writeback or long", set_cache},
};

static const struct config_keys share_keys = {
	share_rows,
	ARRAY_SIZE(share_rows),
	" (a comma in a path is written as two)",
};

/* The last ':' with a '/' behind it; NULL: there is none. */
static char *find_split(char *text)
{
	char *split = NULL;

	for (char *p = text; *p; p++) {
		if (p[0] == ':' && p[1] == '/')
			split = p;
	}
	return split;
}

/*
 * An absolute path in its shortest form: without empty parts and ".". Errors: -EINVAL: it has
 * "..", which means another place wherever there are symbolic links.
 */
static int shorten(char path[static CONFIG_MAX_PATH], const char *text)
{
	size_t used = 0;

	while (*text) {
		size_t len = strcspn(text, "/");

		if (len == 2 && memcmp(text, "..", 2) == 0)
			return -EINVAL;
		if (len > 0 && !(len == 1 && text[0] == '.')) {
			path[used++] = '/';
			memcpy(path + used, text, len);
			used += len;
		}
		text += len + (text[len] == '/');
	}
	if (used == 0)
		path[used++] = '/';
	path[used] = '\0';
	return 0;
}

bool config_is_share_target(const char *path)
{
	char shortest[CONFIG_MAX_PATH];

	if (path[0] != '/' || path[1] == '\0' || strlen(path) >= sizeof(shortest))
		return false;
	return shorten(shortest, path) == 0 && strcmp(shortest, path) == 0;
}

/* Cuts "DIR:PATH" into the two. */
static int set_paths(struct config_share *share, char *text, const char *option, struct err *err)
{
	char *split = find_split(text);

	if (!split)
		return err_set(err, -EINVAL,
			       "%s %s: expected DIR:PATH, with a PATH in the guest that begins with '/' "
			       "(a comma in a path is written as two)",
			       option, text);
	if (split == text)
		return err_set(err, -EINVAL, "%s %s: expected the path of a directory before ':'", option,
			       text);
	if (split - text >= CONFIG_MAX_PATH || strlen(split + 1) >= CONFIG_MAX_PATH)
		return err_set(err, -EINVAL, "%s: a path is at most %d bytes long", option,
			       CONFIG_MAX_PATH - 1);
	if (shorten(share->target, split + 1) < 0)
		return err_set(err, -EINVAL, "%s %s: expected a PATH in the guest without '..'", option,
			       text);
	if (share->target[1] == '\0')
		return err_set(err, -EINVAL,
			       "%s %s: expected a PATH below /: the guest's root is that of --root", option,
			       text);
	*split = '\0';
	memcpy(share->path, text, (size_t)(split - text) + 1);
	return 0;
}

/* Makes it share `index`; those from there on move up. */
static int insert_share(struct vm_config *c, unsigned index, const struct config_share *share,
			const char *option, struct err *err)
{
	if (c->share_count == CONFIG_MAX_SHARES)
		return err_set(err, -EINVAL, "%s %s: at most %d shares, with a root directory", option,
			       share->path, CONFIG_MAX_SHARES);
	memmove(c->shares + index + 1, c->shares + index, (c->share_count - index) * sizeof(c->shares[0]));
	c->shares[index] = *share;
	c->share_count++;
	return 0;
}

static int add_share(struct vm_config *c, const struct config_share *share, const char *option,
		     struct err *err)
{
	for (unsigned i = 0; i < c->share_count; i++) {
		if (strcmp(c->shares[i].target, share->target) == 0)
			return err_set(err, -EINVAL, "%s %s:%s: %s has that PATH already: expected another",
				       option, share->path, share->target, c->shares[i].path);
	}
	return insert_share(c, c->share_count, share, option, err);
}

int config_apply_share(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	struct config_share share = {.cache = SHARE_CACHE_AUTO};
	char first[2 * CONFIG_MAX_PATH];
	char shown[2 * CONFIG_MAX_PATH];
	unsigned seen = 0;
	int r;

	if (!config_take_field(&value, first, sizeof(first)))
		return err_set(err, -EINVAL, "%s: a path is at most %d bytes long", option,
			       CONFIG_MAX_PATH - 1);
	memcpy(shown, first, strlen(first) + 1);
	r = set_paths(&share, first, option, err);
	if (r == 0)
		r = config_apply_fields(&share_keys, option, shown, value, &share, &seen, err);
	if (r < 0)
		return r;
	if (share.read_only && share.cache == SHARE_CACHE_WRITEBACK)
		return err_set(err, -EINVAL, "%s %s: cache=writeback: not together with ro", option, shown);
	return add_share(c, &share, option, err);
}

/* ---- after all options ---- */

void config_finish_shares(struct vm_config *c)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->share_count; i++) {
		struct config_share *share = &c->shares[i];

		if (strcmp(share->tag, root_tag) != 0)
			snprintf(share->tag, sizeof(share->tag), "share%u", n++);
	}
}

int config_root_is_directory(struct vm_config *c, struct err *err)
{
	struct config_share share = {.target = "/", .cache = SHARE_CACHE_AUTO};
	enum root_mode mode = c->root.mode_given ? c->root.mode : ROOT_COW;
	int r;

	if (c->root.directory)
		return 0;
	memcpy(share.path, c->root.path, sizeof(share.path));
	memcpy(share.tag, root_tag, sizeof(root_tag));
	share.read_only = mode != ROOT_RW; /* what is written to a cow one stays in the guest */
	r = insert_share(c, 0, &share, "--root", err);
	if (r < 0)
		return r;
	config_remove_root_disk(c);
	c->root.mode = mode;
	c->root.directory = true;
	return 0;
}
