/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * refuse WHAT[,WHAT]... COMMAND [ARG...]: runs COMMAND on a host that refuses something, as a
 * filter of system calls sees to.
 *
 *   namespaces   none can be made (a container's filter): EPERM
 *   user         no user namespace (user.max_user_namespaces=0): ENOSPC
 *   mount        nothing can be mounted (AppArmor): EACCES
 *   pivot        the root cannot be exchanged, as it is the kernel's first one: EINVAL
 *   landlock     a kernel without Landlock: ENOSYS
 *   lsm          Landlock is there and off: EOPNOTSUPP
 *   uid          ids cannot be changed: EPERM
 *   filters      no filters of system calls: ENOSYS
 */
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const unsigned long namespaces[] = {CLONE_NEWUSER, CLONE_NEWNS,     CLONE_NEWNET, CLONE_NEWIPC,
					   CLONE_NEWUTS,  CLONE_NEWCGROUP, CLONE_NEWPID};

static int refuse(scmp_filter_ctx ctx, unsigned error, int number)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ERRNO(error), number, 0);
}

/* When the first argument has the bit. */
static int refuse_flag(scmp_filter_ctx ctx, unsigned error, int number, unsigned long flag)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ERRNO(error), number, 1,
				SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag));
}

static int refuse_namespaces(scmp_filter_ctx ctx, unsigned error, unsigned count)
{
	int r = refuse(ctx, ENOSYS, SCMP_SYS(clone3)); /* its flags are out of sight */

	for (unsigned i = 0; i < count && r == 0; i++) {
		r = refuse_flag(ctx, error, SCMP_SYS(clone), namespaces[i]);
		if (r == 0)
			r = refuse_flag(ctx, error, SCMP_SYS(unshare), namespaces[i]);
	}
	return r;
}

static int refuse_word(scmp_filter_ctx ctx, const char *word)
{
	if (strcmp(word, "namespaces") == 0)
		return refuse_namespaces(ctx, EPERM, sizeof(namespaces) / sizeof(namespaces[0]));
	if (strcmp(word, "user") == 0)
		return refuse_namespaces(ctx, ENOSPC, 1);
	if (strcmp(word, "mount") == 0)
		return refuse(ctx, EACCES, SCMP_SYS(mount));
	if (strcmp(word, "pivot") == 0)
		return refuse(ctx, EINVAL, SCMP_SYS(pivot_root));
	if (strcmp(word, "landlock") == 0)
		return refuse(ctx, ENOSYS, SCMP_SYS(landlock_create_ruleset));
	if (strcmp(word, "lsm") == 0)
		return refuse(ctx, EOPNOTSUPP, SCMP_SYS(landlock_create_ruleset));
	if (strcmp(word, "uid") == 0)
		return refuse(ctx, EPERM, SCMP_SYS(setresuid));
	if (strcmp(word, "filters") == 0)
		return refuse(ctx, ENOSYS, SCMP_SYS(seccomp));
	return -EINVAL;
}

int main(int argc, char *argv[])
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	char *rest = argc > 2 ? argv[1] : NULL;
	int r = ctx && rest ? seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, geteuid() != 0) : -EINVAL;

	for (char *word; r == 0 && (word = strsep(&rest, ",")) != NULL;)
		r = refuse_word(ctx, word);
	if (r == 0)
		r = seccomp_load(ctx);
	if (r < 0) {
		fprintf(stderr, "refuse: %s\n", strerror(-r));
		return 126;
	}
	execvp(argv[2], argv + 2);
	perror(argv[2]);
	return 127;
}
