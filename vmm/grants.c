/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See grants.h. */
#include "grants.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "hull/util.h"

char *grants_text(const struct vm_config *c, size_t *ret_len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, ret_len);

	if (!f)
		return NULL;
	fprintf(f, "%u vCPUs, CID %u\n", c->cpus, c->vsock.cid);
	for (unsigned i = 0; i < c->disk_count; i++)
		fprintf(f, "disk %s %d\n", c->disks[i].id, c->disks[i].read_only);
	/* A path may have any character in it. */
	for (unsigned i = 0; i < c->share_count; i++)
		fprintf(f, "share %zu %s %d\n", strlen(c->shares[i].target), c->shares[i].target,
			c->shares[i].read_only);
	for (unsigned i = 0; i < c->published_count; i++) {
		const struct config_publish *p = &c->published[i];

		fprintf(f, "port '%s' %u %u %d\n", p->address, p->host, p->guest, p->udp);
	}
	if (fclose(f) == EOF) {
		free(text);
		return NULL;
	}
	return text;
}

int grants_file(const struct vm_config *config)
{
	size_t len = 0;
	char *text = grants_text(config, &len);
	int fd = text ? memfd_create("hull-grants", MFD_CLOEXEC) : -1;
	int r = !text ? -ENOMEM : fd < 0 ? -errno : fd_pwrite_full(fd, text, len, 0);

	free(text);
	if (r < 0)
		fd_close(&fd);
	return r < 0 ? r : fd;
}

int grants_check(const struct vm_config *config, int fd)
{
	size_t len = 0;
	char *text = grants_text(config, &len);
	char *said = text ? malloc(len) : NULL;
	struct stat st;
	int r = said ? 0 : -ENOMEM;

	if (r == 0 && (fstat(fd, &st) < 0 || (size_t)st.st_size != len))
		r = -EPROTO;
	if (r == 0)
		r = fd_pread_full(fd, said, len, 0);
	if (r == 0 && memcmp(said, text, len) != 0)
		r = -EPROTO;
	free(said);
	free(text);
	return r;
}
