/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest RAM that the host has lost: a broken page, or a file behind RAM that has become
 * shorter. The guest finds that by an exit (hull/vcpu.h), a system call by EFAULT, and hull itself
 * by SIGBUS, which is dealt with here.
 */
#ifndef HULL_VMM_LOST_MEMORY_H
#define HULL_VMM_LOST_MEMORY_H

#include "hull/mem.h"
#include "report.h"

/*
 * From now on an access of any thread to RAM of `mem` that the host cannot give ends this
 * process, with OUTCOME_MEMORY_LOST and the guest's address in `report`. Any other SIGBUS is a
 * crash as before, but for the first one that is sent by kill(2), which is lost. Both live until the end of
 * the process; once in a process.
 */
void lost_memory_watch(const struct guest_mem *mem, struct report *report);

#endif
