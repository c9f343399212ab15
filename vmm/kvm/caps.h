/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The capabilities that hull cannot do without. Private to vmm/kvm. */
#ifndef HULL_KVM_CAPS_H
#define HULL_KVM_CAPS_H

/* The name of the first capability that KVM lacks, or NULL. */
const char *caps_missing(int kvm_fd);

#endif
