/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The network of the root, before its own programs run: loopback, and the interface
 * behind which hull has a DHCP server. A root that configures its network by itself
 * finds it configured, and may do so again.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "dhcp.h"
#include "init.h"

enum {
	WAIT_MS = 2000,
	HARDWARE_ETHERNET = 1, /* ARPHRD_ETHER */
};

/* The first line of what this program writes: then it may write it again. */
static const char by_hull[] = "# by hull, from DHCP\n";

static struct sockaddr as_sockaddr(uint32_t address)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {address}};
	struct sockaddr sa;

	_Static_assert(sizeof(in) == sizeof(sa), "an address is an address");
	memcpy(&sa, &in, sizeof(sa));
	return sa;
}

static struct ifreq request(const char *interface)
{
	struct ifreq r;

	memset(&r, 0, sizeof(r));
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", interface);
	return r;
}

static int bring_up(int fd, const char *interface)
{
	struct ifreq r = request(interface);

	if (ioctl(fd, SIOCGIFFLAGS, &r) < 0)
		return -errno;
	r.ifr_flags |= IFF_UP;
	return ioctl(fd, SIOCSIFFLAGS, &r) < 0 ? -errno : 0;
}

/* The driver's probe is over when its module is loaded; the interface may be a moment later. */
static bool wait_for_interface(const char *interface)
{
	for (int waited = 0; waited < WAIT_MS; waited += 5) {
		struct timespec ts = {.tv_nsec = 5000000};

		if (if_nametoindex(interface))
			return true;
		nanosleep(&ts, NULL);
	}
	return false;
}

static int add_route(int fd, const char *interface, uint32_t to, uint32_t mask, uint32_t via)
{
	char name[IFNAMSIZ];
	struct rtentry route = {
		.rt_dst = as_sockaddr(to),
		.rt_genmask = as_sockaddr(mask),
		.rt_gateway = as_sockaddr(via),
		.rt_flags = RTF_UP | (via ? RTF_GATEWAY : 0) | (mask == INADDR_NONE ? RTF_HOST : 0),
		.rt_dev = name,
	};

	snprintf(name, sizeof(name), "%s", interface);
	return ioctl(fd, SIOCADDRT, &route) < 0 && errno != EEXIST ? -errno : 0;
}

static int set_addresses(int fd, const char *interface, const struct dhcp_lease *lease)
{
	struct ifreq r = request(interface);
	uint32_t mask = lease->mask ? lease->mask : INADDR_NONE;
	int result = 0;

	if (lease->mtu) {
		r.ifr_mtu = (int)lease->mtu;
		ioctl(fd, SIOCSIFMTU, &r); /* a wish: the device may have less */
	}
	r.ifr_addr = as_sockaddr(lease->address);
	if (ioctl(fd, SIOCSIFADDR, &r) < 0)
		return -errno;
	r.ifr_netmask = as_sockaddr(mask);
	if (ioctl(fd, SIOCSIFNETMASK, &r) < 0)
		return -errno;
	if (!lease->router)
		return 0;
	if ((lease->router ^ lease->address) & mask)
		result = add_route(fd, interface, lease->router, INADDR_NONE, 0);
	return result < 0 ? result : add_route(fd, interface, 0, 0, lease->router);
}

/* What the root's /etc/resolv.conf will be, until the guest ends, or is. */
static void write_resolv_conf(const char *path, const struct dhcp_lease *lease)
{
	FILE *f = fopen(path, "we");

	if (!f)
		return;
	fputs(by_hull, f);
	for (unsigned i = 0; i < lease->dns_count; i++) {
		char text[INET_ADDRSTRLEN];

		fprintf(f, "nameserver %s\n", inet_ntop(AF_INET, &lease->dns[i], text, sizeof(text)));
	}
	fclose(f);
}

/* Of an interface that is up. */
static int ask_dhcp(int fd, const char *interface, struct dhcp_lease *ret_lease)
{
	struct ifreq r = request(interface);
	int result;

	if (ioctl(fd, SIOCGIFHWADDR, &r) < 0)
		return -errno;
	result = dhcp_get(interface, (const uint8_t *)r.ifr_hwaddr.sa_data, ret_lease);
	return result < 0 ? result : set_addresses(fd, interface, ret_lease);
}

static int configure(int fd, const char *interface)
{
	struct dhcp_lease lease = {.mtu = 0};
	int result;

	if (!wait_for_interface(interface))
		return -ENODEV;
	result = bring_up(fd, interface);
	if (result == 0)
		result = ask_dhcp(fd, interface, &lease);
	if (result == 0)
		write_resolv_conf(RESOLV_CONF, &lease);
	return result;
}

void start_network(const struct settings *settings)
{
	int fd, r;

	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		if (settings->dhcp[0])
			say("no network in this kernel: %s", strerror(errno));
		return;
	}
	bring_up(fd, "lo");
	r = settings->dhcp[0] ? configure(fd, settings->dhcp) : 0;
	if (r < 0)
		say("%s is not configured: %s", settings->dhcp, strerror(-r));
	close(fd);
}

