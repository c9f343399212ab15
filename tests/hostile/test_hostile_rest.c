/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Snapshots of a machine that works: the thread that makes them (saver.c), a vCPU, the loops, and
 * clients that may be no good, each on a thread of its own, for ThreadSanitizer too. The machine is one disk;
 * what is of KVM and of other devices is left out below.
 */
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hull/arch.h"
#include "hull/snapshot.h"
#include "hull/util.h"
#include "leaks.h"
#include "machine_disks.h"
#include "machine_extras.h"
#include "machine_nets.h"
#include "machine_save.h"
#include "machine_virtio.h"
#include "sandbox/filter.h"
#include "save_link.h"
#include "saver.h"

enum {
	CLIENTS = 3,
	STEP = 4,  /* descriptors from one request to the next */
	MOST = 16, /* requests at a time */
	EARLY = 4, /* each client's every so manyth goes before it has said all */
	PATIENCE_MS = 60000,
	RELEASE_NS = 200000,
};

struct fx {
	struct machine m;
	struct machine_virtio disk;
	struct vcpu vcpu;
	struct hostile *h;
	struct loop_timer release;
	pthread_t loops[2], vcpu_thread, clients[CLIENTS];
	bool stop;          /* atomic: the vCPU ends */
	unsigned rounds;    /* of each client */
	uint64_t requests;  /* the vCPU's: that ended */
	unsigned made, bad; /* atomic: snapshots; those that are wrong */
};

/* ---- what there is of a machine ---- */

void vcpu_gate_init(struct vcpu_gate *gate)
{
	*gate = (struct vcpu_gate){0};
	pthread_mutex_init(&gate->lock, NULL);
	pthread_cond_init(&gate->changed, NULL);
}

void vcpu_gate_finish(struct vcpu_gate *gate)
{
	pthread_mutex_destroy(&gate->lock);
	pthread_cond_destroy(&gate->changed);
}

static void set_gate(struct vcpu_gate *gate, bool closed)
{
	pthread_mutex_lock(&gate->lock);
	gate->closed = closed;
	pthread_cond_broadcast(&gate->changed);
	pthread_mutex_unlock(&gate->lock);
}

bool vcpu_gate_await(struct vcpu_gate *gate, unsigned count)
{
	bool closed;

	pthread_mutex_lock(&gate->lock);
	while (gate->closed && gate->waiting < count)
		pthread_cond_wait(&gate->changed, &gate->lock);
	closed = gate->closed;
	pthread_mutex_unlock(&gate->lock);
	return closed;
}

static void pass_gate(struct vcpu_gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	gate->waiting++;
	pthread_cond_broadcast(&gate->changed);
	while (gate->closed)
		pthread_cond_wait(&gate->changed, &gate->lock);
	gate->waiting--;
	pthread_mutex_unlock(&gate->lock);
}

void machine_set_saving(struct machine *m, bool saving)
{
	m->saving = saving;
	set_gate(&m->gate, saving);
}

bool machine_disks_are_full(struct machine_disks *disks)
{
	(void)disks;
	return false;
}

/* ---- and what there is not ---- */

void machine_disks_describe(const struct machine_disks *disks, struct saved_extra *extra)
{
	(void)disks, (void)extra;
}

int machine_disks_copy(struct machine_disks *disks, unsigned index, int fd, const int *stop, struct err *err)
{
	(void)disks, (void)index, (void)fd, (void)stop, (void)err;
	return 0;
}

void machine_nets_describe(const struct machine_nets *nets, struct saved_extra *extra)
{
	(void)nets, (void)extra;
}

void machine_extras_save(struct machine_extras *extras, struct snapshot_writer *writer)
{
	(void)extras, (void)writer;
}

int machine_extras_load(struct machine_extras *extras, struct machine *m, struct snapshot *snapshot,
			struct err *err)
{
	(void)extras, (void)m, (void)snapshot, (void)err;
	return 0;
}

void machine_new_generation(struct machine *m)
{
	(void)m;
}

void saved_config_put(struct snapshot_writer *writer, const struct vm_config *config,
		      const struct saved_extra *extra)
{
	(void)writer, (void)config, (void)extra;
}

void saved_memory_put(struct snapshot_writer *writer, const struct saved_memory *memory)
{
	(void)writer, (void)memory;
}

void arch_cpu_model_save(const struct arch_cpu_model *model, struct snapshot_writer *writer)
{
	(void)model, (void)writer;
}

void arch_vm_save(struct vm *vm, struct snapshot_writer *writer)
{
	(void)vm, (void)writer;
}

void arch_vcpu_save(struct vcpu *vcpu, struct snapshot_writer *writer)
{
	(void)vcpu, (void)writer;
}

int arch_vcpu_load(struct vcpu *vcpu, struct snapshot *snapshot, struct err *err)
{
	(void)vcpu, (void)snapshot, (void)err;
	return 0;
}

int arch_vm_load(struct vm *vm, struct snapshot *snapshot, struct err *err)
{
	(void)vm, (void)snapshot, (void)err;
	return 0;
}

