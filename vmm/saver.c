/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The thread that makes snapshots; see saver.h. */
#include "saver.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hull/mem.h"
#include "hull/snapshot.h"
#include "hull/thread.h"
#include "hull/util.h"
#include "machine_disks.h"
#include "machine_save.h"
#include "sandbox/filter.h"
#include "save_link.h"

enum {
	STACK_BYTES = 256 << 10,
	PATIENCE_MS = 10000, /* with who asked, before the machine stands still */
	HOLD_MS = 600000,    /* with SAVE_HOLD: a disk may be slow to have it all */
	PAGE_BYTES = 4096,
};

struct saver {
	struct machine *machine;
	struct thread thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int link;    /* lock, here and below; -1: nothing to do */
	int serving; /* the link of the snapshot that is being made; -1: none */
	bool told;   /* who wants that one has the answer, and may be gone: another may come */
	bool quit;
};

/* What one snapshot is made of. */
struct order {
	int link;
	int state;
	int memory;
	int pages;                   /* with bases, here and below: the file for what `written` says */
	int disks[CONFIG_MAX_DISKS]; /* -1: left out */
	struct mem_base bases[SAVE_MAX_BASES];
	unsigned base_count;
	uint8_t *written; /* a bit for each page */
	struct save_message go;
	uint64_t bytes;
};

/* ---- what is wanted ---- */

static size_t pages_bytes(const struct machine *m)
{
	return (mem_size(&m->mem) / PAGE_BYTES + 7) / 8;
}

static int take_base(struct order *o, const struct machine *m, int fds[static 2], unsigned count)
{
	struct mem_base *base = &o->bases[o->base_count];
	const size_t len = pages_bytes(m);
	uint8_t *pages = NULL;
	int r = 0;

	if (count == 0 || o->base_count == SAVE_MAX_BASES)
		return -EBADMSG;
	if (count == 2) {
		pages = malloc(len);
		r = pages ? fd_pread_full(fds[1], pages, len, 0) : -ENOMEM;
	}
	if (r < 0) {
		free(pages);
		return r;
	}
	*base = (struct mem_base){.fd = fds[0], .pages = pages};
	fds[0] = -1;
	o->base_count++;
	return 0;
}

static void move_fd(int *to, int *from)
{
	fd_close(to);
	*to = *from;
	*from = -1;
}

static int take_message(struct order *o, const struct machine *m, const struct save_message *message,
			int fds[static 2], unsigned count)
{
	if (message->kind == SAVE_BASE)
		return take_base(o, m, fds, count);
	if (message->kind == SAVE_GO) {
		o->go = *message;
		return count == 0 ? 0 : -EBADMSG;
	}
	if (count != 1)
		return -EBADMSG;
	if (message->kind == SAVE_STATE)
		move_fd(&o->state, &fds[0]);
	else if (message->kind == SAVE_MEMORY)
		move_fd(&o->memory, &fds[0]);
	else if (message->kind == SAVE_PAGES)
		move_fd(&o->pages, &fds[0]);
	else if (message->kind == SAVE_DISK && message->index < CONFIG_MAX_DISKS)
		move_fd(&o->disks[message->index], &fds[0]);
	else
		return -EBADMSG;
	return 0;
}

/* Everything up to SAVE_GO. */
static int take_order(struct order *o, const struct machine *m, struct err *err)
{
	int r = 0;

	while (r == 0 && o->go.kind != SAVE_GO) {
		struct save_message message;
		int fds[2] = {-1, -1};
		unsigned count;

		r = save_link_receive(o->link, &message, fds, &count, PATIENCE_MS);
		if (r == 0)
			r = take_message(o, m, &message, fds, count);
		for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
			fd_close(&fds[i]);
	}
	if (r == 0 && (o->state < 0 || o->memory < 0 || (o->pages < 0) != (o->base_count == 0)))
		r = -EBADMSG;
	return r < 0 ? err_set(err, r, "the one who wants the snapshot does not say what") : 0;
}

static void order_finish(struct order *o)
{
	fd_close(&o->state);
	fd_close(&o->memory);
	fd_close(&o->pages);
	for (unsigned i = 0; i < CONFIG_MAX_DISKS; i++)
		fd_close(&o->disks[i]);
	while (o->base_count > 0) {
		struct mem_base *base = &o->bases[--o->base_count];

		fd_close(&base->fd);
		free((void *)(uintptr_t)base->pages);
	}
	free(o->written);
}

/* ---- the files ---- */

static int save_state(struct machine *m, struct order *o, struct err *err)
{
	struct saved_memory saved = {.bytes = mem_size(&m->mem), .incremental = o->base_count > 0};
	struct snapshot_writer *w = NULL;
	const void *bytes;
	size_t len;
	int r = snapshot_writer_create(&w, err);

	if (r < 0)
		return r;
	memcpy(saved.identity, o->go.identity, sizeof(saved.identity));
	memcpy(saved.base, o->go.base, sizeof(saved.base));
	saved_memory_put(w, &saved);
	machine_collect(m, w);
	r = snapshot_writer_finish(w, &bytes, &len, err);
	if (r == 0) {
		r = fd_pwrite_full(o->state, bytes, len, 0);
		if (r < 0)
			err_errno(err, r, "the machine's state cannot be written");
	}
	snapshot_writer_destroy(w);
	return r;
}

