/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the file server: one thread, one loop, no locks.
 *
 *	server.c    the link, the rings, the loop
 *	request.c   one FUSE request in a chain: what is read, what is answered
 *	table.c     opcode -> function; INIT, DESTROY, INTERRUPT, STATFS
 *	names.c     names from the guest; everything that opens below the root
 *	inodes.c    node ids: an O_PATH descriptor each; identity.c: whose it is
 *	handles.c   file handles of open files and directories
 *	owner.c     owners and modes as the guest sees them
 *	attr.c      GETATTR, SETATTR, ACCESS, entries; xattrs are in xattr.c
 *	dir.c       LOOKUP, FORGET, READDIR(PLUS), MKDIR, UNLINK, RENAME, LINK, SYMLINK, READLINK ...
 *	file.c      OPEN, CREATE, TMPFILE, READ, WRITE, FLUSH, RELEASE, FSYNC
 *	range.c     FALLOCATE, COPY_FILE_RANGE, LSEEK: file.c's as well
 *	lock.c      GETLK, SETLK, SETLKW, flock; lock_ranges.c
 *	saved.c     a session as bytes, for snapshots; inodes_saved.c, lock_saved.c
 *
 * What the guest says is hostile: node ids, handles, names, lengths, flags. Nothing outside the root is ever
 * opened: a name is one component, checked by name_check(), and opened relative to an inode's descriptor with
 * RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS; a symbolic link is an inode as any other,
 * and it is the guest that follows it. Device nodes, FIFOs and sockets are inodes; they are never opened.
 * What the kernel shows of itself (proc, sysfs, ...) below a shared directory is hollow: an empty directory
 * that cannot be changed.
 *
 * What INIT agrees on, when the guest offers it (table.c):
 *
 *	HANDLE_KILLPRIV_V2: the guest leaves set-id bits to us. WRITE with FUSE_WRITE_KILL_SUIDGID, OPEN and
 *	CREATE with FUSE_OPEN_KILL_SUIDGID, SETATTR with FATTR_KILL_SUIDGID, FALLOCATE, COPY_FILE_RANGE and
 *	chown take them away, in the mode that is kept in the xattr, too.
 *
 *	ATOMIC_O_TRUNC: OPEN may have O_TRUNC.
 *
 *	WRITEBACK_CACHE, cache writeback only: O_WRONLY must be made O_RDWR and O_APPEND dropped, as the
 *	guest reads what it writes a part of, and knows the end of the file. See fs_writeback().
 *
 *	POSIX_LOCKS, FLOCK_LOCKS, but for a read-only share: see lock.c.
 *
 *	AUTO_INVAL_DATA, DO_READDIRPLUS, READDIRPLUS_AUTO, PARALLEL_DIROPS,
 *	MAX_PAGES, ASYNC_READ, ASYNC_DIO, BIG_WRITES, CACHE_SYMLINKS (cache long only).
 *
 * Not DONT_MASK: modes come with the guest's umask applied; ours is 0. Not EXPORT_SUPPORT: "." and ".."
 * are never looked up. Not SUBMOUNTS: an overlay would not enter them; see inode_number(). No POSIX_ACL.
 */
#ifndef FILESERVER_FS_H
#define FILESERVER_FS_H

#include <limits.h>
#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "hull/file_server.h"

struct fs; /* server.c: share, session, loop, tables */
struct inodes;
struct handles;
struct locks;

/* ---- a request (request.c) ---- */

enum {
	FS_MAX_IO = 1 << 20,   /* bytes of one READ or WRITE */
	FS_REPLY_BYTES = 1024, /* of answers that are built here; data goes straight to the guest */
	FS_LATER = 1,          /* an operation's result: it is answered later by request_finish() */
};

struct request {
	struct fuse_in_header in; /* a copy */
	unsigned queue;           /* whose chain it is */
	/* What is left of the chain: what the guest wrote, and what it will read. Guest memory: changes under
	 * our hands. */
	struct iovec *in_iov;
	unsigned in_count;
	size_t in_left;
	struct iovec *out_iov; /* behind struct fuse_out_header */
	unsigned out_count;
	size_t out_room;
	uint8_t reply[FS_REPLY_BYTES]; /* the answer, but for data */
	size_t reply_len;
	size_t data_len; /* bytes put into out_iov by the operation itself, behind `reply` */
};

/* Takes the next `len` bytes of what the guest sent. 0 or -EINVAL: there are fewer. */
int request_take(struct request *r, void *dst, size_t len);

/* Takes a NUL-terminated string of at most cap - 1 bytes: a name for names.c, a symlink's target. -EINVAL,
 * -ENAMETOOLONG. */
int request_take_string(struct request *r, char *dst, size_t cap);

/* Adds `len` bytes to the answer; -EINVAL when the guest left no room or FS_REPLY_BYTES is full. */
int request_add(struct request *r, const void *src, size_t len);

/*
 * What is left of the guest's bytes (WRITE), or the room behind `reply` (READ, READDIR), as at most `cap`
 * entries for readv/writev, `len` bytes at most. Returns the number of entries and sets *ret_len. Data that
 * an operation puts there is told by data_len.
 */
