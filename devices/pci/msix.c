/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MSI-X; see pci.h. */
#include "hull/pci.h"
