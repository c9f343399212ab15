/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vCPU thread: KVM_RUN and what comes out of it; see vcpu.h.
 *
 * Kicking: the kicker sets `stop` and kvm_run.immediate_exit and sends
 * KICK_SIGNAL, whose handler does nothing. Whether the vCPU is in the guest, in
 * the kernel or before KVM_RUN, it comes back with EINTR and sees `stop`. Calling
 * out does the same without `stop`, for the gate.
 */
#include "hull/vcpu.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hull/arch.h"
#include "hull/syscalls.h"
#include "hull/util.h"

static int kick_signal(void)
{
	return SIGRTMIN;
}

static void on_kick(int sig)
{
	(void)sig;
}

void vcpu_prepare_signals(void)
{
	struct sigaction sa = {.sa_handler = on_kick};

	sigaction(kick_signal(), &sa, NULL);
}

int vcpu_create(struct vcpu *vcpu, struct vm *vm, unsigned index, const struct vcpu_env *env, struct err *err)
{
	void *run;

	*vcpu = (struct vcpu){.index = index, .vm = vm, .fd = -1, .env = *env};
	vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)index);
	if (vcpu->fd < 0)
		return err_errno(err, -errno, "KVM cannot create vCPU %u", index);
	run = mmap(NULL, (size_t)vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (run == MAP_FAILED)
		return err_errno(err, -errno, "kvm_run of vCPU %u", index);
	vcpu->run = run;
	vcpu->run_size = vm->run_size;
	return 0;
}

void vcpu_finish(struct vcpu *vcpu)
{
	if (!vcpu || !vcpu->env.ended)
		return;
	if (vcpu->run)
		munmap(vcpu->run, (size_t)vcpu->run_size);
	vcpu->run = NULL;
	fd_close(&vcpu->fd);
}

static bool stopping(struct vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->stop, __ATOMIC_ACQUIRE) ||
	       __atomic_load_n(vcpu->env.machine_ended, __ATOMIC_ACQUIRE);
}

static void end(struct vcpu *vcpu, struct vcpu_end *e, bool registers)
{
	e->registers[0] = '\0';
	if (registers)
		arch_vcpu_dump(vcpu, e->registers, sizeof(e->registers));
	vcpu->env.ended(vcpu->env.arg, vcpu, e);
}

/* A string instruction comes as one exit with up to a page of items. */
static void handle_pio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	unsigned size = run->io.size;
	uint64_t room = (uint64_t)vcpu->run_size;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	if (size > 4 || !range_fits(run->io.data_offset, (uint64_t)size * run->io.count, room))
		return;
	for (uint32_t i = 0; i < run->io.count; i++, data += size) {
		uint64_t val = 0;

		if (run->io.direction == KVM_EXIT_IO_IN) {
			val = bus_read(vcpu->env.pio, run->io.port, size);
			memcpy(data, &val, size);
		} else {
			memcpy(&val, data, size);
			bus_write(vcpu->env.pio, run->io.port, size, val);
		}
	}
}

/* Returns false when the address is RAM: the memory behind it has gone. */
static bool handle_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	unsigned len = run->mmio.len;
	uint64_t val = 0;

	if (len == 0 || len > sizeof(run->mmio.data))
		return true;
	if (mem_ptr(vcpu->env.mem, run->mmio.phys_addr, 1))
		return false;
	if (run->mmio.is_write) {
		memcpy(&val, run->mmio.data, len);
		bus_write(vcpu->env.mmio, run->mmio.phys_addr, len, val);
	} else {
		val = bus_read(vcpu->env.mmio, run->mmio.phys_addr, len);
		memcpy(run->mmio.data, &val, len);
	}
	return true;
}

static void end_memory_lost(struct vcpu *vcpu)
{
	struct vcpu_end e = {.kind = VCPU_MEMORY_LOST};

	snprintf(e.text, sizeof(e.text), "guest memory lost at 0x%" PRIx64 " (vCPU %u)",
		 (uint64_t)vcpu->run->mmio.phys_addr, vcpu->index);
	end(vcpu, &e, true);
}

static void end_internal_error(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct vcpu_end e = {.kind = VCPU_INTERNAL_ERROR};
	const char *what = "error";

	switch (run->internal.suberror) {
	case KVM_INTERNAL_ERROR_EMULATION:
		what = "an instruction it cannot emulate";
		break;
	case KVM_INTERNAL_ERROR_SIMUL_EX:
		what = "two exceptions at once";
		break;
	case KVM_INTERNAL_ERROR_DELIVERY_EV:
		what = "a fault while delivering an event";
		break;
	case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON:
		what = "an exit it does not know";
		break;
	}
	snprintf(e.text, sizeof(e.text), "KVM internal error %u on vCPU %u: %s", run->internal.suberror,
		 vcpu->index, what);
	end(vcpu, &e, true);
}