unsigned request_in_data(const struct request *r, struct iovec *iov, unsigned cap, size_t len,
			 size_t *ret_len);
unsigned request_out_data(const struct request *r, struct iovec *iov, unsigned cap, size_t len,
			  size_t *ret_len);

/* Copies `len` bytes to the guest behind `reply` and what was put there before; counted in data_len. -EINVAL:
 * no room. For answers that do not fit into `reply` (a link's target, values of xattrs); after all of
 * request_add(). */
int request_put(struct request *r, const void *src, size_t len);

/*
 * An operation: 0, -errno, or FS_LATER: `r` stays valid until request_finish(), but has nothing of the
 * chain's bytes any more: what was taken was copied, and the answer is a header alone. *r is answered by its
 * caller otherwise. Its struct has been fetched by request_take() inside.
 */
typedef int fs_op_fn(struct fs *fs, struct request *r);

/* Answers a request that was put off. `result` 0 or -errno. */
void request_finish(struct fs *fs, struct request *r, int result);

/*
 * The queue of a request that was put off stops: nothing of its chain is touched, whatever becomes of the
 * request, until the queue is started again. -EBADMSG: the chain is not there any more, and the ring is
 * broken.
 */
void request_pause(struct request *r);
int request_resume(struct fs *fs, struct request *r);

struct fs_op {
	uint32_t opcode;
	fs_op_fn *run;
	bool changes;  /* EROFS on a read-only share or a hollow directory, before run */
	bool no_reply; /* FORGET, BATCH_FORGET, INTERRUPT */
};

/* The operations of a file, listed in table.c; each ends with opcode 0. */
extern const struct fs_op fs_dir_ops[], fs_attr_ops[], fs_xattr_ops[], fs_file_ops[], fs_lock_ops[];

/* ---- inodes (inodes.c) ---- */

struct inode {
	uint64_t nodeid;
	uint64_t lookups; /* that the guest has not forgotten */
	int fd;           /* O_PATH */
	uint32_t type;    /* S_IFMT bits; never changes */
	uint64_t dev, ino;
	uint64_t mount;    /* statx's stx_mnt_id: the same file may be seen by several mounts */
	uint64_t birth_ns; /* 0: not known */
	uint64_t key;      /* a number of its own that is never used again, for locks and caches */
	bool loaded;       /* from a snapshot, and not seen since: `mount` is of the session that was saved */
	bool opened;       /* handles_mark(): a handle is open of it */
	bool hollow;       /* a directory of proc, sysfs, ...: shown empty, never opened */
	struct file_stamp {
		int64_t mtime_ns, ctime_ns,
			size; /* of the file when it was opened last; ctime_ns 0: not known */
	} stamp;              /* zeroes at first; file.c's */

	/* inodes.c's own. */
	uint64_t parent; /* where it was seen last: node and name; 0, NULL: it has no name */
	char *name;
	uint64_t used;       /* number of the request that asked for it last */
	struct inode *chain; /* of the same hash */
	struct inode *newer, *older;
};

const struct file_share *fs_share(const struct fs *fs);
struct inodes *fs_inodes(struct fs *fs);
struct locks *fs_locks(struct fs *fs); /* made by locks_new() */
struct handles *fs_handles(struct fs *fs);
struct loop *fs_loop(struct fs *fs);
bool fs_writeback(const struct fs *fs); /* WRITEBACK_CACHE was agreed on */

/* NULL: no such node (answer -ESTALE). Node FUSE_ROOT_ID is always there. Its descriptor is open until the
 * operation ends; what lives longer keeps `nodeid`, and asks again. */
struct inode *inode_get(struct fs *fs, uint64_t nodeid);

/*
 * The inode of an O_PATH descriptor, which is taken over (also on failure): a new one or that which has the
 * same file already; one lookup more. It was found as `name` in `dir` (NULL: it has no name, O_TMPFILE).
 * -ENFILE when there are as many as descriptors allow; -EACCES: a file of proc, sysfs ...
 */
int inode_enter(struct fs *fs, int fd, const struct inode *dir, const char *name, struct inode **ret_inode);

/* The number that the guest sees (st_ino): another one for each file, though the shared directory may have
 * several file systems below it. */
uint64_t inode_number(struct fs *fs, uint64_t dev, uint64_t ino);

/* `n` lookups fewer; gone with the last. More than there are is all there are. */
void inode_forget(struct fs *fs, uint64_t nodeid, uint64_t n);

/* Opens the inode itself for reading or writing (through its O_PATH descriptor, no path). Regular files and
 * directories only: -ELOOP for a link, -EACCES for anything else. Taken from flags are the access mode,
 * O_APPEND, O_TRUNC, O_DIRECTORY, O_SYNC and O_DSYNC. -EROFS: to write, on a read-only share. -ENFILE: too
 * many are open. */
int inode_open(struct fs *fs, const struct inode *inode, int flags);

enum { FS_FD_PATH = 32 };

