/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copies of files, as cheap as the file system has them. */
#ifndef HULL_VMM_COPY_FILE_H
#define HULL_VMM_COPY_FILE_H

#include "hull/err.h"

/*
 * Makes the empty file `to` a copy of `from`: sharing its blocks, else with its holes. Any thread, which
 * waits. Errors: -errno; `err` without a name.
 */
int copy_file(int from, int to, struct err *err);

#endif
