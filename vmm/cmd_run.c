/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hull run: parse, open, decode, then supervisor and worker. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "config_command.h"
#include "dry_run.h"
#include "hull/config.h"
#include "hull/util.h"
#include "kernel_cache.h"
#include "open.h"
#include "root_initrd.h"
#include "root_kind.h"
#include "share_process.h"
#include "summary.h"
#include "supervisor.h"

/* More than any kernel: bounds what a decoded one may take in the cache. */
static const uint64_t max_decoded_bytes = GIB(1);

static int fail(const struct err *err)
{
	fprintf(stderr, "hull: %s\n", err->msg);
	return EXIT_HULL_FAILED;
}

/* Behind the initrds of the user, so that its /init is the one that counts. */
static int add_own_initrd(const struct vm_config *config, struct resources *res, struct err *err)
{
	const struct root_request req = {
		.kernel = &res->kernel,
		.image_fd = config->root.path[0] && !config->root.directory ? res->disks[0].fd : -1,
		.config = config,
	};
	struct err note = {0};
	int fd = -1;
	int r;

	if (!root_initrd_wanted(config))
		return 0;
	r = root_initrd_make(&req, &fd, &note, err);
	if (r < 0)
		return r;
	res->initrds[res->initrd_count++] = (struct boot_file){fd, "hull's initramfs"};
	if (note.code < 0 && config->log_level >= LOG_WARN)
		dprintf(res->log, "hull: warning: %s\n", note.msg);
	return 0;
}

/*
 * The number of a user's name is in the root. Where that is no directory the guest alone knows it, and the
 * caller's files are not that user's; who does not know wonders why nothing can be written.
 */
static void warn_of_owners(const struct vm_config *config, int log)
{
	const char *user = config->command.user;
	bool writable = false;
	uint32_t uid;

	for (unsigned i = 0; i < config->share_count; i++)
		writable |= !config->shares[i].read_only;
	if (!writable || config->root.directory || config_user_number(&config->command, &uid) ||
	    strcmp(user, "root") == 0 || config->log_level < LOG_WARN)
		return;
	dprintf(log,
		"hull: warning: --user %s: on shares your files belong to root in the guest; '--user NUMBER' "
		"makes them that user's\n",
		user);
}

static int start(const struct vm_config *config, struct resources *res, struct share_processes *shares,
		 struct report *report)
{
	struct err err = {0};
	bool from_cache = false;
	int r = resources_open(res, config, &err);

	if (r < 0)
		return fail(&err);
	report_phase(report, PHASE_OPEN);
	warn_of_owners(config, res->log);
	r = kernel_cache_get(&res->kernel, min_u64(config->memory, max_decoded_bytes), &res->decoded,
			     &from_cache, &err);
	report->from_cache = from_cache;
	if (r == 0)
		r = add_own_initrd(config, res, &err);
	if (r == 0 && config->share_count > 0)
		r = share_processes_start(shares, config, res->shares, res->log, &err);
	if (r < 0)
		return summary_failed(config, res->log, err.msg);
	report_phase(report, PHASE_DECODE);
	return supervise(config, res, report, shares);
}

static int run_parsed(const struct vm_config *config, uint64_t start_ns)
{
	struct share_processes shares = {0};
	struct report *report = NULL;
	struct resources res;
	struct err err = {0};
	int status;

	if (report_create(&report, &err) < 0)
		return fail(&err);
	report->phase_ns[PHASE_START] = start_ns;
	report_phase(report, PHASE_PARSE);
	status = start(config, &res, &shares, report);
	resources_close(&res); /* and so the links to the file servers */
	share_processes_wait(&shares, SHARE_PROCESSES_PATIENCE_NS);
	report_destroy(report);
	return status;
}

static int run(int argc, char *const argv[], uint64_t start_ns)
{
	struct vm_config *config = calloc(1, sizeof(*config));
	struct err err = {0};
	int status;

	if (!config)
		err_errno(&err, -ENOMEM, "configuration");
	if (!config || config_parse(argc - 1, argv + 1, config, &err) < 0 || root_kind_look(config, &err) < 0)
		status = fail(&err);
	else if (config->dry_run)
		status = dry_run(config);
	else
		status = run_parsed(config, start_ns);
	free(config);
	return status;
}