/*
 * A path that leads to the file of an open (also O_PATH) descriptor itself, a symbolic link included: for
 * getxattr(), chmod(), truncate() and others that take no O_PATH descriptor, and for an O_PATH descriptor of
 * an open file. The process sees no files, so that it is one of /proc/self/fd, which is its working directory
 * or is reached otherwise. In identity.c.
 */
void fs_fd_path(const struct fs *fs, int fd, char path[FS_FD_PATH]);

/* ---- names (names.c) ---- */

/* -EINVAL: empty, "." or "..", or with a slash. -ENAMETOOLONG: above NAME_MAX. */
int name_check(const char *name);

/* Takes a name from the request and checks it. `name` has NAME_MAX + 1 bytes. */
int name_take(struct request *r, char name[NAME_MAX + 1]);

/* An O_PATH descriptor of `name` in `dir`, nothing followed; -errno. */
int name_find(struct fs *fs, const struct inode *dir, const char *name);

/* The same of a path from `root`, each component by itself. */
int name_find_path(struct fs *fs, const struct inode *root, const char *path);

/* Opens (or with O_CREAT creates) the regular file `name` in `dir` (openat2). Not for special files: -EACCES;
 * -ELOOP for a link. Flags as for inode_open(), and O_CREAT, O_EXCL. */
int name_open(struct fs *fs, const struct inode *dir, const char *name, int flags, mode_t mode);

/* An O_PATH descriptor of what is open as `fd`, for inode_enter(); -errno. */
int name_of_open(struct fs *fs, int fd);

/* ---- handles (handles.c) ---- */

enum handle_kind { HANDLE_FILE, HANDLE_DIR };

struct handle {
	enum handle_kind kind;
	int fd;
	uint64_t nodeid; /* of the inode that was opened */
	off_t dir_pos;   /* HANDLE_DIR: where fd's position is; -1: not known */
	uint32_t flock;  /* F_RDLCK, F_WRLCK, F_UNLCK: what it has by flock(2) */
	int lost;        /* 0; else fd is -1, and what it is asked for is answered with this errno */
};

/* Takes `fd` over (also on failure). -EMFILE when there are too many. */
int handle_add(struct fs *fs, enum handle_kind kind, int fd, uint64_t nodeid, uint64_t *ret_fh);
/* NULL: no such handle, or of another kind, or a lost one (answer handle_error()). */
struct handle *handle_get(struct fs *fs, uint64_t fh, enum handle_kind kind);
int handle_error(struct fs *fs, uint64_t fh);
/* A lost one, too. */
void handle_remove(struct fs *fs, uint64_t fh);

/* ---- owners and attributes (owner.c, attr.c) ---- */

/* The attributes of an inode or an open file as the guest sees them. */
int attr_of(struct fs *fs, const struct inode *inode, int fd, struct fuse_attr *ret_attr);

/*
 * The permission bits with which a file of the guest's is made on the host: what `mode` (with or without
 * S_IFMT bits) asks for, without setuid, setgid and sticky, and with the owner's access: 0700 for a directory
 * when `directory`, else 0600. The process' umask is 0.
 */
mode_t owner_host_mode(mode_t mode, bool directory);

/*
 * After creating `fd` (O_PATH or open) in `dir` for a guest's user with owner_host_mode(mode): notes owner
 * and mode where the host cannot have them. `mode` is what the guest asked for, without its umask's bits. In
 * a directory with setgid the group, and a directory's own bit, are those of `dir`. 0 or -errno.
 */
int owner_created(struct fs *fs, const struct inode *dir, int fd, uint32_t uid, uint32_t gid, mode_t mode);

/* Puts struct fuse_entry_out for the inode into the answer: attributes and how long they hold. */
int entry_add(struct fs *fs, struct request *r, struct inode *inode);
void entry_fill(struct fs *fs, const struct inode *inode, const struct fuse_attr *attr,
		struct fuse_entry_out *ret_entry);

/* How long names and attributes hold, by the share's cache mode: nanoseconds. */
uint64_t fs_valid_ns(const struct fs *fs);

/* ---- locks (lock.c) ---- */

/* NULL: no memory. */
struct locks *locks_new(struct fs *fs);

/* Those that wait are forgotten without an answer. NULL is fine. */
void locks_free(struct locks *locks);

/* What RELEASE and FLUSH mean for locks: those of `owner` on the handle's file are gone, with `flock_too` the
 * handle's as well. */
void locks_release(struct fs *fs, struct handle *handle, uint64_t owner, bool flock_too);

/* The request `unique`, should it wait for a lock, now or as soon as it comes, is answered with -EINTR. */
void locks_interrupt(struct fs *fs, uint64_t unique);

/* All that wait for locks are answered with `result`: before the rings stop. */
void locks_cancel(struct fs *fs, int result);

/* Those of a queue that wait do so without a sign of life, and go on; -EBADMSG: request_resume(). */
void locks_pause(struct fs *fs, unsigned queue);
int locks_resume(struct fs *fs, unsigned queue);

/* Forgets all locks; no request is put off any more (locks_cancel()). Also the end: frees what it has. */
void locks_reset(struct fs *fs);

#endif
