/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Building, running and ending the machine; see machine.h. */
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "generation.h"
#include "hull/pci.h"
#include "hull/sink.h"
#include "hull/util.h"
#include "lost_memory.h"
#include "machine_console.h"
#include "machine_disks.h"
#include "machine_extras.h"
#include "machine_nets.h"
#include "machine_save.h"
#include "machine_shares.h"
#include "resolve.h"
#include "sandbox/filter.h"
#include "saver.h"

/* A reset this soon after a panic on the console is the panic's. */
static const uint64_t panic_window_ns = UINT64_C(15) * 1000000000;

/* ---- how the machine ends ---- */

void machine_end(struct machine *m, enum outcome outcome, const char *text)
{
	if (__atomic_exchange_n(&m->ended, 1, __ATOMIC_ACQ_REL))
		return;
	snprintf(m->report->text, sizeof(m->report->text), "%s", text);
	report_phase(m->report, PHASE_END);
	m->report->outcome = outcome;
	loop_stop(&m->loop);
}

void machine_loop_failed(void *machine, const char *text)
{
	machine_end(machine, OUTCOME_FAILED, text);
}

/* A guest that panics resets itself (panic=-1): what came before tells the two apart. Lock held. */
static void guest_reset(struct machine *m)
{
	if (m->panic_seen_ns && loop_now(&m->loop) - m->panic_seen_ns < panic_window_ns)
		machine_end(m, OUTCOME_PANIC, "kernel panic");
	else
		machine_end(m, OUTCOME_RESET, "");
}

/* What the user wants to be done about it. Lock held. */
static void watchdog_expired(struct machine *m)
{
	switch (m->config->watchdog) {
	case WATCHDOG_NONE:
		break;
	case WATCHDOG_RESET:
		log_line(m->log, LOG_WARN, "the guest's watchdog has expired: a reset");
		guest_reset(m);
		break;
	case WATCHDOG_POWEROFF:
		log_line(m->log, LOG_WARN, "the guest's watchdog has expired: power off");
		machine_end(m, OUTCOME_POWEROFF, "");
		break;
	case WATCHDOG_EXIT: /* the summary says it */
		machine_end(m, OUTCOME_WATCHDOG, "");
		break;
	}
}

/* Called by devices, with the loop's lock held. */
static void on_machine_event(void *arg, enum machine_event event)
{
	struct machine *m = arg;

	switch (event) {
	case MACHINE_RESET:
		guest_reset(m);
		break;
	case MACHINE_POWEROFF:
		machine_end(m, OUTCOME_POWEROFF, "");
		break;
	case MACHINE_PANIC:
		machine_end(m, OUTCOME_PANIC, "kernel panic");
		break;
	case MACHINE_WATCHDOG:
		watchdog_expired(m);
		break;
	case MACHINE_DISK_FULL: /* has a listener of its own */
		break;
	}
}

struct machine_listener machine_listener(struct machine *m)
{
	return (struct machine_listener){.fn = on_machine_event, .arg = m};
}

static enum outcome outcome_of(enum vcpu_end_kind kind)
{
	switch (kind) {
	case VCPU_TRIPLE_FAULT:
		return OUTCOME_TRIPLE_FAULT;
	case VCPU_INTERNAL_ERROR:
		return OUTCOME_INTERNAL_ERROR;
	case VCPU_FAIL_ENTRY:
		return OUTCOME_FAIL_ENTRY;
	case VCPU_MEMORY_LOST:
		return OUTCOME_MEMORY_LOST;
	case VCPU_RESET:
		return OUTCOME_RESET;
	case VCPU_POWEROFF:
		return OUTCOME_POWEROFF;
	case VCPU_PANIC:
		return OUTCOME_PANIC;
	case VCPU_RUN_FAILED:
	case VCPU_UNKNOWN_EXIT:
		break;
	}
	return OUTCOME_FAILED;
}

/* Called on a vCPU's thread, without the loop's lock. */
static void on_vcpu_end(void *arg, const struct vcpu *vcpu, const struct vcpu_end *end)
{
	struct machine *m = arg;

	(void)vcpu;
	loop_lock(&m->loop);
	if (!__atomic_load_n(&m->ended, __ATOMIC_ACQUIRE))
		memcpy(m->report->registers, end->registers, sizeof(m->report->registers));
	machine_end(m, outcome_of(end->kind), end->text);
	loop_unlock(&m->loop);
}

/* ---- pause ---- */

