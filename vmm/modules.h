/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which modules of a kernel are needed, in which order: the lists that depmod
 * leaves in lib/modules/VERSION. They are text that somebody else wrote; here
 * nothing is opened.
 */
#ifndef HULL_VMM_MODULES_H
#define HULL_VMM_MODULES_H

#include "hull/err.h"

enum {
	MODULES_MAX = 64,       /* the longest list; a root takes some twenty */
	MODULES_PATH_MAX = 256, /* of a path in the tree, with its NUL */
	MODULES_NAME_MAX = 64,  /* of a module, with its NUL: as the kernel has it */
	MODULES_DEPTH_MAX = 32, /* of dependencies */
};

/* The lists' texts, NUL-terminated; NULL: there is no such list. */
struct modules_lists {
	const char *dir;     /* lib/modules/VERSION, for messages */
	const char *dep;     /* modules.dep; required */
	const char *builtin; /* modules.builtin */
	const char *softdep; /* modules.softdep */
	const char *alias;   /* modules.alias */
};

/* What is to be loaded, first things first: paths relative to `dir`. */
struct modules_order {
	char paths[MODULES_MAX][MODULES_PATH_MAX];
	unsigned count;
};

/*
 * Adds module `name` ('-' and '_' are the same) to `order`, behind what it
 * depends on, unless it is in it or built into the kernel. "Soft" dependencies
 * that are not there do no harm.
 * Errors: -ENOENT (the kernel has no such module, and says what is built in);
 * -EINVAL (a path that leaves the tree, a loop, too long); -E2BIG.
 */
int modules_add(const struct modules_lists *lists, const char *name, struct modules_order *order,
		struct err *err);

#endif
