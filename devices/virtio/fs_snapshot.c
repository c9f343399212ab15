/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtio-fs device in a snapshot: the section "NAME/server" is what its file server says of its session, of
 * which nothing is understood here (fileserver/saved.h). It comes when the device is frozen, and goes to the
 * server of a machine that is restored before that starts.
 *
 * Lock: that of dev->env.loop, held in every function here. All but fs_session_load() may run on
 * the thread that makes snapshots.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fs.h"
#include "hull/util.h"

#define KIND "fs-session"

enum {
	/* A server opens again what the guest had open, perhaps by a network. */
	LOAD_PATIENCE_MS = 20000,
};

/* Its size is final, so that reading it is never SIGBUS. */
int fs_session_create(struct virtio_fs *fs, struct err *err)
{
	struct fs_session *s = &fs->saved;
	void *bytes;

	s->fd = memfd_create("hull-share", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (s->fd < 0 || ftruncate(s->fd, FS_STATE_BYTES) < 0 ||
	    fcntl(s->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return err_errno(err, -errno, "virtio-fs: memory for what the file server knows");
	bytes = mmap(NULL, FS_STATE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, s->fd, 0);
	if (bytes == MAP_FAILED)
		return err_errno(err, -errno, "virtio-fs: memory for what the file server knows");
	s->bytes = bytes;
	return 0;
}

void fs_session_destroy(struct virtio_fs *fs)
{
	if (fs->saved.bytes)
		munmap(fs->saved.bytes, FS_STATE_BYTES);
	fs->saved.bytes = NULL;
	fd_close(&fs->saved.fd);
}

void fs_session_want(struct virtio_fs *fs)
{
	fs->saved.wanted = fs->session;
	fs->saved.there = false;
}

void fs_session_forget(struct virtio_fs *fs)
{
	fs->saved.wanted = false;
	fs->saved.there = false;
	/* The memory goes back, also that of a server that writes more than it says. */
	(void)madvise(fs->saved.bytes, FS_STATE_BYTES, MADV_REMOVE);
}

int fs_session_ask(struct virtio_fs *fs)
{
	struct fs_message message;
	int r;

	if (!fs->saved.wanted || fs->saved.asked)
		return 0;
	memset(&message, 0, sizeof(message)); /* all of it is sent */
	message.kind = FS_SAVE;
	r = fs_link_send(fs->io.fd, &message, &fs->saved.fd, 1);
	if (r == 0) {
		fs->saved.wanted = false;
		fs->saved.asked = true;
	}
	return r;
}

bool fs_session_saved(struct virtio_fs *fs, const struct fs_message *message)
{
	struct fs_session *s = &fs->saved;

	if (!s->asked || message->state.bytes > FS_STATE_BYTES || message->state.error < 0)
		return false;
	s->asked = false;
	/* The freeze that has asked may be over, and perhaps another one wants to know again. */
	s->there = fs->frozen && !s->wanted;
	s->len = message->state.bytes;
	s->error = message->state.error;
	return true;
}

void fs_session_save(struct virtio_dev *dev, struct snapshot_writer *writer, const char *name)
{
	const struct virtio_fs *fs = to_virtio_fs(dev);
	char section[SNAPSHOT_MAX_NAME];
	struct err err = {0};

	if (fs->gone || !fs->session)
		return; /* no server knows anything of the guest */
	if (!fs->saved.there || fs->saved.error) {
		err_errno(&err, fs->saved.there ? -fs->saved.error : -EBUSY,
			  "%s: the file server cannot say what the guest has open", name);
		snapshot_writer_fail(writer, &err);
		return;
	}
	(void)snprintf(section, sizeof(section), "%s/server", name);
	snapshot_put_bytes(writer, section, KIND, fs->saved.bytes, (size_t)fs->saved.len);
}

/* ---- loading ---- */

/* Waits for the server's next message, which has no descriptors. */
static int await_message(int link, struct fs_message *ret_message, struct err *err)
{
	const uint64_t until = monotonic_ns() + LOAD_PATIENCE_MS * UINT64_C(1000000);
	int fds[MEM_MAX_REGIONS], r;
	unsigned count = 0;

	while ((r = fs_link_receive(link, ret_message, fds, &count)) == -EAGAIN) {
		struct pollfd p = {.fd = link, .events = POLLIN};
		const uint64_t now = monotonic_ns();

		if (now >= until)
			return err_set(err, -ETIMEDOUT, "the file server does not answer");
		(void)poll(&p, 1, (int)((until - now) / 1000000) + 1);
	}
	for (unsigned i = 0; r == 1 && i < count; i++)
		close(fds[i]);
	if (r != 1 || count > 0)
		return err_set(err, r == 0 ? -EPIPE : -EBADMSG, "the file server %s",
			       r == 0 ? "has gone" : "talks nonsense");
	return 0;
}

/* What it says of it; `name` is the device's. */
static int take_answer(const struct virtio_fs *fs, const struct fs_message *message, const char *name,
		       struct err *err)
{
	const struct fs_state *state = &message->state;
	char text[4 * sizeof(state->text) + 1];

	if (message->kind != FS_LOADED || state->error < 0)
		return err_set(err, -EBADMSG, "%s: the file server talks nonsense", name);
	if (state->error) {
		text_escape(text, sizeof(text), state->text, strnlen(state->text, sizeof(state->text)));
		return err_set(err, -EINVAL, "%s: the file server refuses what the guest has open: %s", name,
			       text);
	}
	if (!fs->dev.env.log)
		return 0;
	if (state->other_root)
		log_line(
			fs->dev.env.log, LOG_WARN,
			"%s: the shared directory is not that of the snapshot: files that the guest knows are stale",
			name);
	if (state->handles || state->locks)
		log_line(fs->dev.env.log, LOG_WARN,
			 "%s: of what the guest had open %" PRIu32 " could not be opened again; %" PRIu32
			 " locks are lost",
			 name, state->handles, state->locks);
	return 0;
}

int fs_session_load(struct virtio_dev *dev, struct snapshot *snapshot, const char *name, struct err *err)
{
	struct virtio_fs *fs = to_virtio_fs(dev);
	char section[SNAPSHOT_MAX_NAME];
	struct fs_message message;
	const void *bytes;
	size_t len;
	int r;

	(void)snprintf(section, sizeof(section), "%s/server", name);
	if (!snapshot_has(snapshot, section))
		return 0;
	r = snapshot_get_bytes(snapshot, section, KIND, &bytes, &len, err);
	if (r < 0)
		return r;
	if (len > FS_STATE_BYTES)
		return err_set(err, -EINVAL, "%s: %zu bytes are too many", section, len);
	memcpy(fs->saved.bytes, bytes, len);
	memset(&message, 0, sizeof(message));
	message.kind = FS_LOAD;
	message.state.bytes = len;
	r = fs_link_send(fs->io.fd, &message, &fs->saved.fd, 1);
	if (r < 0)
		return err_errno(err, r, "%s: the file server has gone", name);
	r = await_message(fs->io.fd, &message, err);
	if (r == 0)
		r = take_answer(fs, &message, name, err);
	fs_session_forget(fs);
	fs->session = r == 0;
	return r;
}
