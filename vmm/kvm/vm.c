/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The VM: creation and in-kernel interrupt controllers; see vm.h. */
#include "hull/vm.h"

#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "hull/util.h"
#include "kvm/caps.h"

int vm_check(const struct vm *vm, int capability)
{
	return ioctl(vm->fd, KVM_CHECK_EXTENSION, capability);
}

static int create(int kvm_fd)
{
	int fd;

	do
		fd = ioctl(kvm_fd, KVM_CREATE_VM, 0UL);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

int vm_create(struct vm *vm, int kvm_fd, struct err *err)
{
	const char *missing = caps_missing(kvm_fd);
	int version = ioctl(kvm_fd, KVM_GET_API_VERSION, 0UL);
	int n;

	*vm = (struct vm){.kvm_fd = kvm_fd, .fd = -1};
	if (version != KVM_API_VERSION)
		return err_set(err, -ENOTSUP, "/dev/kvm speaks API version %d instead of %d", version,
			       KVM_API_VERSION);
	if (missing)
		return err_set(err, -ENOTSUP, "this kernel's KVM lacks %s", missing);
	vm->run_size = ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0UL);
	if (vm->run_size < (int)sizeof(struct kvm_run))
		return err_set(err, -ENOTSUP, "/dev/kvm gives no room for struct kvm_run");
	n = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	vm->max_cpus = n > 0 ? (unsigned)n : 1;
	vm->fd = create(kvm_fd);
	if (vm->fd == -EBUSY)
		return err_set(err, -EBUSY,
			       "KVM cannot start a VM: another hypervisor is using the CPU's virtualisation");
	if (vm->fd < 0)
		return err_errno(err, vm->fd, "KVM cannot create a VM");
	return 0;
}

void vm_finish(struct vm *vm)
{
	if (vm && vm->kvm_fd > 0)
		fd_close(&vm->fd);
}

int vm_create_irqchip(struct vm *vm, struct err *err)
{
	if (ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0UL) < 0)
		return err_errno(err, -errno, "KVM cannot create interrupt controllers");
	return 0;
}
