/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio devices (virtio 1.2): what a device type implements, what a transport
 * uses, and the common part between them (devices/virtio/virtio.c).
 *
 * A device type is one file in devices/virtio/ that exports one `const struct
 * virtio_type`, listed by hand in devices/table.c. It does not know its
 * transport (virtio-pci, virtio-mmio), and the transport does not know it.
 *
 * Lock: that of dev->loop, held in every function here but virtio_create() and
 * virtio_destroy(), which belong to the builder.
 *
 * Life: create -> (reset) -> features -> queues ready -> DRIVER_OK -> kicks ->
 * reset -> ... -> destroy. A reset while requests are in flight ends when the last
 * of them does: until then the status does not read 0, no queue is ready, and
 * nothing is pushed.
 */
#ifndef HULL_VIRTIO_H
#define HULL_VIRTIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hull/device.h"
#include "hull/err.h"
#include "hull/log.h"
#include "hull/loop.h"
#include "hull/mem.h"
#include "hull/snapshot.h"
#include "hull/state.h"
#include "hull/virtq.h"

enum { VIRTIO_MAX_QUEUES = 34 }; /* the most of any type: a network device with 16 pairs */

struct virtio_dev;

/* ---- for those who implement a device ---- */

/* How people call a feature bit, e.g. VIRTIO_BLK_F_DISCARD: "discard". */
struct virtio_feature_name {
	uint8_t bit;
	const char *name;
};

struct virtio_type {
	const char *name;   /* "virtio-blk" */
	uint16_t id;        /* VIRTIO_ID_*, <linux/virtio_ids.h> */
	uint32_t pci_class; /* base class, subclass, interface: 24 bits */
	size_t size;        /* bytes of an instance; struct virtio_dev is its first member */
	/*
	 * Mandatory. Prepares a zeroed instance from the type's own `params`: adds to
	 * dev->offered, sets dev->queue_count, max_size of each queue, dev->config and
	 * dev->config_size.
	 */
	int (*create)(struct virtio_dev *dev, const void *params, struct err *err);
	/*
	 * Mandatory. The driver kicked queue `q`, which is ready; the device is running. May be
	 * spurious. Takes at most as many chains as the queue is long, then virtio_kick_later().
	 */
	void (*kick)(struct virtio_dev *dev, unsigned q);
	/* Optional. The driver wrote into the device configuration, inside config_size; else ignored. */
	void (*config_write)(struct virtio_dev *dev, unsigned off, unsigned len, uint64_t val);
	/*
	 * Optional. DRIVER_OK was set: the features are agreed on, and the queues are what they
	 * will be. Before any kick; also after a running device was loaded from a snapshot.
	 */
	void (*start)(struct virtio_dev *dev);
	/*
	 * Optional. What virtio_queue_irq_fd() gives for queue `q` has changed: a vector was
	 * masked, routed elsewhere, or works again. Only between start and reset.
	 */
	void (*interrupt_moved)(struct virtio_dev *dev, unsigned q);
	/*
	 * Optional. The driver has given up (FAILED): nothing is moved any more until the reset,
	 * by nobody. Only between start and reset.
	 */
	void (*failed)(struct virtio_dev *dev);
	/* Optional. Cancels what can be cancelled of the requests in flight; they still end by virtio_end().
	 */
	void (*drain)(struct virtio_dev *dev);
	/* Optional. Back to the state after create; nothing is in flight. */
	void (*reset)(struct virtio_dev *dev);
	/*
	 * Optional, for a snapshot; no vCPU runs. Puts back into the rings what was taken ahead,
	 * has requests in flight ended, and takes rings back from whoever serves them instead of us: when
	 * in_flight is 0 the declared state is all there is, and nobody touches guest memory. What
	 * ends later is between virtio_begin() and virtio_end(). Kicks are not told meanwhile, and
	 * virtio_running() is false: whatever calls from outside finds a device that takes nothing.
	 * Also of a device that was not started, but never while a reset is under way.
	 */
	void (*freeze)(struct virtio_dev *dev);
	/* Optional. The end of it: goes on as if nothing had been. All queues are kicked afterwards. */
	void (*thaw)(struct virtio_dev *dev);
	/*
	 * Optional, beside the table, where a type has state that is no structure: a section of its
	 * own, "NAME/...". Loading comes before type->start, which virtio_restored() calls.
	 */
	void (*save)(struct virtio_dev *dev, struct snapshot_writer *writer, const char *name);
	int (*load)(struct virtio_dev *dev, struct snapshot *snapshot, const char *name, struct err *err);
	/* Optional. What made the host pause the machine may have been cured: try again what waits. */
	void (*resume)(struct virtio_dev *dev);
	/* Optional. Releases what create took; also after a failed create. Nothing is in flight. */
	void (*destroy)(struct virtio_dev *dev);
	/* Optional. The names of the type's own feature bits, ended by a NULL name. */
	const struct virtio_feature_name *feature_names;
	/* The declared state of the type beside that of the common part; NULL: none. */
	const struct state_table *state;
	size_t state_offset;
};

