/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory slots: guest RAM as KVM sees it; see vm.h. */
#include <errno.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "hull/vm.h"

int vm_set_memory(struct vm *vm, const struct guest_mem *mem, struct err *err)
{
	for (unsigned i = 0; i < mem->count; i++) {
		const struct mem_region *r = &mem->regions[i];
		struct kvm_userspace_memory_region slot = {
			.slot = i,
			.guest_phys_addr = r->gpa,
			.memory_size = r->size,
			.userspace_addr = (uintptr_t)r->hva,
		};

		if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
			return err_errno(err, -errno, "KVM refuses %" PRIu64 " MiB of RAM at 0x%" PRIx64,
					 r->size >> 20, r->gpa);
	}
	return 0;
}
