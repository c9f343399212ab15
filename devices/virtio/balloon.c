/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio memory balloon (virtio 1.2, 5.5); see virtio_balloon.h.
 *
 *   inflate   readable: le32 page numbers    the host's memory behind them goes back to the host
 *   deflate   readable: le32 page numbers    given back unread: memory comes back by being touched
 *   stats     readable: {le16 tag, le64}     one chain is left in the ring until somebody asks
 *   hint      readable: le32 command         |  writable: free pages, between command and stop
 *   report    writable: free pages           go back to the host
 *
 * How memory goes back is in balloon_pages.c. A round has an amount of work that is fair to
 * the others of the loop. A chain that needs more is put back as the next available one, and
 * the round after goes on where this one stopped: so there is never a chain in flight that a
 * snapshot would lose. To begin the chain anew, as after a restore, does no harm to inflating
 * and reporting: the driver has not got it back yet.
 *
 * A chain with an address outside RAM comes back untouched.
 *
 * Lock: that of dev->env.loop, held in every function here.
 */
#include "balloon.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>

#include "hull/util.h"
#include "iov.h"

enum {
	STATS_BYTES = 64 * 10, /* of a chain, that are looked at */
	ROUND_WORK = 1024,     /* units, see balloon.h */

	OTHER_CLASS = 0x00ff00,
};

#define FIELD(kind_, tag_, member_, max_) STATE_FIELD(struct balloon_state, kind_, tag_, 1, member_, max_, 0)

static const struct state_field balloon_fields[] = {
	FIELD(STATE_U32, 1, config.num_pages, UINT32_MAX),
	FIELD(STATE_U32, 2, config.actual, UINT32_MAX),
	FIELD(STATE_U32, 3, config.free_page_hint_cmd_id, UINT32_MAX),
	FIELD(STATE_U32, 4, config.poison_val, UINT32_MAX),
	FIELD(STATE_U32, 5, last_cmd, UINT32_MAX),
	FIELD(STATE_U8, 6, poison_set, 1),
	FIELD(STATE_U8, 7, hinting, 1),
	FIELD(STATE_U8, 8, stats_asked, 1),
};

static const struct state_table balloon_table = {
	.name = "virtio-balloon",
	.version = 1,
	.count = ARRAY_SIZE(balloon_fields),
	.fields = balloon_fields,
	.size = sizeof(struct balloon_state),
};

static struct balloon *to_balloon(const struct virtio_dev *dev)
{
	return container_of(dev, struct balloon, dev);
}

/* ---- queues ---- */

/* The feature without which there is no such queue; -1: it is always there. */
static int role_feature(unsigned role)
{
	static const int features[BALLOON_ROLES] = {
		[BALLOON_INFLATE] = -1,
		[BALLOON_DEFLATE] = -1,
		[BALLOON_STATS] = VIRTIO_BALLOON_F_STATS_VQ,
		[BALLOON_HINT] = VIRTIO_BALLOON_F_FREE_PAGE_HINT,
		[BALLOON_REPORT] = VIRTIO_BALLOON_F_REPORTING,
	};

	return features[role];
}

static bool has_role(const struct balloon *b, unsigned role)
{
	return role_feature(role) < 0 || virtio_has_feature(&b->dev, (unsigned)role_feature(role));
}

/*
 * The queue of a role that there is. Numbers are fixed (5.5.2), but Linux numbers those
 * queues alone that its features give it, one after the other. The two differ only when
 * a feature was declined; then a driver that goes by the specification has a queue
 * ready beyond those that Linux would have.
 */
static unsigned role_queue(const struct balloon *b, unsigned role)
{
	unsigned dense = 0, count = 0;

	for (unsigned r = 0; r < BALLOON_ROLES; r++) {
		dense += r < role && has_role(b, r);
		count += has_role(b, r);
	}
	for (unsigned q = count; q < BALLOON_ROLES; q++) {
		if (b->dev.queues[q].vq.st.ready)
			return role;
	}
	return dense;
}

/* The role of queue `q`; BALLOON_ROLES: none. */
static unsigned queue_role(const struct balloon *b, unsigned q)
{
	for (unsigned role = 0; role < BALLOON_ROLES; role++) {
		if (has_role(b, role) && role_queue(b, role) == q)
			return role;
	}
	return BALLOON_ROLES;
}