/*
 * Our file over the root's, which stays as it is: only when that is a plain file, or
 * can be made; a link leads to a program that keeps the file by itself.
 */
bool show_name_servers(const char *target)
{
	char path[WORD_MAX];
	struct stat st;
	int fd;

	if (access(RESOLV_CONF, F_OK) < 0)
		return true;
	snprintf(path, sizeof(path), "%s/etc/resolv.conf", target);
	if (lstat(path, &st) < 0) {
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		if (fd < 0)
			return true;
		close(fd);
	} else if (!S_ISREG(st.st_mode)) {
		return !S_ISLNK(st.st_mode);
	}
	if (mount(RESOLV_CONF, path, NULL, MS_BIND, NULL) < 0)
		say("no name servers in %s: %s", path, strerror(errno));
	return true;
}

void write_name_servers(const char *text)
{
	char path[PATH_WORD_MAX];
	ssize_t len = readlink("/etc/resolv.conf", path, sizeof(path) - 1);
	char *slash;
	int fd;

	if (len <= 0 || chdir("/etc") < 0)
		return;
	path[len] = '\0';
	/* As services have it; anything else may be a file of the root, or of the host. */
	if (strncmp(path, "/run/", 5) != 0 && strncmp(path, "../run/", 7) != 0)
		return;
	slash = strrchr(path, '/');
	*slash = '\0';
	if (make_dirs(path) == 0) {
		*slash = '/';
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		if (fd >= 0 && write(fd, text, strlen(text)) < 0)
			say("no name servers in %s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
	}
	if (chdir("/") < 0)
		die("/: %s", strerror(errno));
}

/* ---- another address ---- */

/* The name of the first interface with that address; false: there is none. */
static bool find_interface(int fd, const uint8_t mac[static 6], char ret_name[static IFNAMSIZ])
{
	struct if_nameindex *list = if_nameindex();
	bool found = false;

	for (const struct if_nameindex *i = list; i && i->if_index && !found; i++) {
		struct ifreq r = request(i->if_name);

		found = ioctl(fd, SIOCGIFHWADDR, &r) == 0 && r.ifr_hwaddr.sa_family == HARDWARE_ETHERNET &&
			memcmp(r.ifr_hwaddr.sa_data, mac, 6) == 0;
		if (found)
			memcpy(ret_name, r.ifr_name, IFNAMSIZ);
	}
	if (list)
		if_freenameindex(list);
	return found;
}

static int set_flags(int fd, const char *interface, int flags)
{
	struct ifreq r = request(interface);

	r.ifr_flags = (short)flags;
	return ioctl(fd, SIOCSIFFLAGS, &r) < 0 ? -errno : 0;
}

/* Some drivers want the interface down, which costs it its routes. */
static int set_mac(int fd, const char *interface, const uint8_t mac[static 6])
{
	struct ifreq state = request(interface);
	struct ifreq r = request(interface);
	int result = 0;

	r.ifr_hwaddr.sa_family = HARDWARE_ETHERNET;
	memcpy(r.ifr_hwaddr.sa_data, mac, 6);
	if (ioctl(fd, SIOCSIFHWADDR, &r) == 0)
		return 0;
	if (errno != EBUSY || ioctl(fd, SIOCGIFFLAGS, &state) < 0)
		return -errno;
	result = set_flags(fd, interface, state.ifr_flags & ~IFF_UP);
	if (result < 0)
		return result;
	if (ioctl(fd, SIOCSIFHWADDR, &r) < 0)
		result = -errno;
	set_flags(fd, interface, state.ifr_flags);
	return result;
}

/* The file may be the root's by now, and its init have made another of it. */
static void renew_resolv_conf(const struct dhcp_lease *lease)
{
	static const char path[] = "/etc/resolv.conf";

	if (strncmp(read_file(path), by_hull, strlen(by_hull)) == 0)
		write_resolv_conf(path, lease);
}

static int renew(int fd, const char *interface)
{
	struct ifreq r = request(interface);
	struct dhcp_lease lease = {.mtu = 0};
	int result;

	if (ioctl(fd, SIOCGIFFLAGS, &r) < 0)
		return -errno;
	if (!(r.ifr_flags & IFF_UP) || !(r.ifr_flags & IFF_RUNNING))
		return 0;
	result = ask_dhcp(fd, interface, &lease);
	if (result == 0)
		renew_resolv_conf(&lease);
	return result;
}

int change_mac(const uint8_t old[static 6], const uint8_t fresh[static 6], const char *dhcp)
{
	char name[IFNAMSIZ];
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int result = 0;

	if (fd < 0)
		return errno == EAFNOSUPPORT ? 0 : -errno; /* no network in this kernel */
	if (find_interface(fd, old, name)) {
		if (memcmp(old, fresh, 6) != 0)
			result = set_mac(fd, name, fresh);
		if (result == 0 && strcmp(name, dhcp) == 0)
			result = renew(fd, name);
	}
	close(fd);
	return result;
}
