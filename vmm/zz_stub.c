#include "zz_stub.h"
#include "hull/arch.h"
#include "hull/block.h"
#include <errno.h>
#pragma GCC diagnostic ignored "-Wunused-parameter"
int disk_file_open_as(struct disk_file *ret, const struct config_disk *d, int fd, uint64_t size,
		      struct err *err)
{
	return -1;
}
int disk_file_open_copy(struct disk_file *ret, const struct config_disk *d, int fd, const char *dir,
			struct err *err)
{
	return -1;
}
const char *disk_file_scratch_dir(void)
{
	return "/tmp";
}