/*
 * 5.5.6.7: with PAGE_POISON a reported page must not change but to poison_val; what goes
 * back to the host comes again as zeroes. A driver that has not said what it wants there
 * (Linux after it has slept) may want anything.
 */
static bool zeroes_are_welcome(const struct balloon *b)
{
	return !virtio_has_feature(&b->dev, VIRTIO_BALLOON_F_PAGE_POISON) ||
	       (b->st.poison_set && b->st.config.poison_val == 0);
}

static bool report(struct balloon *b, const struct virtq_chain *chain, uint64_t *done)
{
	uint64_t bytes;
	bool all;

	if (!zeroes_are_welcome(b))
		return true;
	all = balloon_free_pages(b, chain, done, &bytes);
	b->reported += bytes;
	return all;
}

/* ---- hinting (5.5.6.5) ---- */

static bool is_hinting_command(uint32_t cmd)
{
	return cmd != VIRTIO_BALLOON_CMD_ID_STOP && cmd != VIRTIO_BALLOON_CMD_ID_DONE;
}

static void end_hinting(struct balloon *b)
{
	void (*done)(void *arg) = b->hint_done;

	b->st.hinting = 0;
	b->hint_done = NULL;
	b->st.config.free_page_hint_cmd_id = VIRTIO_BALLOON_CMD_ID_DONE;
	virtio_config_changed(&b->dev);
	if (done)
		done(b->hint_arg);
}

/* The driver says whose pages follow, or that none do. */
static void take_command(struct balloon *b, uint32_t cmd)
{
	if (cmd == VIRTIO_BALLOON_CMD_ID_STOP && b->st.hinting)
		end_hinting(b);
	else
		b->st.hinting = is_hinting_command(cmd) && cmd == b->st.config.free_page_hint_cmd_id;
}

static bool hint(struct balloon *b, const struct virtq_chain *chain, uint64_t *done)
{
	uint64_t bytes;

	if (chain->read_len == sizeof(uint32_t)) {
		uint32_t cmd;

		iov_fetch(b->iov, 0, &cmd, sizeof(cmd));
		take_command(b, cmd);
	}
	return !b->st.hinting || balloon_free_pages(b, chain, done, &bytes);
}

/* ---- statistics (5.5.6.3) ---- */

static uint64_t *find_stat(struct virtio_balloon_stats *stats, uint16_t tag)
{
	switch (tag) {
	case VIRTIO_BALLOON_S_SWAP_IN:
		return &stats->swap_in;
	case VIRTIO_BALLOON_S_SWAP_OUT:
		return &stats->swap_out;
	case VIRTIO_BALLOON_S_MAJFLT:
		return &stats->major_faults;
	case VIRTIO_BALLOON_S_MINFLT:
		return &stats->minor_faults;
	case VIRTIO_BALLOON_S_MEMFREE:
		return &stats->free;
	case VIRTIO_BALLOON_S_MEMTOT:
		return &stats->total;
	case VIRTIO_BALLOON_S_AVAIL:
		return &stats->available;
	case VIRTIO_BALLOON_S_CACHES:
		return &stats->caches;
	default:
		return NULL;
	}
}

static void parse_stats(const struct balloon *b, const struct virtq_chain *chain,
			struct virtio_balloon_stats *ret_stats)
{
	const size_t entry = sizeof(struct virtio_balloon_stat);
	uint8_t buf[STATS_BYTES];
	size_t len = chain->bad ? 0 : min_u64(chain->read_len, sizeof(buf));

	memset(ret_stats, 0xff, sizeof(*ret_stats)); /* nothing said */
	iov_fetch(b->iov, 0, buf, len);
	for (size_t off = 0; off + entry <= len; off += entry) {
		uint64_t *stat = find_stat(ret_stats, load_le16(buf + off));

		if (stat)
			*stat = load_le64(buf + off + 2);
	}
}

