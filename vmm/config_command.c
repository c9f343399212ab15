/* SPDX-License-Identifier: GPL-2.0-or-later */
/* COMMAND, --workdir, --env, --user, --tty, --agent, --boot-timeout; see config_command.h. */
#include "config_command.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "config_disk.h"
#include "config_fields.h"
#include "hull/agent.h"
#include "hull/util.h"

enum {
	IMPLIED_CID = 3,                           /* the first that is a guest's (virtio 1.2, 5.10.4) */
	OTHER_WORDS = 16,                          /* that hull itself may add to the environment */
	MAX_WORDS = AGENT_MAX_WORDS - OTHER_WORDS, /* of COMMAND and --env together */
};

/* 2^32 - 1 means "no user" to the kernel. */
static const uint64_t max_uid = 4294967294;

/* ---- one option each ---- */

int config_apply_workdir(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	if (value[0] != '/')
		return err_set(err, -EINVAL, "%s %s: expected a path of the guest that begins with '/'",
			       option, value);
	if (strlen(value) >= AGENT_MAX_PATH)
		return err_set(err, -EINVAL, "%s: a path is at most %d bytes long", option,
			       AGENT_MAX_PATH - 1);
	c->command.workdir = value;
	return 0;
}

/* The place of the variable with the name of `word`, or that behind the last. */
static unsigned find_env(const struct config_command *command, const char *word)
{
	size_t len = strcspn(word, "=");
	unsigned i = 0;

	for (; i < command->env_count; i++) {
		const char *other = command->env[i];

		if (strcspn(other, "=") == len && memcmp(other, word, len) == 0)
			break;
	}
	return i;
}

int config_apply_env(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	struct config_command *command = &c->command;
	unsigned i = find_env(command, value);

	if (value[0] == '=')
		return err_set(err, -EINVAL, "%s %s: expected NAME or NAME=VALUE", option, value);
	if (strlen(value) >= AGENT_MAX_WORD)
		return err_set(err, -EINVAL, "%s %.64s...: a variable is at most %d bytes long", option,
			       value, AGENT_MAX_WORD - 1);
	if (i == CONFIG_MAX_ENV)
		return err_set(err, -EINVAL, "%s %s: at most %d variables", option, value, CONFIG_MAX_ENV);
	command->env[i] = value;
	if (i == command->env_count)
		command->env_count++;
	return 0;
}

/* All that there may be in the first field of a line of passwd; it is the guest's list, not the host's. */
static bool is_user_name(const char *name)
{
	if (name[0] == '-' || name[0] == '+')
		return false;
	for (const unsigned char *p = (const unsigned char *)name; *p; p++) {
		if (*p <= ' ' || *p == 0x7f || *p == ':' || *p == '/')
			return false;
	}
	return true;
}

static bool is_number(const char *text)
{
	return text[0] && strspn(text, "0123456789") == strlen(text);
}

int config_apply_user(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	uint64_t uid;
	bool ok = strlen(value) < CONFIG_MAX_USER && is_user_name(value);

	if (ok && is_number(value))
		ok = config_parse_number(value, 0, max_uid, &uid) == 0;
	if (!ok)
		return err_set(err, -EINVAL,
			       "%s %s: expected the name of a user of the guest, or a number up to %" PRIu64,
			       option, value, max_uid);
	memcpy(c->command.user, value, strlen(value) + 1);
	return 0;
}

bool config_user_number(const struct config_command *command, uint32_t *ret_uid)
{
	uint64_t uid = 0;

	if (command->user[0] && config_parse_number(command->user, 0, max_uid, &uid) < 0)
		return false;
	*ret_uid = (uint32_t)uid;
	return true;
}

static const char *const ttys[] = {[TTY_AUTO] = "auto", [TTY_ON] = "on", [TTY_OFF] = "off"};

const char *config_tty_choice(enum tty_choice choice)
{
	return ttys[choice];
}

int config_apply_tty(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	(void)option;
	(void)value;
	(void)err;
	c->command.tty = TTY_ON;
	return 0;
}

int config_apply_no_tty(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	(void)option;
	(void)value;
	(void)err;
	c->command.tty = TTY_OFF;
	return 0;
}

int config_apply_agent(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	(void)option;
	(void)value;
	(void)err;
	c->agent = true;
	return 0;
}

int config_apply_boot_timeout(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	if (config_parse_seconds(value, &c->command.boot_timeout_ns) < 0)
		return err_set(err, -EINVAL, "%s %s: expected a number of seconds above 0", option, value);
	return 0;
}

int config_apply_command(struct vm_config *c, int argc, char *const argv[], struct err *err)
{
	if (argc < 1)
		return err_set(err, -EINVAL, "--: expected COMMAND [ARG...] after it");
	if (argv[0][0] == '\0')
		return err_set(err, -EINVAL,
			       "--: expected the name of a program after it, not an empty word");
	for (int i = 0; i < argc; i++) {
		if (strlen(argv[i]) >= AGENT_MAX_WORD)
			return err_set(err, -EINVAL, "-- %.64s: a word is at most %d bytes long", argv[0],
				       AGENT_MAX_WORD - 1);
	}
	c->command.argv = argv;
	c->command.argc = (unsigned)argc;
	return 0;
}

/* ---- after all options ---- */

static int check_without_command(const struct vm_config *c, struct err *err)
{
	const struct config_command *command = &c->command;
	const char *option = NULL;

	if (command->tty != TTY_AUTO)
		option = command->tty == TTY_ON ? "--tty" : "--no-tty";
	else if (command->workdir)
		option = "--workdir";
	else if (command->env_count > 0)
		option = "--env";
	else if (command->user[0])
		option = "--user";
	else if (command->boot_timeout_ns)
		option = "--boot-timeout";
	if (option)
		return err_set(err, -EINVAL, "%s: expected only with a COMMAND, after '--'", option);
	if (c->agent && !c->root.path[0] && c->initrd_count == 0)
		return err_set(err, -EINVAL,
			       "--agent: expected --root or --initrd as well: it is started beside an init");
	return 0;
}

/* What is run must be somewhere. */
static int choose_root(struct vm_config *c, struct err *err)
{
	int r;

	if (c->root.path[0] || c->initrd_count > 0)
		return 0;
	if (c->disk_count > 0 && strstr(c->append, "root=/dev/")) /* the first stage will look there */
		return 0;
	if (c->disk_count > 0)
		return err_set(
			err, -EINVAL,
			"COMMAND with --disk: expected --root as well: --root / for the programs of the "
			"host, --root IMAGE for those in an image");
	r = config_root_of_host(c, err);
	return r < 0 ? r : config_root_is_directory(c, err);
}

static int finish(struct vm_config *c, struct err *err)
{
	struct config_command *command = &c->command;

	if (command->argc > MAX_WORDS - command->env_count)
		return err_set(err, -EINVAL, "-- %s: COMMAND and --env have %u words: expected at most %d",
			       command->argv[0], command->argc + command->env_count, MAX_WORDS);
	if (!command->boot_timeout_ns)
		command->boot_timeout_ns = CONFIG_DEFAULT_BOOT_TIMEOUT_NS;
	return choose_root(c, err);
}

int config_finish_command(struct vm_config *c, struct err *err)
{
	int r = c->command.argv ? finish(c, err) : check_without_command(c, err);

	if (r == 0 && (c->command.argv || c->agent) && c->vsock.cid == 0)
		c->vsock = (struct config_vsock){.cid = IMPLIED_CID, .implied = true};
	return r;
}
