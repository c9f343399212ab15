/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Model-specific registers that firmware sets before it starts a kernel.
 * Intel SDM vol. 4.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "hull/util.h"
#include "x86_64/regs.h"

enum {
	MSR_IA32_MISC_ENABLE = 0x1a0,
	MISC_ENABLE_FAST_STRING = 1,
	MSR_MTRR_DEF_TYPE = 0x2ff,
	MTRR_ENABLE = 1 << 11,
	MTRR_WRITE_BACK = 6,
};

struct one_msr {
	_Alignas(struct kvm_msrs) uint8_t bytes[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
};

int msr_init(struct vcpu *vcpu, struct err *err)
{
	static const struct kvm_msr_entry entries[] = {
		/* All of memory is write-back, as every kernel expects of RAM. */
		{.index = MSR_MTRR_DEF_TYPE, .data = MTRR_ENABLE | MTRR_WRITE_BACK},
		{.index = MSR_IA32_MISC_ENABLE, .data = MISC_ENABLE_FAST_STRING},
	};

	/* One call each: KVM stops at the first that it does not have, which is not missed. */
	for (unsigned i = 0; i < ARRAY_SIZE(entries); i++) {
		struct one_msr one = {0};
		struct kvm_msrs *msrs = (struct kvm_msrs *)one.bytes;

		msrs->nmsrs = 1;
		memcpy(msrs->entries, &entries[i], sizeof(entries[i]));
		if (ioctl(vcpu->fd, KVM_SET_MSRS, msrs) < 0)
			return err_errno(err, -errno, "KVM refuses the registers of vCPU %u", vcpu->index);
	}
	return 0;
}
