/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Doorbells by KVM_IOEVENTFD; see doorbell.h. */
#include "hull/doorbell.h"
