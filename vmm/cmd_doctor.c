/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hull doctor: what this host can do, what is missing, how to fix it. One function per check. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "command.h"
#include "hull/util.h"
#include "hull/vm.h"
#include "passt.h"
#include "sandbox/sandbox.h"
#include "supervisor.h"

enum verdict { GOOD, ABSENT, BROKEN }; /* ABSENT: VMs run without it */

struct finding {
	const char *name;
	enum verdict verdict;
	char text[200];
	char fix[300]; /* "": nothing to do */
};

static void found(struct finding *f, enum verdict verdict, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void found(struct finding *f, enum verdict verdict, const char *fmt, ...)
{
	va_list ap;

	f->verdict = verdict;
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
}

static void fix(struct finding *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void fix(struct finding *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->fix, sizeof(f->fix), fmt, ap);
	va_end(ap);
}

static const char *load_module_advice(void)
{
	const char *vendor;

	if (!vm_cpu_has_virtualisation(&vendor))
		return "turn on virtualisation (VT-x, AMD-V) in the firmware; inside a VM, ask its owner for nested "
		       "virtualisation";
	return strcmp(vendor, "vmx") == 0 ? "as root: modprobe kvm_intel" : "as root: modprobe kvm_amd";
}

/* ---- KVM: without it nothing runs ---- */

static void check_kvm_device(struct finding *f)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd >= 0) {
		found(f, GOOD, "/dev/kvm can be opened");
		close(fd);
		return;
	}
	if (errno == EACCES || errno == EPERM) {
		found(f, BROKEN, "/dev/kvm: no permission");
		fix(f, "as root: usermod -a -G kvm %s, then log in again",
		    getenv("USER") ? getenv("USER") : "NAME");
		return;
	}
	found(f, BROKEN, "/dev/kvm: %s", strerrordesc_np(errno));
	fix(f, "%s", load_module_advice());
}

static void check_kvm_capabilities(struct finding *f)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	struct vm_probe p;

	if (fd < 0) {
		found(f, BROKEN, "not known: /dev/kvm cannot be opened");
		return;
	}
	vm_probe(fd, &p);
	close(fd);
	if (p.api_version != 12) {
		found(f, BROKEN, "API version %d instead of 12", p.api_version);
		fix(f, "run a mainline kernel's KVM");
	} else if (p.missing) {
		found(f, BROKEN, "%s is missing", p.missing);
		fix(f, "run Linux 5.10 or newer");
	} else if (!p.creates_vm) {
		found(f, BROKEN, "a VM cannot be created: %s", strerrordesc_np(p.create_errno));
		fix(f, "%s",
		    p.create_errno == EBUSY
			    ? "stop the other hypervisor (VirtualBox, VMware) that holds the CPU"
			    : load_module_advice());
	} else {
		found(f, GOOD, "all there; up to %u vCPUs in a VM%s", p.max_cpus,
		      p.tsc_deadline_timer ? "; TSC deadline timer" : "");
	}
}

static void check_kvm_hardware(struct finding *f)
{
	const char *vendor;

	if (vm_cpu_has_virtualisation(&vendor)) {
		found(f, GOOD, "the CPU has %s: unmodified kernels run", vendor);
		return;
	}
	if (access("/dev/kvm", F_OK) == 0)
		found(f, BROKEN,
		      "the CPU shows neither vmx nor svm: this KVM (PVM's kind) cannot run unmodified kernels");
	else
		found(f, BROKEN, "the CPU shows neither vmx nor svm");
	fix(f, "%s", load_module_advice());
}

/* ---- what VMs can do without ---- */

static void check_openable(struct finding *f, const char *path, const char *module, const char *without)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd >= 0) {
		found(f, GOOD, "%s can be opened", path);
		close(fd);
		return;
	}
	found(f, ABSENT, "%s: %s; %s", path, strerrordesc_np(errno), without);
	if (errno == EACCES || errno == EPERM)
		fix(f, "as root: give your user access to %s (a udev rule or its group)", path);
	else
		fix(f, "as root: modprobe %s", module);
}

static void check_passt(struct finding *f)
{
	char path[4096];

	if (passt_find(path, sizeof(path), NULL) == 0) {
		found(f, GOOD, "found: %s", path);
		return;
	}
	found(f, ABSENT, "not found: no --net user, no --publish");
	fix(f, "install the package passt (as root: apt-get install passt)");
}

