/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A network card in the middle of traffic, frozen, saved and loaded into a new device: what the driver sends
 * leaves once, by the old one or the new one; what comes is told once, or was still on the wire and is lost
 * to a copy; the old one goes on as if nothing had been. Through either transport. Rings that the kernel
 * serves: test_virtio_net_vhost.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hull/util.h"
#include "net_guest.h"
#include "rig.h"
#include "rig_cases.h"
#include "snapshot_rig.h"

enum {
	PAIRS = 2,
	LEN = 100, /* of packets, mostly */
	BUFFER = 256,
	STARVED_NS = 50000000,
};

static const uint8_t new_mac[6] = {0x52, 0x54, 0, 9, 9, 9};
static const uint8_t any_mac[6] = {0x52, 0x54, 0, 7, 7, 7};

/* ---- machines ---- */

static struct net_guest *make_copy(const struct net_guest *g, const uint8_t *mac)
{
	struct net_guest *copy = calloc(1, sizeof(*copy));

	assert_non_null(copy);
	mem_net_init(&copy->net, NET_GUEST_PAIRS);
	copy->net.backend.features = g->net.backend.features;
	net_guest_init_copy(copy, g, mac);
	return copy;
}

static struct net_guest *restore(const struct net_guest *g, const struct rig_snapshot *snap)
{
	struct net_guest *copy = make_copy(g, NULL);

	virtio_rig_restore(&copy->rig, snap);
	return copy;
}

static void finish(struct net_guest *g)
{
	virtio_rig_check_canary(&g->rig);
	virtio_rig_finish(&g->rig);
	mem_net_finish(&g->net);
	free(g);
}

static void freeze(struct net_guest *g)
{
	virtio_rig_freeze(&g->rig);
}

static void thaw(struct net_guest *g)
{
	virtio_rig_thaw(&g->rig);
	net_guest_run(g);
}

static void put_packets(struct net_guest *g, unsigned pair, unsigned from, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		net_guest_make_packet(g, LEN, from + i);
		net_guest_put_packet(g, pair, LEN, LEN);
	}
}

/* Packets `from` to `to` - 1 have been sent by this back end, in this order, and given back. */
static void check_sent(struct net_guest *g, unsigned pair, unsigned from, unsigned to)
{
	assert_int_equal(g->net.sent_count, to - from);
	for (unsigned i = from; i < to; i++)
		net_guest_check_sent(g, i - from, net_guest_make_packet(g, LEN, i), LEN);
	net_guest_check_exact(g, net_guest_tx_queue(pair));
}

/* ---- sending ---- */

/* The back end is full: what it has not taken is in the ring, and goes when it is there again. */
static void test_sending(void **state)
{
	struct net_guest *g = *state, *copy;
	const unsigned q = net_guest_tx_queue(1);
	struct rig_snapshot snap;

	net_guest_remake(g, PAIRS, 0);
	assert_int_equal(net_guest_set_pairs(g, 2), VIRTIO_NET_OK);
	g->net.room = 5;
	put_packets(g, 1, 0, 12);
	net_guest_kick(g, q);
	freeze(g);
	assert_int_equal(net_guest_virtq(g, q)->in_flight, 0);
	put_packets(g, 1, 12, 4);
	net_guest_kick(g, q);
	mem_net_let_go(&g->net, 100);
	net_guest_run(g);
	assert_int_equal(g->net.sent_count, 5);
	put_packets(g, 1, 16, 4);
	rig_snapshot_take(&snap, &g->rig);
	copy = restore(g, &snap);
	rig_snapshot_free(&snap);
	thaw(g);
	check_sent(g, 1, 0, 20);
	assert_int_equal(copy->net.pairs, 2);
	net_guest_run(copy);
	check_sent(copy, 1, 5, 20);
	assert_int_equal(net_guest_used_count(copy, q), 20);
	put_packets(copy, 1, 20, 3);
	net_guest_kick(copy, q);
	check_sent(copy, 1, 5, 23);
	finish(copy);
}

/* ---- receiving ---- */

