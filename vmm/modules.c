/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lists of depmod, see modules.h:
 *
 *	modules.dep      kernel/fs/ext4/ext4.ko.xz: kernel/fs/jbd2/jbd2.ko.xz ...
 *	modules.builtin  kernel/fs/ext4/ext4.ko
 *	modules.softdep  softdep ext4 pre: crypto-crc32c post: ...
 *	modules.alias    alias crypto-crc32c crc32c_generic
 *
 * Each question walks over the text of a list: some hundred KiB, some twenty
 * times, is a few milliseconds and needs no index.
 */
#include "modules.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* A piece of a list. */
struct span {
	const char *p;
	size_t len;
};

/* The next line at *text, without its end; false when there is none. */
static bool next_line(const char **text, struct span *ret)
{
	if (**text == '\0')
		return false;
	ret->p = *text;
	ret->len = strcspn(*text, "\n");
	*text += ret->len + ((*text)[ret->len] == '\n');
	return true;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Takes the first word off `line`; false at its end. */
static bool next_word(struct span *line, struct span *ret)
{
	while (line->len > 0 && is_blank(line->p[0])) {
		line->p++;
		line->len--;
	}
	ret->p = line->p;
	while (line->len > 0 && !is_blank(line->p[0])) {
		line->p++;
		line->len--;
	}
	ret->len = (size_t)(line->p - ret->p);
	return ret->len > 0;
}

static bool is_word(struct span span, const char *word)
{
	return strlen(word) == span.len && memcmp(span.p, word, span.len) == 0;
}

static char normal(char c)
{
	return c == '-' ? '_' : c;
}

/* Module names do not tell '-' from '_'. */
static bool same_name(struct span span, const char *name)
{
	if (strlen(name) != span.len)
		return false;
	for (size_t i = 0; i < span.len; i++) {
		if (normal(span.p[i]) != normal(name[i]))
			return false;
	}
	return true;
}

/* "kernel/fs/ext4/ext4.ko.xz": "ext4"; empty when the path is not one of a module. */
static struct span name_of(struct span path)
{
	const char *slash = memrchr(path.p, '/', path.len);
	const char *p = slash ? slash + 1 : path.p;
	const char *end = path.p + path.len;

	for (const char *dot = p; (dot = memchr(dot, '.', (size_t)(end - dot))) != NULL; dot++) {
		if (end - dot >= 3 && memcmp(dot, ".ko", 3) == 0 && (dot + 3 == end || dot[3] == '.'))
			return (struct span){p, (size_t)(dot - p)};
	}
	return (struct span){p, 0};
}

/* A copy as a name; false when it is none. */
static bool take_name(struct span span, char name[static MODULES_NAME_MAX])
{
	if (span.len == 0 || span.len >= MODULES_NAME_MAX)
		return false;
	memcpy(name, span.p, span.len);
	name[span.len] = '\0';
	return true;
}

/* A path must stay in the tree: relative, no "..", nothing that is not a file name. */
static bool is_inside(struct span path)
{
	if (path.len == 0 || path.len >= MODULES_PATH_MAX || path.p[0] == '/')
		return false;
	for (size_t i = 0; i < path.len;) {
		size_t part = 0;

		while (i + part < path.len && path.p[i + part] != '/')
			part++;
		if (part == 2 && memcmp(path.p + i, "..", 2) == 0)
			return false;
		i += part + 1;
	}
	return true;
}

/* ---- the lists ---- */

static bool is_builtin(const struct modules_lists *lists, const char *name)
{
	const char *text = lists->builtin;
	struct span line;

	while (text && next_line(&text, &line)) {
		if (same_name(name_of(line), name))
			return true;
	}
	return false;
}

/* The line of modules.dep about a module: its path, and what it depends on. */
static bool find_dep(const struct modules_lists *lists, const char *name, struct span *ret_path,
		     struct span *ret_needs)
{
	const char *text = lists->dep;
	struct span line;

	while (next_line(&text, &line)) {
		const char *colon = memchr(line.p, ':', line.len);
		struct span path = {line.p, colon ? (size_t)(colon - line.p) : 0};

		if (colon && same_name(name_of(path), name)) {
			*ret_path = path;
			*ret_needs = (struct span){colon + 1, line.len - path.len - 1};
			return true;
		}
	}
	return false;
}

/* ---- the order ---- */

struct walk {
	const struct modules_lists *lists;
	struct modules_order *order;
	unsigned depth;
	unsigned steps; /* modules looked at: bounds what a hostile list costs */
};

enum { STEPS_MAX = 4096 };

static bool is_listed(const struct modules_order *order, const char *name)
{
	for (unsigned i = 0; i < order->count; i++) {
		if (same_name(name_of((struct span){order->paths[i], strlen(order->paths[i])}), name))
			return true;
	}
	return false;
}

static int append(struct walk *walk, struct span path, const char *name, struct err *err)
{
	struct modules_order *order = walk->order;

	if (!is_inside(path))
		return err_set(err, -EINVAL, "%s/modules.dep: the path of module %s is not one in the tree",
			       walk->lists->dir, name);
	if (order->count == MODULES_MAX)
		return err_set(err, -E2BIG, "%s/modules.dep: more than %d modules are needed",
			       walk->lists->dir, MODULES_MAX);
	memcpy(order->paths[order->count], path.p, path.len);
	order->paths[order->count++][path.len] = '\0';
	return 0;
}

static int visit(struct walk *walk, const char *name, struct err *err);

/* A module that would be good to have; whoever misses it says so in the guest. */
static int visit_soft(struct walk *walk, struct span word, struct err *err)
{
	char name[MODULES_NAME_MAX];
	const char *text = walk->lists->alias;
	struct span line;
	struct span part;
	int r;

	if (!take_name(word, name))
		return 0;
	r = visit(walk, name, err);
	if (r != -ENOENT)
		return r;
	/* "crypto-crc32c" is an alias of several modules: the general one, and those for some CPUs. */
	while (text && next_line(&text, &line)) {
		if (!next_word(&line, &part) || !is_word(part, "alias") || !next_word(&line, &part) ||
		    !same_name(part, name))
			continue;
		char target[MODULES_NAME_MAX];

		if (!next_word(&line, &part) || !take_name(part, target))
			continue;
		r = visit(walk, target, err);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	return 0;
}

/* What modules.softdep wants before `name`. */
static int visit_softdeps(struct walk *walk, const char *name, struct err *err)
{
	const char *text = walk->lists->softdep;
	struct span line;
	struct span word;
	int r = 0;

	while (r == 0 && text && next_line(&text, &line)) {
		bool before = false;

		if (!next_word(&line, &word) || !is_word(word, "softdep") || !next_word(&line, &word) ||
		    !same_name(word, name))
			continue;
		while (r == 0 && next_word(&line, &word)) {
			if (is_word(word, "pre:"))
				before = true;
			else if (is_word(word, "post:"))
				before = false;
			else if (before)
				r = visit_soft(walk, word, err);
		}
	}
	return r;
}

/* The words of `needs` from the last to the first: depmod puts the deepest last. */
static int visit_needs(struct walk *walk, struct span needs, struct err *err)
{
	int r = 0;

	while (r == 0 && needs.len > 0) {
		char name[MODULES_NAME_MAX];
		struct span word;

		while (needs.len > 0 && is_blank(needs.p[needs.len - 1]))
			needs.len--;
		word = (struct span){needs.p + needs.len, 0};
		while (needs.len > 0 && !is_blank(needs.p[needs.len - 1])) {
			needs.len--;
			word.p--;
			word.len++;
		}
		if (word.len == 0)
			break;
		if (!take_name(name_of(word), name))
			return err_set(err, -EINVAL, "%s/modules.dep: what is no module is depended on",
				       walk->lists->dir);
		r = visit(walk, name, err);
	}
	return r;
}

static int visit(struct walk *walk, const char *name, struct err *err)
{
	struct span path;
	struct span needs;
	int r;

	if (is_listed(walk->order, name))
		return 0;
	if (walk->depth == MODULES_DEPTH_MAX || walk->steps++ == STEPS_MAX)
		return err_set(err, -EINVAL, "%s/modules.dep: the dependencies of module %s have no end",
			       walk->lists->dir, name);
	if (!find_dep(walk->lists, name, &path, &needs)) {
		/* Without that list nobody can tell what is missing from what is built in. */
		if (!walk->lists->builtin || is_builtin(walk->lists, name))
			return 0;
		return err_set(err, -ENOENT, "%s: the kernel has no module %s", walk->lists->dir, name);
	}
	walk->depth++;
	r = visit_softdeps(walk, name, err);
	if (r == 0)
		r = visit_needs(walk, needs, err);
	walk->depth--;
	/* A soft dependency may have brought it already. */
	if (r == 0 && !is_listed(walk->order, name))
		r = append(walk, path, name, err);
	return r;
}

int modules_add(const struct modules_lists *lists, const char *name, struct modules_order *order,
		struct err *err)
{
	struct walk walk = {.lists = lists, .order = order};

	return visit(&walk, name, err);
}