static void check_tap(struct finding *f)
{
	check_openable(f, "/dev/net/tun", "tun", "no --net tap");
}

static void check_vhost_net(struct finding *f)
{
	check_openable(f, "/dev/vhost-net", "vhost_net", "networks on a TAP device are slower");
}

/* ---- the sandbox: as a worker would have it ---- */

static void add_namespaces_advice(struct finding *f)
{
	if (geteuid() == 0)
		fix(f,
		    "run it with CAP_SYS_ADMIN, or as another user where that one may make user namespaces");
	else
		fix(f,
		    "as root: sysctl -w user.max_user_namespaces=15000 kernel.unprivileged_userns_clone=1 (and "
		    "see kernel.apparmor_restrict_unprivileged_userns); in a container: permit them there");
}

static void check_namespaces(struct finding *f)
{
	struct sandbox_state state = {0};

	if (!sandbox_try(&state)) {
		found(f, ABSENT, "not known: a process cannot be confined");
		return;
	}
	if (state.have >> LAYER_NAMESPACES & 1) {
		found(f, GOOD, "%s",
		      geteuid() == 0 && !(state.namespaces & CLONE_NEWUSER)
			      ? "can be made"
			      : "can be made, in a user namespace");
		return;
	}
	found(f, ABSENT, "cannot be made: %s; machines are confined by the other layers",
	      strerrordesc_np(-state.why[LAYER_NAMESPACES]));
	add_namespaces_advice(f);
}

static void check_root(struct finding *f)
{
	struct sandbox_state state = {0};

	(void)sandbox_try(&state);
	if (state.have >> LAYER_ROOT & 1) {
		found(f, GOOD, "can be had");
	} else if (state.why[LAYER_ROOT] == 0) {
		found(f, ABSENT, "not without namespaces");
		add_namespaces_advice(f);
	} else {
		found(f, ABSENT, "cannot be had: %s", strerrordesc_np(-state.why[LAYER_ROOT]));
		fix(f, "permit mount(2) and pivot_root(2) in namespaces of one's own: see "
		       "kernel.apparmor_restrict_unprivileged_userns, or the rules of the container");
	}
}

static void check_landlock(struct finding *f)
{
	enum { CREATE_RULESET_VERSION = 1 };
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);

	if (abi > 0) {
		found(f, GOOD, "ABI %ld", abi);
		return;
	}
	found(f, ABSENT, "not there: %s", strerrordesc_np(errno));
	fix(f, "%s",
	    errno == EOPNOTSUPP ? "boot with 'landlock' in the kernel's lsm= list"
				: "run Linux 5.13 or newer with CONFIG_SECURITY_LANDLOCK");
}

static void check_filters(struct finding *f)
{
	switch (sandbox_filters_probe()) {
	case SANDBOX_FILTERS_HERE:
		found(f, GOOD, "there");
		break;
	case SANDBOX_FILTERS_NOT_BUILT:
		found(f, ABSENT, "this build of hull has none");
		fix(f, "build hull without sanitizers");
		break;
	case SANDBOX_FILTERS_NOT_KERNEL:
		found(f, ABSENT, "this kernel has none");
		fix(f, "run a kernel with CONFIG_SECCOMP_FILTER");
		break;
	}
}

/* As root: the worker becomes another user. */
static void check_uid(struct finding *f)
{
	struct sandbox_state state = {0};

	(void)sandbox_try(&state);
	if (!(state.wanted >> LAYER_UID & 1)) {
		found(f, GOOD, "not needed: you are not root");
	} else if (state.have >> LAYER_UID & 1) {
		found(f, GOOD, "machines that root starts run as user %d", CONFIG_DEFAULT_UID);
	} else {
		found(f, ABSENT, "machines that root starts run as root: %s",
		      strerrordesc_np(-state.why[LAYER_UID]));
		fix(f, "run it with CAP_SETUID, CAP_SETGID and CAP_KILL, or not as root");
	}
}

/* ---- what else there is ---- */