/* Packets that come meanwhile stay where they are, and memory is left alone. */
static void test_receiving(void **state)
{
	struct net_guest *g = *state, *copy;
	uint8_t *before = malloc(RIG_RAM_SIZE);
	struct rig_snapshot snap;
	uint64_t at = NET_GUEST_BUFFERS, copy_at;
	unsigned receives;

	assert_non_null(before);
	net_guest_put_buffers(g, 0, 8, BUFFER);
	net_guest_kick(g, 0);
	net_guest_arrive(g, 0, LEN, 0);
	net_guest_arrive(g, 0, LEN, 1);
	net_guest_run(g);
	freeze(g);
	net_guest_check_exact(g, 0);
	memcpy(before, g->ram + RIG_RAM, RIG_RAM_SIZE);
	receives = g->net.receives;
	net_guest_arrive(g, 0, LEN, 2);
	net_guest_arrive(g, 0, LEN, 3);
	net_guest_run(g);
	mem_net_link(&g->net, true);
	assert_int_equal(g->net.receives, receives);
	assert_memory_equal(before, g->ram + RIG_RAM, RIG_RAM_SIZE);
	rig_snapshot_take(&snap, &g->rig);
	copy = restore(g, &snap);
	rig_snapshot_free(&snap);
	thaw(g);
	for (unsigned i = 0; i < 4; i++)
		net_guest_check_received(g, 0, &at, BUFFER, LEN, i);
	copy_at = NET_GUEST_BUFFERS;
	net_guest_run(copy);
	assert_int_equal(net_guest_used_count(copy, 0), 2);
	for (unsigned i = 7; i < 13; i++)
		net_guest_arrive(copy, 0, LEN, i);
	net_guest_run(copy);
	net_guest_check_received(copy, 0, &copy_at, BUFFER, LEN, 0);
	net_guest_check_received(copy, 0, &copy_at, BUFFER, LEN, 1);
	for (unsigned i = 7; i < 13; i++)
		net_guest_check_received(copy, 0, &copy_at, BUFFER, LEN, i);
	finish(copy);
	free(before);
}

/* A packet that waits for buffers: not given up meanwhile, and it is delivered; a copy does without it. */
static void test_packet_waits(void **state)
{
	struct net_guest *g = *state, *copy;
	struct rig_snapshot snap;
	uint64_t at = NET_GUEST_BUFFERS, copy_at;

	net_guest_put_buffers(g, 0, 2, BUFFER);
	net_guest_kick(g, 0);
	net_guest_arrive(g, 0, 900, 1);
	net_guest_run(g);
	assert_int_equal(net_guest_used_count(g, 0), 0);
	freeze(g);
	manual_clock_set(manual_clock() + 3 * (uint64_t)STARVED_NS);
	net_guest_run(g);
	net_guest_check_exact(g, 0);
	rig_snapshot_take(&snap, &g->rig);
	copy = restore(g, &snap);
	rig_snapshot_free(&snap);
	thaw(g);
	assert_int_equal(net_guest_counters(g).rx_dropped, 0);
	manual_clock_set(manual_clock() + STARVED_NS - 1);
	net_guest_run(g);
	net_guest_put_buffers(g, 0, 2, BUFFER);
	net_guest_kick(g, 0);
	net_guest_check_received(g, 0, &at, BUFFER, 900, 1);
	copy_at = NET_GUEST_BUFFERS;
	net_guest_run(copy);
	assert_int_equal(net_guest_used_count(copy, 0), 0);
	net_guest_arrive(copy, 0, 300, 2);
	net_guest_run(copy);
	net_guest_check_received(copy, 0, &copy_at, BUFFER, 300, 2);
	finish(copy);
	/* For ever it does not wait. */
	net_guest_put_buffers(g, 0, 2, BUFFER);
	net_guest_kick(g, 0);
	net_guest_arrive(g, 0, 900, 3);
	net_guest_run(g);
	freeze(g);
	thaw(g);
	manual_clock_set(manual_clock() + STARVED_NS);
	assert_int_equal(loop_run_once(&g->rig.loop, 0), 0);
	assert_int_equal(net_guest_counters(g).rx_dropped, 1);
}

/* ---- both ---- */

static unsigned dice(uint32_t *seed, unsigned sides)
{
	*seed = *seed * 1664525 + 1013904223;
	return (*seed >> 16) % sides;
}

/* A guest that moves on and on. Packets have their number in the first bytes behind the header. */
struct journey {
	struct net_guest *g;
	uint32_t seed;
	uint32_t tx_next, tx_seen; /* made; left by some back end */
	uint32_t rx_next, rx_last; /* arrived; told to the driver, the last of them */
	unsigned moves;
};

