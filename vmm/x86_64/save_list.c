/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All tables by which this architecture's sections of a snapshot are written, by hand. */
#include "hull/arch.h"
#include "hull/util.h"
#include "save.h"

static const struct state_table *const tables[] = {
	&model_table, &regs_table,   &sregs_table,    &events_table,     &debug_table,
	&lapic_table, &xsave_table,  &nested_table,   &core_table,       &msrs_table,
	&pic_table,   &ioapic_table, &vm_clock_table, &vcpu_clock_table,
};

const struct state_table *arch_state_table(unsigned index)
{
	return index < ARRAY_SIZE(tables) ? tables[index] : NULL;
}
