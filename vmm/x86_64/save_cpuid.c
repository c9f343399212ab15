/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The CPU model in snapshots: as saved, if this host can give it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hull/arch.h"
#include "hull/util.h"
#include "x86_64/cpuid_model.h"
#include "x86_64/save.h"

enum { ROW_WORDS = 7 }; /* function, index, flags, EAX, EBX, ECX, EDX */

struct cpu_model_state {
	uint32_t count;
	uint32_t rows[CPUID_MAX_ENTRIES][ROW_WORDS]; /* what is past `count` is zero */
};

static const struct state_field model_fields[] = {
	STATE_FIELD(struct cpu_model_state, STATE_U32, 1, 1, count, CPUID_MAX_ENTRIES, 0),
	STATE_FIELD(struct cpu_model_state, STATE_BYTES, 2, 1, rows, 0, 0),
};

const struct state_table model_table = {
	.name = "x86-cpu-model",
	.version = 1,
	.count = ARRAY_SIZE(model_fields),
	.fields = model_fields,
	.size = sizeof(struct cpu_model_state),
};

void arch_cpu_model_save(const struct arch_cpu_model *model, struct snapshot_writer *writer)
{
	struct cpu_model_state *s = calloc(1, sizeof(*s));
	struct err err;

	if (!s) {
		err_errno(&err, -ENOMEM, "CPU model");
		snapshot_writer_fail(writer, &err);
		return;
	}
	s->count = model->cpuid->nent;
	for (uint32_t i = 0; i < s->count; i++) {
		const struct kvm_cpuid_entry2 *e = &model->cpuid->entries[i];
		const uint32_t row[ROW_WORDS] = {e->function, e->index, e->flags, e->eax,
						 e->ebx,      e->ecx,   e->edx};

		memcpy(s->rows[i], row, sizeof(row));
	}
	snapshot_put(writer, "cpu-model", &model_table, s);
	free(s);
}

static int read_model(struct kvm_cpuid2 *c, struct snapshot *snapshot, struct err *err)
{
	struct cpu_model_state *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_errno(err, -ENOMEM, "CPU model");
	r = snapshot_get(snapshot, "cpu-model", &model_table, s, err);
	if (r == 0) {
		c->nent = s->count;
		for (uint32_t i = 0; i < s->count; i++) {
			const uint32_t *row = s->rows[i];

			c->entries[i] = (struct kvm_cpuid_entry2){
				.function = row[0],
				.index = row[1],
				.flags = row[2],
				.eax = row[3],
				.ebx = row[4],
				.ecx = row[5],
				.edx = row[6],
			};
		}
		r = cpuid_check(c, err);
	}
	free(s);
	return r;
}

int arch_cpu_model_load(struct arch_cpu_model **ret_model, const struct vm *vm, unsigned cpus,
			struct snapshot *snapshot, struct err *err)
{
	struct arch_cpu_model *model;
	struct kvm_cpuid2 *saved = cpuid_alloc();
	int r;

	if (!saved)
		return err_errno(err, -ENOMEM, "CPU model");
	/* What such a guest would see here: with what hull adds to KVM's list. */
	r = arch_cpu_model_create(&model, vm, cpus, err);
	if (r < 0) {
		free(saved);
		return r;
	}
	r = read_model(saved, snapshot, err);
	if (r == 0)
		r = cpuid_compare(saved, model->cpuid, err);
	if (r < 0) {
		free(saved);
		arch_cpu_model_destroy(model);
		return r;
	}
	free(model->cpuid);
	model->cpuid = saved;
	*ret_model = model;
	return 0;
}