static void number(struct net_guest *g, uint32_t n)
{
	net_guest_make_packet(g, LEN, 1);
	store_le32(g->packet + NET_HDR_BYTES + NET_GUEST_ETH, n);
}

static void take_sent(struct journey *j)
{
	struct mem_net *net = &j->g->net;

	for (unsigned i = 0; i < net->sent_count; i++)
		assert_int_equal(load_le32(net->sent[i].data + NET_HDR_BYTES + NET_GUEST_ETH), j->tx_seen++);
	mem_net_clear(net);
}

static void take_received(struct journey *j)
{
	struct net_guest *g = j->g;
	uint32_t id, len;

	while (virtio_rig_reap(&g->rig, 0, &id, &len)) {
		uint32_t n =
			load_le32(g->ram + NET_GUEST_BUFFERS + id * BUFFER + NET_HDR_BYTES + NET_GUEST_ETH);

		assert_int_equal(len, LEN);
		assert_int_equal(n, ++j->rx_last);
		virtio_rig_avail(&g->rig, 0, (uint16_t)id);
	}
}

static void some_traffic(struct journey *j)
{
	struct net_guest *g = j->g;

	g->net.room = dice(&j->seed, 12);
	for (unsigned n = dice(&j->seed, 10); n > 0 && j->tx_next - j->tx_seen < 200; n--) {
		number(g, j->tx_next++);
		net_guest_put_packet(g, 0, LEN, LEN);
	}
	if (dice(&j->seed, 4))
		net_guest_kick(g, 1);
	for (unsigned n = dice(&j->seed, 10); n > 0; n--) {
		number(g, ++j->rx_next);
		mem_net_arrive(&g->net, 0, g->packet, LEN);
	}
	if (dice(&j->seed, 2))
		net_guest_run(g);
	if (dice(&j->seed, 2))
		take_received(j);
	if (dice(&j->seed, 3))
		net_guest_kick(g, 0);
	if (dice(&j->seed, 3) == 0)
		mem_net_let_go(&g->net, dice(&j->seed, 20));
}

/* The wire leads to the new back end, too: what is still in it arrives there. */
static void move_wire(struct mem_net *to, struct mem_net *from)
{
	for (; from->inbox_first < from->inbox_end; from->inbox_first++) {
		struct mem_net_packet *p = &from->inbox[from->inbox_first];

		mem_net_arrive(to, p->pair, p->data, p->len);
		free(p->data);
	}
}

static void move(struct journey *j)
{
	struct net_guest *g = j->g;
	struct rig_snapshot snap;

	freeze(g);
	some_traffic(j);
	rig_snapshot_take(&snap, &g->rig);
	if (dice(&j->seed, 3)) {
		take_sent(j);
		j->g = restore(g, &snap);
		move_wire(&j->g->net, &g->net);
		finish(g);
		j->moves++;
	} else {
		thaw(g);
	}
	rig_snapshot_free(&snap);
}

static void test_again_and_again(void **state)
{
	struct net_guest *first = *state;
	struct journey j = {.g = calloc(1, sizeof(*j.g)), .seed = 7};

	assert_non_null(j.g);
	mem_net_init(&j.g->net, NET_GUEST_PAIRS);
	net_guest_init(j.g, first->rig.transport, 1, 0);
	net_guest_put_buffers(j.g, 0, 64, BUFFER);
	for (unsigned i = 0; i < 300; i++) {
		some_traffic(&j);
		move(&j);
	}
	assert_true(j.moves > 100);
	mem_net_let_go(&j.g->net, UINT32_MAX);
	net_guest_kick(j.g, 1);
	for (unsigned i = 0; i < 100; i++) {
		take_received(&j);
		net_guest_kick(j.g, 0);
		take_sent(&j);
	}
	assert_int_equal(j.tx_seen, j.tx_next);
	assert_int_equal(j.rx_last, j.rx_next);
	assert_true(j.tx_next > 500 && j.rx_next > 500);
	finish(j.g);
}

/* ---- frames over a socket ---- */

/* A guest over a back end of its own, for g->rig as its host. */
static struct net_guest *make_streaming(struct net_guest *host, const struct net_guest *like, int fd,
					struct net_backend **ret_backend)
{
	struct net_guest *g = calloc(1, sizeof(*g));
	struct virtio_net_params params = {.name = "net1", .mac = {2}, .pairs = 1};

