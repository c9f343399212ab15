/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The text of /root.conf; see root_conf.h. */
#include "root_conf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config_disk.h"

/* The name of a machine that was given none: "hull-PID" means nothing to the guest. */
static const char default_hostname[] = "hull";

static void put_word(FILE *f, const char *word)
{
	for (const char *p = word; *p; p++) {
		if (*p == ' ' || *p == '\\' || *p == '\n')
			fprintf(f, "\\%03o", (unsigned)(unsigned char)*p);
		else
			putc(*p, f);
	}
}

static void put_root(FILE *f, const struct vm_config *c, enum filesystem_kind kind)
{
	const char *type = filesystem_name(kind);

	if (!c->root.path[0])
		return;
	fputs(c->root.directory ? "tag root\n" : "device /dev/vda\n", f);
	fprintf(f, "mode %s\n", config_root_mode(c->root.mode));
	if (type && !c->root.directory)
		fprintf(f, "fstype %s\n", type);
}

static void put_network(FILE *f, const struct vm_config *c)
{
	for (unsigned i = 0; i < c->net_count; i++) {
		if (c->nets[i].kind == NET_USER) { /* passt has a DHCP server */
			fprintf(f, "dhcp eth%u\n", i);
			return;
		}
	}
}

/* Where COMMAND starts, if the caller or his option says so: it must not be hidden by what is the guest's
 * own. */
static void put_directory(FILE *f, const struct vm_config *c)
{
	char cwd[CONFIG_MAX_PATH];
	const char *dir = c->command.workdir;

	if (!c->command.argv || !c->root.directory || strcmp(c->root.path, "/") != 0)
		return;
	if (!dir)
		dir = getcwd(cwd, sizeof(cwd));
	if (!dir || dir[0] != '/')
		return;
	fputs("dir ", f);
	put_word(f, dir);
	putc('\n', f);
}

static int compare_targets(const void *a, const void *b)
{
	const struct config_share *const *left = a;
	const struct config_share *const *right = b;

	return strcmp((*left)->target, (*right)->target);
}

/* In the order of their paths: what is mounted above another would hide it. */
static void put_shares(FILE *f, const struct vm_config *c)
{
	const struct config_share *list[CONFIG_MAX_SHARES];
	unsigned n = 0;

	for (unsigned i = c->root.directory; i < c->share_count; i++)
		list[n++] = &c->shares[i];
	qsort(list, n, sizeof(struct config_share *), compare_targets);
	for (unsigned i = 0; i < n; i++) {
		fprintf(f, "share %s ", list[i]->tag);
		put_word(f, list[i]->target);
		fputs(list[i]->read_only ? " ro\n" : " rw\n", f);
	}
}

int root_conf_make(const struct vm_config *config, enum filesystem_kind kind, char **ret_text,
		   struct err *err)
{
	char *text = NULL;
	size_t len;
	bool failed;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return err_errno(err, -ENOMEM, "root.conf");
	put_root(f, config, kind);
	put_network(f, config);
	fprintf(f, "hostname %s\n", config->name_given ? config->name : default_hostname);
	put_directory(f, config);
	put_shares(f, config);
	if (config->command.argv)
		fputs("command\n", f);
	else if (config->agent)
		fputs("agent\n", f);
	failed = ferror(f) != 0;
	if (fclose(f) != 0 || failed || !text) { /* which is NULL when it could not be cut to its length */
		free(text);
		return err_errno(err, -ENOMEM, "root.conf");
	}
	*ret_text = text;
	return 0;
}