/* The vCPUs stand or run as machine->paused and machine->saving say. */
static void move_gate(struct machine *m)
{
	const bool stand = m->paused || m->saving;

	machine_extras_pause(m->extras, stand);
	if (!stand) {
		vcpu_gate_open(&m->gate);
		return;
	}
	vcpu_gate_close(&m->gate);
	for (unsigned i = 0; i < m->vcpu_count; i++)
		vcpu_call_out(&m->vcpus[i]);
}

void machine_pause(struct machine *m)
{
	m->paused = true;
	__atomic_store_n(&m->report->paused, true, __ATOMIC_RELAXED);
	move_gate(m);
}

void machine_set_saving(struct machine *m, bool saving)
{
	m->saving = saving;
	if (!__atomic_load_n(&m->ended, __ATOMIC_ACQUIRE))
		move_gate(m);
}

void machine_resume(struct machine *m)
{
	if (!m->paused)
		return;
	m->paused = false;
	__atomic_store_n(&m->report->paused, false, __ATOMIC_RELAXED);
	log_line(m->log, LOG_INFO, "the machine goes on");
	machine_disks_resume(m->disks); /* a disk that is still full pauses again, by the task */
	move_gate(m);
}

static void on_disk_full(struct loop_task *task)
{
	struct machine *m = container_of(task, struct machine, full_task);

	/* None is, when the machine was resumed between the disk's word and now. */
	if (machine_disks_report_full(m->disks))
		machine_pause(m);
}

/* ---- requests of the supervisor ---- */

void machine_power_button(struct machine *m)
{
	for (unsigned i = 0; i < m->device_count; i++) {
		const struct machine_device *d = &m->devices[i];

		if (d->instance && d->type->power_button)
			d->type->power_button(d->instance);
	}
}

static void put_generation(struct machine *m)
{
	uint8_t id[ACPI_GENERATION_BYTES] = {0};

	(void)!getrandom(id, sizeof(id), 0); /* as in random_u64() */
	generation_set(&m->mem, id);
}

void machine_new_generation(struct machine *m)
{
	put_generation(m);
	for (unsigned i = 0; i < m->device_count; i++) {
		const struct machine_device *d = &m->devices[i];

		if (d->instance && d->type->generation_changed)
			d->type->generation_changed(d->instance);
	}
}

void machine_resize_console(struct machine *m, uint16_t cols, uint16_t rows)
{
	/* The serial port has no way to say it. */
	machine_console_resize(m->virtio_console, cols, rows);
}

void machine_vsock_connected(struct machine *m, uint64_t token, int fd)
{
	machine_nets_vsock_connected(m->nets, token, fd);
}

void machine_vsock_open(struct machine *m, uint32_t port, int fd)
{
	machine_nets_vsock_open(m->nets, port, fd);
}

void machine_save(struct machine *m, int link)
{
	saver_take(m->saver, link);
}

/* ---- the console ---- */

static void on_quit(void *arg)
{
	machine_end(arg, OUTCOME_QUIT, "");
}

static void on_panic_line(void *arg)
{
	struct machine *m = arg;

	m->panic_seen_ns = loop_now(&m->loop);
}

static void on_first_output(void *arg)
{
	struct machine *m = arg;

	report_phase(m->report, PHASE_CONSOLE);
}

static void on_output(void *arg)
{
	struct machine *m = arg;

	__atomic_store_n(&m->report->console_ns, monotonic_ns(), __ATOMIC_RELAXED);
}

static int build_console(struct machine *m, struct err *err)
{
	const struct stream_stdio_config config = {
		.in_fd = m->res->console_in,
		.out_fd = m->res->console_out,
		.escape = m->res->console_is_terminal,
		.confine = sandbox_thread,
		.quit = on_quit,
		.panic = on_panic_line,
		.first_output = on_first_output,
		.output = on_output,
		.arg = m,
	};

	if (m->config->console == CONSOLE_NONE)
		return 0;
	return stream_stdio_create(&m->console, &m->loop, &config, err);
}

/* ---- memory and kernel ---- */

/*
 * File servers have to see it; otherwise it is nobody else's, and costs the host less. That of a snapshot is
 * only mapped, unless file servers have to see it.
 */
