/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options of `hull run`: networks and published ports. */
#include "config_words.h"

#include <stdio.h>

#include "hull/util.h"

static struct config_net one_net(const char *value)
{
	struct vm_config c = accepted_value("-n", value);

	assert_int_equal(c.net_count, 1);
	return c.nets[0];
}

static struct config_publish one_port(const char *value)
{
	struct vm_config c = accepted_value("-p", value);

	assert_int_equal(c.published_count, 1);
	return c.published[0];
}

static void test_user(void **state)
{
	struct config_net n = one_net("user");

	(void)state;
	assert_int_equal(n.kind, NET_USER);
	assert_string_equal(n.id, "net0");
	assert_false(n.has_mac);
	assert_int_equal(n.mtu, 0);
	assert_int_equal(n.queues, 1);
	assert_int_equal(n.vhost, VHOST_AUTO);
}

static void test_tap(void **state)
{
	static const uint8_t mac[6] = {0x52, 0x54, 0x00, 0xab, 0xCD, 0xef};
	struct config_net n = one_net("tap=tap0,id=lan.1,mac=52:54:00:ab:CD:ef,mtu=9000,queues=4,vhost=off");

	(void)state;
	assert_int_equal(n.kind, NET_TAP);
	assert_string_equal(n.ifname, "tap0");
	assert_string_equal(n.id, "lan.1");
	assert_true(n.has_mac);
	assert_memory_equal(n.mac, mac, 6);
	assert_int_equal(n.mtu, 9000);
	assert_int_equal(n.queues, 4);
	assert_int_equal(n.vhost, VHOST_OFF);
	assert_int_equal(one_net("tap=t").vhost, VHOST_AUTO);
	assert_int_equal(one_net("tap=t,vhost=on").vhost, VHOST_ON);
	assert_int_equal(one_net("tap=t,queues=16").queues, 16);
	assert_int_equal(one_net("tap=t,mtu=68").mtu, 68);
	assert_int_equal(one_net("tap=t,mtu=65535").mtu, 65535);
}

static void test_fd(void **state)
{
	struct config_net n = one_net("fd=7,vhost=on,mtu=1400");

	(void)state;
	assert_int_equal(n.kind, NET_FD);
	assert_int_equal(n.fd, 7);
	assert_int_equal(n.queues, 1);
	assert_int_equal(n.vhost, VHOST_ON);
	assert_int_equal(n.mtu, 1400);
	assert_int_equal(one_net("fd=3").fd, 3);
	assert_int_equal(one_net("fd=2147483647").fd, 2147483647);
}

/* One pair of queues for each vCPU, wherever -c is, and on a TAP alone. */
static void test_queues(void **state)
{
	struct vm_config c = accepted(
		WORDS(W("-ntap=a"), W("-nuser"), W("-nfd=5"), W("-c4"), W("-ntap=b,queues=2"), W("-ntap=c")));

	(void)state;
	assert_int_equal(c.nets[0].queues, 4);
	assert_false(c.nets[0].queues_given);
	assert_true(c.nets[3].queues_given);
	assert_int_equal(c.nets[1].queues, 1);
	assert_int_equal(c.nets[2].queues, 1);
	assert_int_equal(c.nets[3].queues, 2);
	assert_int_equal(c.nets[4].queues, 4);
	c = accepted(WORDS(W("-c64"), W("-ntap=a")));
	assert_int_equal(c.nets[0].queues, CONFIG_MAX_QUEUES);
}

static void test_names_of_interfaces(void **state)
{
	static const char *const good[] = {"a",        "tap0", "123456789012345", "br-lan.7", "...",
					   "\xc3\xa9", "a=b"};
	static const char *const bad[] = {"",       "1234567890123456",
					  ".",      "..",
					  "a/b",    "a:b",
					  "a b",    "a\tb",
					  "a\nb",   " ",
					  "tap%d",  "%",
					  "a\240b", "12345678901234567890"};
	char value[64];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(good); i++) {
		snprintf(value, sizeof(value), "tap=%s", good[i]);
		assert_string_equal(one_net(value).ifname, good[i]);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(value, sizeof(value), "tap=%s", bad[i]);
		refused_value("--net", value, "--net tap=", "name of an interface");
	}
	/* A comma is written as two, as everywhere. */
	assert_string_equal(one_net("tap=a,,b,mtu=1500").ifname, "a,b");
}

