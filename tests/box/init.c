/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PID 1 of the emulated host. Statically linked, alone in the initramfs with
 * the kernel modules it loads.
 *
 * It mounts the machine outside read-only over 9p, lays a tmpfs overlay over
 * it, moves into that as switch_root does (a process in a mere chroot may not
 * create user namespaces), runs one COMMAND there and relays its standard
 * streams to tests/box/run.c. The box ends when COMMAND has ended: everything
 * is killed and the status goes out as the last frame.
 */
#define _GNU_SOURCE
#include "proto.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <linux/kvm.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static int port = -1; /* the virtio-serial port to the outside */

/* What BOX_START said. Strings point into its payload. */
static struct {
	char *dir, *kernel;
	char **argv, **env;
	char *out[16];
	unsigned int outs;
	uid_t uid;
	gid_t gid;
	int user, tty;
	struct box_winsize size;
} job;

/* --- the stream ----------------------------------------------------------- */

static void port_write(const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(port, p, len);

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			reboot(RB_AUTOBOOT); /* nobody is there any more */
		p += n;
		len -= (size_t)n;
	}
}

static void send_frame(enum box_frame_type type, const void *data, size_t len)
{
	struct box_frame f = {.len = (uint32_t)len, .type = type};

	port_write(&f, sizeof(f));
	port_write(data, len);
}

static void send_u32(enum box_frame_type type, uint32_t value)
{
	send_frame(type, &value, sizeof(value));
}

/* fail: the box cannot be set up. Says why outside (or on the console). */
static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *fmt, ...)
{
	char text[512];
	int saved = errno;
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	n = strlen(text);
	snprintf(text + n, sizeof(text) - n, ": %s", strerror(saved));
	if (port >= 0)
		send_frame(BOX_FAIL, text, strlen(text));
	dprintf(2, "box init: %s\n", text);
	for (;;)
		reboot(RB_AUTOBOOT);
}

static void read_full(int fd, void *data, size_t len)
{
	char *p = data;

	while (len > 0) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			fail("reading the port");
		p += n;
		len -= (size_t)n;
	}
}

/* --- small helpers -------------------------------------------------------- */

static void *xalloc(size_t n)
{
	void *p = calloc(1, n);

	if (!p)
		fail("memory");
	return p;
}

/* put: writes text to a file of /proc or /sys; absent ones are of no matter. */
static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		dprintf(2, "box init: %s: %s\n", path, strerror(errno));
	close(fd);
}

/* get: a whole small file as a string, NULL if it cannot be read. */
static char *get(const char *path)
{
	size_t size = 0, room = 4096;
	char *text = xalloc(room);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0) {
		free(text);
		return NULL;
	}
	while ((n = read(fd, text + size, room - size - 1)) > 0) {
		size += (size_t)n;
		if (size == room - 1) {
			char *more = xalloc(room * 2);

			memcpy(more, text, size);
			free(text);
			text = more;
			room *= 2;
		}
	}
	close(fd);
	text[size] = '\0';
	return text;
}

static void make_dir(const char *path, mode_t mode)
{
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		fail("mkdir %s", path);
	/* mkdir() is subject to the umask, and /tmp needs its sticky bit. */
	if (chmod(path, mode) < 0 && errno != EROFS)
		fail("chmod %s", path);
}

static void make_dirs(const char *path, mode_t mode)
{
	char copy[4096];
	char *p = copy;

	snprintf(copy, sizeof(copy), "%s", path);
	while ((p = strchr(p + 1, '/'))) {
		*p = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			fail("mkdir %s", copy);
		*p = '/';
	}
	if (mkdir(copy, mode) < 0 && errno != EEXIST)
		fail("mkdir %s", copy);
}

static void do_mount(const char *from, const char *to, const char *type, unsigned long flags,
		     const char *options)
{
	if (mount(from, to, type, flags, options) < 0)
		fail("mount %s on %s", type ? type : from, to);
}

/* --- modules -------------------------------------------------------------- */