	assert_non_null(g);
	assert_int_equal(net_stream_create(ret_backend, &host->rig.loop, fd, NULL), 0);
	params.backend = *ret_backend;
	virtio_rig_init_beside(&g->rig, &host->rig, host->rig.transport, &virtio_net_type, &params);
	g->pairs = 1;
	g->ram = (uint8_t *)((uintptr_t)virtio_rig_ram(&g->rig, RIG_RAM, RIG_RAM_SIZE) - RIG_RAM);
	if (!like) {
		net_guest_restart(g, 0);
		return g;
	}
	g->features = like->features;
	memcpy(g->next_desc, like->next_desc, sizeof(g->next_desc));
	memcpy(g->next_buffer, like->next_buffer, sizeof(g->next_buffer));
	g->next_out = like->next_out;
	return g;
}

static void finish_streaming(struct net_guest *g, struct net_backend *b)
{
	virtio_rig_check_canary(&g->rig);
	virtio_rig_finish(&g->rig);
	b->ops->close(b);
	free(g);
}

/* What the peer says: a length of four bytes, in network order, and a frame. */
static void peer_sends(struct net_guest *g, int fd, unsigned seed)
{
	const uint8_t length[4] = {0, 0, 0, LEN - NET_HDR_BYTES};
	const uint8_t *packet = net_guest_make_packet(g, LEN, seed);

	assert_int_equal(send(fd, length, 4, MSG_NOSIGNAL | MSG_DONTWAIT), 4);
	assert_int_equal(send(fd, packet + NET_HDR_BYTES, LEN - NET_HDR_BYTES, MSG_NOSIGNAL | MSG_DONTWAIT),
			 LEN - NET_HDR_BYTES);
}

static void peer_receives(struct net_guest *g, int fd, unsigned seed)
{
	const uint8_t *packet = net_guest_make_packet(g, LEN, seed);
	uint8_t buf[4 + LEN - NET_HDR_BYTES];

	assert_int_equal(recv(fd, buf, sizeof(buf), MSG_DONTWAIT), sizeof(buf));
	assert_memory_equal(buf + 4, packet + NET_HDR_BYTES, LEN - NET_HDR_BYTES);
}

/* Frames that the back end has read already are there after the thaw; for the copy they are lost with the
 * wire. */
static void test_socket(void **state)
{
	struct net_guest *host = *state, *g, *copy;
	struct net_backend *backend, *copy_backend;
	uint64_t at = NET_GUEST_BUFFERS, copy_at;
	struct rig_snapshot snap;
	int fds[2], copy_fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, copy_fds), 0);
	g = make_streaming(host, NULL, fds[0], &backend);
	net_guest_put_buffers(g, 0, 2, BUFFER);
	net_guest_kick(g, 0);
	for (unsigned i = 1; i <= 3; i++)
		peer_sends(g, fds[1], i);
	net_guest_run(g);
	assert_int_equal(net_guest_used_count(g, 0), 2);
	freeze(g);
	peer_sends(g, fds[1], 4);
	put_packets(g, 0, 10, 2);
	net_guest_kick(g, 1);
	net_guest_put_buffers(g, 0, 8, BUFFER);
	net_guest_kick(g, 0);
	assert_int_equal(net_guest_used_count(g, 0), 2);
	rig_snapshot_take(&snap, &g->rig);
	thaw(g);
	for (unsigned i = 1; i <= 4; i++)
		net_guest_check_received(g, 0, &at, BUFFER, LEN, i);
	peer_receives(g, fds[1], 10);
	peer_receives(g, fds[1], 11);

	copy = make_streaming(host, g, copy_fds[0], &copy_backend);
	virtio_rig_restore(&copy->rig, &snap);
	rig_snapshot_free(&snap);
	peer_sends(copy, copy_fds[1], 20);
	net_guest_run(copy);
	peer_receives(copy, copy_fds[1], 10);
	peer_receives(copy, copy_fds[1], 11);
	copy_at = NET_GUEST_BUFFERS;
	net_guest_check_received(copy, 0, &copy_at, BUFFER, LEN, 1);
	net_guest_check_received(copy, 0, &copy_at, BUFFER, LEN, 2);
	net_guest_check_received(copy, 0, &copy_at, BUFFER, LEN, 20);
	finish_streaming(copy, copy_backend);
	finish_streaming(g, backend);
	for (unsigned i = 0; i < 2; i++) {
		close(fds[i]);
		close(copy_fds[i]);
	}
}