static void end_fail_entry(struct vcpu *vcpu)
{
	struct vcpu_end e = {.kind = VCPU_FAIL_ENTRY};

	snprintf(e.text, sizeof(e.text),
		 "the CPU refused to enter the guest on vCPU %u: hardware reason 0x%llx", vcpu->index,
		 (unsigned long long)vcpu->run->fail_entry.hardware_entry_failure_reason);
	end(vcpu, &e, true);
}

static void end_triple_fault(struct vcpu *vcpu)
{
	struct vcpu_end e = {.kind = VCPU_TRIPLE_FAULT};

	snprintf(e.text, sizeof(e.text), "triple fault on vCPU %u", vcpu->index);
	end(vcpu, &e, true);
}

static void end_unknown(struct vcpu *vcpu)
{
	struct vcpu_end e = {.kind = VCPU_UNKNOWN_EXIT};

	snprintf(e.text, sizeof(e.text),
		 "KVM left the guest on vCPU %u with exit reason %u, which is not known", vcpu->index,
		 vcpu->run->exit_reason);
	end(vcpu, &e, true);
}

static void end_system_event(struct vcpu *vcpu)
{
	struct vcpu_end e = {0};

	switch (vcpu->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		e.kind = VCPU_POWEROFF;
		break;
	case KVM_SYSTEM_EVENT_RESET:
		e.kind = VCPU_RESET;
		break;
	case KVM_SYSTEM_EVENT_CRASH:
		e.kind = VCPU_PANIC;
		break;
	default:
		end_unknown(vcpu);
		return;
	}
	snprintf(e.text, sizeof(e.text), "system event %u on vCPU %u", vcpu->run->system_event.type,
		 vcpu->index);
	end(vcpu, &e, false);
}

/* Others read the counts while the vCPU runs. */
static void count_exit(struct vcpu *vcpu, enum vcpu_exit_count kind)
{
	__atomic_store_n(&vcpu->exits[kind], vcpu->exits[kind] + 1, __ATOMIC_RELAXED);
}

/* Handles one exit. Returns false when the vCPU cannot go on. */
static bool handle_exit(struct vcpu *vcpu)
{
	switch (vcpu->run->exit_reason) {
	case KVM_EXIT_IO:
		count_exit(vcpu, EXIT_PIO);
		handle_pio(vcpu);
		return true;
	case KVM_EXIT_MMIO:
		count_exit(vcpu, EXIT_MMIO);
		if (handle_mmio(vcpu))
			return true;
		end_memory_lost(vcpu);
		return false;
	case KVM_EXIT_INTR:
		count_exit(vcpu, EXIT_SIGNAL);
		return true;
	case KVM_EXIT_SHUTDOWN:
		end_triple_fault(vcpu);
		return false;
	case KVM_EXIT_INTERNAL_ERROR:
		end_internal_error(vcpu);
		return false;
	case KVM_EXIT_FAIL_ENTRY:
		end_fail_entry(vcpu);
		return false;
	case KVM_EXIT_SYSTEM_EVENT:
		end_system_event(vcpu);
		return false;
	default:
		count_exit(vcpu, EXIT_OTHER);
		end_unknown(vcpu);
		return false;
	}
}

/* KVM_RUN returned an error. Returns false when the vCPU cannot go on. */
static bool handle_run_error(struct vcpu *vcpu, int error)
{
	struct vcpu_end e = {.kind = VCPU_RUN_FAILED};

	if (error == EINTR || error == EAGAIN) {
		/*
		 * A kicker writes `stop` or the gate first and immediate_exit last; here it
		 * is the other way round, so that either is seen now or KVM_RUN returns at once.
		 */
		__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
		count_exit(vcpu, EXIT_SIGNAL);
		return true;
	}
	if (error == EFAULT || error == EHWPOISON) {
		/* What handle_mmio() sees of an instruction that KVM emulates; here the address is not told.
		 */
		e.kind = VCPU_MEMORY_LOST;
		snprintf(e.text, sizeof(e.text), "guest memory lost (vCPU %u): %s", vcpu->index,
			 strerrordesc_np(error));
	} else {
		snprintf(e.text, sizeof(e.text), "KVM cannot run vCPU %u: %s", vcpu->index,
			 strerrordesc_np(error));
	}
	end(vcpu, &e, true);
	return false;
}

void vcpu_gate_init(struct vcpu_gate *gate)
{
	pthread_mutex_init(&gate->lock, NULL);
	pthread_cond_init(&gate->changed, NULL);
	gate->closed = false;
	gate->waiting = 0;
}

void vcpu_gate_finish(struct vcpu_gate *gate)
{
	pthread_cond_destroy(&gate->changed);
	pthread_mutex_destroy(&gate->lock);
}

