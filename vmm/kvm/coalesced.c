/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Coalesced port writes by KVM_REGISTER_COALESCED_MMIO; see coalesced.h and Linux'
 * Documentation/virt/kvm/api.rst, 4.116.
 *
 * The ring is a page of each vCPU's kvm_run mapping, the same in all. KVM alone writes entries and `last`,
 * and a vCPU's thread moves `first` on when an entry has taken effect: who finds the ring empty knows that
 * all came before its own exit is done.
 */
#include "hull/coalesced.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "hull/syscalls.h"
#include "hull/util.h"
#include "hull/vcpu.h"
#include "hull/vm.h"

enum { RING_BYTES = 4096 };

struct kvm_coalesced {
	struct coalesced coalesced;
	const struct vm *vm;
	struct vcpu *vcpu; /* the first one: its mapping is used, and it is called out to flush */
	struct bus *pio;
	struct kvm_coalesced_mmio_ring *ring;
	uint32_t entries;     /* in the ring */
	pthread_mutex_t lock; /* of who empties the ring; locks of loops are taken inside */
};

static int coalesced_set(struct coalesced *c, uint16_t port, bool on)
{
	const struct kvm_coalesced *k = container_of(c, struct kvm_coalesced, coalesced);
	struct kvm_coalesced_mmio_zone zone = {.addr = port, .size = 1, .pio = 1};

	return ioctl(k->vm->fd, on ? KVM_REGISTER_COALESCED_MMIO : KVM_UNREGISTER_COALESCED_MMIO, &zone) < 0
		       ? -errno
		       : 0;
}

static bool is_empty(const struct kvm_coalesced *k)
{
	return __atomic_load_n(&k->ring->first, __ATOMIC_ACQUIRE) ==
	       __atomic_load_n(&k->ring->last, __ATOMIC_ACQUIRE);
}

static bool coalesced_more(const struct coalesced *c)
{
	const struct kvm_coalesced *k = container_of(c, struct kvm_coalesced, coalesced);
	uint32_t next = (__atomic_load_n(&k->ring->first, __ATOMIC_ACQUIRE) + 1) % k->entries;

	return !is_empty(k) && next != __atomic_load_n(&k->ring->last, __ATOMIC_ACQUIRE);
}

static void coalesced_flush(struct coalesced *c)
{
	struct kvm_coalesced *k = container_of(c, struct kvm_coalesced, coalesced);

	if (!is_empty(k))
		vcpu_call_out(k->vcpu);
}

void vm_coalesced_drain(struct coalesced *coalesced)
{
	struct kvm_coalesced *k;

	if (!coalesced)
		return;
	k = container_of(coalesced, struct kvm_coalesced, coalesced);
	if (is_empty(k))
		return;
	pthread_mutex_lock(&k->lock);
	while (!is_empty(k)) {
		uint32_t first = k->ring->first % k->entries;
		const struct kvm_coalesced_mmio *entry = &k->ring->coalesced_mmio[first];
		uint64_t val = 0;

		if (entry->pio && entry->len <= sizeof(val)) {
			memcpy(&val, entry->data, entry->len);
			bus_write(k->pio, entry->phys_addr, entry->len, val);
		}
		__atomic_store_n(&k->ring->first, (first + 1) % k->entries, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&k->lock);
}

int vm_coalesced_create(struct coalesced **ret_coalesced, struct vcpu *vcpu, struct bus *pio, struct err *err)
{
	static const struct coalesced_ops ops = {
		.set = coalesced_set, .more = coalesced_more, .flush = coalesced_flush};
	int page = vm_check(vcpu->vm, KVM_CAP_COALESCED_MMIO);
	struct kvm_coalesced *k;

	*ret_coalesced = NULL;
	if (page <= 0 || vm_check(vcpu->vm, KVM_CAP_COALESCED_PIO) <= 0 ||
	    vcpu->run_size < (page + 1) * RING_BYTES)
		return 0;
	k = calloc(1, sizeof(*k));
	if (!k)
		return err_errno(err, -ENOMEM, "coalesced writes");
	k->coalesced.ops = &ops;
	k->vm = vcpu->vm;
	k->vcpu = vcpu;
	k->pio = pio;
	k->ring = (void *)((uint8_t *)vcpu->run + (size_t)page * RING_BYTES);
	k->entries = (RING_BYTES - sizeof(*k->ring)) / sizeof(struct kvm_coalesced_mmio);
	pthread_mutex_init(&k->lock, NULL);
	*ret_coalesced = &k->coalesced;
	return 0;
}

const struct syscall_rule coalesced_syscalls[] = {
	{SYS_ioctl,
	 ROLE_VCPU,
	 {SYSCALL_ARG(1, KVM_REGISTER_COALESCED_MMIO)},
	 "the guest prints much on the serial port",
	 NULL},
	{SYS_ioctl,
	 ROLE_VCPU,
	 {SYSCALL_ARG(1, KVM_UNREGISTER_COALESCED_MMIO)},
	 "it does so in a way that cannot wait",
	 NULL},
	{0},
};
