/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bounded files; see image.h. */
#include "image.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hull/util.h"

int image_init(const struct boot_file *file, struct image *ret, struct err *err)
{
	struct stat st;

	if (fd_stat(file->fd, &st) < 0)
		return err_errno(err, -errno, "%s", file->path);
	if (S_ISDIR(st.st_mode))
		return err_set(err, -EINVAL, "%s: is a directory", file->path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s: not a regular file", file->path);
	if (st.st_size <= 0)
		return err_set(err, -EINVAL, "%s: the file is empty", file->path);
	*ret = (struct image){.fd = file->fd, .path = file->path, .len = (uint64_t)st.st_size};
	return 0;
}

int image_part(const struct image *img, uint64_t off, uint64_t len, struct image *ret, struct err *err)
{
	if (!range_fits(off, len, img->len))
		return err_set(err, -EINVAL, "%s: damaged or cut short", img->path);
	*ret = (struct image){.fd = img->fd, .path = img->path, .offset = img->offset + off, .len = len};
	return 0;
}

/* Says what a failed fd_pread_full() means. */
static int read_error(const struct image *img, int code, struct err *err)
{
	if (code == -ENODATA)
		return err_set(err, -EINVAL, "%s: the file shrank while it was read", img->path);
	return err_errno(err, code, "%s: cannot be read", img->path);
}

int image_read(const struct image *img, uint64_t off, void *buf, size_t len, struct err *err)
{
	int r;

	if (!range_fits(off, len, img->len))
		return err_set(err, -EINVAL, "%s: damaged or cut short", img->path);
	r = fd_pread_full(img->fd, buf, len, (off_t)(img->offset + off));
	return r < 0 ? read_error(img, r, err) : 0;
}

/*
 * The next run of data in [pos, end) of the file: its start in *pos and its
 * end. A file system that knows no holes has one run.
 */
static uint64_t data_run(int fd, uint64_t *pos, uint64_t end)
{
	off_t data = lseek(fd, (off_t)*pos, SEEK_DATA);
	off_t hole;

	if (data < 0) {
		if (errno == ENXIO)
			*pos = end; /* nothing but a hole up to the end of the file */
		return end;
	}
	*pos = min_u64(max_u64((uint64_t)data, *pos), end);
	hole = lseek(fd, (off_t)*pos, SEEK_HOLE);
	if (hole < 0 || (uint64_t)hole <= *pos)
		return end;
	return min_u64((uint64_t)hole, end);
}

int image_load(const struct image *img, uint64_t off, uint64_t len, const struct guest_mem *mem, uint64_t gpa,
	       struct err *err)
{
	uint8_t *dest = mem_ptr(mem, gpa, len);
	uint64_t start = img->offset + off;
	uint64_t pos = start;
	uint64_t end = start + len;
	uint8_t last;
	int r;

	if (!dest)
		return err_set(err, -ENOSPC, "%s: does not fit into RAM", img->path);
	if (!range_fits(off, len, img->len))
		return err_set(err, -EINVAL, "%s: damaged or cut short", img->path);
	mem_expect(mem, gpa, len);
	while (pos < end) {
		uint64_t run_end = data_run(img->fd, &pos, end);

		if (pos >= end)
			break;
		r = fd_pread_full(img->fd, dest + (pos - start), run_end - pos, (off_t)pos);
		if (r < 0)
			return read_error(img, r, err);
		pos = run_end;
	}
	/* A file that shrank looks like one that ends in a hole. */
	return len > 0 ? image_read(img, off + len - 1, &last, 1, err) : 0;
}

enum image_kind image_kind(const struct image *img)
{
	uint8_t head[0x206];

	if (img->len < 4 || image_read(img, 0, head, 4, NULL) < 0)
		return IMAGE_UNKNOWN;
	if (memcmp(head, "\177ELF", 4) == 0)
		return IMAGE_ELF;
	if (memcmp(head, "\xd0\x0d\xfe\xed", 4) == 0)
		return IMAGE_FIT;
	if (memcmp(head, "\x1f\x8b", 2) == 0)
		return IMAGE_GZIP;
	if (img->len < sizeof(head) || image_read(img, 0, head, sizeof(head), NULL) < 0)
		return IMAGE_UNKNOWN;
	if (load_le16(head + 0x1fe) == 0xaa55 && memcmp(head + 0x202, "HdrS", 4) == 0)
		return IMAGE_BZIMAGE;
	return IMAGE_UNKNOWN;
}

int image_not_a_kernel(const struct image *img, struct err *err)
{
	if (image_kind(img) == IMAGE_GZIP)
		return err_set(err, -EINVAL, "%s: not a kernel but a gzip file: unpack it first", img->path);
	return err_set(err, -EINVAL, "%s: not a kernel: expected a bzImage, an ELF vmlinux or a FIT image",
		       img->path);
}
