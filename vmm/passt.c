/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * passt, from its options to a connected socket; see passt.h.
 *
 * The options are those that the version of 2023 and all later ones have. What has to be
 * worked around in the old one: it does not start without a default route, it is content
 * when a port is free for one of IPv4 and IPv6, and does not say why a port is not. So the
 * routes are looked at, and the ports tried, before it is started.
 *
 * Ready or failed: passt goes into the background by itself when all is set up, and that is
 * when the process that was started ends, with status 0. What it has said until then is in
 * an unnamed file, as a pipe could fill up.
 */
#include "passt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hull/util.h"

enum {
	PEER_FD = 3, /* passt's end of the socket, in passt */
	MAX_ARGS = 24 + 2 * CONFIG_MAX_PUBLISHED,
	ARG_BYTES = 72,
	MAX_SERVERS = 3, /* as many as a resolver takes */
	MESSAGE_BYTES = 8192,
	LINE_BYTES = 256,
	SOCKET_BYTES = 4 << 20,
	ROUTE_UP = 1, /* RTF_UP */
	PORT_TRIES = 25,
	PORT_PAUSE_MS = 20,
};

/* Without a default route. The MAC address is of those that nobody owns (IEEE 802c). */
#define LOCAL_GUEST   "10.0.2.15"
#define LOCAL_GATEWAY "10.0.2.2"
#define LOCAL_MAC     "52:55:0a:00:02:02"

struct args {
	char *argv[MAX_ARGS + 1];
	char text[MAX_ARGS][ARG_BYTES];
	unsigned count;
};

/* What the host's routes make passt carry. */
struct families {
	bool v4;
	bool v6;
	bool local; /* no default route at all: an IPv4 of our own making */
};