/* The answer to a question, or what the driver begins with. The chain stays in the ring. */
static void stats_kick(struct balloon *b, unsigned q)
{
	void (*done)(void *arg, const struct virtio_balloon_stats *stats) = b->stats_done;
	struct virtq *vq = &b->dev.queues[q].vq;
	struct virtio_balloon_stats stats;
	struct virtq_chain chain;
	int r;

	if (!b->st.stats_asked)
		return;
	r = virtq_pop(vq, b->iov, BALLOON_QUEUE_SIZE, &chain);
	if (r < 0)
		virtio_broken(&b->dev, "the driver broke the ring");
	if (r <= 0)
		return;
	parse_stats(b, &chain, &stats);
	virtq_unpop(vq, chain.head);
	b->st.stats_asked = 0;
	b->stats_done = NULL;
	if (done)
		done(b->stats_arg, &stats);
}

bool virtio_balloon_ask(struct virtio_dev *dev,
			void (*done)(void *arg, const struct virtio_balloon_stats *stats), void *arg)
{
	struct balloon *b = to_balloon(dev);
	const unsigned q = role_queue(b, BALLOON_STATS);
	struct virtq *vq = &dev->queues[q].vq;
	struct virtq_chain chain;
	int r;

	if (!virtio_running(dev) || !has_role(b, BALLOON_STATS))
		return false;
	if (!b->st.stats_asked) {
		r = virtq_pop(vq, b->iov, BALLOON_QUEUE_SIZE, &chain);
		if (r < 0)
			virtio_broken(dev, "the driver broke the ring");
		if (r <= 0)
			return false;
		b->st.stats_asked = 1;
		virtq_push(vq, chain.head, 0);
		if (virtq_kicks_on(vq)) /* a second chain, against the rules: it is the answer */
			virtio_kick_later(dev, q);
		virtio_interrupt(dev, q);
	}
	b->stats_done = done;
	b->stats_arg = arg;
	return true;
}

/* ---- rounds ---- */

/* False: there is more to do with this chain in the next round. */
static bool take(struct balloon *b, unsigned role, const struct virtq_chain *chain)
{
	bool all = true;

	if (!chain->bad && role == BALLOON_INFLATE)
		all = balloon_inflate(b, chain, &b->done[role]);
	else if (!chain->bad && role == BALLOON_HINT)
		all = hint(b, chain, &b->done[role]);
	else if (!chain->bad && role == BALLOON_REPORT)
		all = report(b, chain, &b->done[role]);
	if (all)
		b->done[role] = 0;
	return all;
}

static void chains_kick(struct balloon *b, unsigned q, unsigned role)
{
	struct virtq *vq = &b->dev.queues[q].vq;
	unsigned budget = vq->st.size;
	int r = 0;

	b->work = ROUND_WORK;
	do {
		virtq_kicks_off(vq);
		while (budget) {
			struct virtq_chain chain;

			r = virtq_pop(vq, b->iov, BALLOON_QUEUE_SIZE, &chain);
			if (r <= 0)
				break;
			budget--;
			if (!take(b, role, &chain)) {
				virtq_unpop(vq, chain.head);
				budget = 0;
				break;
			}
			virtq_push(vq, chain.head, 0);
		}
		virtio_interrupt(&b->dev, q);
	} while (r == 0 && budget && virtq_kicks_on(vq));
	if (r < 0)
		virtio_broken(&b->dev, "the driver broke the ring");
	else if (!budget)
		virtio_kick_later(&b->dev, q);
}

static void balloon_kick(struct virtio_dev *dev, unsigned q)
{
	struct balloon *b = to_balloon(dev);
	const unsigned role = queue_role(b, q);

	if (role == BALLOON_STATS)
		stats_kick(b, q);
	else if (role < BALLOON_ROLES)
		chains_kick(b, q, role);
}

/* ---- the host's side ---- */

static uint32_t to_pages(const struct balloon *b, uint64_t bytes)
{
	return (uint32_t)min_u64(min_u64(bytes, mem_size(b->dev.env.mem)) / BALLOON_PAGE, UINT32_MAX);
}

void virtio_balloon_set_target(struct virtio_dev *dev, uint64_t bytes)
{
	struct balloon *b = to_balloon(dev);
	const uint32_t pages = to_pages(b, bytes);

	if (pages == b->st.config.num_pages)
		return;
	b->st.config.num_pages = pages;
	virtio_config_changed(dev);
}

uint64_t virtio_balloon_actual(const struct virtio_dev *dev)
{
	return (uint64_t)to_balloon(dev)->st.config.actual * BALLOON_PAGE;
}

