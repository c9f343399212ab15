#ifndef HULL_VMM_ZZ_STUB_H
#define HULL_VMM_ZZ_STUB_H
#include "open_disk.h"
int disk_file_open_as(struct disk_file *ret, const struct config_disk *d, int fd, uint64_t size,
		      struct err *err);
int disk_file_open_copy(struct disk_file *ret, const struct config_disk *d, int fd, const char *dir,
			struct err *err);
const char *disk_file_scratch_dir(void);
#endif
