/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What this host's KVM can do; see vm.h. */
#include <cpuid.h>
#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "hull/util.h"
#include "hull/vm.h"
#include "kvm/caps.h"

/* Mainline kernels have had all of them since 4.11. */
static const struct {
	int capability;
	const char *name;
} needed[] = {
	{KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
	{KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
	{KVM_CAP_IRQFD, "KVM_CAP_IRQFD"},
	{KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
	{KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR"},
	{KVM_CAP_SET_IDENTITY_MAP_ADDR, "KVM_CAP_SET_IDENTITY_MAP_ADDR"},
	{KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
};

const char *caps_missing(int kvm_fd)
{
	for (unsigned i = 0; i < ARRAY_SIZE(needed); i++) {
		if (ioctl(kvm_fd, KVM_CHECK_EXTENSION, needed[i].capability) <= 0)
			return needed[i].name;
	}
	return NULL;
}

bool vm_cpu_has_virtualisation(const char **ret_vendor)
{
	unsigned a;
	unsigned b;
	unsigned c;
	unsigned d;
	const char *vendor = NULL;

	if (__get_cpuid(1, &a, &b, &c, &d) && (c & (1u << 5)))
		vendor = "vmx";
	else if (__get_cpuid(0x80000001, &a, &b, &c, &d) && (c & (1u << 2)))
		vendor = "svm";
	if (ret_vendor)
		*ret_vendor = vendor;
	return vendor != NULL;
}

void vm_probe(int kvm_fd, struct vm_probe *ret_probe)
{
	struct vm_probe p = {0};
	int fd;
	int n;

	p.api_version = ioctl(kvm_fd, KVM_GET_API_VERSION, 0UL);
	p.missing = caps_missing(kvm_fd);
	p.hardware = vm_cpu_has_virtualisation(&p.vendor);
	n = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	p.max_cpus = n > 0 ? (unsigned)n : 0;
	p.tsc_deadline_timer = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	fd = ioctl(kvm_fd, KVM_CREATE_VM, 0UL);
	p.creates_vm = fd >= 0;
	p.create_errno = fd < 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	*ret_probe = p;
}
