/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file that holds a decoded kernel: its name, its header, whether it can be trusted. See boot.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "decoded.h"
#include "hull/util.h"

static const char magic[8] = "HULLKRN";

enum { VERSION = 2 };

/* The header as it is in the file. */
union page {
	struct decoded_header h;
	uint8_t bytes[BOOT_CACHE_DATA];
};

_Static_assert(sizeof(union page) == BOOT_CACHE_DATA, "the header is one page");

int boot_cache_key(int fd, struct boot_cache_key *ret_key)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	*ret_key = (struct boot_cache_key){
		.dev = st.st_dev,
		.ino = st.st_ino,
		.size = (uint64_t)st.st_size,
		.mtime_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000U + (uint64_t)st.st_mtim.tv_nsec,
	};
	return 0;
}

void boot_cache_name(const struct boot_cache_key *key, char name[static BOOT_CACHE_NAME_MAX])
{
	snprintf(name, BOOT_CACHE_NAME_MAX, "kernel-%" PRIx64 "-%" PRIx64 "-%" PRIx64 "-%" PRIx64 ".v%d",
		 key->dev, key->ino, key->size, key->mtime_ns, VERSION);
}

/* The checksum of a header page; its own field counts as 0. */
static uint32_t page_crc(const union page *page)
{
	union page copy = *page;

	copy.h.crc = 0;
	return (uint32_t)crc32(0, copy.bytes, sizeof(copy.bytes));
}

int decoded_write(int fd, struct decoded_header *header, const char *path, struct err *err)
{
	union page page = {0};
	int r;

	memcpy(header->magic, magic, sizeof(magic));
	header->version = VERSION;
	header->crc = 0;
	memcpy(&page.h, header, sizeof(*header));
	page.h.crc = page_crc(&page);
	r = fd_pwrite_full(fd, page.bytes, sizeof(page.bytes), 0);
	return r < 0 ? err_errno(err, r, "%s: cannot write the unpacked kernel", path) : 0;
}

int decoded_read(int fd, struct decoded_header *ret, const char *path, struct err *err)
{
	union page page;
	struct stat st;
	int r;

	if (fd_stat(fd, &st) < 0)
		return err_errno(err, -errno, "%s: the unpacked kernel cannot be read", path);
	r = fd_pread_full(fd, page.bytes, sizeof(page.bytes), 0);
	if (r < 0 && r != -ENODATA)
		return err_errno(err, r, "%s: the unpacked kernel cannot be read", path);
	if (r < 0 || memcmp(page.h.magic, magic, sizeof(magic)) != 0 || page.h.version != VERSION ||
	    page.h.crc != page_crc(&page) || page.h.payload_len == 0 || st.st_size < BOOT_CACHE_DATA ||
	    page.h.payload_len != (uint64_t)st.st_size - BOOT_CACHE_DATA)
		return err_set(err, -EINVAL, "%s: the unpacked kernel is damaged", path);
	*ret = page.h;
	return 0;
}

bool boot_cache_valid(int fd, const struct boot_cache_key *key)
{
	struct decoded_header header = {0};
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
	    (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return false;
	if (decoded_read(fd, &header, "", NULL) < 0)
		return false;
	return header.key.dev == key->dev && header.key.ino == key->ino && header.key.size == key->size &&
	       header.key.mtime_ns == key->mtime_ns;
}