uint64_t virtio_balloon_reported(const struct virtio_dev *dev)
{
	return to_balloon(dev)->reported;
}

bool virtio_balloon_hint(struct virtio_dev *dev, void (*done)(void *arg), void *arg)
{
	struct balloon *b = to_balloon(dev);

	if (!virtio_running(dev) || !has_role(b, BALLOON_HINT))
		return false;
	do
		b->st.last_cmd++;
	while (!is_hinting_command(b->st.last_cmd));
	b->st.hinting = 0;
	b->hint_done = done;
	b->hint_arg = arg;
	b->st.config.free_page_hint_cmd_id = b->st.last_cmd;
	virtio_config_changed(dev);
	return true;
}

/* ---- configuration, life ---- */

/* The driver says how it fills free pages before DRIVER_OK, and never after (5.5.6.6). */
static bool may_set_poison(const struct balloon *b)
{
	return virtio_has_feature(&b->dev, VIRTIO_BALLOON_F_PAGE_POISON) &&
	       !(b->dev.st.status & VIRTIO_CONFIG_S_DRIVER_OK);
}

static void balloon_config_write(struct virtio_dev *dev, unsigned off, unsigned len, uint64_t val)
{
	struct balloon *b = to_balloon(dev);
	const unsigned actual = offsetof(struct virtio_balloon_config, actual);
	const unsigned poison = offsetof(struct virtio_balloon_config, poison_val);
	uint8_t *config = (uint8_t *)&b->st.config;

	for (unsigned at = off; at < off + len; at++, val >>= 8) {
		if (at - actual < sizeof(uint32_t)) {
			config[at] = (uint8_t)val;
		} else if (at - poison < sizeof(uint32_t) && may_set_poison(b)) {
			config[at] = (uint8_t)val;
			b->st.poison_set = 1;
		}
	}
}

/* The target is the host's, and a command never comes twice. */
static void balloon_reset(struct virtio_dev *dev)
{
	struct balloon *b = to_balloon(dev);

	b->st = (struct balloon_state){
		.config.num_pages = b->st.config.num_pages,
		.last_cmd = b->st.last_cmd,
	};
	b->stats_done = NULL;
	b->hint_done = NULL;
	memset(b->done, 0, sizeof(b->done));
}

static int balloon_create(struct virtio_dev *dev, const void *arg, struct err *err)
{
	const struct virtio_balloon_params *params = arg;
	struct balloon *b = to_balloon(dev);

	(void)err;
	b->st.last_cmd = VIRTIO_BALLOON_CMD_ID_DONE;
	b->st.config.num_pages = to_pages(b, params->target);
	dev->offered |= virtio_bit(VIRTIO_BALLOON_F_STATS_VQ) | virtio_bit(VIRTIO_BALLOON_F_DEFLATE_ON_OOM) |
			virtio_bit(VIRTIO_BALLOON_F_FREE_PAGE_HINT) |
			virtio_bit(VIRTIO_BALLOON_F_PAGE_POISON) | virtio_bit(VIRTIO_BALLOON_F_REPORTING);
	dev->config = &b->st.config;
	dev->config_size = sizeof(b->st.config);
	dev->queue_count = BALLOON_ROLES;
	for (unsigned q = 0; q < BALLOON_ROLES; q++)
		dev->queues[q].vq.max_size = BALLOON_QUEUE_SIZE;
	return 0;
}

/* Between two rounds all chains are in their rings, see above, and a restored machine keeps its target. */
static int balloon_load(struct virtio_dev *dev, struct snapshot *snapshot, const char *name, struct err *err)
{
	const struct balloon *b = to_balloon(dev);

	(void)snapshot;
	if (b->st.config.num_pages > mem_size(dev->env.mem) / BALLOON_PAGE)
		return err_set(err, -EINVAL, "%s: a target of more than all memory", name);
	return 0;
}

const struct virtio_type virtio_balloon_type = {
	.name = "virtio-balloon",
	.id = VIRTIO_ID_BALLOON,
	.pci_class = OTHER_CLASS,
	.size = sizeof(struct balloon),
	.create = balloon_create,
	.kick = balloon_kick,
	.config_write = balloon_config_write,
	.reset = balloon_reset,
	.load = balloon_load,
	.state = &balloon_table,
	.state_offset = offsetof(struct balloon, st),
};
