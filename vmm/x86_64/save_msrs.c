/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Model-specific registers in snapshots: those that KVM lists (KVM_GET_MSR_INDEX_LIST), and a few that it
 * has without listing them. Intel SDM vol. 4; Linux Documentation/virt/kvm/x86/msr.rst.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "hull/util.h"
#include "x86_64/save.h"

enum { CHUNK = 64 }; /* registers in one call; KVM takes 256 */

static const struct state_field msrs_fields[] = {
	STATE_FIELD(struct msrs_state, STATE_U32, 1, 1, count, MSRS_MAX, 0),
	STATE_FIELD(struct msrs_state, STATE_BYTES, 2, 1, index, 0, 0),
	STATE_FIELD(struct msrs_state, STATE_BYTES, 3, 1, value, 0, 0),
};

const struct state_table msrs_table = {
	.name = "x86-msrs",
	.version = 1,
	.count = ARRAY_SIZE(msrs_fields),
	.fields = msrs_fields,
	.size = sizeof(struct msrs_state),
};

/* Registers first to last. */
struct msr_range {
	uint32_t first, last;
	enum msr_turn turn;
};

/* All others are late. */
static const struct msr_range turns[] = {
	{MSR_TSC, MSR_TSC, MSR_CLOCK},
	{MSR_WALL_CLOCK, MSR_WALL_CLOCK, MSR_CLOCK},
	{MSR_TSC_DEADLINE, MSR_TSC_DEADLINE, MSR_CLOCK},
	{MSR_WALL_CLOCK_NEW, MSR_WALL_CLOCK_NEW, MSR_CLOCK},
	{0x3a, 0x3a, MSR_EARLY},             /* IA32_FEATURE_CONTROL */
	{0x480, 0x491, MSR_EARLY},           /* what VMX can do */
	{0x1b, 0x1b, MSR_NEVER},             /* IA32_APIC_BASE: with the segments */
	{0xc0000080, 0xc0000080, MSR_NEVER}, /* EFER: the same */
	{0x800, 0x8ff, MSR_NEVER},           /* the local APIC, which is saved as such */
	{0x40000000, 0x400001ff, MSR_NEVER}, /* of Hyper-V: hull does not pose as that */
};

/* What KVM has without listing it. */
static const struct msr_range unlisted[] = {
	{0x200, 0x20f, MSR_LATE}, /* MTRRs of variable ranges */
	{0x250, 0x250, MSR_LATE}, /* of fixed ranges */
	{0x258, 0x259, MSR_LATE}, {0x268, 0x26f, MSR_LATE}, {0x277, 0x277, MSR_LATE}, /* PAT */
	{0x2ff, 0x2ff, MSR_LATE},                                                     /* MTRRdefType */
	{0x280, 0x29f, MSR_LATE}, /* machine check banks: CTL2 */
	{0x400, 0x47f, MSR_LATE}, /* CTL, STATUS, ADDR, MISC of 32 banks */
};

enum msr_turn msr_turn(uint32_t index)
{
	for (unsigned i = 0; i < ARRAY_SIZE(turns); i++) {
		if (index >= turns[i].first && index <= turns[i].last)
			return turns[i].turn;
	}
	return MSR_LATE;
}

/* ---- the list ---- */

struct msr_list {
	uint32_t count;
	uint32_t index[MSRS_MAX];
};

static bool in_list(const struct msr_list *list, uint32_t index, uint32_t *hint)
{
	/* Lists have the same order, mostly: what is looked for comes after what was found. */
	for (uint32_t i = 0; i < list->count; i++) {
		const uint32_t at = (*hint + i) % list->count;

		if (list->index[at] == index) {
			*hint = at + 1;
			return true;
		}
	}
	return false;
}

static void add(struct msr_list *list, uint32_t index)
{
	const enum msr_turn turn = msr_turn(index);

	if (turn != MSR_CLOCK && turn != MSR_NEVER && list->count < MSRS_MAX)
		list->index[list->count++] = index;
}