int arch_clocks_load(struct vm *vm, struct vcpu *vcpus, unsigned count, struct snapshot *snapshot,
		     struct err *err)
{
	(void)vm, (void)vcpus, (void)count, (void)snapshot, (void)err;
	return 0;
}

void sandbox_thread(enum syscall_role role)
{
	(void)role;
}

/* ---- the threads of the machine ---- */

#ifdef __SANITIZE_THREAD__
/* Of ThreadSanitizer's run-time library; no header has it. */
void AnnotateBenignRaceSized(const char *file, int line, const volatile void *at, long size,
			     const char *what);
#endif

/* What a vCPU and the device do to guest RAM at once is a race as with a guest. */
static void expect_races(struct hostile *h)
{
#ifdef __SANITIZE_THREAD__
	AnnotateBenignRaceSized(__FILE__, __LINE__, h->ram + RIG_RAM, RIG_RAM_SIZE, "guest RAM");
#else
	(void)h;
#endif
}

static void *run_loop(void *arg)
{
	(void)loop_run(arg);
	return NULL;
}

/* Requests end later, some at a time, as those of a disk do. */
static void release_some(struct loop_timer *timer)
{
	struct fx *fx = container_of(timer, struct fx, release);
	struct loop *loop = &fx->h->rig.loop;

	(void)mem_block_release(&fx->h->disk, 3);
	loop_timer_set(loop, timer, loop_now(loop) + RELEASE_NS);
}

static void *run_vcpu(void *arg)
{
	struct fx *fx = arg;
	struct virtio_rig *rig = &fx->h->rig;
	unsigned next = 0, out = 0;
	uint32_t id, len;

	while (!__atomic_load_n(&fx->stop, __ATOMIC_ACQUIRE) || out > 0) {
		pass_gate(&fx->m.gate);
		while (virtio_rig_reap(rig, 0, &id, &len)) {
			fx->requests++;
			out--;
		}
		if (out == MOST || __atomic_load_n(&fx->stop, __ATOMIC_ACQUIRE))
			continue;
		hostile_request(fx->h, 0, STEP * next);
		virtio_rig_avail(rig, 0, (uint16_t)(STEP * next));
		next = (next + 1) % (HOSTILE_SIZE / STEP);
		out++;
		loop_lock(&rig->loop);
		virtio_kick(rig->dev, 0);
		loop_unlock(&rig->loop);
	}
	/* It is at the gate from now on. */
	pthread_mutex_lock(&fx->m.gate.lock);
	fx->m.gate.waiting++;
	pthread_cond_broadcast(&fx->m.gate.changed);
	pthread_mutex_unlock(&fx->m.gate.lock);
	return NULL;
}

/* ---- clients ---- */

/* A device at rest has given back all that it took, and memory is of the same moment. */
static bool is_right(const struct fx *fx, int state, int memory)
{
	struct virtq_state queue = {0};
	struct snapshot *snapshot = NULL;
	uint8_t bytes[16 << 10], used[2];
	struct stat st;
	bool right;

	if (fstat(state, &st) < 0 || (size_t)st.st_size > sizeof(bytes) ||
	    fd_pread_full(state, bytes, (size_t)st.st_size, 0) < 0 ||
	    snapshot_open(&snapshot, bytes, (size_t)st.st_size, NULL) < 0)
		return false;
	right = snapshot_get(snapshot, "disk0/queue0", &virtq_state_table, &queue, NULL) == 0 &&
		queue.ready == 1 && queue.next_avail == queue.next_used && fstat(memory, &st) == 0 &&
		(uint64_t)st.st_size == mem_size(&fx->m.mem) &&
		fd_pread_full(memory, used, sizeof(used), (off_t)(queue.device + 2 - RIG_RAM)) == 0 &&
		load_le16(used) == queue.next_used;
	snapshot_close(snapshot);
	return right;
}

static int send_order(int link, int state, int memory, uint32_t flags)
{
	struct save_message m = {.kind = SAVE_STATE};
	int r = save_link_send(link, &m, &state, 1, PATIENCE_MS);

	m.kind = SAVE_MEMORY;
	if (r == 0)
		r = save_link_send(link, &m, &memory, 1, PATIENCE_MS);
	m = (struct save_message){.kind = SAVE_GO, .flags = flags};
	return r == 0 ? save_link_send(link, &m, NULL, 0, PATIENCE_MS) : r;
}

/* 0, or -EPIPE: another one was served. With `hold` the link stays open: returns it. */
static int take_one(struct fx *fx, bool early, bool hold)
{
	struct save_message done = {.kind = SAVE_STATE};
	int state = memfd_create("state", MFD_CLOEXEC), memory = memfd_create("memory", MFD_CLOEXEC);
	int pair[2], fds[2], r;
	unsigned count = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	saver_take(fx->m.saver, pair[1]);
	if (early) {
		(void)save_link_send(pair[0], &done, &state, 1, PATIENCE_MS);
		r = -EPIPE;
	} else {
		(void)send_order(pair[0], state, memory, hold ? SAVE_HOLD : 0);
		r = save_link_receive(pair[0], &done, fds, &count, PATIENCE_MS);
	}
	if (r == 0 &&
	    (done.kind != SAVE_DONE || done.error != 0 || count != 0 || !is_right(fx, state, memory)))
		r = -EBADMSG;
	close(state);
	close(memory);
	if (hold && r == 0)
		return pair[0];
	close(pair[0]);
	return r;
}

