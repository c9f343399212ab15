/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cpio archive; see cpio.h. */
#include "cpio.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hull/util.h"

enum {
	HEADER = 110, /* "070701" and 13 numbers of 8 hexadecimal digits */
	PAD = 4,      /* name and content end at a multiple of it */
};

struct entry {
	const char *name;
	uint32_t mode; /* type and permissions */
	uint32_t len;
	unsigned major; /* of a device */
	unsigned minor;
};

uint64_t cpio_data(const struct cpio *cpio, const char *name)
{
	return align_up(cpio->pos + HEADER + strlen(name) + 1, PAD);
}

/* Header and name; the position becomes that behind the content, which is not written here. */
static int put(struct cpio *cpio, const struct entry *e, struct err *err)
{
	char head[HEADER + CPIO_NAME_MAX + 1];
	size_t name_len = strlen(e->name);
	int r;

	if (name_len > CPIO_NAME_MAX)
		return err_set(err, -EINVAL, "initramfs: the name of a file is too long");
	snprintf(head, sizeof(head), "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s",
		 cpio->ino++, e->mode, 0U, 0U, 1U, 0U, e->len, 0U, 0U, e->major, e->minor,
		 (unsigned)name_len + 1, 0U, e->name);
	r = fd_pwrite_full(cpio->fd, head, HEADER + name_len + 1, (off_t)cpio->pos);
	if (r < 0)
		return err_errno(err, r, "initramfs: cannot write");
	cpio->pos = align_up(cpio_data(cpio, e->name) + e->len, PAD);
	return 0;
}

int cpio_directory(struct cpio *cpio, const char *name, unsigned mode, struct err *err)
{
	return put(cpio, &(struct entry){.name = name, .mode = S_IFDIR | mode}, err);
}

int cpio_device(struct cpio *cpio, const char *name, unsigned mode, unsigned major, unsigned minor,
		struct err *err)
{
	return put(cpio,
		   &(struct entry){.name = name, .mode = S_IFCHR | mode, .major = major, .minor = minor},
		   err);
}

int cpio_file(struct cpio *cpio, const char *name, unsigned mode, const void *data, size_t len,
	      struct err *err)
{
	int r = fd_pwrite_full(cpio->fd, data, len, (off_t)cpio_data(cpio, name));

	if (r < 0)
		return err_errno(err, r, "initramfs: cannot write");
	return cpio_written(cpio, name, mode, len, err);
}

int cpio_written(struct cpio *cpio, const char *name, unsigned mode, uint64_t len, struct err *err)
{
	if (len > UINT32_MAX)
		return err_set(err, -EFBIG, "initramfs: %s is too long", name);
	return put(cpio, &(struct entry){.name = name, .mode = S_IFREG | mode, .len = (uint32_t)len}, err);
}

int cpio_end(struct cpio *cpio, struct err *err)
{
	int r;

	cpio->ino = 0;
	r = put(cpio, &(struct entry){.name = "TRAILER!!!"}, err);
	if (r == 0 && ftruncate(cpio->fd, (off_t)cpio->pos) < 0)
		r = err_errno(err, -errno, "initramfs: cannot write");
	return r;
}
