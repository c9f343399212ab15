/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of hostile guests share; see hostile.h. */
#include "hostile.h"

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hull/sink.h"
#include "hull/util.h"
#include "hull/virtio_blk.h"
#include "leaks.h"

enum {
	CAUSES = 4, /* of log lines: broken rings, requests, failed I/O, MSI */
	LOG_BYTES = 64 << 10,
	GROWTH = 1 << 20,
	VARIANTS = 4,
	SECOND_NS = 1000000000,
};

unsigned hostile_times(unsigned light, unsigned heavy)
{
	return getenv("HULL_HEAVY") ? heavy : light;
}

/* ---- measures ---- */

void hostile_open_log(struct hostile *h)
{
	h->log_fd = memfd_create("log", MFD_CLOEXEC);
	assert_true(h->log_fd >= 0);
	assert_int_equal(sink_create(&h->sink, h->log_fd, 1 << 18, "log", NULL, NULL), 0);
	h->rig.log.sink = h->sink;
}

void hostile_close_log(struct hostile *h)
{
	sink_flush(h->sink, 1000);
	sink_destroy(h->sink);
	close(h->log_fd);
}

uint64_t hostile_log_bytes(struct hostile *h)
{
	assert_int_equal(sink_flush(h->sink, 1000), 0);
	return (uint64_t)lseek(h->log_fd, 0, SEEK_END);
}

static unsigned log_lines(struct hostile *h)
{
	uint64_t len = hostile_log_bytes(h);
	unsigned lines = 0;
	char c;

	for (uint64_t i = 0; i < len; i++) {
		assert_int_equal(pread(h->log_fd, &c, 1, (off_t)i), 1);
		lines += c == '\n';
	}
	return lines;
}

/* ---- honest requests ---- */

uint64_t hostile_place(unsigned head)
{
	return RIG_DATA + (uint64_t)head * HOSTILE_STRIDE;
}

unsigned hostile_descs(const struct hostile *h)
{
	return h->blk ? 3 : 2;
}

void hostile_request(struct hostile *h, unsigned q, unsigned head)
{
	const uint64_t at = hostile_place(head);
	const struct rig_buf read_sector[] = {{at + HOSTILE_HEADER, 16, false},
					      {at + HOSTILE_BUFFER, HOSTILE_BUFFER_SIZE, true},
					      {at + HOSTILE_STATUS, 1, true}};
	const struct rig_buf echo[] = {{at + HOSTILE_HEADER, 16, false}, {at + HOSTILE_BUFFER, 16, true}};

	memset(h->ram + at, 0, 16);
	h->ram[at + HOSTILE_STATUS] = HOSTILE_UNWRITTEN;
	virtio_rig_chain(&h->rig, q, head, h->blk ? read_sector : echo, hostile_descs(h));
}

bool hostile_roundtrip(struct virtio_rig *rig)
{
	struct hostile *h = container_of(rig, struct hostile, rig);
	const uint64_t at = hostile_place(0);
	uint32_t id, len;

	hostile_request(h, 0, 0);
	store_le64(h->ram + at + 8, h->blk ? 1 : UINT64_C(0x0123456789abcdef));
	memset(h->ram + at + HOSTILE_BUFFER, 0, HOSTILE_BUFFER_SIZE);
	virtio_rig_avail(rig, 0, 0);
	virtio_rig_kick(rig, 0);
	if (!virtio_rig_reap(rig, 0, &id, &len) || id != 0)
		return false;
	if (!h->blk)
		return len == 16 && memcmp(h->ram + at, h->ram + at + HOSTILE_BUFFER, 16) == 0;
	return len == HOSTILE_BUFFER_SIZE + 1 && h->ram[at + HOSTILE_STATUS] == VIRTIO_BLK_S_OK &&
	       memcmp(h->ram + at + HOSTILE_BUFFER, h->disk.data + 512, HOSTILE_BUFFER_SIZE) == 0;
}

bool hostile_neighbour_answers(struct hostile *h, unsigned rounds)
{
	const struct rig_buf bufs[] = {{RIG_DATA, 16, false}, {RIG_DATA + 256, 16, true}};
	struct loop *loop = virtio_rig_loop(&h->neighbour);
	uint32_t id, len;

	virtio_rig_chain(&h->neighbour, 0, 0, bufs, 2);
	virtio_rig_avail(&h->neighbour, 0, 0);
	loop_lock(loop);
	virtio_kick(h->neighbour.dev, 0);
	loop_unlock(loop);
	for (unsigned i = 0; i < rounds; i++) {
		assert_int_equal(loop_run_once(loop, 0), 0);
		if (virtio_rig_reap(&h->neighbour, 0, &id, &len))
			return id == 0 && len == 16;
	}
	return false;
}

void hostile_hold(struct hostile *h, bool hold)
{
	if (h->blk)
		h->disk.hold = hold;
	else
		echo_of(&h->rig)->hold = hold;
}

unsigned hostile_held(struct hostile *h)
{
	return h->blk ? h->disk.in_flight : echo_of(&h->rig)->held_count;
}

