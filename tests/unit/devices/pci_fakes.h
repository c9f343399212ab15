/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Doorbells and MSIs that remember, instead of KVM's. */
#ifndef TESTS_UNIT_DEVICES_PCI_FAKES_H
#define TESTS_UNIT_DEVICES_PCI_FAKES_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>

#include "hull/doorbell.h"
#include "hull/irq.h"
#include "hull/msi.h"
#include "hull/util.h"

/* ---- doorbells ---- */

enum { FAKE_BELLS = 64 };

struct fake_doorbells {
	struct doorbells doorbells;
	struct doorbell bells[FAKE_BELLS]; /* attached now; fd -1: free */
	unsigned attached;                 /* now */
	unsigned wrong;                    /* attached twice, or detached without being attached */
	bool fail;                         /* refuse to attach */
};

static inline struct doorbell *fake_bell_find(struct fake_doorbells *f, uint64_t gpa)
{
	for (unsigned i = 0; i < FAKE_BELLS; i++) {
		if (f->bells[i].fd >= 0 && f->bells[i].gpa == gpa)
			return &f->bells[i];
	}
	return NULL;
}

static inline int fake_attach(struct doorbells *d, const struct doorbell *bell)
{
	struct fake_doorbells *f = container_of(d, struct fake_doorbells, doorbells);

	if (f->fail)
		return -ENOSPC;
	if (fake_bell_find(f, bell->gpa)) {
		f->wrong++;
		return -EEXIST;
	}
	for (unsigned i = 0; i < FAKE_BELLS; i++) {
		if (f->bells[i].fd < 0) {
			f->bells[i] = *bell;
			f->attached++;
			return 0;
		}
	}
	return -ENOSPC;
}

static inline void fake_detach(struct doorbells *d, const struct doorbell *bell)
{
	struct fake_doorbells *f = container_of(d, struct fake_doorbells, doorbells);
	struct doorbell *found = fake_bell_find(f, bell->gpa);

	if (!found || found->fd != bell->fd || found->len != bell->len) {
		f->wrong++;
		return;
	}
	found->fd = -1;
	f->attached--;
}

static inline void fake_doorbells_init(struct fake_doorbells *f)
{
	static const struct doorbells_ops ops = {.attach = fake_attach, .detach = fake_detach};

	memset(f, 0, sizeof(*f));
	f->doorbells.ops = &ops;
	for (unsigned i = 0; i < FAKE_BELLS; i++)
		f->bells[i].fd = -1;
}

/* ---- MSIs ---- */

struct fake_msis {
	struct msis msis;
	unsigned routes;                 /* calls of route */
	unsigned lines;                  /* that are open */
	const struct msi_line *made[64]; /* lines, in the order in which they were made */
	int error;                       /* returned by route when not 0 */
};

static inline int fake_route(struct msis *m, struct msi_line *msi, uint64_t address, uint32_t data)
{
	struct fake_msis *f = container_of(m, struct fake_msis, msis);

	f->routes++;
	if (f->error)
		return f->error;
	if (msi->gsi < 0) {
		if (irq_line_init(&msi->line, NULL) < 0)
			return -EMFILE;
		msi->gsi = (int)(24 + f->lines);
		f->made[f->lines++ % 64] = msi;
	}
	msi->address = address;
	msi->data = data;
	return 0;
}

static inline void fake_release(struct msis *m, struct msi_line *msi)
{
	struct fake_msis *f = container_of(m, struct fake_msis, msis);

	if (msi->gsi < 0)
		return;
	irq_line_finish(&msi->line);
	msi->gsi = -1;
	f->lines--;
}

static inline void fake_msis_init(struct fake_msis *f)
{
	static const struct msis_ops ops = {.route = fake_route, .release = fake_release};

	memset(f, 0, sizeof(*f));
	f->msis.ops = &ops;
}

/* Pulses of a line since the last call; 0 also when it was never made. */
static inline unsigned fake_msi_pulses(const struct msi_line *msi)
{
	eventfd_t n;

	return msi->line.connected && eventfd_read(msi->line.fd, &n) == 0 ? (unsigned)n : 0;
}

#endif
