/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of vmm/x86_64 share about one vCPU's registers. */
#ifndef HULL_X86_64_REGS_H
#define HULL_X86_64_REGS_H

#include "hull/err.h"
#include "hull/vcpu.h"

/* Sets the model-specific registers that firmware would have set. */
int msr_init(struct vcpu *vcpu, struct err *err);

#endif
