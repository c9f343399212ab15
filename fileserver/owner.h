/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owners and modes as the guest sees them.
 *
 * On the host whatever the guest makes belongs to the caller and has no setuid, setgid or sticky bit. The
 * caller's numbers look like guest_uid and guest_gid; all others keep theirs. What the host does not have is
 * in the xattr user.hull.owner of a regular file or a directory: "UID:GID:MODE", decimal, decimal, octal. It
 * is believed only of files that belong to the caller, as others could set it on theirs, and its mode only as
 * long as the host's mode is the one that was set with it: who changes the mode on the host is believed as
 * well. Files are as trustworthy as those who can write to them: they can set the xattr too.
 *
 * The xattr is made by chown and chmod of files of the caller, whoever he is: root on the host changes no
 * owners there either. Files of other owners keep theirs (-EPERM); their modes are the host's to refuse.
 *
 * A symbolic link, and a FIFO, socket or device, can have no such xattr, nor can a file where the file system
 * has none: chown succeeds without effect there, and chmod sets what the host can have and drops the rest, so
 * that archives can be extracted.
 */
#ifndef FILESERVER_OWNER_H
#define FILESERVER_OWNER_H

#include "fs.h"

/* The prefix of xattrs that guests neither see nor touch, and the one that is used. */
#define OWNER_XATTR_PREFIX "user.hull."
#define OWNER_XATTR        OWNER_XATTR_PREFIX "owner"

struct owner {
	uint32_t uid, gid;
	uint32_t mode; /* 07777 */
};

/* What owner_change() changes. */
enum {
	OWNER_UID = 1,
	OWNER_GID = 2,
	OWNER_MODE = 4,
	OWNER_KILL = 8, /* setuid, and setgid where the group may execute, of a regular file */
};

/* Parses the xattr's `len` bytes, strictly. False: it is none. */
bool owner_parse(const char *text, size_t len, struct owner *ret_owner);

/* Owner and mode of the open (also O_PATH) descriptor with `st`. */
void owner_show(struct fs *fs, int fd, const struct stat *st, struct owner *ret_owner);

/*
 * Changes what `what` names to the guest's numbers in `to`. `fd` is open or O_PATH. 0 or -errno; -EOPNOTSUPP:
 * the mode of a symbolic link.
 */
int owner_change(struct fs *fs, int fd, unsigned what, const struct owner *to);

#endif
