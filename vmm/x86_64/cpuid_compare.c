/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * May a guest that has seen one CPU go on on another? Every feature that it saw has to be here, as it may
 * use each. Whatever else differs, as caches and names, is the snapshot's.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hull/util.h"
#include "x86_64/cpuid_model.h"

enum {
	FUNCTIONS = 0x100, /* of a range */
	MAX_INDEX = 63,
	ALL_FLAGS = KVM_CPUID_FLAG_SIGNIFCANT_INDEX | KVM_CPUID_FLAG_STATEFUL_FUNC |
		    KVM_CPUID_FLAG_STATE_READ_NEXT,
	LEAF_PMU = 0xa,
	LEAF_XSAVE = 0xd,
	XSAVE_FIRST = 2, /* the areas before it have no place of their own */
	XSAVE_SUPERVISOR = 1,
};

#define LEAF_EXTENDED 0x80000000u
#define LEAF_KVM      0x40000000u
#define LEAF_SIZES    0x80000008u

struct kvm_cpuid2 *cpuid_alloc(void)
{
	return calloc(1, sizeof(struct kvm_cpuid2) + CPUID_MAX_ENTRIES * sizeof(struct kvm_cpuid_entry2));
}

const struct kvm_cpuid_entry2 *cpuid_find(const struct kvm_cpuid2 *c, uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < c->nent; i++) {
		if (c->entries[i].function == function && c->entries[i].index == index)
			return &c->entries[i];
	}
	return NULL;
}

/* Features that are not here, as a list for a person. */
struct missing {
	char text[220];
	size_t len;
	unsigned count;
	bool more;
};

static __attribute__((format(printf, 2, 3))) void add_missing(struct missing *m, const char *fmt, ...)
{
	char one[64];
	va_list ap;
	int n;

	va_start(ap, fmt);
	vsnprintf(one, sizeof(one), fmt, ap);
	va_end(ap);
	m->count++;
	if (m->more || strlen(one) + 3 > sizeof(m->text) - m->len) {
		m->more = true;
		return;
	}
	n = snprintf(m->text + m->len, sizeof(m->text) - m->len, "%s%s", m->len ? ", " : "", one);
	m->len += (size_t)n;
}

/* ---- a list as such ---- */

static bool is_function(uint32_t function)
{
	switch (function & ~(uint32_t)(FUNCTIONS - 1)) {
	case 0:
	case 0x40000000:
	case 0x80000000:
	case 0xc0000000:
		return true;
	}
	return false;
}

int cpuid_check(const struct kvm_cpuid2 *c, struct err *err)
{
	if (c->nent == 0 || c->nent > CPUID_MAX_ENTRIES)
		return err_set(err, -EINVAL, "a CPU model of %u entries", c->nent);
	for (uint32_t i = 0; i < c->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &c->entries[i];

		if (!is_function(e->function) || e->index > MAX_INDEX || e->flags & ~(uint32_t)ALL_FLAGS)
			return err_set(err, -EINVAL, "a CPU model with the impossible leaf 0x%x.%u",
				       e->function, e->index);
		if (cpuid_find(c, e->function, e->index) != e)
			return err_set(err, -EINVAL, "a CPU model with leaf 0x%x.%u twice", e->function,
				       e->index);
	}
	if (!cpuid_find(c, 0, 0) || !cpuid_find(c, 1, 0))
		return err_set(err, -EINVAL, "a CPU model without its first leaves");
	return 0;
}

/* ---- two lists ---- */

static uint32_t value(const struct kvm_cpuid2 *c, uint32_t function, uint32_t index, enum cpuid_register reg)
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(c, function, index);

	if (!e)
		return 0;
	switch (reg) {
	case CPUID_EAX:
		return e->eax;
	case CPUID_EBX:
		return e->ebx;
	case CPUID_ECX:
		return e->ecx;
	case CPUID_EDX:
		break;
	}
	return e->edx;
}

/* Twelve letters in EBX, ECX and EDX in the order of the leaf. */
static void signature(const struct kvm_cpuid2 *c, uint32_t function, const enum cpuid_register order[3],
		      char ret[static 13])
{
	for (unsigned i = 0; i < 3; i++)
		store_le32(ret + (size_t)4 * i, value(c, function, 0, order[i]));
	ret[12] = '\0';
}

/* A snapshot may claim anything. */
static bool is_text(const char *s)
{
	while (*s >= ' ' && *s <= '~')
		s++;
	return *s == '\0';
}