/* load_modules: all that LIST names, in that order (box sorted out what depends on what). */
static void load_modules(const char *list)
{
	char *names = get(list), *save = NULL;

	if (!names)
		fail("%s", list);
	for (char *m = strtok_r(names, "\n", &save); m; m = strtok_r(NULL, "\n", &save)) {
		char path[256];
		int fd;

		snprintf(path, sizeof(path), "/modules/%s", m);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			fail("%s", path);
		if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
			fail("loading %s", m);
		close(fd);
	}
	free(names);
}

/* load_rest: as load_modules(), beside whatever else is done until wait_rest(). */
static pid_t load_rest(const char *list)
{
	pid_t pid = fork();

	if (pid < 0)
		fail("fork");
	if (pid == 0) {
		load_modules(list);
		_exit(0);
	}
	return pid;
}

static void wait_rest(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* --- the stages of the set-up --------------------------------------------- */

static void early_mounts(void)
{
	make_dir("/dev", 0755);
	make_dir("/proc", 0755);
	make_dir("/sys", 0755);
	do_mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=755");
	do_mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "");
	do_mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "");
}

static void open_console(void)
{
	int fd = open("/dev/console", O_RDWR);

	if (fd < 0)
		return;
	for (int i = 0; i < 3; i++)
		dup2(fd, i);
	if (fd > 2)
		close(fd);
}

/*
 * open_port: the only virtio-serial port there is. Its name has the number of
 * its device, which other devices decide, and it appears a little after the
 * driver has been loaded.
 */