static void set_gate(struct vcpu_gate *gate, bool closed)
{
	pthread_mutex_lock(&gate->lock);
	__atomic_store_n(&gate->closed, closed, __ATOMIC_SEQ_CST);
	pthread_cond_broadcast(&gate->changed);
	pthread_mutex_unlock(&gate->lock);
}

void vcpu_gate_close(struct vcpu_gate *gate)
{
	set_gate(gate, true);
}

void vcpu_gate_open(struct vcpu_gate *gate)
{
	set_gate(gate, false);
}

bool vcpu_gate_await(struct vcpu_gate *gate, unsigned count)
{
	bool all;

	pthread_mutex_lock(&gate->lock);
	while (gate->closed && gate->waiting < count)
		pthread_cond_wait(&gate->changed, &gate->lock);
	all = gate->closed;
	pthread_mutex_unlock(&gate->lock);
	return all;
}

/*
 * Waits while the gate is closed; but an exit that is not finished is finished first. KVM does that at the
 * start of KVM_RUN, which with immediate_exit does nothing else.
 */
static void pass_gate(struct vcpu *vcpu)
{
	struct vcpu_gate *gate = vcpu->env.gate;

	if (!__atomic_load_n(&gate->closed, __ATOMIC_SEQ_CST))
		return;
	if (vcpu->unfinished) {
		__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		return;
	}
	pthread_mutex_lock(&gate->lock);
	gate->waiting++;
	pthread_cond_broadcast(&gate->changed);
	while (gate->closed)
		pthread_cond_wait(&gate->changed, &gate->lock);
	gate->waiting--;
	pthread_mutex_unlock(&gate->lock);
	/* Tells the guest's watchdogs that the time was the host's. Fails when it has no kvm-clock. */
	ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL, 0UL);
}

static void note_first_entry(const struct vcpu *vcpu)
{
	if (vcpu->index == 0 && vcpu->env.first_entry_ns)
		*vcpu->env.first_entry_ns = monotonic_ns();
}

static void vcpu_thread(void *arg)
{
	struct vcpu *vcpu = arg;
	bool go_on = true;
	int error;

	pass_gate(vcpu);
	note_first_entry(vcpu);
	while (go_on) {
		pass_gate(vcpu);
		if (stopping(vcpu))
			break;
		error = ioctl(vcpu->fd, KVM_RUN, 0UL) == 0 ? 0 : errno;
		vcpu->unfinished = error == 0;
		if (vcpu->env.coalesced)
			vm_coalesced_drain(*vcpu->env.coalesced);
		go_on = error == 0 ? handle_exit(vcpu) : handle_run_error(vcpu, error);
	}
}

int vcpu_start(struct vcpu *vcpu, struct err *err)
{
	int r;

	vcpu->thread = (struct thread){
		.role = ROLE_VCPU,
		.confine = vcpu->env.confine,
		.signal = kick_signal(),
		.run = vcpu_thread,
		.arg = vcpu,
	};
	snprintf(vcpu->thread.name, sizeof(vcpu->thread.name), "hull-vcpu%u", vcpu->index & 0xffu);
	r = thread_start(&vcpu->thread);
	return r < 0 ? err_errno(err, r, "thread of vCPU %u", vcpu->index) : 0;
}

void vcpu_await(struct vcpu *vcpu)
{
	if (vcpu->thread.started)
		thread_await(&vcpu->thread);
}

void vcpu_call_out(struct vcpu *vcpu)
{
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	if (vcpu->thread.started)
		thread_signal(&vcpu->thread);
}

void vcpu_kick(struct vcpu *vcpu)
{
	__atomic_store_n(&vcpu->stop, true, __ATOMIC_SEQ_CST);
	vcpu_call_out(vcpu);
}

void vcpu_join(struct vcpu *vcpu)
{
	thread_join(&vcpu->thread);
}

const struct syscall_rule vcpu_syscalls[] = {
	{SYS_ioctl, ROLE_VCPU, {SYSCALL_ARG(1, KVM_RUN)}, "the guest", NULL},
	{SYS_ioctl, ROLE_VCPU, {SYSCALL_ARG(1, KVM_KVMCLOCK_CTRL)}, "after a pause", NULL},
	{SYS_rt_sigreturn, ROLE_VCPU, {{0}}, "the handler of the kick", NULL},
	{SYS_tgkill, ROLE_MAIN | ROLE_SAVE, {SYSCALL_ARG(0, SYSCALL_OWN_PID)}, "kicks", NULL},
	{SYS_munmap, ROLE_MAIN, {{0}}, "the end of a vCPU", NULL},
	{SYS_close, ROLE_MAIN, {{0}}, "the same", NULL},
	{0},
};
