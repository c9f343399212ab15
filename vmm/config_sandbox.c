/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --sandbox and --uid; see config_sandbox.h. */
#include "config_sandbox.h"

#include <errno.h>

#include "config_fields.h"
#include "hull/util.h"

/* 2^32 - 1 is nobody: chown(2) and others take it for "as it is". */
static const uint64_t max_uid = 4294967294;

static const char *const modes[] = {
	[SANDBOX_ON] = "on",
	[SANDBOX_STRICT] = "strict",
	[SANDBOX_OFF] = "off",
};

const char *config_sandbox_mode(enum sandbox_mode mode)
{
	return modes[mode];
}

int config_apply_sandbox(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	int i = config_find_word(value, modes, ARRAY_SIZE(modes));

	if (i < 0)
		return err_set(err, -EINVAL, "%s %s: expected on, off or strict", option, value);
	c->sandbox.mode = (enum sandbox_mode)i;
	return 0;
}

int config_apply_uid(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	uint64_t uid = 0;

	if (config_parse_number(value, 1, max_uid, &uid) < 0)
		return err_set(err, -EINVAL, "%s %s: expected the number of a user other than root", option,
			       value);
	c->sandbox.uid = (uint32_t)uid;
	c->sandbox.uid_given = true;
	return 0;
}

int config_check_sandbox(const struct vm_config *c, struct err *err)
{
	if (c->sandbox.uid_given && c->sandbox.mode == SANDBOX_OFF)
		return err_set(err, -EINVAL, "--uid: not together with --sandbox off");
	return 0;
}
