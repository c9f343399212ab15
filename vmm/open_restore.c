/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a restored machine needs, opened; see open_restore.h. */
#include "open_restore.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "hull/util.h"
#include "scratch_file.h"

/* What the guest knows of the disk's size is what its copy has. */
static int check_size(int fd, const struct config_disk *disk, uint64_t size, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_errno(err, -errno, "disk %s of the snapshot", disk->id);
	if ((uint64_t)st.st_size != size)
		return err_set(err, -EINVAL,
			       "disk %s of the snapshot has %" PRIu64 " bytes instead of %" PRIu64, disk->id,
			       (uint64_t)st.st_size, size);
	return 0;
}

static int open_disk(struct disk_file *ret, const struct config_disk *disk, int copy, uint64_t size,
		     struct err *err)
{
	int r;

	if (copy < 0 && !disk->path[0])
		return err_set(err, -ENOENT,
			       "the snapshot has no copy of disk %s: give its file, --disk id=%s,path=PATH",
			       disk->id, disk->id);
	if (copy >= 0) {
		r = check_size(copy, disk, size, err);
		if (r < 0)
			return r;
	}
	if (disk->path[0])
		return disk_file_open_as(ret, disk, copy, size, err);
	return disk_file_open_copy(ret, disk, copy, scratch_dir(), err);
}

static int open_disks(struct resources *res, const struct vm_config *config, const struct saved_extra *extra,
		      const struct restore_source *source, struct err *err)
{
	int r = 0;

	for (unsigned i = 0; i < config->disk_count && r == 0; i++) {
		r = open_disk(&res->disks[i], &config->disks[i], source->disks[i], extra->disk_bytes[i], err);
		if (r == 0)
			res->disk_count++;
	}
	return r;
}

int resources_open_restore(struct resources *ret_res, const struct vm_config *config,
			   const struct saved_extra *extra, const struct restore_source *source,
			   struct err *err)
{
	int r;

	resources_init(ret_res);
	ret_res->snapshot = source->snapshot;
	ret_res->memory = fcntl(source->memory, F_DUPFD_CLOEXEC, 3);
	if (ret_res->memory < 0)
		return err_errno(err, -errno, "memory of the snapshot");
	r = resources_open_shares(ret_res, config, source->shares, err);
	if (r == 0)
		r = open_disks(ret_res, config, extra, source, err);
	return r == 0 ? resources_open_host(ret_res, config, err) : r;
}