const struct command cmd_run = {
	.name = "run",
	.usage = "run [OPTIONS] [-- COMMAND [ARG...]]",
	.summary = "start a VM; run COMMAND in it",
	.help = "Usage: hull run [OPTIONS] [-- COMMAND [ARG...]]\n"
		"\n"
		"Starts a VM with its console on stdin and stdout. With COMMAND: runs it in the VM with hull's\n"
		"stdin, stdout and stderr, and ends with its status; unless --root or --initrd says\n"
		"otherwise it sees a throwaway copy of this system (--root /).\n"
		"\n"
		"  -k, --kernel PATH     bzImage, vmlinux (ELF) or FIT image (.itb); default: $HULL_KERNEL,\n"
		"                        ~/.local/share/hull/vmlinuz, /boot/vmlinuz-$(uname -r)\n"
		"  -i, --initrd PATH     repeatable: cpio archives are concatenated in order\n"
		"  -a, --append STRING   added to the kernel command line (repeatable)\n"
		"  -c, --cpus N          1 to 64 vCPUs; default 1\n"
		"  -m, --memory SIZE     512M, 2G; at least 32M; default 512M\n"
		"  -d, --disk PATH[,WORD]...\n"
		"                        a raw image or block device; the first is /dev/vda (repeatable,\n"
		"                        up to 16 with the root)\n"
		"      --root DIR|IMAGE[,MODE]\n"
		"                        the guest's root, a directory or a disk image: MODE is rw (the default\n"
		"                        of an image), ro or cow (the default of a directory: the guest's changes\n"
		"                        are gone at the end); an image comes before all disks; without -i hull\n"
		"                        makes the initramfs\n"
		"      --share DIR:PATH[,ro][,cache=auto|writeback|long]\n"
		"                        directory DIR is PATH in the guest (repeatable, up to 16 with the root)\n"
		"      --agent           hull's agent runs in the guest without COMMAND, too, for 'hull exec'\n"
		"  -n, --net KIND[,WORD]...\n"
		"                        a network card: KIND is user (for an ordinary user; needs the program\n"
		"                        passt), tap=IFNAME (a TAP device), fd=N (an open TAP device or stream\n"
		"                        socket), or none (the default); repeatable, up to 8\n"
		"  -p, --publish [ADDR:]HOST:GUEST[/tcp|udp]\n"
		"                        port HOST of the host leads to port GUEST of the guest; implies\n"
		"                        --net user; default tcp, all addresses (repeatable)\n"
		"      --transport KIND  pci or mmio: how the guest sees virtio devices; default pci\n"
		"      --console KIND    serial, none, or virtio (/dev/hvc0), which may have further ports:\n"
		"                        virtio[,port=NAME:SOCKET]...; default serial\n"
		"      --vsock CID[,path=SOCKET]\n"
		"                        sockets between host and guest, which is number CID (3 or more); default\n"
		"                        SOCKET: NAME.vsock in the run directory\n"
		"      --balloon [SIZE|off]\n"
		"                        the guest gives SIZE of its memory back from the start; default 0: only\n"
		"                        what it does not use\n"
		"      --rng on|off      random numbers of the host for the guest; default: on when there is a\n"
		"                        disk, a network or anything else but the balloon\n"
		"      --watchdog ACTION\n"
		"                        a watchdog (6300ESB); when the guest neglects it: reset, poweroff, or\n"
		"                        exit (status 123)\n"
		"      --boot-timeout SEC\n"
		"                        with COMMAND: how long the guest may take for a sign of life; default 60\n"
		"      --timeout SEC     stop the VM after SEC seconds: exit 124\n"
		"      --grace SEC       what the guest has to shut down after SIGTERM; 0: none; default 10\n"
		"      --name NAME       default: hull-PID\n"
		"      --sandbox on|strict|off\n"
		"                        what the processes of the VM may do on the host: as little as this host\n"
		"                        lets hull see to; on: default; strict: or not at all; off: as you may\n"
		"      --uid N           as root: user and group of the VM's process; default 65534\n"
		"      --log FILE        hull's own messages go there; default: stderr\n"
		"  -v, --verbose         more messages: the kernel's, and a timeline of the start\n"
		"  -q, --quiet           errors only\n"
		"      --dry-run         print the resolved machine (JSON) and exit\n"
		"\n"
		"For COMMAND:\n"
		"      --workdir PATH    where it starts; default with --root /: the current directory, if the\n"
		"                        guest has it; else the user's home\n"
		"      --env NAME[=VALUE]\n"
		"                        in its environment; NAME alone: with hull's own value (repeatable)\n"
		"      --user NAME|UID   default root; given as a number, your files on shares are that user's\n"
		"  -t, --tty             a terminal for it; default: when stdin and stdout are terminals\n"
		"      --no-tty          none\n"
		"\n"
		"Words of a disk: ro; id=ID and serial=S (S is shown to the guest; up to 20 bytes); format=raw;\n"
		"engine=io_uring|aio|sync (default: the best there is; aio implies direct); direct (past the\n"
		"host's cache); discard=on|off (the guest may free space; default on); queues=N (1 to 16;\n"
		"default one per vCPU); on-enospc=pause|report (host disk full: pause the machine until\n"
		"'kill -CONT PID', or report an error to the guest; default pause). A comma inside a path is\n"
		"written as two.\n"
		"\n"
		"Words of a share: ro; cache=auto (the default: the host may change files, too), writeback (the\n"
		"guest keeps writes back) or long (nobody on the host changes anything).\n"
		"\n"
		"Words of a network: id=ID; mac=MAC (default: made up); mtu=N (told to the guest); on a TAP\n"
		"device queues=N (1 to 16; default one per vCPU); on it and on fd=N vhost=on|off (the kernel\n"
		"moves the packets; default on where that is possible).\n"
		"\n"
		"SIZE takes K, M, G, T (powers of 1024). Without COMMAND, on a terminal, Ctrl-a x quits, Ctrl-a h\n"
		"helps and Ctrl-a Ctrl-a sends Ctrl-a; SIGTERM presses the guest's power button and stops it\n"
		"after the grace period; SIGINT stops it. COMMAND gets both signals, Ctrl-C too; a second Ctrl-C\n"
		"within a second stops the VM (with -t: Ctrl-C again when the guest has not taken an earlier\n"
		"one), and so does SIGTERM after the grace period. SIGUSR1 has a few lines about the machine\n"
		"written to the log.\n"
		"\n"
		"Exit status: without COMMAND 0 when the guest powered off or rebooted; with it COMMAND's: 0 to\n"
		"255, 128+N killed by signal N, 126 not executable, 127 not found. 123 the guest crashed or gave\n"
		"no sign of life; 124 --timeout expired; 125 hull could not start or failed; 128+N stopped by\n"
		"signal N (130 SIGINT, 143 SIGTERM).\n",
	.run = run,
};
