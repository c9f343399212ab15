/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes of a chain; see iov.h. */
#include "iov.h"

#include "hull/util.h"

void iov_fetch(const struct iovec *iov, uint64_t off, void *buf, size_t len)
{
	uint8_t *p = buf;

	for (; len; iov++) {
		size_t part;

		if (off >= iov->iov_len) {
			off -= iov->iov_len;
			continue;
		}
		part = min_u64(len, iov->iov_len - off);
		memcpy(p, (const uint8_t *)iov->iov_base + off, part);
		p += part;
		len -= part;
		off = 0;
	}
	/* What was read counts from here on: the compiler must not read it again. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

void iov_store(const struct iovec *iov, uint64_t off, const void *buf, size_t len)
{
	const uint8_t *p = buf;

	for (; len; iov++) {
		size_t part;

		if (off >= iov->iov_len) {
			off -= iov->iov_len;
			continue;
		}
		part = min_u64(len, iov->iov_len - off);
		memcpy((uint8_t *)iov->iov_base + off, p, part);
		p += part;
		len -= part;
		off = 0;
	}
}
