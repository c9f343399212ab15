/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Takes a snapshot; see snapshot_take.h. */
#include "snapshot_take.h"

#include <errno.h>
#include <string.h>

#include "hull/util.h"
#include "save_link.h"

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

static int send_order(const struct snapshot_take *t)
{
	struct save_message go = {.kind = SAVE_GO, .flags = t->hold ? SAVE_HOLD : 0};
	int r = send(t, (struct save_message){.kind = SAVE_STATE}, &t->state, 1);

	if (r == 0)
		r = send(t, (struct save_message){.kind = SAVE_MEMORY}, &t->memory, 1);
	if (r == 0)
		r = send_bases(t);
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

static int receive_end(struct snapshot_take *t, struct err *err)
{
	for (;;) {
		struct save_message message;
		int fds[2] = {-1, -1};
		unsigned count = 0;
		int r = save_link_receive(t->vm->link, &message, fds, &count, -1);

		if (r == 0 && message.kind == SAVE_PAGES && count == 1 && t->pages < 0) {
			t->pages = fds[0];
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

int snapshot_take(struct snapshot_take *t, struct err *err)
{
	t->pages = -1;
	t->bytes = 0;
	/* One that has closed the link may have said why. */
	(void)send_order(t);
	return receive_end(t, err);
}