/* What a snapshot holds of the common part. */
struct virtio_state {
	uint64_t driver_features; /* as written by the driver */
	uint8_t status;           /* VIRTIO_CONFIG_S_* */
	uint8_t config_generation;
};

extern const struct state_table virtio_state_table;

struct virtio_queue {
	struct virtq vq;
	int kick_fd; /* eventfd: a kick that needs no exit; the transport binds it to an address */
	struct loop_io kick_io;
	bool listening; /* kicks are told to the type */
	struct virtio_dev *dev;
};

/* Where interrupts go; set by the transport. Nothing blocks. */
struct virtio_transport_ops {
	void (*queue_interrupt)(void *transport, unsigned q);
	void (*config_interrupt)(void *transport);
	/* Whether the registers say that one was raised and not acknowledged: so it may not have come. */
	bool (*config_pending)(void *transport);
	/*
	 * The eventfd that interrupts the driver for queue `q` without any help of ours, or
	 * -1 while there is none: no vector, a masked one, or a register that must be set, too.
	 */
	int (*queue_irq_fd)(void *transport, unsigned q);
	/* A reset has ended: the transport's own registers go back, too. */
	void (*reset)(void *transport);
};

struct virtio_env {
	struct loop *loop; /* the device's; its mutex is the device's lock */
	const struct guest_mem *mem;
	const struct log *log;
	struct machine_listener events;
};

struct virtio_dev {
	const struct virtio_type *type;
	struct virtio_env env;
	struct virtio_state st;
	uint64_t offered;   /* feature bits; the common ones are there before create */
	const void *config; /* device configuration, little-endian, in the instance */
	unsigned config_size;
	struct virtio_queue queues[VIRTIO_MAX_QUEUES];
	unsigned queue_count;
	const struct virtio_transport_ops *transport_ops; /* NULL until a transport has it */
	void *transport;
	unsigned in_flight; /* requests between virtio_begin() and virtio_end() */
	bool resetting;     /* status 0 was written, requests are still in flight */
	bool started;       /* between type->start and reset */
	bool frozen;        /* between virtio_freeze() and virtio_thaw() */
	bool restored;      /* type->start is that after a snapshot was loaded */
	struct log_limit broken_limit;
};

/* The types that there are, ended by NULL (devices/table.c). */
extern const struct virtio_type *const virtio_table[];

/* Makes a device of `type`. The common features VERSION_1, EVENT_IDX and INDIRECT_DESC are offered. */
int virtio_create(struct virtio_dev **ret_dev, const struct virtio_type *type, const struct virtio_env *env,
		  const void *params, struct err *err);

/* Nothing is in flight: back ends were drained. NULL is fine. */
void virtio_destroy(struct virtio_dev *dev);

/* The mask of feature bit `bit`, e.g. VIRTIO_BLK_F_RO. */
static inline uint64_t virtio_bit(unsigned bit)
{
	return UINT64_C(1) << bit;
}

/* True when the driver accepted feature bit `bit`, e.g. VIRTIO_BLK_F_RO. */
bool virtio_has_feature(const struct virtio_dev *dev, unsigned bit);

/* True between DRIVER_OK and reset, unless the device needs a reset or is frozen: requests may be taken. */
bool virtio_running(const struct virtio_dev *dev);

/* A request left the queue for a back end; it ends by virtio_end(), which may complete a reset. */
void virtio_begin(struct virtio_dev *dev);
void virtio_end(struct virtio_dev *dev);

/* Interrupts the driver if it wants that for what was pushed to queue `q`. */
void virtio_interrupt(struct virtio_dev *dev, unsigned q);

/*
 * Three for a device whose ring somebody else serves (vhost). Where that one interrupts
 * the driver by itself: see virtio_transport_ops, -1 also without a transport.
 */
int virtio_queue_irq_fd(const struct virtio_dev *dev, unsigned q);