static int build_memory(struct machine *m, struct err *err)
{
	struct arch_range ranges[2];
	unsigned n = arch_ram_ranges(m->config->memory, ranges);
	const bool shared = m->config->share_count > 0;
	uint64_t offset = 0;
	int r = 0;

	for (unsigned i = 0; i < n && r == 0; i++) {
		if (shared)
			r = mem_add_shared_ram(&m->mem, ranges[i].base, ranges[i].size, err);
		else if (m->res->snapshot)
			r = mem_add_private_ram(&m->mem, ranges[i].base, ranges[i].size,
						fcntl(m->res->memory, F_DUPFD_CLOEXEC, 0), offset, err);
		else
			r = mem_add_ram(&m->mem, ranges[i].base, ranges[i].size, err);
		offset += ranges[i].size;
	}
	if (r == 0 && shared && m->res->snapshot)
		r = mem_load(&m->mem, m->res->memory, err);
	if (r < 0)
		return r;
	mem_freeze(&m->mem);
	lost_memory_watch(&m->mem, m->report);
	return vm_set_memory(&m->vm, &m->mem, err);
}

static int build_tables(struct machine *m, uint64_t *ret_rsdp, struct err *err)
{
	struct arch_range area = arch_tables_area();
	struct acpi_machine acpi;

	arch_acpi_machine(m->config->cpus, m->config->memory, arch_cpu_phys_bits(m->model), &acpi);
	acpi.places = m->places;
	acpi.place_count = m->place_count;
	return acpi_build(&acpi, &m->mem, area.base, area.size, ret_rsdp, err);
}

static uint64_t random_u64(void)
{
	uint64_t v = 0;

	/* Cannot fail for so few bytes once the host has booted; 0 is a legal, poor number. */
	(void)!getrandom(&v, sizeof(v), 0);
	return v;
}

static int load_kernel(struct machine *m, struct err *err)
{
	char base[CMDLINE_BASE_BYTES];
	struct boot_request req = {
		.kernel = m->res->kernel,
		.decoded_fd = m->res->decoded,
		.initrds = m->res->initrds,
		.initrd_count = m->res->initrd_count,
		.cmdline_base = base,
		.cmdline_user = m->config->append,
		.quiet = m->config->log_level < LOG_INFO,
		.random = random_u64,
	};
	struct mem_map map;
	int r = build_tables(m, &req.rsdp, err);

	if (r < 0)
		return r;
	put_generation(m);
	resolve_cmdline(m->config, base);
	arch_mem_map(m->config->memory, &map);
	req.map = &map;
	r = boot_load(&req, &m->mem, &m->entry, err);
	if (r == 0)
		snprintf(m->report->how, sizeof(m->report->how), "%s", m->entry.how);
	return r;
}

/* ---- vCPUs ---- */

static int build_vcpus(struct machine *m, struct err *err)
{
	const struct vcpu_env env = {
		.pio = &m->pio,
		.mmio = &m->mmio,
		.mem = &m->mem,
		.ended = on_vcpu_end,
		.arg = m,
		.gate = &m->gate,
		.machine_ended = &m->ended,
		.confine = sandbox_thread,
		.coalesced = &m->coalesced,
		.first_entry_ns = &m->report->phase_ns[PHASE_ENTRY],
	};
	int r;

	if (m->config->cpus > m->vm.max_cpus)
		return err_set(err, -EINVAL, "-c %u: this KVM takes at most %u vCPUs", m->config->cpus,
			       m->vm.max_cpus);
	m->vcpus = calloc(m->config->cpus, sizeof(*m->vcpus));
	if (!m->vcpus)
		return err_errno(err, -ENOMEM, "vCPUs");
	for (unsigned i = 0; i < m->config->cpus; i++) {
		m->vcpu_count = i + 1;
		r = vcpu_create(&m->vcpus[i], &m->vm, i, &env, err);
		if (r == 0)
			r = arch_vcpu_init(&m->vcpus[i], m->model, err);
		if (r < 0)
			return r;
	}
	return m->res->snapshot ? 0 : arch_vcpu_boot(&m->vcpus[0], &m->entry, err);
}

/* ---- devices ---- */

static int choose_places(struct machine *m, struct err *err)
{
	m->places = calloc(RESOLVE_MAX_PLACES, sizeof(*m->places));
	m->devices = calloc(RESOLVE_MAX_PLACES, sizeof(*m->devices));
	if (!m->places || !m->devices)
		return err_errno(err, -ENOMEM, "devices");
	return resolve_places(m->config, m->places, &m->place_count, err);
}

static int64_t wall_clock(void)
{
	return (int64_t)time(NULL);
}

