/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Takes a snapshot; see snapshot_take.h. */
#include "snapshot_take.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "grants.h"
#include "hull/util.h"
#include "save_link.h"
#include "saved_config.h"

enum { PATIENCE_MS = 10000 };

static int send(const struct snapshot_take *t, struct save_message message, const int *fds, unsigned count)
{
	return save_link_send(t->vm->link, &message, fds, count, PATIENCE_MS);
}

static int send_bases(const struct snapshot_take *t)
{
	int r = 0;

	for (unsigned i = 0; i < t->base_count && r == 0; i++) {
		const int fds[2] = {t->bases[i].memory, t->bases[i].pages};

		r = send(t, (struct save_message){.kind = SAVE_BASE}, fds, fds[1] < 0 ? 1 : 2);
	}
	return r;
}

static int send_order(const struct snapshot_take *t, int state)
{
	struct save_message go = {.kind = SAVE_GO, .flags = t->hold ? SAVE_HOLD : 0};
	int r = send(t, (struct save_message){.kind = SAVE_STATE}, &state, 1);

	if (r == 0)
		r = send(t, (struct save_message){.kind = SAVE_MEMORY}, &t->memory, 1);
	if (r == 0)
		r = send_bases(t);
	if (r == 0 && t->base_count > 0)
		r = send(t, (struct save_message){.kind = SAVE_PAGES}, &t->pages, 1);
	for (unsigned i = 0; i < t->vm->disk_count && r == 0; i++) {
		if (t->disks[i] >= 0)
			r = send(t, (struct save_message){.kind = SAVE_DISK, .index = i}, &t->disks[i], 1);
	}
	memcpy(go.identity, t->identity, sizeof(go.identity));
	memcpy(go.base, t->base, sizeof(go.base));
	return r == 0 ? send(t, go, NULL, 0) : r;
}

/* What the worker says may be what a guest wants to be read. */
static void make_printable(char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || (unsigned char)*text > '~')
			*text = '?';
	}
}

static int receive_end(struct snapshot_take *t, int *grants, struct err *err)
{
	for (;;) {
		struct save_message message;
		int fds[2] = {-1, -1};
		unsigned count = 0;
		int r = save_link_receive(t->vm->link, &message, fds, &count, -1);

		if (r == 0 && message.kind == SAVE_SHARE && count == 1 &&
		    message.index < t->vm->share_count && t->shares[message.index] < 0) {
			t->shares[message.index] = fds[0];
			t->read_only |= (message.flags & SAVE_READ_ONLY) << message.index;
			continue;
		}
		/* The supervisor's is the first. */
		if (r == 0 && message.kind == SAVE_GRANTS && count == 1 && *grants < 0) {
			*grants = fds[0];
			continue;
		}
		while (count > 0)
			fd_close(&fds[--count]);
		if (r < 0 || message.kind != SAVE_DONE)
			return err_set(err, r < 0 ? r : -EBADMSG,
				       "the VM has ended, or makes another snapshot");
		make_printable(message.text);
		t->bytes = message.bytes;
		return message.error < 0 ? err_set(err, -EREMOTEIO, "%s", message.text) : 0;
	}
}

/* ---- whether it is that machine ---- */

static bool same_machine(const struct snapshot_take *t, const struct vm_config *c)
{
	bool same = c->disk_count == t->vm->disk_count && c->net_count == t->vm->net_count &&
		    c->memory == t->vm->memory;

	for (unsigned i = 0; same && i < c->disk_count; i++)
		same = strcmp(c->disks[i].id, t->vm->disks[i]) == 0;
	for (unsigned i = 0; same && i < c->net_count; i++)
		same = c->nets[i].kind == t->vm->nets[i];
	for (unsigned i = 0; same && i < CONFIG_MAX_SHARES; i++)
		same = (i < c->share_count) == (t->shares[i] >= 0) &&
		       (i >= c->share_count || c->shares[i].read_only == (t->read_only >> i & 1));
	return same;
}

static bool same_memory(const struct snapshot_take *t, const struct saved_memory *m)
{
	return m->bytes == t->vm->memory && m->incremental == (t->base_count > 0) &&
	       memcmp(m->identity, t->identity, sizeof(m->identity)) == 0 &&
	       memcmp(m->base, t->base, sizeof(m->base)) == 0;
}

/* The bytes are read once: the worker has the file, too. */
static int read_state(struct snapshot_take *t, int from, int to, struct err *err)
{
	struct stat st;
	void *bytes;
	int r;

	if (fstat(from, &st) < 0 || st.st_size > SNAPSHOT_MAX_BYTES)
		return err_set(err, -EPROTO, "the VM has a state that is too large");
	bytes = malloc((size_t)st.st_size + 1);
	r = bytes ? fd_pread_full(from, bytes, (size_t)st.st_size, 0) : -ENOMEM;
	if (r == 0 && to >= 0)
		r = fd_pwrite_full(to, bytes, (size_t)st.st_size, 0);
	if (r < 0)
		err_errno(err, r, "state of the VM");
	else
		r = snapshot_open(&t->snapshot, bytes, (size_t)st.st_size, err);
	free(bytes);
	return r;
}

static int check(const struct snapshot_take *t, int grants, struct err *err)
{
	struct vm_config *config = calloc(1, sizeof(*config));
	struct saved_extra *extra = calloc(1, sizeof(*extra));
	struct saved_memory memory = {0};
	int r;

	if (!config || !extra) {
		free(config);
		free(extra);
		return err_errno(err, -ENOMEM, "state of the VM");
	}
	r = saved_config_get(t->snapshot, config, extra, err);
	if (r == 0)
		r = saved_memory_get(t->snapshot, &memory, err);
	if (r == 0 &&
	    !(same_machine(t, config) && same_memory(t, &memory) && grants_check(config, grants) == 0))
		r = err_set(err, -EPROTO, "the VM does not say of itself what its supervisor says");
	free(config);
	free(extra);
	return r;
}

int snapshot_take(struct snapshot_take *t, int state, struct err *err)
{
	int fd = memfd_create("hull-state", MFD_CLOEXEC);
	int grants = -1;
	int r;

	t->snapshot = NULL;
	t->bytes = 0;
	t->read_only = 0;
	memset(t->shares, 0xff, sizeof(t->shares));
	if (fd < 0)
		return err_errno(err, -errno, "state of the VM");
	/* One that has closed the link may have said why. */
	(void)send_order(t, fd);
	r = receive_end(t, &grants, err);
	if (r == 0)
		r = read_state(t, fd, state, err);
	if (r == 0)
		r = check(t, grants, err);
	fd_close(&grants);
	fd_close(&fd);
	return r;
}