static void *run_client(void *arg)
{
	struct fx *fx = arg;

	for (unsigned made = 0, i = 0; made < fx->rounds; i++) {
		const int r = take_one(fx, i % EARLY == EARLY - 1, false);

		if (r == -EPIPE) {
			sched_yield();
			continue;
		}
		made++;
		__atomic_add_fetch(r == 0 ? &fx->made : &fx->bad, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* ---- the test ---- */

static void begin(struct fx *fx, struct hostile *h)
{
	struct machine *m = &fx->m;

	fx->h = h;
	fx->disk = (struct machine_virtio){.dev = h->rig.dev, .pci = h->rig.pci, .mmio = h->rig.vmmio};
	m->mem = h->rig.mem;
	m->slots[0] = (struct machine_slot){.virtio = &fx->disk, .name = "disk0"};
	m->slot_count = m->vcpu_count = 1;
	m->vcpus = &fx->vcpu;
	m->worker.pagemap = -1;
	vcpu_gate_init(&m->gate);
	assert_int_equal(loop_init(&m->loop, NULL), 0);
	expect_races(h);
	hostile_begin(h);
	hostile_hold(h, true);
	fx->release.expired = release_some;
	loop_lock(&h->rig.loop);
	loop_timer_set(&h->rig.loop, &fx->release, 0);
	loop_unlock(&h->rig.loop);
	assert_int_equal(saver_create(&m->saver, m, NULL), 0);
	assert_int_equal(pthread_create(&fx->loops[0], NULL, run_loop, &m->loop), 0);
	assert_int_equal(pthread_create(&fx->loops[1], NULL, run_loop, &h->rig.loop), 0);
	loop_await_run(&m->loop);
	loop_await_run(&h->rig.loop);
	assert_int_equal(saver_start(m->saver, NULL), 0);
	assert_int_equal(pthread_create(&fx->vcpu_thread, NULL, run_vcpu, fx), 0);
}

static void end(struct fx *fx)
{
	struct machine *m = &fx->m;
	struct loop *loop = &fx->h->rig.loop;

	loop_stop(&m->loop);
	loop_stop(loop);
	assert_int_equal(pthread_join(fx->loops[0], NULL), 0);
	assert_int_equal(pthread_join(fx->loops[1], NULL), 0);
	saver_destroy(m->saver);
	loop_finish(&m->loop);
	vcpu_gate_finish(&m->gate);
	/* Stepped by hand again, as before. */
	loop_lock(loop);
	loop_timer_cancel(loop, &fx->release);
	loop->ended = false;
	loop_unlock(loop);
}

static void hostile_70_at_rest(void **state)
{
	struct fx *fx = calloc(1, sizeof(*fx));
	int held = -EPIPE;

	assert_non_null(fx);
	fx->rounds = hostile_times(12, 200);
	begin(fx, *state);
	for (unsigned i = 0; i < CLIENTS; i++)
		assert_int_equal(pthread_create(&fx->clients[i], NULL, run_client, fx), 0);
	for (unsigned i = 0; i < CLIENTS; i++)
		assert_int_equal(pthread_join(fx->clients[i], NULL), 0);
	__atomic_store_n(&fx->stop, true, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(fx->vcpu_thread, NULL), 0);
	print_message("# %u snapshots, %llu requests\n", fx->made, (unsigned long long)fx->requests);
	assert_int_equal(fx->bad, 0);
	assert_int_equal(fx->made, CLIENTS * fx->rounds);
	assert_true(fx->requests > 0);
	/* One after the other, as quick as can be: none is in the way of the next. */
	while (take_one(fx, false, false) == -EPIPE)
		sched_yield();
	for (unsigned i = 0; i < 10 * fx->rounds; i++)
		assert_int_equal(take_one(fx, false, false), 0);
	/* The machine ends while somebody has it stand still. */
	while (held == -EPIPE)
		held = take_one(fx, false, true);
	assert_true(held >= 0);
	saver_stop(fx->m.saver);
	close(held);
	assert_int_equal(take_one(fx, false, false), -EPIPE);
	end(fx);
	fx->h->resident = resident_bytes(); /* stacks */
	hostile_check(fx->h);
	free(fx);
}

int main(void)
{
	static const struct hostile_case cases[] = {
		{"hostile_70_at_rest", hostile_70_at_rest, ON_BLK | ON_PCI | ON_MMIO},
	};

	return hostile_run("rest", cases, ARRAY_SIZE(cases));
}