static int compare_vendor(const struct kvm_cpuid2 *wanted, const struct kvm_cpuid2 *here, struct err *err)
{
	static const enum cpuid_register vendor[] = {CPUID_EBX, CPUID_EDX, CPUID_ECX};
	static const enum cpuid_register hypervisor[] = {CPUID_EBX, CPUID_ECX, CPUID_EDX};
	char a[13], b[13];

	signature(wanted, 0, vendor, a);
	signature(here, 0, vendor, b);
	if (memcmp(a, b, sizeof(a)) != 0)
		return err_set(err, -ENOTSUP, "the guest has seen a CPU of %s, and this host's is of %s",
			       is_text(a) ? a : "nobody", b);
	signature(wanted, LEAF_KVM, hypervisor, a);
	signature(here, LEAF_KVM, hypervisor, b);
	if (memcmp(a, b, sizeof(a)) != 0)
		return err_set(err, -ENOTSUP, "the guest has seen another hypervisor than KVM");
	return 0;
}

static void compare_word(const struct cpuid_word *word, const struct kvm_cpuid2 *wanted,
			 const struct kvm_cpuid2 *here, struct missing *m)
{
	static const char *const registers[] = {"EAX", "EBX", "ECX", "EDX"};
	const uint32_t bits = value(wanted, word->function, word->index, word->reg) &
			      ~value(here, word->function, word->index, word->reg) & ~word->changing;
	char leaf[24];

	if (word->index)
		snprintf(leaf, sizeof(leaf), "%x.%u", word->function, word->index);
	else
		snprintf(leaf, sizeof(leaf), "%x", word->function);
	for (unsigned bit = 0; bit < 32; bit++) {
		if (!(bits >> bit & 1))
			continue;
		if (word->names[bit])
			add_missing(m, "%s", word->names[bit]);
		else
			add_missing(m, "bit %u of leaf %s %s", bit, leaf, registers[word->reg]);
	}
}

/* The place of each area is the CPU's, and KVM hands out the bytes as they are. */
static void compare_areas(const struct kvm_cpuid2 *wanted, const struct kvm_cpuid2 *here, struct missing *m)
{
	for (uint32_t i = XSAVE_FIRST; i <= MAX_INDEX; i++) {
		const struct kvm_cpuid_entry2 *w = cpuid_find(wanted, LEAF_XSAVE, i);
		const struct kvm_cpuid_entry2 *h = cpuid_find(here, LEAF_XSAVE, i);

		if (!w || w->eax == 0)
			continue;
		if (!h || w->eax > h->eax)
			add_missing(m, "room for state %u of XSAVE", i);
		else if (!(w->ecx & XSAVE_SUPERVISOR) && w->ebx != h->ebx)
			add_missing(m, "state %u of XSAVE at its place", i);
	}
}

/* Architectural performance counters: version, and how many of each kind. */
static void compare_counters(const struct kvm_cpuid2 *wanted, const struct kvm_cpuid2 *here,
			     struct missing *m)
{
	const uint32_t wa = value(wanted, LEAF_PMU, 0, CPUID_EAX), ha = value(here, LEAF_PMU, 0, CPUID_EAX);
	const uint32_t wd = value(wanted, LEAF_PMU, 0, CPUID_EDX), hd = value(here, LEAF_PMU, 0, CPUID_EDX);

	if ((wa & 0xff) > (ha & 0xff) || (wa >> 8 & 0xff) > (ha >> 8 & 0xff) || (wd & 0x1f) > (hd & 0x1f))
		add_missing(m, "as many performance counters");
}

static void compare_widths(const struct kvm_cpuid2 *wanted, const struct kvm_cpuid2 *here, struct missing *m)
{
	const uint32_t w = value(wanted, LEAF_SIZES, 0, CPUID_EAX), h = value(here, LEAF_SIZES, 0, CPUID_EAX);

	if ((w & 0xff) > (h & 0xff))
		add_missing(m, "%u bits of physical addresses", w & 0xff);
	if ((w >> 8 & 0xff) > (h >> 8 & 0xff))
		add_missing(m, "%u bits of virtual addresses", w >> 8 & 0xff);
}

int cpuid_compare(const struct kvm_cpuid2 *wanted, const struct kvm_cpuid2 *here, struct err *err)
{
	unsigned count;
	const struct cpuid_word *words = cpuid_words(&count);
	struct missing m = {0};
	int r = compare_vendor(wanted, here, err);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < count; i++)
		compare_word(&words[i], wanted, here, &m);
	compare_areas(wanted, here, &m);
	compare_counters(wanted, here, &m);
	compare_widths(wanted, here, &m);
	if (m.count == 0)
		return 0;
	return err_set(err, -ENOTSUP, "this host's CPU or KVM lacks what the guest has seen: %s%s", m.text,
		       m.more ? ", and more" : "");
}
