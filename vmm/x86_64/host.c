/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the host is. Intel SDM vol. 2A, CPUID; the leaves of hypervisors from 4000_0000h on. */
#include <cpuid.h>
#include <string.h>

#include "hull/arch.h"

enum { LEAF_FEATURES = 1, FEATURE_HYPERVISOR = 31, SIGNATURE_BYTES = 12 };

static const unsigned leaf_hypervisor = 0x40000000;

bool arch_host_is_emulated(void)
{
	unsigned a, b, c, d;
	char signature[SIGNATURE_BYTES];

	if (!__get_cpuid(LEAF_FEATURES, &a, &b, &c, &d) || !(c >> FEATURE_HYPERVISOR & 1))
		return false;
	__cpuid(leaf_hypervisor, a, b, c, d);
	memcpy(signature, &b, sizeof(b));
	memcpy(signature + 4, &c, sizeof(c));
	memcpy(signature + 8, &d, sizeof(d));
	return memcmp(signature, "TCGTCGTCGTCG", sizeof(signature)) == 0; /* QEMU without KVM */
}
