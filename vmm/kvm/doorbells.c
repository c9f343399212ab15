/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Doorbells by KVM_IOEVENTFD; see doorbell.h.
 *
 * Detaching is told by address, length, match and descriptor, which is all that KVM
 * needs to find its ioeventfd again: nothing is kept here.
 */
#include "hull/doorbell.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "hull/syscalls.h"
#include "hull/util.h"
#include "hull/vm.h"

struct kvm_doorbells {
	struct doorbells doorbells;
	struct vm *vm;
	bool any_length; /* KVM takes a length of 0 for "any" */
};

static struct kvm_ioeventfd describe(const struct kvm_doorbells *k, const struct doorbell *bell)
{
	struct kvm_ioeventfd e = {
		.addr = bell->gpa,
		.len = bell->len == 0 && !k->any_length ? 2 : bell->len,
		.fd = bell->fd,
	};

	if (bell->has_match) {
		e.flags = KVM_IOEVENTFD_FLAG_DATAMATCH;
		e.datamatch = bell->match;
	}
	return e;
}

static int doorbells_attach(struct doorbells *d, const struct doorbell *bell)
{
	const struct kvm_doorbells *k = container_of(d, struct kvm_doorbells, doorbells);
	struct kvm_ioeventfd e = describe(k, bell);

	if (bell->has_match && bell->len == 0)
		return -EINVAL;
	return ioctl(k->vm->fd, KVM_IOEVENTFD, &e) < 0 ? -errno : 0;
}

static void doorbells_detach(struct doorbells *d, const struct doorbell *bell)
{
	const struct kvm_doorbells *k = container_of(d, struct kvm_doorbells, doorbells);
	struct kvm_ioeventfd e = describe(k, bell);

	e.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
	ioctl(k->vm->fd, KVM_IOEVENTFD, &e);
}

int vm_doorbells_create(struct doorbells **ret_doorbells, struct vm *vm, struct err *err)
{
	static const struct doorbells_ops ops = {.attach = doorbells_attach, .detach = doorbells_detach};
	struct kvm_doorbells *k;

	if (vm_check(vm, KVM_CAP_IOEVENTFD) <= 0)
		return err_set(err, -ENOTSUP, "this kernel's KVM lacks KVM_CAP_IOEVENTFD");
	k = calloc(1, sizeof(*k));
	if (!k)
		return err_errno(err, -ENOMEM, "doorbells");
	k->doorbells.ops = &ops;
	k->vm = vm;
	k->any_length = vm_check(vm, KVM_CAP_IOEVENTFD_ANY_LENGTH) > 0;
	*ret_doorbells = &k->doorbells;
	return 0;
}

const struct syscall_rule doorbells_syscalls[] = {
	{SYS_ioctl,
	 ROLE_VCPU,
	 {SYSCALL_ARG(1, KVM_IOEVENTFD)},
	 "a BAR comes, moves or goes, and its doorbells with it",
	 NULL},
	{0},
};