static void open_port(void)
{
	for (int i = 0; i < 10000; i++) {
		glob_t g = {0};

		if (glob("/dev/vport*p1", 0, NULL, &g) == 0)
			port = open(g.gl_pathv[0], O_RDWR | O_CLOEXEC);
		globfree(&g);
		if (port >= 0)
			return;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	errno = ENODEV;
	fail("virtio-serial port");
}

/* receive_job: reads BOX_START and fills in `job`. */
static void receive_job(void)
{
	struct box_frame f;
	char *text, *end;
	size_t n = 0, args = 0, envs = 0;

	read_full(port, &f, sizeof(f));
	if (f.type != BOX_START || f.len == 0 || f.len > BOX_START_MAX) {
		errno = EPROTO;
		fail("first frame");
	}
	text = xalloc(f.len);
	read_full(port, text, f.len);
	end = text + f.len;
	end[-1] = '\0';
	for (char *s = text; s < end; s += strlen(s) + 1)
		n++;
	job.argv = xalloc((n + 1) * sizeof(char *));
	job.env = xalloc((n + 8) * sizeof(char *));
	for (char *s = text; s < end; s += strlen(s) + 1) {
		char *value = s + 1;

		switch (*s) {
		case BOX_S_DIR:
			job.dir = value;
			break;
		case BOX_S_KERNEL:
			job.kernel = value;
			break;
		case BOX_S_OUT:
			if (job.outs < ARRAY_SIZE(job.out))
				job.out[job.outs++] = value;
			break;
		case BOX_S_UID:
			job.user = 1;
			job.uid = (uid_t)strtoul(value, NULL, 10);
			break;
		case BOX_S_TTY:
			job.tty = 1;
			sscanf(value, "%hux%hu", &job.size.rows, &job.size.columns);
			break;
		case BOX_S_ENV:
			job.env[envs++] = value;
			break;
		case BOX_S_ARG:
			job.argv[args++] = value;
			break;
		default:
			errno = EPROTO;
			fail("first frame has '%c'", *s);
		}
	}
	if (!job.dir || !job.kernel || args == 0) {
		errno = EPROTO;
		fail("first frame is incomplete");
	}
}

/*
 * enter_root: overlay over the machine outside, then what switch_root does.
 * After `mount --move` to / and chroot, the root is the mount namespace's own
 * root, so that user namespaces may be created.
 */
static void enter_root(void)
{
	static const char *const moved[] = {"dev", "proc", "sys"};

	make_dir("/host", 0755);
	make_dir("/rw", 0755);
	make_dir("/root", 0755);
	/* msize: the most that the virtio transport takes. loose: nobody else
	 * is expected to change these files during a run. */
	do_mount("root", "/host", "9p", MS_RDONLY | MS_NOATIME,
		 "trans=virtio,version=9p2000.L,msize=512000,cache=loose");
	do_mount("tmpfs", "/rw", "tmpfs", 0, "mode=755,size=75%");
	make_dir("/rw/upper", 0755);
	make_dir("/rw/work", 0755);
	do_mount("overlay", "/root", "overlay", MS_NOATIME,
		 "lowerdir=/host,upperdir=/rw/upper,workdir=/rw/work");
	for (size_t i = 0; i < ARRAY_SIZE(moved); i++) {
		char from[16], to[32];

		snprintf(from, sizeof(from), "/%s", moved[i]);
		snprintf(to, sizeof(to), "/root/%s", moved[i]);
		make_dirs(to, 0755);
		do_mount(from, to, NULL, MS_MOVE, NULL);
	}
	if (chdir("/root") < 0)
		fail("chdir /root");
	do_mount(".", "/", NULL, MS_MOVE, NULL);
	if (chroot(".") < 0 || chdir("/") < 0)
		fail("chroot");
}

static void late_mounts(void)
{
	make_dirs("/run", 0755);
	do_mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755");
	make_dir("/run/lock", 01777);
	make_dir("/run/user", 0755);
	make_dir("/dev/pts", 0755);
	make_dir("/dev/shm", 01777);
	do_mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=620,gid=5,ptmxmode=666");
	do_mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=75%");
	make_dirs("/tmp", 01777);
	make_dirs("/var/tmp", 01777);
	/* 755, and the user's group below: counters and trace events are there
	 * to be read, by the ordinary user too. */
	do_mount("debugfs", "/sys/kernel/debug", "debugfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755");
	mount("cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, "nsdelegate");
	put("/sys/fs/cgroup/cgroup.subtree_control", "+cpu +io +memory +pids");
	symlink("/proc/self/fd", "/dev/fd");
	symlink("/proc/self/fd/0", "/dev/stdin");
	symlink("/proc/self/fd/1", "/dev/stdout");
	symlink("/proc/self/fd/2", "/dev/stderr");
}

static void mount_tracefs(void)
{
	char options[64];

	snprintf(options, sizeof(options), "mode=755,gid=%u", (unsigned int)job.gid);
	do_mount("tracefs", "/sys/kernel/tracing", "tracefs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options);
}

static void mount_outs(void)
{
	for (unsigned int i = 0; i < job.outs; i++) {
		char tag[16];

		snprintf(tag, sizeof(tag), "out%u", i);
		make_dirs(job.out[i], 0755);
		/* mmap: writes go straight through, shared mappings work. */
		do_mount(tag, job.out[i], "9p", MS_NOSUID | MS_NODEV,
			 "trans=virtio,version=9p2000.L,msize=512000,cache=mmap");
	}
}

/* offer_kernel: modprobe, module autoloading and /boot/vmlinuz-$(uname -r) work. */
static void offer_kernel(void)
{
	struct utsname u;
	char from[4096], to[256];

	uname(&u);
	snprintf(from, sizeof(from), "%s/lib/modules/%s", job.kernel, u.release);
	snprintf(to, sizeof(to), "/lib/modules/%s", u.release);
	make_dirs(to, 0755);
	do_mount(from, to, NULL, MS_BIND, NULL);
	snprintf(from, sizeof(from), "%s/vmlinuz", job.kernel);
	snprintf(to, sizeof(to), "/boot/vmlinuz-%s", u.release);
	make_dirs("/boot", 0755);
	if (symlink(from, to) < 0 && errno != EEXIST)
		fail("symlink %s", to);
}

static void devices(void)
{
	static const char *const open_to_all[] = {
		"/dev/kvm", "/dev/net/tun", "/dev/vhost-net", "/dev/vhost-vsock", "/dev/fuse",
	};

	for (size_t i = 0; i < ARRAY_SIZE(open_to_all); i++)
		chmod(open_to_all[i], 0666);
	if (access("/dev/kvm", R_OK | W_OK) < 0)
		fail("/dev/kvm");
}

/*
 * hold_vm: keeps a VM with one vCPU that never runs. While there is one, KVM
 * does not enable SVM on all CPUs, nor patch its switches ("an APIC is off",
 * ...) into the running kernel, with each VM that comes and goes. QEMU's TCG,
 * with several CPUs, now and then goes on running what was there before such a
 * patch, and the emulated host hangs.
 */
static void hold_vm(void)
{
	static int kvm, vm; /* held to the end */

	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0 || ioctl(vm, KVM_CREATE_IRQCHIP, 0) < 0 || ioctl(vm, KVM_CREATE_VCPU, 0) < 0)
		fail("creating a VM");
}

static void settings(void)
{
	const struct rlimit files = {.rlim_cur = 1024, .rlim_max = 1048576};

	put("/sys/kernel/mm/transparent_hugepage/enabled", "always");
	put("/proc/sys/kernel/perf_event_paranoid", "-1");
	put("/proc/sys/kernel/kptr_restrict", "0");
	put("/proc/sys/kernel/dmesg_restrict", "0");
	put("/proc/sys/kernel/unprivileged_userns_clone", "1");
	put("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
	sethostname("box", 3);
	setrlimit(RLIMIT_NOFILE, &files);
}

static void interface_up(int fd, const char *name)
{
	struct ifreq r = {0};

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	r.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(fd, SIOCSIFFLAGS, &r) < 0)
		fail("bringing %s up", name);
}

/* address: sets one of eth0's addresses by the request that is for it. */
static void address(int fd, unsigned long request, const char *dotted)
{
	struct ifreq r = {.ifr_name = "eth0"};
	struct sockaddr_in a = {.sin_family = AF_INET};

	inet_pton(AF_INET, dotted, &a.sin_addr);
	memcpy(&r.ifr_addr, &a, sizeof(a));
	if (ioctl(fd, request, &r) < 0)
		fail("address of eth0");
}

/* network: lo, and eth0 as QEMU's user network expects it. */
static void network(void)
{
	struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
	struct sockaddr_in a = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	interface_up(fd, "lo");
	address(fd, SIOCSIFADDR, "10.0.2.15");
	address(fd, SIOCSIFNETMASK, "255.255.255.0");
	interface_up(fd, "eth0");
	memcpy(&route.rt_dst, &a, sizeof(a));
	memcpy(&route.rt_genmask, &a, sizeof(a));
	inet_pton(AF_INET, "10.0.2.2", &a.sin_addr);
	memcpy(&route.rt_gateway, &a, sizeof(a));
	if (ioctl(fd, SIOCADDRT, &route) < 0)
		fail("default route");
	close(fd);
}

/* --- who runs COMMAND ----------------------------------------------------- */

/* append: adds a line to a file, which then is the overlay's copy. */
static void append(const char *path, const char *line)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, line, strlen(line)) < 0)
		fail("%s", path);
	close(fd);
}

