/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options of `hull restore` and `hull fork`; see config_restore.h. */
#include "config_restore.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "config_command.h"
#include "config_disk.h"
#include "config_fields.h"
#include "config_misc.h"
#include "config_net.h"
#include "config_options.h"
#include "config_sandbox.h"
#include "config_share.h"
#include "hull/util.h"

/* Room for a value whose fields change places. */
enum { VALUE_BYTES = CONFIG_MAX_PATH + 256, MAX_COPIES = 1000, MAX_WORDS = 8192 };

/* ---- words ---- */

/*
 * "id=ID,KEY=FIRST,..." to "FIRST,id=ID,...", as the other commands have it; `key` "": the field is FIRST.
 * All else stays. False: too long.
 */
static bool first_field_first(const char *value, const char *key, char out[static VALUE_BYTES])
{
	const char *rest = strchr(value, ',');
	size_t id_len, first_len;
	const char *first;
	int n;

	if (strncmp(value, "id=", 3) != 0 || !rest || strncmp(rest + 1, key, strlen(key)) != 0) {
		n = snprintf(out, VALUE_BYTES, "%s", value);
		return n >= 0 && n < VALUE_BYTES;
	}
	id_len = (size_t)(rest - value);
	first = rest + 1 + strlen(key);
	first_len = 0;
	while (first[first_len] && (first[first_len] != ',' || first[first_len + 1] == ','))
		first_len += first[first_len] == ',' ? 2 : 1;
	n = snprintf(out, VALUE_BYTES, "%.*s,%.*s%s", (int)first_len, first, (int)id_len, value,
		     first + first_len);
	return n >= 0 && n < VALUE_BYTES;
}

static int too_long(const char *option, struct err *err)
{
	return err_set(err, -EINVAL, "%s: too long", option);
}

static int apply_disk(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	char text[VALUE_BYTES];

	if (!first_field_first(value, "path=", text))
		return too_long(option, err);
	if (strncmp(text, "id=", 3) == 0)
		return err_set(err, -EINVAL, "%s %s: expected path=PATH behind the id", option, value);
	return config_apply_disk(c, option, text, err);
}

static int apply_net(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	char text[VALUE_BYTES];

	if (!first_field_first(value, "", text))
		return too_long(option, err);
	return config_apply_net(c, option, text, err);
}

/* As with `hull run`, or the path alone: the number stays. */
static int apply_vsock(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	char text[VALUE_BYTES];
	int r;

	if (strncmp(value, "path=", 5) != 0)
		return config_apply_vsock(c, option, value, err);
	if (snprintf(text, sizeof(text), "3,%s", value) >= (int)sizeof(text))
		return too_long(option, err);
	r = config_apply_vsock(c, option, text, err);
	c->vsock.cid = 0;
	return r;
}

/* With "{}" for the number of a copy. */
static int apply_name(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	const char *mark = strstr(value, "{}");
	char text[CONFIG_MAX_NAME];
	int r;

	if (!mark || strlen(value) >= sizeof(text))
		return config_apply_name(c, option, value, err);
	snprintf(text, sizeof(text), "%.*s1%s", (int)(mark - value), value, mark + 2);
	r = config_apply_name(c, option, text, err);
	if (r == 0)
		snprintf(c->name, sizeof(c->name), "%s", value);
	return r;
}

static const struct config_option restore_rows[] = {
	{"disk", 'd', "a disk of the snapshot and its file, id=ID,path=PATH", apply_disk},
	{"net", 'n', "a network of the snapshot and what is behind it, id=ID,user|tap=IFNAME|fd=N",
	 apply_net},
	{"publish", 'p', "[ADDR:]HOST:GUEST[/tcp|udp], such as 8080:80", config_apply_publish},
	{"root", 0, "a directory, as the machine was started with", config_apply_root},
	{"share", 0, "DIR:PATH, as the machine was started with", config_apply_share},
	{"vsock", 0, "CID[,path=SOCKET] or path=SOCKET", apply_vsock},
	{"workdir", 0, "a path of the guest", config_apply_workdir},
	{"env", 0, "NAME or NAME=VALUE", config_apply_env},
	{"user", 0, "a user of the guest, by name or number", config_apply_user},
	{"tty", 't', NULL, config_apply_tty},
	{"no-tty", 0, NULL, config_apply_no_tty},
	{"sandbox", 0, "on, off or strict", config_apply_sandbox},
	{"uid", 0, "the number of a user other than root", config_apply_uid},
	{"timeout", 0, "a number of seconds", config_apply_timeout},
	{"grace", 0, "a number of seconds", config_apply_grace},
	{"name", 0, "a name", apply_name},
	{"log", 0, "a file", config_apply_log},
	{"verbose", 'v', NULL, config_apply_verbose},
	{"quiet", 'q', NULL, config_apply_quiet},
	{"dry-run", 0, NULL, config_apply_dry_run},
};