/*
 * Interrupts the driver for queue `q` without asking the ring whether it wants that: the
 * one who serves it has asked. Ignored before DRIVER_OK, and once a reset has begun.
 */
void virtio_queue_signal(struct virtio_dev *dev, unsigned q);

/*
 * Whether kicks are told to type->kick() at all: they are after create and after each
 * reset. Turned on again, the queue being ready and vq->st right, the driver is asked for
 * kicks, and those that were missed are made up for by one.
 */
void virtio_queue_listen(struct virtio_dev *dev, unsigned q, bool on);

/* The device changed its configuration: a new generation, and the config interrupt. */
void virtio_config_changed(struct virtio_dev *dev);

/* The driver broke the rules: DEVICE_NEEDS_RESET, config interrupt, one log line. */
void virtio_broken(struct virtio_dev *dev, const char *what);

/* ---- for transports ---- */

void virtio_set_transport(struct virtio_dev *dev, const struct virtio_transport_ops *ops, void *transport);

/* What ops->queue_irq_fd gives for queue `q` has changed: tells a device that was started. */
void virtio_interrupt_moved(struct virtio_dev *dev, unsigned q);

/* Feature words of 32 bits; `sel` above 1 reads 0 and ignores writes. */
uint32_t virtio_features(const struct virtio_dev *dev, uint32_t sel);
uint32_t virtio_driver_features(const struct virtio_dev *dev, uint32_t sel);
void virtio_set_driver_features(struct virtio_dev *dev, uint32_t sel, uint32_t val);

/* The status register. Writing 0 resets: see "Life" above. Illegal steps are ignored. */
uint8_t virtio_status(const struct virtio_dev *dev);
void virtio_set_status(struct virtio_dev *dev, uint8_t status);

/* Queue `q`, or NULL. The transport may change st.size, st.desc, st.driver and st.device of one that is not
 * ready. */
struct virtq *virtio_queue(struct virtio_dev *dev, unsigned q);

/* Makes queue `q` ready; refused, silently, when it cannot be or DRIVER_OK is set. */
void virtio_queue_ready(struct virtio_dev *dev, unsigned q);

/* Takes queue `q` back before DRIVER_OK: not ready any more. Ignored after it. */
void virtio_queue_stop(struct virtio_dev *dev, unsigned q);

/*
 * Kicks queue `q`: for a write that came as an exit. Ignored unless the device runs
 * and q is ready. The device sees it on the loop's thread, as any other kick.
 */
void virtio_kick(struct virtio_dev *dev, unsigned q);

/*
 * Kicks queue `q` when the loop comes round again: for a device that has done as
 * much as is fair in one go and leaves the rest for later.
 */
void virtio_kick_later(struct virtio_dev *dev, unsigned q);

/* Device configuration, 1, 2 or 4 bytes. Other widths and past the end: all ones (of `len` bytes), ignored.
 */
uint64_t virtio_config_read(const struct virtio_dev *dev, uint64_t off, unsigned len);
void virtio_config_write(struct virtio_dev *dev, uint64_t off, unsigned len, uint64_t val);

/* ---- snapshots ---- */

/*
 * Brings the device to rest; see type->freeze. On the loop's thread, no vCPU runs. It is there when
 * virtio_is_frozen(), perhaps at once; loop_signal() tells when that changes.
 */
void virtio_freeze(struct virtio_dev *dev);
bool virtio_is_frozen(const struct virtio_dev *dev);

/* Goes on, also when it has not come to rest yet. On the loop's thread. Nothing when not frozen. */
void virtio_thaw(struct virtio_dev *dev);

/* Adds the sections "NAME/virtio", "NAME/queueN" and "NAME/device" of a frozen device. */
void virtio_save(struct virtio_dev *dev, struct snapshot_writer *writer, const char *name);

/*
 * Loads them into a new device; virtio_restored() makes it live. Errors: those of snapshot_get(); -EINVAL,
 * with its name: a feature that the driver has accepted is not offered by this one.
 */
int virtio_load(struct virtio_dev *dev, struct snapshot *snapshot, const char *name, struct err *err);

/*
 * After state was loaded, the transport's as well: maps the rings again, starts as after DRIVER_OK, and
 * kicks all queues. Raises each interrupt that the driver may wait for once more: the
 * interrupt controllers must have their state by then, those of the vCPUs, too. -EINVAL: the state is not
 * possible.
 */
int virtio_restored(struct virtio_dev *dev, struct err *err);

#endif