void hostile_release(struct hostile *h, unsigned count)
{
	if (!h->blk) {
		echo_release(&h->rig, count);
		return;
	}
	loop_lock(&h->rig.loop);
	mem_block_release(&h->disk, count);
	loop_unlock(&h->rig.loop);
}

/* ---- around a case ---- */

void hostile_begin(struct hostile *h)
{
	hostile_hold(h, false);
	hostile_release(h, UINT32_MAX);
	virtio_rig_start(&h->rig, UINT64_MAX, 0);
}

void hostile_check(struct hostile *h)
{
	uint64_t now;

	hostile_hold(h, false);
	hostile_release(h, UINT32_MAX);
	virtio_rig_run(&h->rig);
	assert_true(hostile_neighbour_answers(h, 3));
	virtio_rig_check_canary(&h->neighbour);
	virtio_rig_check_alive(&h->rig, hostile_roundtrip);
	assert_int_equal(h->rig.dev->in_flight, 0);
	now = monotonic_ns();
	assert_true(log_lines(h) <= CAUSES * (1 + (now - h->start_ns) / SECOND_NS));
	assert_true(hostile_log_bytes(h) <= LOG_BYTES);
	if (!sanitized)
		assert_true(resident_bytes() <= h->resident + GROWTH);
}

void hostile_check_broken(struct hostile *h)
{
	assert_true(virtio_rig_status(&h->rig) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_true(virtio_rig_config_irqs(&h->rig) > 0);
	assert_true(virtio_rig_isr(&h->rig) & VIRTIO_PCI_ISR_CONFIG);
	hostile_check(h);
}

static void init_device(struct hostile *h, enum virtio_rig_transport transport)
{
	const struct echo_params echo = {.queues = HOSTILE_QUEUES, .size = HOSTILE_SIZE};
	const struct virtio_blk_params blk = {
		.backend = &h->disk.backend, .name = "disk", .queues = HOSTILE_QUEUES};

	if (h->blk)
		virtio_rig_init(&h->rig, transport, &virtio_blk_type, &blk);
	else
		virtio_rig_init(&h->rig, transport, &echo_type, &echo);
	virtio_rig_init_beside(&h->neighbour, &h->rig, RIG_MMIO, &echo_type, &echo);
	virtio_rig_start(&h->neighbour, UINT64_MAX, 0);
}

static int setup(void **state)
{
	const unsigned where = *(const unsigned *)*state;
	struct hostile *h = calloc(1, sizeof(*h));

	assert_non_null(h);
	h->blk = where & ON_BLK;
	h->scratch = malloc(RIG_RAM_SIZE);
	assert_non_null(h->scratch);
	mem_block_init(&h->disk, HOSTILE_DISK);
	for (unsigned i = 0; i < HOSTILE_DISK; i++)
		h->disk.data[i] = (uint8_t)(i * 7 + i / 512);
	init_device(h, where & ON_PCI ? RIG_PCI : RIG_MMIO);
	hostile_open_log(h);
	h->ram = (uint8_t *)virtio_rig_ram(&h->rig, RIG_RAM, RIG_RAM_SIZE) - RIG_RAM;
	/* All pages that the test itself uses are there before they are counted. */
	memset(h->ram + RIG_RAM, 0, RIG_RAM_SIZE);
	memset(h->scratch, 0, RIG_RAM_SIZE);
	hostile_begin(h);
	assert_true(hostile_roundtrip(&h->rig));
	h->resident = resident_bytes();
	h->start_ns = monotonic_ns();
	*state = h;
	return 0;
}

static int teardown(void **state)
{
	struct hostile *h = *state;

	hostile_release(h, UINT32_MAX);
	virtio_rig_finish(&h->neighbour);
	virtio_rig_finish(&h->rig);
	mem_block_finish(&h->disk);
	hostile_close_log(h);
	free(h->scratch);
	free(h);
	return 0;
}

int hostile_run(const char *group, const struct hostile_case *cases, unsigned count)
{
	static const unsigned variants[VARIANTS] = {ON_BLK | ON_PCI, ON_BLK | ON_MMIO, ON_ECHO | ON_PCI,
						    ON_ECHO | ON_MMIO};
	static const char *const names[VARIANTS] = {"blk_pci", "blk_mmio", "echo_pci", "echo_mmio"};
	struct CMUnitTest *tests = calloc((size_t)count * VARIANTS, sizeof(*tests));
	char(*titles)[64] = calloc((size_t)count * VARIANTS, sizeof(*titles));
	unsigned n = 0;
	int r = EXIT_FAILURE;

	for (unsigned c = 0; tests && titles && c < count; c++) {
		for (unsigned v = 0; v < VARIANTS; v++) {
			if ((cases[c].where & variants[v]) != variants[v])
				continue;
			snprintf(titles[n], sizeof(titles[n]), "%s_%s", cases[c].name, names[v]);
			tests[n] = (struct CMUnitTest){titles[n], cases[c].fn, setup, teardown,
						       (void *)(uintptr_t)&variants[v]};
			n++;
		}
	}
	if (n > 0)
		r = _cmocka_run_group_tests(group, tests, n, NULL, NULL);
	free(titles);
	free(tests);
	return r;
}