/* `hull fork`: -n is the number of copies; networks have the long form alone. */
static int take_count(int *argc, char *const argv[], char *out[], unsigned *ret_count, struct err *err)
{
	int n = 0;

	for (int i = 0; i < *argc; i++) {
		const char *value = NULL;
		uint64_t count;

		if (strcmp(argv[i], "--") == 0) {
			while (i < *argc)
				out[n++] = argv[i++];
			break;
		}
		if (strcmp(argv[i], "-n") == 0 || strcmp(argv[i], "--copies") == 0)
			value = i + 1 < *argc ? argv[++i] : "";
		else if (strncmp(argv[i], "--copies=", 9) == 0)
			value = argv[i] + 9;
		else if (strncmp(argv[i], "-n", 2) == 0)
			value = argv[i] + 2;
		if (!value) {
			out[n++] = argv[i];
			continue;
		}
		if (config_parse_number(value, 1, MAX_COPIES, &count) < 0)
			return err_set(err, -EINVAL, "-n %s: expected a number of copies from 1 to %d", value,
				       MAX_COPIES);
		*ret_count = (unsigned)count;
	}
	*argc = n;
	return 0;
}

/* `words`: those of argv, or those of them that are left. */
static int parse_words(const char *what, int count, char *const words[], struct vm_config *config,
		       const char **ret_operand, struct err *err)
{
	const struct config_options options = {restore_rows, ARRAY_SIZE(restore_rows), what};

	config_set_defaults(config);
	return config_take_words(&options, count, words, ret_operand, config, err);
}

static int parse_fork(int argc, char *const argv[], struct vm_config *config, const char **ret_operand,
		      unsigned *ret_count, struct err *err)
{
	char *words[MAX_WORDS];
	int count = argc;
	int r;

	if (argc > MAX_WORDS)
		return err_set(err, -EINVAL, "fork: more than %d words", MAX_WORDS);
	r = take_count(&count, argv, words, ret_count, err);
	if (r == 0)
		r = parse_words("fork", count, words, config, ret_operand, err);
	/* COMMAND's words, which are the last ones, are those of the caller, who keeps them. */
	if (config->command.argv)
		config->command.argv = argv + argc - (int)config->command.argc;
	return r;
}

int config_restore_parse(const char *what, int argc, char *const argv[], struct vm_config *ret_config,
			 const char **ret_operand, unsigned *ret_count, struct err *err)
{
	int r;

	*ret_count = 0;
	if (strcmp(what, "fork") == 0)
		return parse_fork(argc, argv, ret_config, ret_operand, ret_count, err);
	r = parse_words(what, argc, argv, ret_config, ret_operand, err);
	if (r == 0 && strstr(ret_config->name, "{}"))
		r = err_set(err, -EINVAL, "--name %s: {} is for copies ('hull fork')", ret_config->name);
	return r;
}

/* ---- to the snapshot's configuration ---- */

static int bind_disk(struct vm_config *c, const struct config_disk *given, struct err *err)
{
	for (unsigned i = 0; i < c->disk_count; i++) {
		struct config_disk *d = &c->disks[i];

		/* One disk needs no name. */
		if (given->id[0] ? strcmp(d->id, given->id) != 0 : c->disk_count > 1)
			continue;
		if (d->path[0])
			return err_set(err, -EINVAL, "--disk %s: %s has a file already", given->path, d->id);
		memcpy(d->path, given->path, sizeof(d->path));
		d->engine = given->engine;
		d->direct = given->direct;
		d->read_only |= given->read_only;
		return 0;
	}
	return err_set(err, -EINVAL,
		       "--disk %s: the snapshot has no disk '%s'; expected id=ID of one that it has",
		       given->path, given->id);
}

static int bind_net(struct vm_config *c, const struct config_net *given, struct err *err)
{
	for (unsigned i = 0; i < c->net_count; i++) {
		struct config_net *n = &c->nets[i];

		if (given->id[0] ? strcmp(n->id, given->id) != 0 : c->net_count > 1)
			continue;
		n->kind = given->kind;
		memcpy(n->ifname, given->ifname, sizeof(n->ifname));
		n->fd = given->fd;
		n->vhost = given->vhost;
		n->new_mac = given->has_mac && memcmp(n->mac, given->mac, sizeof(n->mac)) != 0;
		if (given->has_mac)
			memcpy(n->mac, given->mac, sizeof(n->mac));
		return 0;
	}
	return err_set(err, -EINVAL,
		       "--net: the snapshot has no network '%s'; expected id=ID of one that it has",
		       given->id);
}