static void add_unlisted(struct msr_list *list)
{
	uint32_t hint = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(unlisted); i++) {
		for (uint32_t index = unlisted[i].first; index <= unlisted[i].last; index++) {
			if (!in_list(list, index, &hint))
				add(list, index);
		}
	}
}

/* The registers that a snapshot may have, of this KVM. */
static int list_msrs(const struct vm *vm, struct msr_list *ret_list, struct err *err)
{
	struct kvm_msr_list *all = calloc(1, sizeof(*all) + MSRS_MAX * sizeof(all->indices[0]));
	int r = 0;

	if (!all)
		return err_errno(err, -ENOMEM, "list of registers");
	ret_list->count = 0;
	all->nmsrs = MSRS_MAX;
	if (ioctl(vm->kvm_fd, KVM_GET_MSR_INDEX_LIST, all) < 0)
		r = err_errno(err, -errno, "KVM does not list its registers");
	for (uint32_t i = 0; r == 0 && i < all->nmsrs && i < MSRS_MAX; i++)
		add(ret_list, all->indices[i]);
	free(all);
	if (r == 0)
		add_unlisted(ret_list);
	return r;
}

/* ---- one call of KVM's ---- */

struct chunk {
	_Alignas(struct kvm_msrs)
		uint8_t bytes[sizeof(struct kvm_msrs) + CHUNK * sizeof(struct kvm_msr_entry)];
};

static struct kvm_msrs *chunk_msrs(struct chunk *chunk)
{
	return (struct kvm_msrs *)chunk->bytes;
}

int msr_get(const struct vcpu *vcpu, uint32_t index, uint64_t *ret_value)
{
	struct chunk chunk = {0};
	struct kvm_msrs *msrs = chunk_msrs(&chunk);
	int n;

	msrs->nmsrs = 1;
	msrs->entries[0].index = index;
	n = ioctl(vcpu->fd, KVM_GET_MSRS, msrs);
	if (n < 0)
		return -errno;
	if (n == 0)
		return -ENOENT;
	*ret_value = msrs->entries[0].data;
	return 0;
}

int msr_set(const struct vcpu *vcpu, uint32_t index, uint64_t value)
{
	struct chunk chunk = {0};
	struct kvm_msrs *msrs = chunk_msrs(&chunk);
	int n;

	msrs->nmsrs = 1;
	msrs->entries[0].index = index;
	msrs->entries[0].data = value;
	n = ioctl(vcpu->fd, KVM_SET_MSRS, msrs);
	if (n < 0)
		return -errno;
	return n == 0 ? -ENOENT : 0;
}

/* ---- saving ---- */

/* Reads from `list` at `at` until one is refused; *ret_n is how many were read. */
static int get_some(const struct vcpu *vcpu, const struct msr_list *list, uint32_t at,
		    struct msrs_state *state, uint32_t *ret_n)
{
	struct chunk chunk = {0};
	struct kvm_msrs *msrs = chunk_msrs(&chunk);
	int n;

	msrs->nmsrs = (uint32_t)min_u64(list->count - at, CHUNK);
	for (uint32_t i = 0; i < msrs->nmsrs; i++)
		msrs->entries[i].index = list->index[at + i];
	n = ioctl(vcpu->fd, KVM_GET_MSRS, msrs);
	if (n < 0)
		return -errno;
	*ret_n = (uint32_t)min_u64((uint64_t)n, msrs->nmsrs);
	for (uint32_t i = 0; i < *ret_n; i++) {
		state->index[state->count] = msrs->entries[i].index;
		state->value[state->count++] = msrs->entries[i].data;
	}
	/* The one that is refused is none of this guest's. */
	*ret_n += *ret_n < msrs->nmsrs;
	return 0;
}