/*
 * find_user: home directory, name and group of job.uid. Where /etc/passwd of
 * the machine outside has no such user, the box gets one called "box".
 */
static void find_user(char *name, size_t name_size, char *home, size_t home_size)
{
	char *passwd = get("/etc/passwd"), *save = NULL;
	char line[256];

	for (char *l = passwd ? strtok_r(passwd, "\n", &save) : NULL; l; l = strtok_r(NULL, "\n", &save)) {
		char n[64], h[256];
		unsigned int uid, gid;

		if (sscanf(l, "%63[^:]:%*[^:]:%u:%u:%*[^:]:%255[^:]", n, &uid, &gid, h) != 4 &&
		    sscanf(l, "%63[^:]:%*[^:]:%u:%u::%255[^:]", n, &uid, &gid, h) != 4)
			continue;
		if (uid != job.uid)
			continue;
		job.gid = gid;
		snprintf(name, name_size, "%s", n);
		snprintf(home, home_size, "%s", h);
		free(passwd);
		return;
	}
	free(passwd);
	job.gid = job.uid;
	snprintf(name, name_size, "box");
	snprintf(home, home_size, "/home/box");
	snprintf(line, sizeof(line), "box:x:%u:%u:box:/home/box:/bin/sh\n", job.uid, job.uid);
	append("/etc/passwd", line);
	snprintf(line, sizeof(line), "box:x:%u:\n", job.uid);
	append("/etc/group", line);
	snprintf(line, sizeof(line), "box:1000000:65536\n");
	append("/etc/subuid", line);
	append("/etc/subgid", line);
}