static int bind_share(struct vm_config *c, const struct config_share *given, struct err *err)
{
	for (unsigned i = 0; i < c->share_count; i++) {
		struct config_share *s = &c->shares[i];

		if (strcmp(s->target, given->target) != 0)
			continue;
		memcpy(s->path, given->path, sizeof(s->path));
		s->read_only |= given->read_only;
		return 0;
	}
	return err_set(err, -EINVAL, "--share %s:%s: the snapshot has no directory at %s", given->path,
		       given->target, given->target);
}

/* Before it is known to be one, a directory is taken for an image, the first of the disks. */
static bool bind_root(struct vm_config *c, const struct config_root *given)
{
	if (!given->path[0] || !c->root.directory)
		return false;
	memcpy(c->root.path, given->path, sizeof(c->root.path));
	memcpy(c->shares[0].path, given->path, sizeof(c->shares[0].path));
	return true;
}

/* A directory or a TAP device of the host is not opened because a snapshot says so. */
static int check_bound(const struct vm_config *c, const struct saved_extra *extra, struct err *err)
{
	for (unsigned i = 0; i < c->share_count; i++) {
		const bool is_root = i == 0 && c->root.directory;

		if (c->shares[i].path[0])
			continue;
		return err_set(err, -EINVAL,
			       "the machine has a directory of the host at %s: give it, as by %s %s%s%s",
			       c->shares[i].target, is_root ? "--root" : "--share", extra->share_paths[i],
			       is_root ? "" : ":", is_root ? "" : c->shares[i].target);
	}
	for (unsigned i = 0; i < c->net_count; i++) {
		const struct config_net *n = &c->nets[i];

		if (n->kind == NET_TAP && !n->ifname[0])
			return err_set(err, -EINVAL,
				       "the network %s was a TAP device: give one, as by --net id=%s,tap=%s",
				       n->id, n->id, extra->ifnames[i]);
		if (n->kind == NET_FD && n->fd < 0)
			return err_set(
				err, -EINVAL,
				"the network %s was an open descriptor: give one by --net id=%s,fd=N, or "
				"another network",
				n->id, n->id);
	}
	return 0;
}

static int bind_sockets(struct vm_config *c, const struct vm_config *given, struct err *err)
{
	const struct config_vsock *v = &given->vsock;

	if ((v->cid || v->path[0]) && c->vsock.cid == 0)
		return err_set(err, -EINVAL, "--vsock: the snapshot's machine has none");
	if (v->cid)
		c->vsock.cid = v->cid;
	if (v->path[0])
		memcpy(c->vsock.path, v->path, sizeof(c->vsock.path));
	if (v->cid || v->path[0])
		c->vsock.implied = false;
	if (given->published_count > 0) {
		memcpy(c->published, given->published, sizeof(c->published));
		c->published_count = given->published_count;
	}
	return 0;
}

/* What is the host's alone. */
static void bind_host(struct vm_config *c, const struct vm_config *given)
{
	c->command = given->command;
	c->sandbox = given->sandbox;
	c->timeout_ns = given->timeout_ns;
	c->grace_ns = given->grace_ns;
	c->log = given->log;
	c->log_level = given->log_level;
	c->dry_run = given->dry_run;
	memcpy(c->name, given->name, sizeof(c->name));
	c->name_given = given->name_given;
}

int config_restore_bind(struct vm_config *c, const struct vm_config *given, const struct saved_extra *extra,
			struct err *err)
{
	int r = 0;

	for (unsigned i = bind_root(c, &given->root) ? 1 : 0; i < given->disk_count && r == 0; i++)
		r = bind_disk(c, &given->disks[i], err);
	for (unsigned i = 0; i < given->net_count && r == 0; i++)
		r = bind_net(c, &given->nets[i], err);
	for (unsigned i = 0; i < given->share_count && r == 0; i++)
		r = bind_share(c, &given->shares[i], err);
	if (r == 0)
		r = bind_sockets(c, given, err);
	if (r == 0)
		r = check_bound(c, extra, err);
	if (r == 0 && given->command.argv && !c->agent)
		r = err_set(
			err, -EINVAL,
			"-- %s: there is no agent in the snapshot's machine: it was started without COMMAND "
			"and --agent",
			given->command.argv[0]);
	if (r == 0)
		bind_host(c, given);
	return r == 0 ? config_check_sandbox(c, err) : r;
}
