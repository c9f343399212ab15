/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The CPU model as the files of vmm/x86_64 see it: a list of CPUID leaves. */
#ifndef HULL_X86_64_CPUID_MODEL_H
#define HULL_X86_64_CPUID_MODEL_H

#include <linux/kvm.h>
#include <stdint.h>

#include "hull/err.h"

enum { CPUID_MAX_ENTRIES = 256 };

struct arch_cpu_model {
	struct kvm_cpuid2 *cpuid; /* room for CPUID_MAX_ENTRIES */
};

/* An empty list with room for CPUID_MAX_ENTRIES; NULL: no memory. The caller frees it. */
struct kvm_cpuid2 *cpuid_alloc(void);

/* The entry for (function, index), or NULL. */
const struct kvm_cpuid_entry2 *cpuid_find(const struct kvm_cpuid2 *c, uint32_t function, uint32_t index);

/* ---- cpuid_compare.c: pure ---- */

/*
 * That a list from a snapshot is one that KVM could have made: functions, indices, flags, none twice.
 * Errors: -EINVAL.
 */
int cpuid_check(const struct kvm_cpuid2 *c, struct err *err);

/*
 * That a guest which has seen `wanted` can run where `here` would be seen. Both are full models, of as many
 * vCPUs; `wanted` has passed cpuid_check(). Errors: -ENOTSUP names what is missing.
 */
int cpuid_compare(const struct kvm_cpuid2 *wanted, const struct kvm_cpuid2 *here, struct err *err);

enum cpuid_register { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };

/* A register full of features; the names are static, NULL where there is no usual one. */
struct cpuid_word {
	uint32_t function, index;
	enum cpuid_register reg;
	uint32_t changing; /* bits that tell what the guest's kernel has done, not what the CPU can do */
	const char *const *names; /* of 32 bits */
};

/* cpuid_names.c */
const struct cpuid_word *cpuid_words(unsigned *ret_count);

#endif