/* own_dir: a directory on a path of its own that belongs to COMMAND's user. */
static void own_dir(const char *path, mode_t mode)
{
	make_dirs(path, mode);
	chmod(path, mode);
	if (chown(path, job.uid, job.gid) < 0)
		fail("chown %s", path);
}

/*
 * open_way: a tree below root's home or the like cannot be reached by an
 * ordinary user, whom tests that start as root become, too. In the overlay,
 * and only there, the way to it is opened.
 */
static void open_way(const char *path)
{
	char copy[4096];
	char *p = copy;
	struct stat st;

	snprintf(copy, sizeof(copy), "%s/", path);
	while ((p = strchr(p + 1, '/'))) {
		*p = '\0';
		if (stat(copy, &st) == 0 && !(st.st_mode & 1))
			chmod(copy, (st.st_mode & 07777) | 0111);
		*p = '/';
	}
}

static void set_env(const char *name, const char *value)
{
	if (setenv(name, value, 1) < 0)
		fail("environment");
}

/* prepare_user: account, directories and environment of COMMAND's user. */
static void prepare_user(void)
{
	char name[64], home[256], path[64];
	int fd;

	find_user(name, sizeof(name), home, sizeof(home));
	clearenv();
	set_env("USER", name);
	set_env("LOGNAME", name);
	set_env("SHELL", "/bin/sh");
	own_dir("/run/box", 0755);
	if (access(home, F_OK) < 0)
		own_dir(home, 0755);
	/* QEMU reads for the caller, who may not be allowed to look into root's
	 * home; the root of the box cannot either then. */
	fd = open(home, O_RDONLY | O_DIRECTORY);
	if (fd >= 0) {
		close(fd);
	} else {
		snprintf(home, sizeof(home), "/run/box/home");
		own_dir(home, 0755);
	}
	set_env("HOME", home);
	snprintf(path, sizeof(path), "/run/user/%u", (unsigned int)job.uid);
	own_dir(path, 0700);
	set_env("XDG_RUNTIME_DIR", path);
	/* Not below the home directory: what is cached outside must not decide
	 * what a run in the box finds. */
	own_dir("/run/box/cache", 0700);
	set_env("XDG_CACHE_HOME", "/run/box/cache");
	own_dir("/run/box/tmp", 0700);
	set_env("TMPDIR", "/run/box/tmp");
	set_env("HULL_BOX", "1");
	for (char **e = job.env; *e; e++)
		putenv(*e);
	open_way(job.dir);
}

/* --- COMMAND -------------------------------------------------------------- */

struct streams {
	int in, out, err; /* our ends; in TTY mode `in` and `out` are the master */
};

/* become: in the child, drops what root has when COMMAND is to run as a user. */
static void become(void)
{
	if (!job.user)
		return;
	if (setgroups(1, &job.gid) < 0 || setresgid(job.gid, job.gid, job.gid) < 0 ||
	    setresuid(job.uid, job.uid, job.uid) < 0)
		_exit(125);
}