/* ---- control ---- */

static void test_command_waits(void **state)
{
	struct net_guest *g = *state, *copy;
	const struct rig_buf bufs[] = {{NET_GUEST_COMMAND, 3, false}, {NET_GUEST_ACK, 1, true}};
	const unsigned q = net_guest_control_queue(g);
	struct rig_snapshot snap;

	net_guest_rx_mode(g, VIRTIO_NET_CTRL_RX_PROMISC, 0);
	net_guest_vlan(g, VIRTIO_NET_CTRL_VLAN_ADD, 5);
	freeze(g);
	memcpy(g->ram + NET_GUEST_COMMAND,
	       (const uint8_t[]){VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, 1}, 3);
	g->ram[NET_GUEST_ACK] = NET_GUEST_NO_ACK;
	net_guest_put(g, q, bufs, 2);
	net_guest_kick(g, q);
	assert_int_equal(g->ram[NET_GUEST_ACK], NET_GUEST_NO_ACK);
	rig_snapshot_take(&snap, &g->rig);
	copy = restore(g, &snap);
	rig_snapshot_free(&snap);
	thaw(g);
	net_guest_run(copy);
	assert_int_equal(g->ram[NET_GUEST_ACK], VIRTIO_NET_OK);
	assert_int_equal(copy->ram[NET_GUEST_ACK], VIRTIO_NET_OK);
	assert_int_equal(net_guest_used_count(copy, q), 1);
	finish(copy);
}

/* ---- where the guest is now ---- */

static uint8_t ack(struct net_guest *g)
{
	return net_guest_command(g, VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, NULL, 0);
}

static void test_announce(void **state)
{
	struct net_guest *g = *state, *copy;
	const unsigned up = VIRTIO_NET_S_LINK_UP;
	struct rig_snapshot snap;
	uint8_t generation = g->rig.dev->st.config_generation;

	rig_snapshot_of(&snap, &g->rig);
	assert_int_equal(net_guest_link_status(g), up);
	copy = make_copy(g, NULL);
	assert_int_equal(rig_snapshot_load(&snap, &copy->rig, NULL), 0);
	net_guest_run(copy);
	assert_true(copy->rig.dev->st.config_generation != generation);
	assert_true(virtio_rig_config_irqs(&copy->rig) >= 1);
	assert_int_equal(net_guest_link_status(copy), up | VIRTIO_NET_S_ANNOUNCE);
	assert_int_equal(ack(copy), VIRTIO_NET_OK);
	assert_int_equal(net_guest_link_status(copy), up);
	/* Once: not with each link. */
	mem_net_link(&copy->net, false);
	mem_net_link(&copy->net, true);
	assert_int_equal(net_guest_link_status(copy), up);
	finish(copy);

	/* Without a link nobody would hear it. */
	copy = make_copy(g, NULL);
	mem_net_link(&copy->net, false);
	assert_int_equal(rig_snapshot_load(&snap, &copy->rig, NULL), 0);
	net_guest_run(copy);
	assert_int_equal(net_guest_link_status(copy), 0);
	virtio_rig_config_irqs(&copy->rig);
	freeze(copy);
	mem_net_link(&copy->net, true);
	assert_int_equal(net_guest_link_status(copy), up);
	thaw(copy);
	assert_int_equal(net_guest_link_status(copy), up | VIRTIO_NET_S_ANNOUNCE);
	assert_true(virtio_rig_config_irqs(&copy->rig) >= 1);
	finish(copy);
	rig_snapshot_free(&snap);

	/* A driver that knows nothing of it. */
	net_guest_restart(g, virtio_bit(VIRTIO_NET_F_GUEST_ANNOUNCE));
	rig_snapshot_of(&snap, &g->rig);
	copy = restore(g, &snap);
	net_guest_run(copy);
	assert_int_equal(net_guest_link_status(copy), up);
	finish(copy);
	rig_snapshot_free(&snap);
}

static void check_mac(struct net_guest *g, const uint8_t *mac)
{
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(net_guest_config(g, i, 1), mac[i]);
}

