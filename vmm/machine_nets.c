/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The networks and sockets of a machine; see machine_nets.h. */
#include "machine_nets.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "hull/agent.h"
#include "hull/net.h"
#include "hull/util.h"
#include "hull/virtio_net.h"
#include "hull/virtio_vsock.h"
#include "io_thread.h"
#include "machine_virtio.h"
#include "sandbox/filter.h"
#include "vsock_paths.h"

struct machine_net {
	const struct config_net *config;
	const struct net_file *file;
	struct net_backend *backend;
	struct machine_virtio virtio;
	uint8_t mac[VIRTIO_NET_MAC_BYTES];
	unsigned pairs;
};

struct machine_nets {
	struct machine *machine;
	struct io_thread io;
	unsigned count;
	struct machine_net nets[CONFIG_MAX_NETS];
	struct vsock_paths vsock_paths;
	struct machine_virtio vsock;
};

static int build_backend(struct machine_nets *nets, struct machine_net *net, struct err *err)
{
	const struct net_file *file = net->file;
	struct net_tap_params params = {.pairs = file->pairs, .news = file->news, .name = file->name};

	if (file->stream >= 0)
		return net_stream_create(&net->backend, &nets->io.loop, file->stream, err);
	memcpy(params.fds, file->fds, sizeof(params.fds));
	return net_tap_create(&net->backend, &nets->io.loop, &params, err);
}

static int build_device(struct machine_nets *nets, struct machine_net *net, struct err *err)
{
	const struct virtio_env env = machine_virtio_env(nets->machine, &nets->io.loop);
	struct virtio_net_params params = {0};

	net->pairs = (unsigned)min_u64(net->backend->pairs, nets->machine->config->cpus);
	params = (struct virtio_net_params){
		.backend = net->backend,
		.name = net->config->id,
		.new_mac = net->config->new_mac,
		.mtu = (uint16_t)net->config->mtu,
		.pairs = net->pairs,
		.vhost_fds = net->file->vhost ? net->file->vhost_fds : NULL,
		.tap_fds = net->file->fds,
	};

	if (net->config->has_mac)
		memcpy(params.mac, net->config->mac, sizeof(params.mac));
	else
		net_fresh_mac(params.mac);
	memcpy(net->mac, params.mac, sizeof(net->mac));
	log_line(nets->machine->log, LOG_INFO,
		 "network %s: %s, %02x:%02x:%02x:%02x:%02x:%02x, %u pair%s of queues%s%s%s", net->config->id,
		 net->file->name, params.mac[0], params.mac[1], params.mac[2], params.mac[3], params.mac[4],
		 params.mac[5], params.pairs, params.pairs > 1 ? "s" : "", params.vhost_fds ? ", vhost" : "",
		 net->file->note[0] ? "; " : "", net->file->note);
	return virtio_create(&net->virtio.dev, &virtio_net_type, &env, &params, err);
}

static int build_net(struct machine_nets *nets, unsigned index, struct err *err)
{
	struct machine *m = nets->machine;
	struct machine_net *net = &nets->nets[index];
	int r;

	net->config = &m->config->nets[index];
	net->file = &m->res->nets[index];
	r = build_backend(nets, net, err);
	if (r == 0)
		r = build_device(nets, net, err);
	return r < 0 ? r : machine_virtio_plug(m, &net->virtio, SLOT_NET, index, err);
}

static int build_vsock(struct machine_nets *nets, struct err *err)
{
	struct machine *m = nets->machine;
	const struct virtio_env env = machine_virtio_env(m, &nets->io.loop);
	const struct virtio_vsock_params params = {
		.cid = m->config->vsock.cid,
		.host = &nets->vsock_paths.host,
		.wide_port = AGENT_PORT, /* what commands read and write */
	};
	int r;

	vsock_paths_init(&nets->vsock_paths, m->res->vsock_listen, m->worker.control);
	r = virtio_create(&nets->vsock.dev, &virtio_vsock_type, &env, &params, err);
	if (r < 0)
		return r;
	nets->vsock_paths.dev = nets->vsock.dev;
	log_line(m->log, LOG_INFO, "vsock: CID %u%s%s", m->config->vsock.cid,
		 m->res->vsock_path[0] ? ", " : "", m->res->vsock_path);
	return machine_virtio_plug(m, &nets->vsock, SLOT_VSOCK, 0, err);
}

int machine_nets_build(struct machine *m, struct err *err)
{
	struct machine_nets *nets;
	int r;

	if (m->config->net_count == 0 && m->config->vsock.cid == 0)
		return 0;
	nets = calloc(1, sizeof(*nets));
	if (!nets)
		return err_errno(err, -ENOMEM, "networks");
	m->nets = nets;
	nets->machine = m;
	r = io_thread_init(&nets->io, "hull-net", ROLE_NET, sandbox_thread, machine_loop_failed, m, err);
	if (r < 0)
		return r;
	loop_lock(&nets->io.loop);
	while (r == 0 && nets->count < m->config->net_count)
		r = build_net(nets, nets->count++, err);
	if (r == 0 && m->config->vsock.cid != 0)
		r = build_vsock(nets, err);
	loop_unlock(&nets->io.loop);
	return r;
}

int machine_nets_start(struct machine_nets *nets, struct err *err)
{
	return nets ? io_thread_start(&nets->io, err) : 0;
}

void machine_nets_await(struct machine_nets *nets)
{
	if (nets)
		io_thread_await(&nets->io);
}

void machine_nets_vsock_connected(struct machine_nets *nets, uint64_t token, int fd)
{
	if (nets)
		vsock_paths_connected(&nets->vsock_paths, &nets->machine->loop, token, fd);
	else
		fd_close(&fd); /* nobody has asked */
}

void machine_nets_vsock_open(struct machine_nets *nets, uint32_t port, int fd)
{
	if (nets)
		vsock_paths_open(&nets->vsock_paths, &nets->machine->loop, port, fd);
	else
		fd_close(&fd);
}

void machine_nets_status(struct machine_nets *nets)
{
	for (unsigned i = 0; nets && i < nets->count; i++) {
		const struct machine_net *net = &nets->nets[i];
		struct virtio_net_counters c;

		loop_lock(&nets->io.loop);
		c = virtio_net_counters(net->virtio.dev);
		loop_unlock(&nets->io.loop);
		if (net->file->vhost) {
			log_line(nets->machine->log, LOG_ERROR,
				 "status: network %s: the kernel moves its packets (vhost)", net->config->id);
			continue;
		}
		log_line(nets->machine->log, LOG_ERROR,
			 "status: network %s: sent %" PRIu64 " packets (%" PRIu64 " KiB, %" PRIu64
			 " dropped), received %" PRIu64 " (%" PRIu64 " KiB, %" PRIu64 " dropped)",
			 net->config->id, c.tx_packets, c.tx_bytes >> 10, c.tx_dropped, c.rx_packets,
			 c.rx_bytes >> 10, c.rx_dropped);
	}
}

void machine_nets_describe(const struct machine_nets *nets, struct saved_extra *extra)
{
	for (unsigned i = 0; nets && i < nets->count; i++) {
		memcpy(extra->macs[i], nets->nets[i].mac, sizeof(extra->macs[i]));
		extra->pairs[i] = nets->nets[i].pairs;
	}
}

void machine_nets_stop(struct machine_nets *nets)
{
	if (nets)
		io_thread_stop(&nets->io);
}