static void __attribute__((noreturn)) run_command(int in, int out, int err)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	setsid();
	if (job.tty)
		ioctl(in, TIOCSCTTY, 0);
	dup2(in, 0);
	dup2(out, 1);
	dup2(err, 2);
	umask(022);
	become();
	if (chdir(job.dir) < 0) {
		dprintf(2, "box: %s: %s\n", job.dir, strerror(errno));
		_exit(125);
	}
	execvp(job.argv[0], job.argv);
	dprintf(2, "box: %s: %s\n", job.argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

static void set_size(int fd, struct box_winsize size)
{
	struct winsize w = {.ws_row = size.rows, .ws_col = size.columns};

	ioctl(fd, TIOCSWINSZ, &w);
}

/* a pipe whose ends are closed on exec, the one at index `ours` non-blocking */
static void make_pipe(int fds[2], int ours)
{
	if (pipe2(fds, O_CLOEXEC) < 0)
		fail("pipe");
	fcntl(fds[ours], F_SETFL, O_NONBLOCK);
}

static pid_t start_tty(struct streams *s)
{
	char path[64];
	unsigned int number;
	int unlock = 0, master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	int slave;
	pid_t pid;

	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0 || ioctl(master, TIOCGPTN, &number) < 0)
		fail("terminal");
	snprintf(path, sizeof(path), "/dev/pts/%u", number);
	slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		fail("%s", path);
	if (fchown(slave, job.uid, (gid_t)-1) < 0)
		fail("chown %s", path);
	set_size(master, job.size);
	pid = fork();
	if (pid == 0)
		run_command(slave, slave, slave);
	close(slave);
	*s = (struct streams){.in = master, .out = master, .err = -1};
	return pid;
}

static pid_t start_pipes(struct streams *s)
{
	int in[2], out[2], err[2];
	pid_t pid;

	make_pipe(in, 1);
	make_pipe(out, 0);
	make_pipe(err, 0);
	/* COMMAND may open /dev/stdout anew, which checks the pipe's owner. */
	if (fchown(in[0], job.uid, job.gid) < 0 || fchown(out[1], job.uid, job.gid) < 0 ||
	    fchown(err[1], job.uid, job.gid) < 0)
		fail("chown");
	pid = fork();
	if (pid == 0)
		run_command(in[0], out[1], err[1]);
	close(in[0]);
	close(out[1]);
	close(err[1]);
	*s = (struct streams){.in = in[1], .out = out[0], .err = err[0]};
	return pid;
}

/* --- relaying ------------------------------------------------------------- */

/* Standard input on its way to COMMAND. */
static struct {
	char data[BOX_IN_WINDOW];
	size_t start, end;
	int eof;
} input;

/* The frame being received: frames come in pieces, and the relay never waits. */
static struct {
	struct box_frame f;
	size_t have; /* of the header, then of the payload */
	int in_payload;
	char payload[BOX_IN_WINDOW];
} frame;

static void frame_complete(struct streams *s)
{
	struct box_winsize size;

	switch (frame.f.type) {
	case BOX_IN:
		if (frame.f.len == 0)
			input.eof = 1;
		if (input.start > 0) {
			memmove(input.data, input.data + input.start, input.end - input.start);
			input.end -= input.start;
			input.start = 0;
		}
		if (input.end + frame.f.len > sizeof(input.data)) {
			errno = EPROTO;
			fail("more input than asked for");
		}
		if (s->in >= 0) {
			memcpy(input.data + input.end, frame.payload, frame.f.len);
			input.end += frame.f.len;
		} else if (frame.f.len > 0) {
			/* COMMAND closed its input: swallow the rest. */
			send_u32(BOX_CREDIT, frame.f.len);
		}
		break;
	case BOX_WINCH:
		if (job.tty && frame.f.len == sizeof(size)) {
			memcpy(&size, frame.payload, sizeof(size));
			set_size(s->in, size);
		}
		break;
	default:
		errno = EPROTO;
		fail("frame type %u", frame.f.type);
	}
}

/* receive: takes what the port has, at most once. */
static void receive(struct streams *s)
{
	char *to = frame.in_payload ? frame.payload : (char *)&frame.f;
	size_t want = frame.in_payload ? frame.f.len : sizeof(frame.f);
	ssize_t n = 0;

	if (want > frame.have) {
		n = read(port, to + frame.have, want - frame.have);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0)
			fail("reading the port");
	}
	frame.have += (size_t)n;
	if (frame.have < want)
		return;
	if (!frame.in_payload) {
		if (frame.f.len > sizeof(frame.payload)) {
			errno = EPROTO;
			fail("frame of %u bytes", frame.f.len);
		}
		frame.in_payload = 1;
		frame.have = 0;
		if (frame.f.len > 0)
			return;
	}
	frame_complete(s);
	frame.in_payload = 0;
	frame.have = 0;
}

