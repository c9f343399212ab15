/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finding the modules of a kernel; see module_tree.h. */
#include "module_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "hull/util.h"

enum {
	LIST_BYTES_MAX = 16 << 20, /* modules.alias of a distribution's kernel: 1.5 MB */
	HEADER_MAGIC = 0x202,      /* boot.rst: header, kernel_version */
	HEADER_VERSION = 0x20e,
	HEADER_BASE = 0x200,
};

/* ---- the kernel's version ---- */

static bool is_version_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
	       c == '-' || c == '_' || c == '+' || c == '~';
}

bool module_tree_kernel_version(int fd, char version[static MODULE_TREE_VERSION_MAX])
{
	uint8_t magic[4];
	uint8_t offset[2];
	char text[MODULE_TREE_VERSION_MAX];
	size_t len = 0;

	if (fd_pread_full(fd, magic, sizeof(magic), HEADER_MAGIC) < 0 || memcmp(magic, "HdrS", 4) != 0 ||
	    fd_pread_full(fd, offset, sizeof(offset), HEADER_VERSION) < 0 || load_le16(offset) == 0 ||
	    fd_pread_full(fd, text, sizeof(text), HEADER_BASE + load_le16(offset)) < 0)
		return false;
	while (len < sizeof(text) && is_version_char(text[len]))
		len++;
	/* "6.1.0-1-amd64 (builder@host) #1 ...": it becomes a part of a path. */
	if (len == 0 || len == sizeof(text) || (text[len] != ' ' && text[len] != '\0') || text[0] == '.')
		return false;
	memcpy(version, text, len);
	version[len] = '\0';
	return true;
}

/* ---- the directory ---- */

static bool is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Joins two parts; false when it is too long. */
static bool join(char *to, size_t cap, const char *dir, const char *name)
{
	int n = snprintf(to, cap, "%s/%s", dir, name);

	return n > 0 && (size_t)n < cap;
}

/* The only directory in `base`, as long as it looks like a version. */
static bool only_directory(const char *base, char *path, size_t cap)
{
	DIR *dir = opendir(base);
	struct dirent *entry;
	unsigned count = 0;
	char found[NAME_MAX + 1] = "";

	while (dir && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
			continue;
		snprintf(found, sizeof(found), "%s", entry->d_name);
		count++;
	}
	if (dir)
		closedir(dir);
	return count == 1 && join(path, cap, base, found) && is_directory(path);
}

/* lib/modules, to VERSION in it. */
static bool try_base(struct module_tree *tree, const char *base)
{
	if (!tree->version[0])
		return only_directory(base, tree->path, sizeof(tree->path));
	return join(tree->path, sizeof(tree->path), base, tree->version) && is_directory(tree->path);
}

static bool try_below(struct module_tree *tree, const char *dir, const char *name)
{
	char base[sizeof(tree->path)];

	return join(base, sizeof(base), dir, name) && try_base(tree, base);
}

static bool try_given(struct module_tree *tree, const char *dir)
{
	if (join(tree->path, sizeof(tree->path), dir, "modules.dep") && access(tree->path, F_OK) == 0) {
		snprintf(tree->path, sizeof(tree->path), "%s", dir);
		return true;
	}
	return try_base(tree, dir) || try_below(tree, dir, "modules") || try_below(tree, dir, "lib/modules");
}

/* /lib/modules has those of all kernels: one that does not tell its version is taken for the host's. */
static bool try_host(struct module_tree *tree)
{
	struct utsname u;

	if (tree->version[0])
		return try_base(tree, "/lib/modules");
	return uname(&u) == 0 && join(tree->path, sizeof(tree->path), "/lib/modules", u.release) &&
	       is_directory(tree->path);
}

static bool find(struct module_tree *tree, const char *kernel, const char *given)
{
	char dir[sizeof(tree->path)];
	const char *slash = strrchr(kernel, '/');

	if (given)
		return try_given(tree, given);
	snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - kernel) : 1, slash ? kernel : ".");
	return try_below(tree, dir, "lib/modules") || try_below(tree, dir, "../lib/modules") ||
	       try_host(tree);
}

/* ---- the lists ---- */

/* A list as text; NULL in *ret when there is none. */
static int read_list(const struct module_tree *tree, const char *name, char **ret, struct err *err)
{
	int fd = openat(tree->dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	char *text;
	int r;

	if (fd < 0)
		return errno == ENOENT ? 0 : err_errno(err, -errno, "%s/%s", tree->path, name);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > LIST_BYTES_MAX) {
		close(fd);
		return err_set(err, -EFBIG, "%s/%s: not a list of modules", tree->path, name);
	}
	text = malloc((size_t)st.st_size + 1);
	r = text ? fd_pread_full(fd, text, (size_t)st.st_size, 0) : -ENOMEM;
	close(fd);
	if (r < 0) {
		free(text);
		return err_errno(err, r, "%s/%s", tree->path, name);
	}
	text[st.st_size] = '\0';
	*ret = text;
	return 0;
}

static int read_lists(struct module_tree *tree, struct err *err)
{
	static const char *const names[] = {"modules.dep", "modules.builtin", "modules.softdep",
					    "modules.alias"};
	int r = 0;

	for (unsigned i = 0; r == 0 && i < ARRAY_SIZE(names); i++)
		r = read_list(tree, names[i], &tree->texts[i], err);
	if (r == 0 && !tree->texts[0])
		r = err_set(err, -ENOENT, "%s has no modules.dep: 'depmod -b' makes it", tree->path);
	tree->lists = (struct modules_lists){
		.dir = tree->path,
		.dep = tree->texts[0],
		.builtin = tree->texts[1],
		.softdep = tree->texts[2],
		.alias = tree->texts[3],
	};
	return r;
}

int module_tree_find(const struct boot_file *kernel, struct module_tree *ret, struct err *looked,
		     struct err *err)
{
	const char *given = getenv("HULL_MODULES");
	const char *version = ret->version;

	*ret = (struct module_tree){.dir = -1};
	if (given && !*given)
		given = NULL;
	module_tree_kernel_version(kernel->fd, ret->version);
	if (!*version)
		version = "VERSION";
	if (!find(ret, kernel->path, given)) {
		ret->path[0] = '\0';
		if (given)
			return err_set(
				err, -ENOENT,
				"$HULL_MODULES: no modules of the kernel (%s) in %s, nor in lib/modules/ there",
				version, given);
		err_set(looked, -ENOENT,
			"%s: no modules found: no lib/modules/%s in its directory, in the one above, or in /; "
			"$HULL_MODULES can name another place",
			kernel->path, version);
		return 0;
	}
	ret->dir = open(ret->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ret->dir < 0)
		return err_errno(err, -errno, "%s", ret->path);
	return read_lists(ret, err);
}

void module_tree_close(struct module_tree *tree)
{
	if (tree->path[0]) /* a zeroed one has no descriptor */
		fd_close(&tree->dir);
	for (unsigned i = 0; i < ARRAY_SIZE(tree->texts); i++) {
		free(tree->texts[i]);
		tree->texts[i] = NULL;
	}
}
