/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MSIs by KVM_IRQFD and GSI routing; see msi.h. */
#include "hull/msi.h"
