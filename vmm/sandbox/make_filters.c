/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes the filters when hull is built, from the tables of all rooms (rules.c): C source with
 * the instructions for each role, and the names of system calls. libseccomp does it; hull itself
 * has no need of that, nor of the time that it takes.
 *
 *     make_filters filters.c     writes the source
 *     make_filters --list        prints the tables: role, call, its conditions, rare or not, why
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sandbox/filters.h"
#include "sandbox/rules.h"

enum { MAX_NUMBER = 511, MAX_INSTRUCTIONS = 4096 };

static const char *const role_names[SYSCALL_ROLES] = {
	"vcpu", "main", "io", "disk", "writer", "files", "decoder", "net", "save",
};

static _Noreturn void die(const char *what, int error)
{
	fprintf(stderr, "make_filters: %s: %s\n", what, strerror(error));
	exit(1);
}

static char *name_of(int number)
{
	return seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, number);
}

/* ---- the filters ---- */

static unsigned comparisons(const struct syscall_rule *rule, struct scmp_arg_cmp *ret)
{
	unsigned n = 0;

	for (unsigned i = 0; i < SYSCALL_MAX_ARGS && rule->args[i].mask; i++) {
		const struct syscall_arg *a = &rule->args[i];

		ret[n++] = SCMP_CMP(a->index, SCMP_CMP_MASKED_EQ, a->mask, a->value);
	}
	return n;
}

static void add_rule(scmp_filter_ctx ctx, const struct syscall_rule *rule)
{
	struct scmp_arg_cmp args[SYSCALL_MAX_ARGS];
	const unsigned n = comparisons(rule, args);
	int r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, rule->number, n, args);

	if (r < 0 && r != -EEXIST) /* two rooms may need the same */
		die(rule->why, -r);
}

static scmp_filter_ctx make(unsigned role)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_TRAP);
	int r = ctx ? 0 : -ENOMEM;

	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	/* A vCPU's most frequent call is one and comes first; others have many that matter alike. */
	if (r == 0 && role == ROLE_VCPU)
		r = seccomp_syscall_priority(ctx, SCMP_SYS(ioctl), UINT8_MAX);
	else if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r < 0)
		die("libseccomp", -r);
	for (unsigned i = 0; rule_tables[i]; i++) {
		for (const struct syscall_rule *rule = rule_tables[i]; rule->roles; rule++) {
			if (rule->roles & role)
				add_rule(ctx, rule);
		}
	}
	return ctx;
}

/* The handler of SIGSYS learns the role from the filter itself. */
static void name_role(struct sock_filter *f, size_t n, unsigned role)
{
	for (size_t i = 0; i < n; i++) {
		if (f[i].code == (BPF_RET | BPF_K) && f[i].k == SECCOMP_RET_TRAP)
			f[i].k |= role;
	}
}

static size_t export_filter(scmp_filter_ctx ctx, struct sock_filter *f)
{
	int fd = memfd_create("filter", MFD_CLOEXEC);
	ssize_t n;
	int r;

	if (fd < 0)
		die("memfd_create", errno);
	r = seccomp_export_bpf(ctx, fd);
	if (r < 0)
		die("seccomp_export_bpf", -r);
	n = pread(fd, f, MAX_INSTRUCTIONS * sizeof(*f), 0);
	close(fd);
	if (n <= 0 || (size_t)n / sizeof(*f) > FILTERS_MAX_LENGTH)
		die("a filter is too long", E2BIG);
	return (size_t)n / sizeof(*f);
}

static void write_filter(FILE *out, unsigned index)
{
	static struct sock_filter f[MAX_INSTRUCTIONS];
	scmp_filter_ctx ctx = make(1u << index);
	const size_t n = export_filter(ctx, f);

	seccomp_release(ctx);
	name_role(f, n, 1u << index);
	fprintf(out, "static const struct sock_filter %s[] = {\n", role_names[index]);
	for (size_t i = 0; i < n; i++)
		fprintf(out, "\t{0x%02x, %u, %u, 0x%08x},\n", f[i].code, f[i].jt, f[i].jf, f[i].k);
	fprintf(out, "};\n\n");
}

/* One string after the other, as a table of pointers would have to be relocated at each start. */
static void write_names(FILE *out)
{
	fprintf(out, "const int filters_name_count = %d;\n\nconst char filters_names[] =\n", MAX_NUMBER + 1);
	for (int i = 0; i <= MAX_NUMBER; i++) {
		char *name = name_of(i);

		fprintf(out, "\t\"%s\\0\"\n", name ? name : "");
		free(name);
	}
	fprintf(out, "\t;\n");
}

static int write_source(const char *path)
{
	FILE *out = fopen(path, "we");

	if (!out)
		die(path, errno);
	fprintf(out, "/* Made by make_filters. */\n#include \"sandbox/filters.h\"\n\n");
	for (unsigned i = 0; i < SYSCALL_ROLES; i++)
		write_filter(out, i);
	fprintf(out, "const struct sock_fprog filters[] = {\n");
	for (unsigned i = 0; i < SYSCALL_ROLES; i++)
		fprintf(out, "\t{sizeof(%s) / sizeof(%s[0]), (struct sock_filter *)%s},\n", role_names[i],
			role_names[i], role_names[i]);
	fprintf(out, "};\n\n");
	write_names(out);
	if (fclose(out) != 0)
		die(path, errno);
	return 0;
}

/* ---- the list ---- */

static void list_rule(const struct syscall_rule *rule, unsigned index)
{
	char *name = name_of(rule->number);

	printf("%s\t%s\t", role_names[index], name);
	for (unsigned i = 0; i < SYSCALL_MAX_ARGS && rule->args[i].mask; i++)
		printf("%s%u&0x%llx=0x%llx", i ? "," : "", rule->args[i].index,
		       (unsigned long long)rule->args[i].mask, (unsigned long long)rule->args[i].value);
	printf("\t%s\t%s\n", rule->rare ? rule->rare : "", rule->why);
	free(name);
}

static int list(void)
{
	for (unsigned role = 0; role < SYSCALL_ROLES; role++) {
		for (unsigned i = 0; rule_tables[i]; i++) {
			for (const struct syscall_rule *rule = rule_tables[i]; rule->roles; rule++) {
				if (rule->roles & 1u << role)
					list_rule(rule, role);
			}
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: make_filters FILE | --list\n");
		return 1;
	}
	return strcmp(argv[1], "--list") == 0 ? list() : write_source(argv[1]);
}