static int add_ranges(struct machine *m, const struct machine_device *d, struct err *err)
{
	for (unsigned i = 0; i < DEVICE_MAX_RANGES && d->place->ranges[i].len; i++) {
		struct bus_range range = {
			.base = d->place->ranges[i].base,
			.len = d->place->ranges[i].len,
			.ops = d->type->ops[i],
			.dev = d->instance,
			.loop = &m->loop,
		};
		struct bus *bus = d->place->ranges[i].space == SPACE_PIO ? &m->pio : &m->mmio;
		int r = bus_add(bus, &range, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int build_device(struct machine *m, struct machine_device *d, const struct device_place *place,
			struct err *err)
{
	struct device_env env = {
		.loop = &m->loop,
		.log = m->log,
		.events = machine_listener(m),
		.wall_clock = wall_clock,
		.mmio = &m->mmio,
		.coalesced = m->coalesced,
		.base = place->ranges[0].base,
	};
	int r = 0;

	*d = (struct machine_device){.type = device_find(place->type), .place = place};
	if (!d->type)
		return err_set(err, -EINVAL, "no device of type %s", place->type);
	if (place->gsi >= 0) {
		r = irq_line_init(&d->irq, err);
		if (r == 0)
			r = vm_irqfd(&m->vm, &d->irq, (unsigned)place->gsi, err);
		env.irq = &d->irq;
	}
	if (strcmp(place->type, "serial") == 0)
		env.stream = stream_stdio_stream(m->console);
	d->instance = calloc(1, d->type->size);
	if (r == 0 && !d->instance)
		r = err_errno(err, -ENOMEM, "device %s", place->type);
	if (r == 0)
		r = d->type->init(d->instance, &env, err);
	if (r == 0)
		r = add_ranges(m, d, err);
	if (strcmp(place->type, "pci-root") == 0)
		m->pci_root = d->instance;
	return r;
}

static int build_devices(struct machine *m, struct err *err)
{
	int r = 0;

	loop_lock(&m->loop);
	while (r == 0 && m->device_count < m->place_count) {
		unsigned i = m->device_count++;

		if (strcmp(m->places[i].type, "virtio-mmio") != 0)
			r = build_device(m, &m->devices[i], &m->places[i], err);
	}
	loop_unlock(&m->loop);
	return r;
}

/* What is plugged in, and then the addresses of all PCI functions. */
static int build_slots(struct machine *m, struct err *err)
{
	struct resolve_slot slots[RESOLVE_MAX_SLOTS];
	struct arch_range window = arch_bar_window();
	int r;

	if (resolve_slots(m->config, slots) == 0)
		return 0;
	r = vm_doorbells_create(&m->doorbells, &m->vm, err);
	if (r == 0)
		r = vm_msis_create(&m->msis, &m->vm, err);
	if (r == 0)
		r = machine_disks_build(m, err);
	if (r == 0)
		r = machine_nets_build(m, err);
	if (r == 0)
		r = machine_shares_build(m, err);
	if (r == 0)
		r = machine_console_build(m, err);
	if (r == 0)
		r = machine_extras_build(m, err);
	if (r == 0) {
		loop_lock(&m->loop);
		r = pci_root_assign(m->pci_root, window.base, window.size, err);
		loop_unlock(&m->loop);
	}
	return r;
}

/* ---- the build order ---- */

int machine_build(struct machine *m, const struct vm_config *config, const struct resources *res,
		  const struct machine_worker *worker, struct report *report, const struct log *log,
		  struct err *err)
{
	int r;

	*m = (struct machine){
		.config = config,
		.res = res,
		.worker = *worker,
		.report = report,
		.log = log,
		.full_task.run = on_disk_full,
	};
	vcpu_gate_init(&m->gate);
	bus_init(&m->pio, "port");
	bus_init(&m->mmio, "memory");
	r = loop_init(&m->loop, err);
	if (r == 0)
		r = choose_places(m, err);
	/* Memory slots before interrupt controllers, vCPUs before irqfds: see vm.h. */
	if (r == 0)
		r = vm_create(&m->vm, res->kvm, err);
	if (r == 0)
		r = build_memory(m, err);
	report_phase(report, PHASE_MEMORY);
	if (r == 0)
		r = res->snapshot ? arch_cpu_model_load(&m->model, &m->vm, config->cpus, res->snapshot, err)
				  : arch_cpu_model_create(&m->model, &m->vm, config->cpus, err);
	if (r == 0 && !res->snapshot)
		r = load_kernel(m, err);
	report_phase(report, PHASE_KERNEL);
	if (r == 0)
		r = arch_vm_init(&m->vm, err);
	if (r == 0)
		r = vm_create_irqchip(&m->vm, err);
	if (r == 0 && !res->snapshot)
		r = arch_irqchip_init(&m->vm, err);
	if (r == 0)
		r = build_vcpus(m, err);
	if (r == 0)
		r = vm_coalesced_create(&m->coalesced, &m->vcpus[0], &m->pio, err);
	if (r == 0)
		r = build_console(m, err);
	if (r == 0)
		r = build_devices(m, err);
	if (r == 0)
		r = build_slots(m, err);
	if (r == 0)
		r = saver_create(&m->saver, m, err);
	if (r == 0 && res->snapshot)
		r = machine_load(m, res->snapshot, err);
	report_phase(report, PHASE_VCPUS);
	return r;
}

static void stop_vcpus(struct machine *m)
{
	for (unsigned i = 0; i < m->vcpu_count; i++) {
		if (m->vcpus[i].run)
			vcpu_kick(&m->vcpus[i]);
	}
	vcpu_gate_open(&m->gate);
	for (unsigned i = 0; i < m->vcpu_count; i++) {
		vcpu_join(&m->vcpus[i]);
		for (unsigned k = 0; k < EXIT_COUNTS; k++)
			m->report->exits[k] += m->vcpus[i].exits[k];
	}
}

/* What the supervisor may want to show of the console. */
static void report_console(struct machine *m)
{
	enum { FLUSH_MS = 1000 };
	size_t left;

	if (!m->console)
		return;
	left = stream_stdio_flush(m->console, FLUSH_MS);
	m->report->tail_len = (uint32_t)stream_stdio_tail(m->console, m->report->tail, REPORT_TAIL_BYTES);
	m->report->dropped = stream_stdio_dropped(m->console) + left;
}

/* All threads have their filters when it returns. They install them side by side. */
static void await_threads(struct machine *m)
{
	sink_await(m->log->sink);
	stream_stdio_await(m->console);
	machine_disks_await(m->disks);
	machine_nets_await(m->nets);
	saver_await(m->saver);
	for (unsigned i = 0; i < m->vcpu_count; i++)
		vcpu_await(&m->vcpus[i]);
}

/* All threads. The vCPUs wait at the gate. */
static int start_threads(struct machine *m, struct err *err)
{
	int r = machine_disks_start(m->disks, err);

	if (r == 0)
		r = machine_nets_start(m->nets, err);
	if (r == 0)
		r = saver_start(m->saver, err);
	vcpu_prepare_signals();
	vcpu_gate_close(&m->gate);
	for (unsigned i = 0; i < m->vcpu_count && r == 0; i++)
		r = vcpu_start(&m->vcpus[i], err);
	return r;
}

/* A guest that has ended by itself is not to hear of success when its data is lost. */
static void stop_disks(struct machine *m)
{
	const enum outcome outcome = m->report->outcome;
	struct err err = {0};

	if (machine_disks_stop(m->disks, &err) == 0)
		return;
	if (outcome == OUTCOME_POWEROFF || outcome == OUTCOME_RESET || outcome == OUTCOME_QUIT) {
		snprintf(m->report->text, sizeof(m->report->text), "%s", err.msg);
		m->report->outcome = OUTCOME_FAILED;
	} else {
		log_line(m->log, LOG_ERROR, "%s", err.msg);
	}
}

struct start {
	struct loop_task task;
	struct machine *machine;
};

/* The first thing that the main loop does: what a vCPU needs of it, it gets (loop_call()). */
static void let_go(struct loop_task *task)
{
	struct machine *m = container_of(task, struct start, task)->machine;

	if (m->res->ready >= 0)
		(void)!write(m->res->ready, "", 1); /* who waits for it may have gone */
	vcpu_gate_open(&m->gate);
}

int machine_run(struct machine *m, struct err *err)
{
	struct start start = {.task.run = let_go, .machine = m};
	int r = start_threads(m, err);

	sandbox_thread(ROLE_MAIN); /* also when a thread is missing: what is left to do is the same */
	await_threads(m);
	if (r == 0) {
		loop_post(&m->loop, &start.task); /* now every thread has its filter */
		r = loop_run(&m->loop);
		if (r < 0)
			err_errno(err, r, "event loop");
	}
	stop_vcpus(m);
	saver_stop(m->saver);
	machine_nets_stop(m->nets);
	stop_disks(m);
	report_console(m);
	return r;
}

void machine_finish(struct machine *m)
{
	machine_disks_unlock(m->disks);
	for (unsigned i = 0; i < m->vcpu_count; i++)
		vcpu_finish(&m->vcpus[i]);
	vm_finish(&m->vm);
}