static int save_memory(struct machine *m, struct order *o, struct err *err)
{
	struct mem_save job = {
		.fd = o->memory,
		.pagemap = m->worker.pagemap,
		.bases = o->bases,
		.base_count = o->base_count,
		.stop = &m->ended,
	};
	int r;

	if (o->base_count > 0) {
		o->written = calloc(1, pages_bytes(m));
		if (!o->written)
			return err_errno(err, -ENOMEM, "memory of a snapshot");
		job.written = o->written;
	}
	r = mem_save(&m->mem, &job, err);
	o->bytes = job.bytes;
	if (r < 0 || !o->written)
		return r;
	r = fd_pwrite_full(o->pages, o->written, pages_bytes(m), 0);
	return r < 0 ? err_errno(err, r, "which pages have changed cannot be written") : 0;
}

/* The state first: what is wrong with it shows at once. */
static int save_all(struct machine *m, struct order *o, struct err *err)
{
	int r = save_state(m, o, err);

	if (r == 0)
		r = save_memory(m, o, err);
	for (unsigned i = 0; i < CONFIG_MAX_DISKS && r == 0; i++) {
		if (o->disks[i] >= 0)
			r = machine_disks_copy(m->disks, i, o->disks[i], &m->ended, err);
	}
	return r;
}

/* ---- the order of things ---- */

/* Before he is: his next one may be quicker than what is left to do here. */
static void set_told(struct saver *s)
{
	pthread_mutex_lock(&s->lock);
	s->told = true;
	pthread_mutex_unlock(&s->lock);
}

static void send_done(struct saver *s, const struct order *o, int error, const struct err *err)
{
	struct save_message done = {.kind = SAVE_DONE, .error = error, .bytes = o->bytes};

	if (error < 0 || !(o->go.flags & SAVE_HOLD))
		set_told(s);
	if (error < 0)
		snprintf(done.text, sizeof(done.text), "%.*s", SAVE_TEXT - 1, err->msg);
	(void)save_link_send(o->link, &done, NULL, 0, PATIENCE_MS);
}

/* Until the one who asked has what he wants, or has gone. */
static void hold(const struct order *o)
{
	struct save_message message;
	int fds[2];
	unsigned count = 0;

	(void)save_link_receive(o->link, &message, fds, &count, HOLD_MS);
	while (count > 0)
		fd_close(&fds[--count]);
}

static void serve(struct saver *s, int link)
{
	struct machine *m = s->machine;
	struct order o = {.link = link, .state = -1, .memory = -1, .pages = -1};
	struct err err = {0};
	uint64_t start;
	int r;

	memset(o.disks, 0xff, sizeof(o.disks));
	r = take_order(&o, m, &err);
	start = monotonic_ns();
	if (r == 0) {
		r = machine_freeze(m, &err);
		if (r == 0)
			r = save_all(m, &o, &err);
		send_done(s, &o, r, &err);
		if (r == 0 && (o.go.flags & SAVE_HOLD))
			hold(&o);
		set_told(s);
		machine_thaw(m);
		log_line(m->log, LOG_INFO,
			 "snapshot: %s, %llu KiB of memory, the machine stood still for %.1f ms",
			 r < 0 ? "failed" : "made", (unsigned long long)(o.bytes >> 10),
			 (double)(monotonic_ns() - start) / 1e6);
	} else {
		send_done(s, &o, r, &err);
	}
	order_finish(&o);
}

/* ---- the thread ---- */

static void run(void *arg)
{
	struct saver *s = arg;

	pthread_mutex_lock(&s->lock);
	while (!s->quit) {
		int link = s->link;

		if (link < 0) {
			pthread_cond_wait(&s->changed, &s->lock);
			continue;
		}
		s->link = -1;
		s->serving = link;
		s->told = false;
		pthread_mutex_unlock(&s->lock);
		serve(s, link);
		pthread_mutex_lock(&s->lock);
		fd_close(&s->serving);
	}
	pthread_mutex_unlock(&s->lock);
}

int saver_create(struct saver **ret_saver, struct machine *m, struct err *err)
{
	struct saver *s = calloc(1, sizeof(*s));

	if (!s)
		return err_errno(err, -ENOMEM, "snapshots");
	s->machine = m;
	s->link = s->serving = -1;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	*ret_saver = s;
	return 0;
}

int saver_start(struct saver *s, struct err *err)
{
	int r;

	s->thread = (struct thread){
		.name = "hull-save",
		.role = ROLE_SAVE,
		.confine = sandbox_thread,
		.stack_bytes = STACK_BYTES,
		.run = run,
		.arg = s,
	};
	r = thread_start(&s->thread);
	if (r < 0)
		return err_errno(err, r, "thread hull-save");
	return 0;
}

void saver_await(struct saver *s)
{
	if (s && s->thread.started)
		thread_await(&s->thread);
}

void saver_take(struct saver *s, int link)
{
	pthread_mutex_lock(&s->lock);
	if ((s->serving >= 0 && !s->told) || s->link >= 0 || s->quit) {
		fd_close(&link);
	} else {
		s->link = link;
		pthread_cond_signal(&s->changed);
	}
	pthread_mutex_unlock(&s->lock);
}

void saver_stop(struct saver *s)
{
	bool idle;

	if (!s || !s->thread.started)
		return;
	pthread_mutex_lock(&s->lock);
	s->quit = true;
	idle = s->serving < 0;
	/* Who asked may be slow: he is not waited for. */
	if (!idle)
		shutdown(s->serving, SHUT_RDWR);
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
	if (!idle)
		thread_join(&s->thread);
}

void saver_destroy(struct saver *s)
{
	if (!s)
		return;
	thread_join(&s->thread);
	fd_close(&s->link);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->changed);
	free(s);
}