int msrs_get(const struct vcpu *vcpu, struct msrs_state *ret_state, struct err *err)
{
	struct msr_list *list = calloc(1, sizeof(*list));
	uint32_t n = 0;
	int r;

	if (!list)
		return err_errno(err, -ENOMEM, "registers of vCPU %u", vcpu->index);
	ret_state->count = 0;
	r = list_msrs(vcpu->vm, list, err);
	for (uint32_t at = 0; r == 0 && at < list->count; at += n) {
		r = get_some(vcpu, list, at, ret_state, &n);
		if (r < 0)
			err_errno(err, r, "KVM does not show the registers of vCPU %u", vcpu->index);
	}
	free(list);
	return r;
}

/* ---- loading ---- */

static int by_index(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

int msrs_check(const struct msrs_state *state, struct err *err)
{
	uint32_t *sorted;
	int r = 0;

	if (state->count > MSRS_MAX)
		return err_set(err, -EINVAL, "%u model-specific registers", state->count);
	sorted = calloc(MSRS_MAX, sizeof(*sorted));
	if (!sorted)
		return err_errno(err, -ENOMEM, "model-specific registers");
	memcpy(sorted, state->index, state->count * sizeof(*sorted));
	qsort(sorted, state->count, sizeof(*sorted), by_index);
	for (uint32_t i = 1; r == 0 && i < state->count; i++) {
		if (sorted[i] == sorted[i - 1])
			r = err_set(err, -EINVAL, "model-specific register 0x%x twice", sorted[i]);
	}
	free(sorted);
	return r;
}

/* KVM lacks or refuses register `i`: does that matter? */
static int check_refused(const struct vcpu *vcpu, const struct msrs_state *state, uint32_t i, struct err *err)
{
	uint64_t now = 0;

	if (state->value[i] == 0)
		return 0;
	if (msr_get(vcpu, state->index[i], &now) == 0 && now == state->value[i])
		return 0;
	return err_set(err, -ENOTSUP,
		       "this host's KVM refuses 0x%" PRIx64 " for the register 0x%x (MSR) of vCPU %u",
		       state->value[i], state->index[i], vcpu->index);
}

/* Writes registers `which`[0] to [n - 1] of `state`. */
static int set_some(const struct vcpu *vcpu, const struct msrs_state *state, const uint32_t *which,
		    uint32_t n, struct err *err)
{
	struct chunk chunk = {0};
	struct kvm_msrs *msrs = chunk_msrs(&chunk);
	int done, r;

	while (n > 0) {
		msrs->nmsrs = n;
		for (uint32_t i = 0; i < n; i++)
			msrs->entries[i] = (struct kvm_msr_entry){.index = state->index[which[i]],
								  .data = state->value[which[i]]};
		done = ioctl(vcpu->fd, KVM_SET_MSRS, msrs);
		if (done < 0)
			return err_errno(err, -errno, "KVM refuses the registers of vCPU %u", vcpu->index);
		if ((uint32_t)done >= n)
			return 0;
		r = check_refused(vcpu, state, which[done], err);
		if (r < 0)
			return r;
		which += done + 1;
		n -= (uint32_t)done + 1;
	}
	return 0;
}

static int set_listed(const struct vcpu *vcpu, const struct msrs_state *state, enum msr_turn turn,
		      const struct msr_list *list, struct err *err)
{
	uint32_t which[CHUNK];
	uint32_t n = 0, hint = 0;
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < state->count; i++) {
		if (msr_turn(state->index[i]) != turn)
			continue;
		if (in_list(list, state->index[i], &hint))
			which[n++] = i;
		else
			r = check_refused(vcpu, state, i, err);
		if (r == 0 && n == CHUNK) {
			r = set_some(vcpu, state, which, n, err);
			n = 0;
		}
	}
	return r == 0 ? set_some(vcpu, state, which, n, err) : r;
}

int msrs_set(const struct vcpu *vcpu, const struct msrs_state *state, enum msr_turn turn, struct err *err)
{
	struct msr_list *list = calloc(1, sizeof(*list));
	int r;

	if (!list)
		return err_errno(err, -ENOMEM, "registers of vCPU %u", vcpu->index);
	r = list_msrs(vcpu->vm, list, err);
	if (r == 0)
		r = set_listed(vcpu, state, turn, list, err);
	free(list);
	return r;
}