static void test_bad_macs(void **state)
{
	static const char *const bad[] = {"",
					  "52:54:00:12:34",
					  "52:54:00:12:34:56:78",
					  "52-54-00-12-34-56",
					  "525400123456",
					  "52:54:00:12:34:5",
					  "52:54:00:12:34:5g",
					  "52:54:00:12:34:056",
					  "5:54:00:12:34:567",
					  "52:54:00:12:34: 6",
					  "52:54:00:12:34:-6",
					  "00:00:00:00:00:00",
					  "ff:ff:ff:ff:ff:ff",
					  "01:00:5e:00:00:01",
					  "53:54:00:12:34:56"};
	char value[64];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(value, sizeof(value), "user,mac=%s", bad[i]);
		refused_value("-n", value, "-n user: mac=", "52:54:00:12:34:56");
	}
	assert_int_equal(one_net("user,mac=00:00:00:00:00:01").mac[5], 1);
	assert_int_equal(one_net("user,mac=fe:00:00:00:00:00").mac[0], 0xfe);
}

static void test_bad_nets(void **state)
{
	static const struct {
		const char *value, *a, *b;
	} bad[] = {
		{"users", "-n users", "tap=IFNAME"},
		{"User", "-n User", "none, user"},
		{"tap", "-n tap:", "tap=IFNAME"},
		{"fd", "-n fd:", "fd=N"},
		{"bridge=br0", "-n bridge=br0", "fd=N"},
		{"user=x", "-n user=x", "none, user"},
		{",id=x", "-n :", "user"},
		{"id=x", "-n id=x:", "user"},
		{"none,id=x", "-n none", "nothing after it"},
		{"none,", "-n none", "nothing after it"},
		{"user,", "-n user", "''"},
		{"user,foo=1", "-n user: unknown word 'foo=1'", "id=, mac=, mtu=, queues= or vhost="},
		{"user,id=x,id=y", "id", "twice"},
		{"user,mtu=1500,mtu=1500", "mtu", "twice"},
		{"user,id", "id=", "letters"},
		{"user,id=-x", "id=-x", "letters"},
		{"user,id=123456789012345678901", "id=1234", "1 to 20"},
		{"user,mac", "mac=", "unicast"},
		{"user,mtu=67", "mtu=67", "68 to 65535"},
		{"user,mtu=65536", "mtu=65536", "68 to 65535"},
		{"user,mtu=", "mtu=", "68 to 65535"},
		{"user,mtu=1k", "mtu=1k", "68 to 65535"},
		{"user,queues=1", "queues=", "tap=IFNAME"},
		{"fd=5,queues=2", "-n fd=5: queues=", "tap=IFNAME"},
		{"tap=t,queues=0", "queues=0", "1 to 16"},
		{"tap=t,queues=17", "queues=17", "1 to 16"},
		{"tap=t,queues", "queues=", "1 to 16"},
		{"tap=t,vhost=yes", "vhost=yes", "on or off"},
		{"tap=t,vhost=auto", "vhost=auto", "on or off"},
		{"tap=t,vhost", "vhost=", "on or off"},
		{"user,vhost=on", "-n user: vhost=", "tap=IFNAME and fd=N"},
		{"user,vhost=off", "-n user: vhost=", "tap=IFNAME and fd=N"},
		{"fd=", "fd=:", "3 or more"},
		{"fd=2", "fd=2", "3 or more"},
		{"fd=-1", "fd=-1", "3 or more"},
		{"fd=3x", "fd=3x", "descriptor"},
		{"fd=2147483648", "fd=2147483648", "descriptor"},
		{"fd=18446744073709551619", "fd=1844", "descriptor"},
	};
	static char endless[400];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		refused_value("-n", bad[i].value, bad[i].a, bad[i].b);
	memset(endless, 'u', sizeof(endless) - 1);
	refused_value("--net", endless, "--net uuu", "expected none, user");
	memcpy(endless, "user,id=", 8);
	refused_value("--net", endless, "--net user", "too long");
}

static void test_none(void **state)
{
	struct vm_config c = accepted(WORDS(W("--net"), W("none")));

	(void)state;
	assert_int_equal(c.net_count, 0);
	assert_true(c.net_none);
	refused(WORDS(W("--net=none"), W("--net=user")), "--net none", "not together");
	refused(WORDS(W("-n"), W("tap=t"), W("-n"), W("none")), "--net none", "not together");
	refused(WORDS(W("-n"), W("none"), W("-p"), W("80:80")), "--publish", "--net none");
	refused(WORDS(W("-p"), W("80:80"), W("-n"), W("none")), "--publish", "--net none");
}

