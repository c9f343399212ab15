/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Doorbells and MSIs for tests; see fakes.h. */
#include "fakes.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#include "hull/util.h"

unsigned fake_line_pulses(const struct irq_line *line)
{
	eventfd_t n;

	return line->connected && eventfd_read(line->fd, &n) == 0 ? (unsigned)n : 0;
}

/* ---- doorbells ---- */

/* Two that KVM could not tell apart. */
static bool same_bell(const struct doorbell *a, const struct doorbell *b)
{
	return a->gpa == b->gpa && a->len == b->len && a->has_match == b->has_match &&
	       (!a->has_match || a->match == b->match);
}

static struct doorbell *find_bell(struct fake_doorbells *f, const struct doorbell *bell)
{
	for (unsigned i = 0; i < f->count; i++) {
		if (same_bell(&f->bells[i], bell))
			return &f->bells[i];
	}
	return NULL;
}

static int attach(struct doorbells *d, const struct doorbell *bell)
{
	struct fake_doorbells *f = container_of(d, struct fake_doorbells, doorbells);

	if (f->refuse || f->count == FAKE_MAX_BELLS)
		return -ENOSPC;
	if (find_bell(f, bell)) {
		f->wrong++;
		return -EEXIST;
	}
	f->bells[f->count++] = *bell;
	return 0;
}

static void detach(struct doorbells *d, const struct doorbell *bell)
{
	struct fake_doorbells *f = container_of(d, struct fake_doorbells, doorbells);
	struct doorbell *found = find_bell(f, bell);

	if (!found || found->fd != bell->fd)
		f->wrong++;
	else
		*found = f->bells[--f->count];
}

void fake_doorbells_init(struct fake_doorbells *f)
{
	static const struct doorbells_ops ops = {.attach = attach, .detach = detach};

	*f = (struct fake_doorbells){.doorbells.ops = &ops};
}

const struct doorbell *fake_bell_at(const struct fake_doorbells *f, uint64_t gpa)
{
	for (unsigned i = 0; i < f->count; i++) {
		if (f->bells[i].gpa == gpa)
			return &f->bells[i];
	}
	return NULL;
}

const struct doorbell *fake_bell_rung(const struct fake_doorbells *f, uint64_t gpa, unsigned len,
				      uint64_t val)
{
	for (unsigned i = 0; i < f->count; i++) {
		const struct doorbell *b = &f->bells[i];

		if (b->gpa == gpa && (b->len == 0 || b->len == len) && (!b->has_match || b->match == val))
			return b;
	}
	return NULL;
}

/* ---- message-signalled interrupts ---- */

static int route(struct msis *m, struct msi_line *msi, uint64_t address, uint32_t data)
{
	struct fake_msis *f = container_of(m, struct fake_msis, msis);

	f->routes++;
	if (f->refuse)
		return -ENOSPC;
	if (msi->gsi < 0) {
		if (f->count == FAKE_MAX_MSIS || irq_line_init(&msi->line, NULL) < 0)
			return -ENOSPC;
		msi->gsi = 24 + (int)f->count;
		f->lines[f->count++] = msi;
	}
	msi->address = address;
	msi->data = data;
	return 0;
}

static void release(struct msis *m, struct msi_line *msi)
{
	struct fake_msis *f = container_of(m, struct fake_msis, msis);
	unsigned i = 0;

	if (msi->gsi < 0)
		return;
	while (f->lines[i] != msi)
		i++;
	f->lines[i] = f->lines[--f->count];
	irq_line_finish(&msi->line);
	msi->gsi = -1;
}

void fake_msis_init(struct fake_msis *f)
{
	static const struct msis_ops ops = {.route = route, .release = release};

	*f = (struct fake_msis){.msis.ops = &ops};
}
