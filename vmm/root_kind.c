/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What --root names; see root_kind.h. */
#include "root_kind.h"

#include <sys/stat.h>

int root_kind_look(struct vm_config *config, struct err *err)
{
	struct stat st;

	if (!config->root.path[0] || config->root.directory)
		return 0;
	if (stat(config->root.path, &st) < 0 || !S_ISDIR(st.st_mode))
		return 0;
	return config_root_is_directory(config, err);
}