static void test_several(void **state)
{
	struct vm_config c =
		accepted(WORDS(W("-nuser"), W("--net=tap=t0,id=x"), W("--net"), W("tap=t1"), W("-nfd=9")));

	(void)state;
	assert_int_equal(c.net_count, 4);
	assert_int_equal(c.nets[0].kind, NET_USER);
	assert_string_equal(c.nets[0].id, "net0");
	assert_string_equal(c.nets[1].id, "x");
	assert_string_equal(c.nets[1].ifname, "t0");
	assert_string_equal(c.nets[2].id, "net2");
	assert_string_equal(c.nets[3].id, "net3");
	/* The same thing of the host twice. */
	refused(WORDS(W("-nuser"), W("-nuser")), "-n user", "once");
	refused(WORDS(W("-nuser"), W("--net=user,id=y")), "--net user", "once");
	refused(WORDS(W("-ntap=t"), W("-ntap=t,queues=2")), "-n tap=t", "once");
	refused(WORDS(W("-nfd=4"), W("-nuser"), W("-nfd=4")), "-n fd=4", "once");
}

static void test_many(void **state)
{
	char *words[CONFIG_MAX_NETS + 2] = {NULL};
	char nets[CONFIG_MAX_NETS + 1][16];
	struct vm_config c;

	(void)state;
	for (unsigned i = 0; i <= CONFIG_MAX_NETS; i++)
		snprintf(nets[i], sizeof(nets[i]), "-ntap=t%u", i);
	for (unsigned i = 0; i < CONFIG_MAX_NETS; i++)
		words[i] = nets[i];
	c = accepted(words);
	assert_int_equal(c.net_count, CONFIG_MAX_NETS);
	assert_string_equal(c.nets[CONFIG_MAX_NETS - 1].id, "net7");
	words[CONFIG_MAX_NETS] = nets[CONFIG_MAX_NETS];
	refused(words, "-n tap=t8", "at most 8");
	words[CONFIG_MAX_NETS] = W("-p80:80");
	refused(words, "--publish", "at most 8");
}

static void test_ids_are_unique(void **state)
{
	(void)state;
	refused(WORDS(W("-nuser,id=x"), W("-ntap=t,id=x")), "--net tap=t", "'x'");
	refused(WORDS(W("-nuser,id=net1"), W("-nfd=6")), "--net fd=6", "'net1'");
	refused(WORDS(W("-nuser,id=disk0"), W("-d/a.img")), "--net user", "'disk0'");
	refused(WORDS(W("-d/a.img,id=net0"), W("-nuser")), "--net user", "/a.img");
	refused(WORDS(W("-nuser,id=root"), W("--root=/r.img")), "--net user", "'root'");
	accepted(WORDS(W("-nuser,id=y"), W("-d/a.img,id=x"), W("-ntap=t,id=z")));
}