static void add(struct args *args, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(struct args *args, const char *fmt, ...)
{
	va_list ap;

	if (args->count == MAX_ARGS) /* cannot be: MAX_ARGS counts them all */
		return;
	va_start(ap, fmt);
	vsnprintf(args->text[args->count], ARG_BYTES, fmt, ap);
	va_end(ap);
	args->argv[args->count] = args->text[args->count];
	args->count++;
}

/* ---- what the host has ---- */

/* Calls fn(line) for each line, until it returns true. Returns whether one did. */
static bool any_line(const char *path, bool (*fn)(const char *line, void *arg), void *arg)
{
	char line[LINE_BYTES];
	FILE *f = fopen(path, "re");
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = fn(line, arg);
	if (f)
		fclose(f);
	return found;
}

/* A line of /proc/net/route; numbers are in hexadecimal, addresses in memory order. */
static bool is_default_v4(const char *line, void *arg)
{
	unsigned dest, gateway, flags, mask;

	(void)arg;
	return sscanf(line, "%*s %x %x %x %*s %*s %*s %x", &dest, &gateway, &flags, &mask) == 4 &&
	       dest == 0 && mask == 0 && gateway != 0 && (flags & ROUTE_UP);
}

/* A line of /proc/net/ipv6_route. */
static bool is_default_v6(const char *line, void *arg)
{
	static const char zero[] = "00000000000000000000000000000000";
	char dest[33], next[33], name[17];
	unsigned bits, flags;

	(void)arg;
	return sscanf(line, "%32s %x %*s %*s %32s %*s %*s %*s %x %16s", dest, &bits, next, &flags, name) ==
		       5 &&
	       strcmp(dest, zero) == 0 && bits == 0 && strcmp(next, zero) != 0 && (flags & ROUTE_UP) &&
	       strcmp(name, "lo") != 0;
}

/* passt takes the guest's addresses from default routes, and only those with a gateway will do. */
static struct families find_families(void)
{
	struct families f = {
		.v4 = any_line("/proc/net/route", is_default_v4, NULL),
		.v6 = any_line("/proc/net/ipv6_route", is_default_v6, NULL),
	};

	f.local = !f.v4 && !f.v6;
	f.v4 = f.v4 || f.local;
	return f;
}

struct servers {
	const struct families *families;
	char address[MAX_SERVERS][INET6_ADDRSTRLEN];
	unsigned count;
};

/* Takes the nameserver of a line of resolv.conf, unless only the host itself can reach it. */
static bool take_server(const char *line, void *arg)
{
	struct servers *s = arg;
	char text[INET6_ADDRSTRLEN];
	struct in6_addr v6;
	struct in_addr v4;
	bool usable;

	if (sscanf(line, "nameserver %45s", text) != 1)
		return false;
	if (inet_pton(AF_INET, text, &v4) == 1)
		usable = s->families->v4 && ntohl(v4.s_addr) >> 24 != IN_LOOPBACKNET && v4.s_addr != 0;
	else
		usable = s->families->v6 && inet_pton(AF_INET6, text, &v6) == 1 &&
			 !IN6_IS_ADDR_LOOPBACK(&v6) && !IN6_IS_ADDR_UNSPECIFIED(&v6) &&
			 !IN6_IS_ADDR_LINKLOCAL(&v6);
	if (usable)
		memcpy(s->address[s->count++], text, sizeof(text));
	return s->count == MAX_SERVERS;
}

/* ---- ports ---- */

/* "[ADDR:]HOST:GUEST", as the user wrote it. */
static const char *publish_text(const struct config_publish *p, char *text, size_t cap)
{
	const char *format = !p->address[0]            ? "%s%u:%u%s"
			     : strchr(p->address, ':') ? "[%s]:%u:%u%s"
						       : "%s:%u:%u%s";

	snprintf(text, cap, format, p->address, p->host, p->guest, p->udp ? "/udp" : "");
	return text;
}

/* Tries whether passt will get the port. Returns 0 or -errno. */
static int try_port(const struct config_publish *p, int family)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(p->host)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(p->host)};
	int fd = socket(family, (p->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
	const int on = 1;
	int r;

	if (fd < 0)
		return -errno;
	/* A port of TCP whose last connections are still remembered is free; with UDP, it would be shared. */
	if (!p->udp)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (family == AF_INET) {
		inet_pton(AF_INET, p->address, &v4.sin_addr);
		r = bind(fd, (const struct sockaddr *)&v4, sizeof(v4)) < 0 ? -errno : 0;
	} else {
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
		inet_pton(AF_INET6, p->address, &v6.sin6_addr);
		r = bind(fd, (const struct sockaddr *)&v6, sizeof(v6)) < 0 ? -errno : 0;
	}
	close(fd);
	return r;
}

/* The passt of a machine that has just ended lives on for a moment: what was stopped can be started at once.
 */
static int await_port(const struct config_publish *p, int family)
{
	const struct timespec pause = {.tv_nsec = PORT_PAUSE_MS * 1000000L};
	int r = try_port(p, family);

	for (unsigned i = 1; i < PORT_TRIES && r == -EADDRINUSE; i++) {
		nanosleep(&pause, NULL);
		r = try_port(p, family);
	}
	return r;
}

static int port_error(const struct config_publish *p, int code, struct err *err)
{
	char text[ARG_BYTES];

	publish_text(p, text, sizeof(text));
	switch (code) {
	case -EADDRINUSE:
		return err_set(err, code, "--publish %s: port %u of the host is in use", text, p->host);
	case -EACCES:
		return err_set(err, code,
			       "--publish %s: port %u of the host is for root only (sysctl "
			       "net.ipv4.ip_unprivileged_port_start=%u would change that)",
			       text, p->host, p->host);
	case -EADDRNOTAVAIL:
		return err_set(err, code, "--publish %s: %s is no address of this host", text, p->address);
	default:
		return err_errno(err, code, "--publish %s", text);
	}
}

static int check_port(const struct config_publish *p, const struct families *f, struct err *err)
{
	bool any = !p->address[0];
	bool is_v6 = strchr(p->address, ':');
	char text[ARG_BYTES];
	int r = 0;

	if (!any && (is_v6 ? !f->v6 : !f->v4))
		return err_set(err, -EADDRNOTAVAIL,
			       "--publish %s: %s takes an IPv%c default route of the host, and there is none",
			       publish_text(p, text, sizeof(text)), is_v6 ? "IPv6" : "IPv4",
			       is_v6 ? '6' : '4');
	if (f->v4 && (any || !is_v6))
		r = await_port(p, AF_INET);
	if (r == 0 && f->v6 && (any || is_v6))
		r = await_port(p, AF_INET6);
	return r < 0 ? port_error(p, r, err) : 0;
}

/* passt knows ports by their numbers only, whatever the address. */
static int check_ports(const struct passt_request *req, const struct families *f, struct err *err)
{
	char text[ARG_BYTES];
	int r = 0;

	for (unsigned i = 0; i < req->published_count && r == 0; i++) {
		const struct config_publish *p = &req->published[i];

		for (unsigned k = 0; k < i; k++) {
			if (req->published[k].host == p->host && req->published[k].udp == p->udp)
				return err_set(
					err, -EINVAL,
					"--publish %s: port %u is published at another address already, "
					"and passt can do that once",
					publish_text(p, text, sizeof(text)), p->host);
		}
		r = check_port(p, f, err);
	}
	return r;
}

/* ---- options ---- */

/* Returns whether the guest will have a nameserver. */
static bool add_servers(struct args *args, const struct families *f)
{
	struct servers own = {.families = f}, resolved = {.families = f};

	any_line("/etc/resolv.conf", take_server, &own);
	if (own.count > 0)
		return true; /* passt does the same */
	any_line("/run/systemd/resolve/resolv.conf", take_server, &resolved);
	for (unsigned i = 0; i < resolved.count; i++) {
		add(args, "--dns");
		add(args, "%s", resolved.address[i]);
	}
	return resolved.count > 0;
}

static void add_addresses(struct args *args)
{
	static const char *const words[] = {
		"--ipv4-only",   "--interface", "lo",          "--address",  LOCAL_GUEST, "--netmask",
		"255.255.255.0", "--gateway",   LOCAL_GATEWAY, "--mac-addr", LOCAL_MAC,
	};

	for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
		add(args, "%s", words[i]);
}

static void make_note(struct passt *passt, const struct families *f, bool servers)
{
	const char *route = f->local ? "the host has no default route: the guest gets " LOCAL_GUEST
				       ", gateway " LOCAL_GATEWAY
				     : "";
	const char *names = servers ? "" : "no nameserver of the host is one for the guest, too";

	if (*route || *names)
		snprintf(passt->note, sizeof(passt->note), "--net user: %s%s%s", route,
			 *route && *names ? "; " : "", names);
}

/*
 * Answers to datagrams from the host's own loopback go to the gateway's address, and
 * only where that stands for the loopback do they come back (passt up to 2024): a
 * machine that publishes a UDP port lets its guest reach the loopback.
 */
static bool gateway_is_loopback(const struct passt_request *req)
{
	for (unsigned i = 0; i < req->published_count; i++) {
		if (req->published[i].udp)
			return true;
	}
	return false;
}

static void make_args(struct args *args, const struct passt_request *req, const struct families *f,
		      struct passt *passt)
{
	add(args, "passt"); /* the name makes it be passt, not pasta */
	add(args, "--fd");
	add(args, "%d", PEER_FD);
	add(args, "--quiet");
	if (!gateway_is_loopback(req))
		add(args, "--no-map-gw");
	if (f->local)
		add_addresses(args);
	make_note(passt, f, add_servers(args, f));
	if (req->mtu) {
		add(args, "--mtu");
		add(args, "%u", req->mtu);
	}
	for (unsigned i = 0; i < req->published_count; i++) {
		const struct config_publish *p = &req->published[i];

		add(args, p->udp ? "--udp-ports" : "--tcp-ports");
		add(args, "%s%s%u:%u", p->address, p->address[0] ? "/" : "", p->host, p->guest);
	}
}

/* ---- the process ---- */

int passt_find(char *path, size_t cap, struct err *err)
{
	const char *dir = getenv("PATH");

	while (dir && *dir) {
		int len = (int)min_u64(strcspn(dir, ":"), cap);

		snprintf(path, cap, "%.*s/passt", len, dir);
		if (dir[0] == '/' && access(path, X_OK) == 0)
			return 0;
		dir += len;
		dir += *dir == ':';
	}
	snprintf(path, cap, "/usr/bin/passt");
	if (access(path, X_OK) == 0)
		return 0;
	return err_set(err, -ENOENT, "--net user: passt is not installed: apt-get install passt");
}

/* All are above PEER_FD, so that dup2() of one never closes another. */
struct child_fds {
	int socket;
	int messages;
	int null;
};

static void child(const char *path, char *const argv[], const struct child_fds *fds)
{
	if (dup2(fds->null, STDIN_FILENO) >= 0 && dup2(fds->null, STDOUT_FILENO) >= 0 &&
	    dup2(fds->messages, STDERR_FILENO) >= 0 && dup2(fds->socket, PEER_FD) >= 0 &&
	    close_range(PEER_FD + 1, UINT_MAX, 0) == 0)
		execv(path, argv);
	dprintf(STDERR_FILENO, "%s: %s\n", path, strerror(errno));
	_exit(127);
}

/* Moves *fd above PEER_FD. */
static int lift(int *fd)
{
	int high;

	if (*fd < 0)
		return -errno;
	if (*fd > PEER_FD)
		return 0;
	high = fcntl(*fd, F_DUPFD_CLOEXEC, PEER_FD + 1);
	if (high < 0)
		return -errno;
	close(*fd);
	*fd = high;
	return 0;
}

static int open_child_fds(struct child_fds *fds, int *ret_own)
{
	const int bytes = SOCKET_BYTES;
	int pair[2];
	int r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	for (unsigned i = 0; i < 2; i++) /* passt drops what does not fit; the kernel gives what it allows */
		setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	*ret_own = pair[0];
	fds->socket = pair[1];
	r = lift(ret_own);
	if (r == 0)
		r = lift(&fds->socket);
	if (r < 0)
		return r;
	fds->messages = memfd_create("passt", MFD_CLOEXEC);
	r = lift(&fds->messages);
	if (r < 0)
		return r;
	fds->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	return lift(&fds->null);
}

/* True for lines that do not say why passt ended. */
static bool is_noise(const char *line)
{
	return !line[0] || strncmp(line, "Failed to send ", 15) == 0 ||
	       strncmp(line, "Don't run as root", 17) == 0;
}

/* The line of passt's that says what is wrong: the last, or getopt's before a page of help. */
static int complaint(int messages, int status, struct err *err)
{
	char text[MESSAGE_BYTES];
	ssize_t n = pread(messages, text, sizeof(text) - 1, 0);
	char *save = NULL;
	const char *found = NULL;

	text[n > 0 ? n : 0] = '\0';
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (is_noise(line))
			continue;
		found = line;
		if (strstr(line, "unrecognized option") || strstr(line, "invalid option"))
			break;
	}
	if (found)
		return err_set(err, -EINVAL, "--net user: passt: %s", found);
	if (WIFSIGNALED(status))
		return err_set(err, -EINVAL, "--net user: passt was killed by signal %d (%s)",
			       WTERMSIG(status), strsignal(WTERMSIG(status)));
	return err_set(err, -EINVAL, "--net user: passt ended with status %d and said nothing",
		       WEXITSTATUS(status));
}