static void check_io_uring(struct finding *f)
{
	/* No parameters: a kernel that has it, and permits it, says EFAULT. */
	long r = syscall(SYS_io_uring_setup, 1, NULL);

	if (r < 0 && errno == EFAULT) {
		found(f, GOOD, "there");
		return;
	}
	found(f, ABSENT, "not usable: %s", strerrordesc_np(errno));
	fix(f, "%s",
	    errno == EPERM ? "as root: sysctl -w kernel.io_uring_disabled=0" : "run Linux 5.10 or newer");
}

static bool read_line(const char *path, char *line, size_t len)
{
	FILE *file = fopen(path, "re");
	bool ok = file && fgets(line, (int)len, file);

	if (file)
		fclose(file);
	if (ok)
		line[strcspn(line, "\n")] = '\0';
	return ok;
}

static void check_huge_pages(struct finding *f)
{
	static const char path[] = "/sys/kernel/mm/transparent_hugepage/enabled";
	char line[128];

	if (!read_line(path, line, sizeof(line))) {
		found(f, ABSENT, "no transparent huge pages: guests fault 4 KiB at a time");
		fix(f, "run a kernel with CONFIG_TRANSPARENT_HUGEPAGE");
	} else if (strstr(line, "[never]")) {
		found(f, ABSENT, "transparent huge pages are off: guests fault 4 KiB at a time");
		fix(f, "as root: echo madvise > %s", path);
	} else {
		found(f, GOOD, "transparent: %s", line);
	}
}

static const struct {
	const char *name;
	void (*check)(struct finding *f);
} checks[] = {
	{"kvm", check_kvm_device},
	{"kvm-capabilities", check_kvm_capabilities},
	{"kvm-hardware", check_kvm_hardware},
	{"passt", check_passt},
	{"tap", check_tap},
	{"vhost-net", check_vhost_net},
	{"namespaces", check_namespaces},
	{"empty-root", check_root},
	{"landlock", check_landlock},
	{"filters", check_filters},
	{"worker-uid", check_uid},
	{"io_uring", check_io_uring},
	{"huge-pages", check_huge_pages},
};

static const char *const verdict_names[] = {[GOOD] = "ok", [ABSENT] = "absent", [BROKEN] = "broken"};

static void print_text(const struct finding *findings, unsigned n, bool runs)
{
	for (unsigned i = 0; i < n; i++) {
		printf("%-7s %-17s %s\n", verdict_names[findings[i].verdict], findings[i].name,
		       findings[i].text);
		if (findings[i].fix[0])
			printf("%-25s fix: %s\n", "", findings[i].fix);
	}
	printf("%s\n", runs ? "VMs can run here." : "VMs cannot run here; see the lines marked broken.");
}

static void print_json(const struct finding *findings, unsigned n, bool runs)
{
	json_t *list = json_array();
	json_t *top = json_pack("{s:b, s:o}", "vms_can_run", runs, "checks", list);

	for (unsigned i = 0; i < n; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "name", findings[i].name,
						      "verdict", verdict_names[findings[i].verdict], "text",
						      findings[i].text, "fix", findings[i].fix));
	json_dumpf(top, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(top);
}

static int doctor(int argc, char *const argv[], uint64_t start_ns)
{
	struct finding findings[ARRAY_SIZE(checks)] = {0};
	bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
	bool runs = true;

	(void)start_ns;
	if (argc > 1 && !json) {
		fprintf(stderr, "hull: doctor: unexpected word '%s': expected --json or nothing\n",
			argv[argc > 2 ? 2 : 1]);
		return EXIT_HULL_FAILED;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(checks); i++) {
		findings[i].name = checks[i].name;
		checks[i].check(&findings[i]);
		runs = runs && findings[i].verdict != BROKEN;
	}
	if (json)
		print_json(findings, ARRAY_SIZE(findings), runs);
	else
		print_text(findings, ARRAY_SIZE(findings), runs);
	return runs ? 0 : 1;
}

const struct command cmd_doctor = {
	.name = "doctor",
	.usage = "doctor [--json]",
	.summary = "say what this host can do, what is missing, and how to fix it",
	.help = "Usage: hull doctor [--json]\n"
		"\n"
		"Checks KVM and what hull can make use of; each line that is not 'ok' has its fix. Exit status 0 if\n"
		"VMs can run, 1 if not.\n",
	.run = doctor,
};