/* Whether a packet for `mac` gets through the filter. */
static bool passes(struct net_guest *g, const uint8_t *mac)
{
	const unsigned before = net_guest_used_count(g, 0);

	net_guest_put_buffers(g, 0, 1, BUFFER);
	net_guest_kick(g, 0);
	net_guest_make_packet(g, LEN, 1);
	memcpy(g->packet + NET_HDR_BYTES, mac, 6);
	mem_net_arrive(&g->net, 0, g->packet, LEN);
	net_guest_run(g);
	return net_guest_used_count(g, 0) > before;
}

/* A copy with a MAC of its own: shown at once, used by the driver and told to the network when it is set. */
static void test_new_mac(void **state)
{
	struct net_guest *g = *state, *copy, *third;
	struct rig_snapshot snap;

	net_guest_rx_mode(g, VIRTIO_NET_CTRL_RX_PROMISC, 0);
	net_guest_command(g, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, any_mac, 6);
	rig_snapshot_of(&snap, &g->rig);
	check_mac(g, any_mac);
	/* The same machine again. */
	copy = restore(g, &snap);
	check_mac(copy, any_mac);
	finish(copy);
	copy = make_copy(g, new_mac);
	virtio_rig_restore(&copy->rig, &snap);
	rig_snapshot_free(&snap);
	net_guest_run(copy);
	check_mac(copy, new_mac);
	assert_true(passes(copy, any_mac));
	assert_false(passes(copy, new_mac));
	assert_false(net_guest_link_status(copy) & VIRTIO_NET_S_ANNOUNCE);
	/* Saved and loaded, it is still so. */
	rig_snapshot_of(&snap, &copy->rig);
	third = restore(copy, &snap);
	rig_snapshot_free(&snap);
	net_guest_run(third);
	check_mac(third, new_mac);
	assert_true(passes(third, any_mac));
	assert_false(net_guest_link_status(third) & VIRTIO_NET_S_ANNOUNCE);
	finish(third);
	assert_int_equal(
		net_guest_command(copy, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, new_mac, 6),
		VIRTIO_NET_OK);
	check_mac(copy, new_mac);
	assert_true(net_guest_link_status(copy) & VIRTIO_NET_S_ANNOUNCE);
	assert_int_equal(ack(copy), VIRTIO_NET_OK);
	assert_true(passes(copy, new_mac));
	assert_false(passes(copy, any_mac));
	/* And it is there when the driver starts anew. */
	net_guest_restart(copy, 0);
	check_mac(copy, new_mac);
	assert_int_equal(net_guest_link_status(copy), VIRTIO_NET_S_LINK_UP);
	finish(copy);
}

/* A guest that has no driver yet finds the new one. */
static void test_new_mac_first(void **state)
{
	struct net_guest *g = *state, *copy;
	struct rig_snapshot snap;

	virtio_rig_set_status(&g->rig, 0);
	rig_snapshot_of(&snap, &g->rig);
	copy = make_copy(g, new_mac);
	virtio_rig_restore(&copy->rig, &snap);
	rig_snapshot_free(&snap);
	check_mac(copy, new_mac);
	assert_int_equal(net_guest_link_status(copy), VIRTIO_NET_S_LINK_UP);
	net_guest_restart(copy, 0);
	net_guest_rx_mode(copy, VIRTIO_NET_CTRL_RX_PROMISC, 0);
	check_mac(copy, new_mac);
	assert_true(passes(copy, new_mac));
	assert_false(passes(copy, net_guest_mac));
	finish(copy);
}

/* ---- other back ends ---- */

static void check_refused(struct net_guest *g, const struct rig_snapshot *snap, uint64_t features,
			  unsigned pairs, const char *what)
{
	struct net_guest *other = calloc(1, sizeof(*other));
	struct err err = {0};
	struct net_guest like = {.rig.transport = g->rig.transport, .pairs = pairs};

	assert_non_null(other);
	mem_net_init(&other->net, NET_GUEST_PAIRS);
	other->net.backend.features = features;
	net_guest_init_copy(other, &like, NULL);
	assert_true(rig_snapshot_load(snap, &other->rig, &err) < 0);
	if (!strstr(err.msg, what))
		fail_msg("%s", err.msg);
	finish(other);
}

