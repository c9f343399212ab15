/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes of a chain, however the driver has cut it: `iov` are entries of virtq_pop(), of which
 * the caller knows that they are RAM and that `len` bytes at `off` are there.
 */
#ifndef DEVICES_VIRTIO_IOV_H
#define DEVICES_VIRTIO_IOV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Copies them to `buf`: what the guest writes from here on changes nothing. */
void iov_fetch(const struct iovec *iov, uint64_t off, void *buf, size_t len);

/* Copies `buf` to them. */
void iov_store(const struct iovec *iov, uint64_t off, const void *buf, size_t len);

#endif