/* feed: as much of the input as COMMAND takes now. */
static void feed(struct streams *s)
{
	if (input.end > input.start) {
		ssize_t n = write(s->in, input.data + input.start, input.end - input.start);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) { /* nobody reads it */
			n = (ssize_t)(input.end - input.start);
			if (!job.tty) {
				close(s->in);
				s->in = -1;
			}
		}
		input.start += (size_t)n;
		send_u32(BOX_CREDIT, (uint32_t)n);
	}
	if (input.end == input.start && input.eof && s->in >= 0) {
		if (job.tty) {
			input.data[0] = 4; /* Ctrl-D: what ends input at a terminal */
			input.start = 0;
			input.end = 1;
			input.eof = 0;
		} else {
			close(s->in);
			s->in = -1;
		}
	}
}

/* carry: one portion of output; 0 when there is none now, -1 at its end. */
static int carry(int fd, enum box_frame_type type)
{
	static char chunk[BOX_CHUNK];
	ssize_t n = read(fd, chunk, sizeof(chunk));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return -1; /* also EIO: no process has the terminal open */
	send_frame(type, chunk, (size_t)n);
	return 1;
}

/* reap: all that ended; true if COMMAND is among them. */
static int reap(pid_t command, uint32_t *ret_status)
{
	int status, found = 0;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != command)
			continue;
		found = 1;
		*ret_status = WIFSIGNALED(status) ? 128 + (uint32_t)WTERMSIG(status)
						  : (uint32_t)WEXITSTATUS(status);
	}
	return found;
}

static uint32_t relay(pid_t command, struct streams *s, int signals)
{
	uint32_t status = 125;

	for (;;) {
		int sending = s->in >= 0 && (input.end > input.start || input.eof);
		struct pollfd p[] = {
			{.fd = port, .events = POLLIN},
			{.fd = signals, .events = POLLIN},
			{.fd = s->out, .events = POLLIN},
			{.fd = s->err, .events = POLLIN},
			{.fd = sending ? s->in : -1, .events = POLLOUT},
		};
		struct signalfd_siginfo info;

		if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
			fail("poll");
		if (p[0].revents & POLLIN)
			receive(s);
		if (p[4].revents)
			feed(s);
		if (p[2].revents && carry(s->out, BOX_OUT) < 0)
			s->out = -1;
		if (p[3].revents && carry(s->err, BOX_ERR) < 0)
			s->err = -1;
		if (p[1].revents && read(signals, &info, sizeof(info)) > 0 && reap(command, &status))
			break;
	}
	/* What COMMAND wrote is in the pipes by now. Who else still has them
	 * open is not waited for. */
	while (s->out >= 0 && carry(s->out, BOX_OUT) > 0)
		;
	while (s->err >= 0 && carry(s->err, BOX_ERR) > 0)
		;
	return status;
}

int main(void)
{
	struct streams s;
	sigset_t child;
	uint32_t status;
	int signals;
	pid_t pid, loader;

	umask(0);
	signal(SIGPIPE, SIG_IGN);
	early_mounts();
	open_console();
	load_modules("/modules/first");
	open_port();
	loader = load_rest("/modules/rest");
	load_modules("/modules/root");
	receive_job();
	enter_root();
	late_mounts();
	offer_kernel();
	wait_rest(loader);
	devices();
	hold_vm();
	settings();
	network();
	prepare_user();
	mount_tracefs();
	mount_outs();

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	fcntl(port, F_SETFL, 0);
	send_frame(BOX_UP, NULL, 0);
	send_u32(BOX_CREDIT, BOX_IN_WINDOW);
	pid = job.tty ? start_tty(&s) : start_pipes(&s);
	if (pid < 0 || signals < 0)
		fail("starting the command");
	status = relay(pid, &s, signals);
	kill(-1, SIGKILL);
	if (job.outs > 0)
		sync();
	send_u32(BOX_EXIT, status);
	for (;;)
		pause(); /* the outside ends QEMU */
}