static void test_another_back_end(void **state)
{
	const uint64_t all = net_guest_tx_offloads | net_guest_rx_offloads;
	struct net_guest *g = *state, *other;
	struct rig_snapshot snap;

	rig_snapshot_of(&snap, &g->rig);
	check_refused(g, &snap, all & ~virtio_bit(F_HOST_USO), 1, "here: host_uso");
	check_refused(g, &snap, net_guest_rx_offloads, 1, "here: csum, host_tso4, host_tso6");
	check_refused(g, &snap, 0, 1, "guest_csum");
	rig_snapshot_free(&snap);
	/* A driver that does not use them does not need them. */
	net_guest_restart(g, all | virtio_bit(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS));
	rig_snapshot_of(&snap, &g->rig);
	other = calloc(1, sizeof(*other));
	assert_non_null(other);
	mem_net_init(&other->net, NET_GUEST_PAIRS);
	net_guest_init_copy(other, g, NULL);
	virtio_rig_restore(&other->rig, &snap);
	net_guest_run(other);
	net_guest_make_packet(other, LEN, 1);
	assert_true(net_guest_sends(other, LEN));
	finish(other);
	rig_snapshot_free(&snap);

	net_guest_remake(g, PAIRS, 1400);
	rig_snapshot_of(&snap, &g->rig);
	check_refused(g, &snap, all, PAIRS, "here: mtu");
	rig_snapshot_free(&snap);
	net_guest_remake(g, PAIRS, 0);
	rig_snapshot_of(&snap, &g->rig);
	check_refused(g, &snap, all, 1, "here: mq");
	check_refused(g, &snap, all, PAIRS + 1, "queue5");
	rig_snapshot_free(&snap);
}

/* ---- hostile ---- */

static struct virtio_rig *make_rig(void *arg)
{
	return &make_copy(arg, NULL)->rig;
}

static void finish_rig(void *arg, struct virtio_rig *rig)
{
	(void)arg;
	finish(container_of(rig, struct net_guest, rig));
}

static void traffic(struct virtio_rig *rig)
{
	struct net_guest *g = container_of(rig, struct net_guest, rig);

	for (unsigned p = 0; p < PAIRS; p++) {
		put_packets(g, p, 0, 3);
		net_guest_put_buffers(g, p, 2, BUFFER);
		net_guest_arrive(g, p, LEN, p);
		net_guest_arrive(g, p, 900, p);
		net_guest_kick(g, net_guest_tx_queue(p));
		net_guest_kick(g, net_guest_rx_queue(p));
	}
	virtio_rig_freeze(rig);
	virtio_rig_thaw(rig);
	net_guest_run(g);
}

static void test_hostile_70_false_states(void **state)
{
	struct net_guest *g = *state;
	struct rig_snapshot snap;
	unsigned refused, taken;

	if (g->rig.transport == RIG_MMIO && !getenv("HULL_HEAVY"))
		return; /* its own register is tried with other devices */
	net_guest_remake(g, PAIRS, 0);
	assert_int_equal(net_guest_set_pairs(g, 2), VIRTIO_NET_OK);
	net_guest_rx_mode(g, VIRTIO_NET_CTRL_RX_PROMISC, 0);
	net_guest_put_buffers(g, 0, 4, BUFFER);
	net_guest_kick(g, 0);
	net_guest_arrive(g, 0, LEN, 1);
	g->net.room = 2;
	put_packets(g, 0, 0, 5);
	net_guest_kick(g, 1);
	rig_snapshot_of(&snap, &g->rig);
	refused = rig_snapshot_falsify(&snap, make_rig, finish_rig, traffic, g, &taken);
	assert_true(refused > 50 && taken > 50);
	rig_snapshot_free(&snap);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(test_sending),
		RIG_CASE(test_receiving),
		RIG_CASE(test_packet_waits),
		RIG_CASE(test_again_and_again),
		RIG_CASE(test_socket),
		RIG_CASE(test_command_waits),
		RIG_CASE(test_announce),
		RIG_CASE(test_new_mac),
		RIG_CASE(test_new_mac_first),
		RIG_CASE(test_another_back_end),
		RIG_CASE(test_hostile_70_false_states),
	};

	return rig_run_cases("virtio_net_snapshot", cases, ARRAY_SIZE(cases), net_guest_setup,
			     net_guest_teardown);
}