/* Returns the status of waitpid(), or -errno. */
static int run_child(const char *path, struct args *args, const struct child_fds *fds)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		child(path, args->argv, fds);
	if (pid < 0)
		return -errno;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return status;
}

static int start(const char *path, struct args *args, int *ret_socket, struct err *err)
{
	struct child_fds fds = {-1, -1, -1};
	int own = -1;
	int r = open_child_fds(&fds, &own);

	if (r < 0) {
		err_errno(err, r, "--net user: descriptors for passt");
	} else {
		r = run_child(path, args, &fds);
		if (r < 0)
			err_errno(err, r, "--net user: cannot start passt");
		else if (r > 0)
			r = complaint(fds.messages, r, err);
	}
	fd_close(&fds.socket);
	fd_close(&fds.messages);
	fd_close(&fds.null);
	if (r < 0) {
		fd_close(&own);
		return r;
	}
	*ret_socket = own;
	return 0;
}

int passt_start(struct passt *ret_passt, const struct passt_request *req, struct err *err)
{
	struct families families = find_families();
	struct args args = {.count = 0};
	char path[PATH_MAX];
	int r = passt_find(path, sizeof(path), err);

	*ret_passt = (struct passt){.socket = -1};
	if (r == 0)
		r = check_ports(req, &families, err);
	if (r < 0)
		return r;
	make_args(&args, req, &families, ret_passt);
	return start(path, &args, &ret_passt->socket, err);
}
