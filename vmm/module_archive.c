/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The archive with the first stage and modules; see module_archive.h. */
#include "module_archive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../boot/cpio.h"
#include "../boot/payload.h"
#include "hull/util.h"

static const uint64_t module_bytes_max = MIB(64); /* the largest of Linux is some 10 MB */

int module_archive_open(struct module_archive *archive, int dir_fd, struct err *err)
{
	for (unsigned i = 0; i < archive->order->count; i++) {
		const char *path = archive->order->paths[i];
		int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		struct stat st;

		if (fd < 0)
			return err_errno(err, -errno, "%s/%s", archive->dir, path);
		archive->fds[archive->fd_count++] = fd;
		if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
			return err_set(err, -EINVAL, "%s/%s: not a regular file", archive->dir, path);
	}
	return 0;
}

void module_archive_close(struct module_archive *archive)
{
	while (archive->fd_count > 0)
		close(archive->fds[--archive->fd_count]);
}

/* "kernel/fs/ext4/ext4.ko.xz": "ext4.ko". */
static void file_name(const char *path, char *name, size_t cap)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;
	const char *end = strstr(base, ".ko");

	snprintf(name, cap, "%.*s.ko", end ? (int)(end - base) : (int)strlen(base), base);
}

/* What the codecs say is about kernels; here it is a module. */
static int explain(int r, const struct module_archive *archive, const char *path, struct err *err)
{
	switch (r) {
	case 0:
		return 0;
	case -ENOTSUP:
	case -EINVAL:
		return err_set(err, -EINVAL, "%s/%s: the module is damaged, or packed in an unknown way",
			       archive->dir, path);
	case -EFBIG:
		return err_set(err, r, "%s/%s: the module unpacks to more than %llu MiB", archive->dir, path,
			       (unsigned long long)(module_bytes_max >> 20));
	default:
		return err_errno(err, r, "%s/%s", archive->dir, path);
	}
}

/* Writes one module, unpacked, as modules/NAME. */
static int put_module(const struct module_archive *archive, unsigned i, struct cpio *cpio, struct err *err)
{
	const char *path = archive->order->paths[i];
	const struct boot_file file = {archive->fds[i], path};
	uint8_t magic[PAYLOAD_MAGIC] = {0};
	char name[MODULES_PATH_MAX + 16];
	char base[MODULES_PATH_MAX];
	struct payload_out out;
	struct image img;
	int r;

	file_name(path, base, sizeof(base));
	snprintf(name, sizeof(name), "modules/%s", base);
	out = (struct payload_out){.fd = archive->out_fd,
				   .offset = cpio_data(cpio, name),
				   .bound = module_bytes_max,
				   .want_elf = true};
	r = image_init(&file, &img, NULL);
	if (r == 0)
		r = image_read(&img, 0, magic, (size_t)min_u64(sizeof(magic), img.len), NULL);
	if (r == 0)
		r = payload_decode(payload_detect(magic), &img, &out, NULL);
	if (r == 0 && out.written == 0)
		r = -EINVAL;
	if (r < 0)
		return explain(r, archive, path, err);
	return cpio_written(cpio, name, 0644, out.written, err);
}

/* modules/order: a name a line. */
static int put_order(const struct module_archive *archive, struct cpio *cpio, struct err *err)
{
	char text[MODULES_MAX * (MODULES_PATH_MAX + 1)];
	size_t len = 0;

	for (unsigned i = 0; i < archive->order->count; i++) {
		file_name(archive->order->paths[i], text + len, MODULES_PATH_MAX);
		len += strlen(text + len);
		text[len++] = '\n';
	}
	return cpio_file(cpio, "modules/order", 0644, text, len, err);
}

/* /dev/console, before devtmpfs is there: what the first stage says must be seen. */
static int put_base(const struct module_archive *archive, struct cpio *cpio, struct err *err)
{
	int r = cpio_directory(cpio, "dev", 0755, err);

	if (r == 0)
		r = cpio_device(cpio, "dev/console", 0600, 5, 1, err);
	if (r == 0)
		r = cpio_directory(cpio, "modules", 0755, err);
	if (r == 0)
		r = cpio_file(cpio, "init", 0755, archive->init, archive->init_len, err);
	if (r == 0)
		r = cpio_file(cpio, "root.conf", 0644, archive->conf, strlen(archive->conf), err);
	return r;
}

int module_archive_write(void *arg, struct err *err)
{
	const struct module_archive *archive = arg;
	struct cpio cpio = {.fd = archive->out_fd};
	int r = put_base(archive, &cpio, err);

	for (unsigned i = 0; r == 0 && i < archive->order->count; i++)
		r = put_module(archive, i, &cpio, err);
	if (r == 0)
		r = put_order(archive, &cpio, err);
	return r == 0 ? cpio_end(&cpio, err) : r;
}