static void test_publish(void **state)
{
	struct config_publish p = one_port("8080:80");

	(void)state;
	assert_string_equal(p.address, "");
	assert_int_equal(p.host, 8080);
	assert_int_equal(p.guest, 80);
	assert_false(p.udp);
	assert_false(one_port("1:65535/tcp").udp);
	p = one_port("65535:1/udp");
	assert_int_equal(p.host, 65535);
	assert_int_equal(p.guest, 1);
	assert_true(p.udp);
	p = one_port("127.0.0.1:2222:22");
	assert_string_equal(p.address, "127.0.0.1");
	assert_int_equal(p.host, 2222);
	assert_int_equal(p.guest, 22);
	p = one_port("[::1]:2222:22/udp");
	assert_string_equal(p.address, "::1");
	assert_int_equal(p.host, 2222);
	assert_int_equal(p.guest, 22);
	assert_true(p.udp);
	/* One normal form. */
	assert_string_equal(one_port("[2001:DB8:0:0:0:0:0:1]:1:1").address, "2001:db8::1");
	assert_string_equal(one_port("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:1:1").address,
			    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}

static void test_publish_implies_user(void **state)
{
	struct vm_config c = accepted(WORDS(W("-p"), W("80:80")));

	(void)state;
	assert_int_equal(c.net_count, 1);
	assert_int_equal(c.nets[0].kind, NET_USER);
	assert_string_equal(c.nets[0].id, "net0");
	assert_int_equal(c.nets[0].queues, 1);
	assert_int_equal(c.nets[0].vhost, VHOST_AUTO);
	/* One that is there already is the one, wherever it is. */
	c = accepted(WORDS(W("-p"), W("80:80"), W("-nuser,id=x"), W("-p"), W("81:80")));
	assert_int_equal(c.net_count, 1);
	assert_string_equal(c.nets[0].id, "x");
	assert_int_equal(c.published_count, 2);
	/* Another kind is not. */
	c = accepted(WORDS(W("-ntap=t"), W("--publish=80:80")));
	assert_int_equal(c.net_count, 2);
	assert_int_equal(c.nets[0].kind, NET_TAP);
	assert_int_equal(c.nets[1].kind, NET_USER);
	assert_string_equal(c.nets[1].id, "net1");
}

static void test_bad_ports(void **state)
{
	static const struct {
		const char *value, *b;
	} bad[] = {
		{"8080", "HOST:GUEST"},
		{"8080/tcp", "HOST:GUEST"},
		{"80:80/sctp", "tcp or udp"},
		{"80:80/TCP", "tcp or udp"},
		{"80:80/", "tcp or udp"},
		{"0:80", "1 to 65535"},
		{"80:0", "1 to 65535"},
		{"65536:80", "'65536'"},
		{"80:65536", "'65536'"},
		{"80:", "1 to 65535"},
		{":80", "1 to 65535"},
		{":", "1 to 65535"},
		{"http:80", "'http'"},
		{"80:http", "'http'"},
		{"+80:80", "1 to 65535"},
		{"80: 80", "1 to 65535"},
		{"-80:80", "ranges"},
		{"8000-8010:80", "ranges"},
		{"8000-8010:9000-9010", "ranges"},
		{"80:8000-8010/udp", "ranges"},
		{"127.0.0.1:8000-8010:80", "ranges"},
		{"localhost:80:80", "IPv4"},
		{"127.0.0:80:80", "IPv4"},
		{"256.0.0.1:80:80", "IPv4"},
		{":80:80", "IPv4"},
		{"::1:80:80", "in brackets"},
		{"[::1]80:80", "in brackets"},
		{"[::1:80:80", "in brackets"},
		{"[]:80:80", "in brackets"},
		{"[127.0.0.1]:80:80", "in brackets"},
		{"[fe80::1%eth0]:80:80", "in brackets"},
		{"[::1]:80", "in brackets"},
		{"[::1]::80", "1 to 65535"},
	};
	static char endless[400];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		refused_value("-p", bad[i].value, "-p ", bad[i].b);
	memset(endless, '8', sizeof(endless) - 1);
	refused_value("--publish", endless, "--publish 888", "HOST:GUEST");
}

static void test_the_same_port_twice(void **state)
{
	(void)state;
	refused(WORDS(W("-p"), W("80:80"), W("-p"), W("80:81")), "-p 80:81", "once");
	refused(WORDS(W("-p"), W("80:80"), W("-p"), W("80:80/tcp")), "-p 80:80/tcp", "once");
	refused(WORDS(W("-p"), W("[::1]:80:80"), W("-p"), W("[0:0::1]:80:80")), "-p [0:0::1]", "once");
	accepted(WORDS(W("-p"), W("80:80"), W("-p"), W("80:80/udp")));
	accepted(WORDS(W("-p"), W("127.0.0.1:80:80"), W("-p"), W("127.0.0.2:80:80")));
	accepted(WORDS(W("-p"), W("80:80"), W("-p"), W("81:80")));
}

static void test_many_ports(void **state)
{
	char *words[CONFIG_MAX_PUBLISHED + 2] = {NULL};
	char ports[CONFIG_MAX_PUBLISHED + 1][16];

	(void)state;
	for (unsigned i = 0; i <= CONFIG_MAX_PUBLISHED; i++)
		snprintf(ports[i], sizeof(ports[i]), "-p%u:1", 1000 + i);
	for (unsigned i = 0; i < CONFIG_MAX_PUBLISHED; i++)
		words[i] = ports[i];
	assert_int_equal(accepted(words).published_count, CONFIG_MAX_PUBLISHED);
	words[CONFIG_MAX_PUBLISHED] = ports[CONFIG_MAX_PUBLISHED];
	refused(words, "-p 1064:1", "at most 64");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_user),
		cmocka_unit_test(test_tap),
		cmocka_unit_test(test_fd),
		cmocka_unit_test(test_queues),
		cmocka_unit_test(test_names_of_interfaces),
		cmocka_unit_test(test_bad_macs),
		cmocka_unit_test(test_bad_nets),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_several),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_ids_are_unique),
		cmocka_unit_test(test_publish),
		cmocka_unit_test(test_publish_implies_user),
		cmocka_unit_test(test_bad_ports),
		cmocka_unit_test(test_the_same_port_twice),
		cmocka_unit_test(test_many_ports),
	};

	return cmocka_run_group_tests_name("config-net", tests, NULL, NULL);
}
