/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fileserver/dir.c, readdir.c, names.c and inodes.c: names, directories, and that none leads outside. */
#include "fixture.h"
#include "leaks.h"

#include <linux/fs.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

static int setup(void **state)
{
	struct fixture *f = malloc(sizeof(*f));

	fixture_begin(f, false, FILE_CACHE_AUTO);
	*state = f;
	return 0;
}

static int setup_read_only(void **state)
{
	struct fixture *f = malloc(sizeof(*f));

	fixture_begin(f, true, FILE_CACHE_AUTO);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	fixture_end(*state);
	free(*state);
	return 0;
}

static int rename_to(struct fixture *f, uint64_t dir, const char *from, uint64_t to_dir, const char *to,
		     uint32_t flags)
{
	const struct fuse_rename2_in in = {.newdir = to_dir, .flags = flags};
	char names[2 * NAME_MAX + 2];
	size_t n = strlen(from) + 1;

	memcpy(names, from, n);
	memcpy(names + n, to, strlen(to) + 1);
	return (int)fs_rig_call(&f->rig, FUSE_RENAME2, dir, &in, sizeof(in), names, n + strlen(to) + 1, NULL,
				0);
}

static int make_dir(struct fixture *f, uint64_t dir, const char *name, struct fuse_entry_out *ret)
{
	const struct fuse_mkdir_in in = {.mode = 0750};

	return ask(f, FUSE_MKDIR, dir, &in, sizeof(in), name, ret, sizeof(*ret));
}

static int make_node(struct fixture *f, const char *name, uint32_t mode, struct fuse_entry_out *ret)
{
	const struct fuse_mknod_in in = {.mode = mode, .rdev = 0x103};

	return ask(f, FUSE_MKNOD, FUSE_ROOT_ID, &in, sizeof(in), name, ret, sizeof(*ret));
}

static int unlink_name(struct fixture *f, uint32_t opcode, uint64_t dir, const char *name)
{
	return ask(f, opcode, dir, NULL, 0, name, NULL, 0);
}

/* ---- lookups ---- */

static void test_lookup(void **state)
{
	struct fixture *f = *state;
	struct fuse_entry_out a, b, none;

	fixture_file(f->fd, "a", "text");
	assert_int_equal(look_up(f, FUSE_ROOT_ID, "a", &a), 0);
	assert_int_equal(look_up(f, FUSE_ROOT_ID, "a", &b), 0);
	assert_int_equal(a.nodeid, b.nodeid);
	assert_int_equal(a.attr.size, 4);
	assert_true(S_ISREG(a.attr.mode));
	assert_int_equal(look_up(f, FUSE_ROOT_ID, "b", &none), -ENOENT);
	assert_int_equal(look_up(f, a.nodeid, "b", &none), -ENOTDIR);
	assert_int_equal(linkat(f->fd, "a", f->fd, "b", 0), 0);
	assert_int_equal(look_up(f, FUSE_ROOT_ID, "b", &b), 0);
	assert_int_equal(a.nodeid, b.nodeid);
}

/* More than the table has room for at first. */
static void test_many_nodes(void **state)
{
	enum { NODES = 2500 };
	static uint64_t nodes[NODES];
	struct fixture *f = *state;
	struct fuse_entry_out entry;
	char name[16];

	for (unsigned i = 0; i < NODES; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		assert_int_equal(mkdirat(f->fd, name, 0700), 0);
		assert_int_equal(look_up(f, FUSE_ROOT_ID, name, &entry), 0);
		nodes[i] = entry.nodeid;
	}
	for (unsigned i = 0; i < NODES; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		assert_int_equal(look_up(f, FUSE_ROOT_ID, name, &entry), 0);
		assert_true(entry.nodeid == nodes[i]);
	}
}

static void test_names(void **state)
{
	static const char *const bad[] = {"", ".", "..", "/", "a/b", "../secret", "/etc/passwd", "a/", "./a"};
	struct fixture *f = *state;
	struct fuse_entry_out e;
	char name[NAME_MAX + 2];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(look_up(f, FUSE_ROOT_ID, bad[i], &e), -EINVAL);
		assert_int_equal(make_dir(f, FUSE_ROOT_ID, bad[i], &e), -EINVAL);
		assert_int_equal(make_node(f, bad[i], S_IFREG | 0644, &e), -EINVAL);
		assert_int_equal(unlink_name(f, FUSE_UNLINK, FUSE_ROOT_ID, bad[i]), -EINVAL);
		assert_int_equal(unlink_name(f, FUSE_RMDIR, FUSE_ROOT_ID, bad[i]), -EINVAL);
		assert_int_equal(rename_to(f, FUSE_ROOT_ID, bad[i], FUSE_ROOT_ID, "x", 0), -EINVAL);
		assert_int_equal(rename_to(f, FUSE_ROOT_ID, "x", FUSE_ROOT_ID, bad[i], 0), -EINVAL);
	}
	memset(name, 'n', sizeof(name));
	name[NAME_MAX + 1] = '\0';
	assert_int_equal(look_up(f, FUSE_ROOT_ID, name, &e), -ENAMETOOLONG);
	name[NAME_MAX] = '\0';
	assert_int_equal(make_dir(f, FUSE_ROOT_ID, name, &e), 0);
	/* No end of the string. */
	assert_int_equal(fs_rig_call(&f->rig, FUSE_LOOKUP, FUSE_ROOT_ID, "secret", 6, NULL, 0, &e, sizeof(e)),
			 -EINVAL);
	assert_int_equal(fs_rig_call(&f->rig, FUSE_LOOKUP, FUSE_ROOT_ID, NULL, 0, NULL, 0, &e, sizeof(e)),
			 -EINVAL);
}

static void test_forget(void **state)
{
	struct fixture *f = *state;
	struct fuse_attr_out attr;
	uint64_t node, other;

	fixture_file(f->fd, "a", "");
	node = node_of(f, FUSE_ROOT_ID, "a");
	assert_int_equal(node_of(f, FUSE_ROOT_ID, "a"), node);
	forget(f, node, 1);
	assert_int_equal(get_attr(f, node, &attr), 0);
	forget(f, node, 1);
	assert_int_equal(get_attr(f, node, &attr), -ESTALE);
	/* More than there were, of what is gone, of what never was, of the root. */
	forget(f, node, UINT64_MAX);
	forget(f, 0, 1);
	forget(f, UINT64_MAX, 1);
	forget(f, FUSE_ROOT_ID, UINT64_MAX);
	assert_int_equal(get_attr(f, FUSE_ROOT_ID, &attr), 0);
	other = node_of(f, FUSE_ROOT_ID, "a");
	assert_int_not_equal(other, node);
	forget(f, other, UINT64_MAX);
	assert_int_equal(get_attr(f, other, &attr), -ESTALE);
}

static void test_batch_forget(void **state)
{
	struct fixture *f = *state;
	struct {
		struct fuse_in_header header;
		struct fuse_batch_forget_in in;
		struct fuse_forget_one one[2];
	} req = {.header = {.len = sizeof(req), .opcode = FUSE_BATCH_FORGET}, .in = {.count = UINT32_MAX}};
	struct fuse_attr_out attr;

	fixture_file(f->fd, "a", "");
	fixture_file(f->fd, "b", "");
	req.one[0] = (struct fuse_forget_one){.nodeid = node_of(f, FUSE_ROOT_ID, "a"), .nlookup = 1};
	req.one[1] = (struct fuse_forget_one){.nodeid = node_of(f, FUSE_ROOT_ID, "b"), .nlookup = 1};
	/* It says that there are more than there are. */
	assert_int_equal(fs_rig_bytes(&f->rig, 0, &req, sizeof(req), NULL, 0), 0);
	assert_int_equal(get_attr(f, req.one[0].nodeid, &attr), -ESTALE);
	assert_int_equal(get_attr(f, req.one[1].nodeid, &attr), -ESTALE);
}

/* ---- making and removing ---- */

static void test_make(void **state)
{
	struct fixture *f = *state;
	struct fuse_entry_out dir, e;
	struct stat st;

	assert_int_equal(make_dir(f, FUSE_ROOT_ID, "d", &dir), 0);
	assert_int_equal(make_dir(f, FUSE_ROOT_ID, "d", &e), -EEXIST);
	assert_int_equal(fstatat(f->fd, "d", &st, 0), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0750);
	assert_int_equal(make_dir(f, dir.nodeid, "e", &e), 0);
	assert_int_equal(fstatat(f->fd, "d/e", &st, 0), 0);
	assert_int_equal(make_node(f, "file", S_IFREG | 0640, &e), 0);
	assert_int_equal(fstatat(f->fd, "file", &st, 0), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0640);
	assert_int_equal(make_node(f, "file", S_IFREG | 0640, &e), -EEXIST);
	assert_int_equal(unlink_name(f, FUSE_RMDIR, FUSE_ROOT_ID, "d"), -ENOTEMPTY);
	assert_int_equal(unlink_name(f, FUSE_UNLINK, FUSE_ROOT_ID, "d"), -EISDIR);
	assert_int_equal(unlink_name(f, FUSE_RMDIR, FUSE_ROOT_ID, "file"), -ENOTDIR);
	assert_int_equal(unlink_name(f, FUSE_RMDIR, dir.nodeid, "e"), 0);
	assert_int_equal(unlink_name(f, FUSE_RMDIR, FUSE_ROOT_ID, "d"), 0);
	assert_int_equal(unlink_name(f, FUSE_UNLINK, FUSE_ROOT_ID, "file"), 0);
	assert_int_equal(unlink_name(f, FUSE_UNLINK, FUSE_ROOT_ID, "file"), -ENOENT);
}

static void test_no_devices(void **state)
{
	static const uint32_t types[] = {S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK, S_IFDIR, S_IFLNK};
	struct fixture *f = *state;
	struct fuse_entry_out e;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		assert_int_equal(make_node(f, "x", types[i] | 0666, &e), -EPERM);
	assert_int_equal(faccessat(f->fd, "x", F_OK, 0), -1);
}

static void test_symlink(void **state)
{
	struct fixture *f = *state;
	struct fuse_entry_out e, other;
	char target[PATH_MAX];
	char names[PATH_MAX + 16] = "link";
	ssize_t n;

	memcpy(names + 5, "/etc/passwd", 12);
	n = fs_rig_call(&f->rig, FUSE_SYMLINK, FUSE_ROOT_ID, names, 5 + 12, NULL, 0, &e, sizeof(e));
	assert_int_equal(n, sizeof(e));
	assert_true(S_ISLNK(e.attr.mode));
	n = fs_rig_call(&f->rig, FUSE_READLINK, e.nodeid, NULL, 0, NULL, 0, target, sizeof(target));
	assert_int_equal(n, 11);
	assert_memory_equal(target, "/etc/passwd", 11);
	assert_int_equal(fs_rig_call(&f->rig, FUSE_READLINK, FUSE_ROOT_ID, NULL, 0, NULL, 0, target, 100),
			 -EINVAL);
	/* As long as a path may be, and longer. */
	memset(names + 5, 't', PATH_MAX);
	names[5 + PATH_MAX - 1] = '\0';
	names[3] = '2';
	n = fs_rig_call(&f->rig, FUSE_SYMLINK, FUSE_ROOT_ID, names, 5 + PATH_MAX, NULL, 0, &e, sizeof(e));
	assert_int_equal(n, sizeof(e));
	n = fs_rig_call(&f->rig, FUSE_READLINK, e.nodeid, NULL, 0, NULL, 0, target, sizeof(target));
	assert_int_equal(n, PATH_MAX - 1);
	names[5 + PATH_MAX - 1] = 't';
	names[3] = '3';
	n = fs_rig_call(&f->rig, FUSE_SYMLINK, FUSE_ROOT_ID, names, 6 + PATH_MAX, NULL, 0, &other,
			sizeof(other));
	assert_int_equal(n, -ENAMETOOLONG);
}

static int make_link(struct fixture *f, uint64_t old, const char *name, struct fuse_entry_out *ret)
{
	const struct fuse_link_in in = {.oldnodeid = old};

	return ask(f, FUSE_LINK, FUSE_ROOT_ID, &in, sizeof(in), name, ret, sizeof(*ret));
}

static void test_link(void **state)
{
	struct fixture *f = *state;
	struct fuse_entry_out e;
	struct stat st;
	uint64_t node;

	fixture_file(f->fd, "a", "");
	node = node_of(f, FUSE_ROOT_ID, "a");
	assert_int_equal(make_link(f, node, "b", &e), 0);
	assert_int_equal(e.nodeid, node);
	assert_int_equal(e.attr.nlink, 2);
	assert_int_equal(make_link(f, node, "b", &e), -EEXIST);
	assert_int_equal(make_link(f, FUSE_ROOT_ID, "c", &e), -EPERM);
	assert_int_equal(make_link(f, 12345, "c", &e), -ESTALE);
	/* A symbolic link is linked itself: what it names is not the guest's. */
	assert_int_equal(symlinkat("../secret", f->fd, "s"), 0);
	assert_int_equal(make_link(f, node_of(f, FUSE_ROOT_ID, "s"), "t", &e), 0);
	assert_int_equal(fstatat(f->fd, "t", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISLNK(st.st_mode));
}

static void test_rename(void **state)
{
	struct fixture *f = *state;
	struct fuse_rename_in in = {.newdir = FUSE_ROOT_ID};
	struct fuse_attr_out attr;
	uint64_t a, b, d;

	fixture_file(f->fd, "a", "1");
	fixture_file(f->fd, "b", "22");
	assert_int_equal(mkdirat(f->fd, "d", 0755), 0);
	a = node_of(f, FUSE_ROOT_ID, "a");
	b = node_of(f, FUSE_ROOT_ID, "b");
	d = node_of(f, FUSE_ROOT_ID, "d");
	assert_int_equal(rename_to(f, FUSE_ROOT_ID, "a", FUSE_ROOT_ID, "b", RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(rename_to(f, FUSE_ROOT_ID, "a", FUSE_ROOT_ID, "b", RENAME_WHITEOUT), -EINVAL);
	assert_int_equal(rename_to(f, FUSE_ROOT_ID, "a", FUSE_ROOT_ID, "b", 1u << 31), -EINVAL);
	assert_int_equal(rename_to(f, FUSE_ROOT_ID, "a", FUSE_ROOT_ID, "b", RENAME_EXCHANGE), 0);
	assert_int_equal(node_of(f, FUSE_ROOT_ID, "a"), b);
	assert_int_equal(node_of(f, FUSE_ROOT_ID, "b"), a);
	assert_int_equal(rename_to(f, FUSE_ROOT_ID, "b", d, "c", 0), 0);
	assert_int_equal(node_of(f, d, "c"), a);
	assert_int_equal(rename_to(f, FUSE_ROOT_ID, "d", d, "e", 0), -EINVAL);
	assert_int_equal(rename_to(f, FUSE_ROOT_ID, "none", d, "e", 0), -ENOENT);
	assert_int_equal(rename_to(f, FUSE_ROOT_ID, "a", 999, "e", 0), -ESTALE);
	assert_int_equal(rename_to(f, FUSE_ROOT_ID, "a", a, "e", 0), -ENOTDIR);
	assert_int_equal(fs_rig_call(&f->rig, FUSE_RENAME, d, &in, sizeof(in), "c\0a", 4, NULL, 0), 0);
	assert_int_equal(node_of(f, FUSE_ROOT_ID, "a"), a);
	/* What was replaced is still what the guest had. */
	assert_int_equal(get_attr(f, b, &attr), 0);
	assert_int_equal(attr.attr.nlink, 0);
	assert_int_equal(attr.attr.size, 2);
}

/* ---- reading directories ---- */

static uint64_t open_dir(struct fixture *f, uint64_t node)
{
	const struct fuse_open_in in = {.flags = O_RDONLY | O_DIRECTORY};
	struct fuse_open_out out;

	assert_int_equal(ask(f, FUSE_OPENDIR, node, &in, sizeof(in), NULL, &out, sizeof(out)), 0);
	return out.fh;
}

static ssize_t read_dir(struct fixture *f, uint32_t opcode, uint64_t node, uint64_t fh, uint64_t off,
			uint8_t *buf, uint32_t size)
{
	const struct fuse_read_in in = {.fh = fh, .offset = off, .size = size};

	return fs_rig_call(&f->rig, opcode, node, &in, sizeof(in), NULL, 0, buf, size);
}

enum { FILES = 300 };

/* Lists all of it in steps of `size` bytes; with plus, lookups are counted by node. */
static unsigned list_all(struct fixture *f, uint64_t node, uint64_t fh, bool plus, uint32_t size,
			 uint64_t nodes[FILES])
{
	uint8_t buf[8192], seen[FILES] = {0};
	unsigned count = 0, dots = 0;
	uint64_t off = 0;
	ssize_t n;

	while ((n = read_dir(f, plus ? FUSE_READDIRPLUS : FUSE_READDIR, node, fh, off, buf, size)) > 0) {
		for (size_t at = 0; at < (size_t)n;) {
			const struct fuse_dirent *d = (const void *)(buf + at);
			char name[NAME_MAX + 1] = {0};
			unsigned number;

			if (plus)
				d = &((const struct fuse_direntplus *)(const void *)d)->dirent;
			memcpy(name, d->name, d->namelen);
			if (name[0] == '.') {
				dots++;
			} else {
				assert_int_equal(sscanf(name, "f%u", &number), 1);
				assert_true(number < FILES && !seen[number]);
				seen[number] = 1;
				count++;
				if (plus)
					nodes[number] =
						((const struct fuse_direntplus *)(const void *)(buf + at))
							->entry_out.nodeid;
			}
			off = d->off;
			at += plus ? FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET_DIRENTPLUS + d->namelen)
				   : FUSE_DIRENT_SIZE(d);
		}
	}
	assert_int_equal(n, 0);
	assert_int_equal(dots, 2);
	return count;
}

static void test_readdir(void **state)
{
	static const uint32_t sizes[] = {300, 1000, 4096, 8192};
	struct fixture *f = *state;
	uint64_t fh, nodes[FILES];
	uint8_t buf[64];

	for (unsigned i = 0; i < FILES; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%u", i);
		fixture_file(f->fd, name, "");
	}
	fh = open_dir(f, FUSE_ROOT_ID);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		assert_int_equal(list_all(f, FUSE_ROOT_ID, fh, false, sizes[i], NULL), FILES);
		assert_int_equal(list_all(f, FUSE_ROOT_ID, fh, true, sizes[i], nodes), FILES);
		/* Each entry was one lookup: as many are forgotten, and then there is none. */
		for (unsigned n = 0; n < FILES; n++) {
			struct fuse_attr_out attr;

			assert_int_equal(get_attr(f, nodes[n], &attr), 0);
			forget(f, nodes[n], 1);
			assert_int_equal(get_attr(f, nodes[n], &attr), -ESTALE);
		}
	}
	/* No room for an entry is no end. */
	assert_int_equal(read_dir(f, FUSE_READDIR, FUSE_ROOT_ID, fh, 0, buf, 8), -EINVAL);
	assert_int_equal(read_dir(f, FUSE_READDIRPLUS, FUSE_ROOT_ID, fh, 0, buf, 64), -EINVAL);
	/* Offsets that nobody gave out are an error or some place, and no harm. */
	(void)read_dir(f, FUSE_READDIR, FUSE_ROOT_ID, fh, UINT64_MAX, buf, 64);
	(void)read_dir(f, FUSE_READDIR, FUSE_ROOT_ID, fh, INT64_MAX, buf, 64);
	assert_int_equal(list_all(f, FUSE_ROOT_ID, fh, false, 4096, NULL), FILES);
}

static void test_dir_handles(void **state)
{
	struct fixture *f = *state;
	const struct fuse_open_in open_in = {0};
	struct fuse_release_in in = {0};
	struct fuse_fsync_in sync_in = {0};
	struct fuse_open_out out;
	uint8_t buf[1024];
	uint64_t a;

	fixture_file(f->fd, "a", "");
	a = node_of(f, FUSE_ROOT_ID, "a");
	assert_int_equal(ask(f, FUSE_OPENDIR, a, &open_in, sizeof(open_in), NULL, &out, sizeof(out)),
			 -ENOTDIR);
	assert_int_equal(ask(f, FUSE_OPENDIR, 77, &open_in, sizeof(open_in), NULL, &out, sizeof(out)),
			 -ESTALE);
	in.fh = sync_in.fh = open_dir(f, FUSE_ROOT_ID);
	assert_int_equal(ask(f, FUSE_FSYNCDIR, FUSE_ROOT_ID, &sync_in, sizeof(sync_in), NULL, NULL, 0), 0);
	assert_int_equal(read_dir(f, FUSE_READDIR, a, in.fh, 0, buf, sizeof(buf)), -EBADF);
	assert_int_equal(ask(f, FUSE_RELEASEDIR, FUSE_ROOT_ID, &in, sizeof(in), NULL, NULL, 0), 0);
	assert_int_equal(ask(f, FUSE_RELEASEDIR, FUSE_ROOT_ID, &in, sizeof(in), NULL, NULL, 0), -EBADF);
	assert_int_equal(read_dir(f, FUSE_READDIR, FUSE_ROOT_ID, in.fh, 0, buf, sizeof(buf)), -EBADF);
	assert_int_equal(read_dir(f, FUSE_READDIR, FUSE_ROOT_ID, UINT64_MAX, 0, buf, sizeof(buf)), -EBADF);
	assert_int_equal(ask(f, FUSE_FSYNCDIR, FUSE_ROOT_ID, &sync_in, sizeof(sync_in), NULL, NULL, 0),
			 -EBADF);
}

/* ---- what is never opened, and what is never reached ---- */

static int open_node(struct fixture *f, uint64_t node, uint32_t flags)
{
	const struct fuse_open_in in = {.flags = flags};
	struct fuse_open_out out;

	return ask(f, FUSE_OPEN, node, &in, sizeof(in), NULL, &out, sizeof(out));
}

static void test_special_files(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(mkfifoat(f->fd, "fifo", 0666), 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/root/socket", f->top);
	assert_int_equal(bind(s, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(symlinkat("../secret", f->fd, "link"), 0);
	assert_int_equal(open_node(f, node_of(f, FUSE_ROOT_ID, "fifo"), O_RDONLY), -EACCES);
	assert_int_equal(open_node(f, node_of(f, FUSE_ROOT_ID, "fifo"), O_WRONLY), -EACCES);
	assert_int_equal(open_node(f, node_of(f, FUSE_ROOT_ID, "socket"), O_RDWR), -EACCES);
	assert_int_equal(open_node(f, node_of(f, FUSE_ROOT_ID, "link"), O_RDONLY), -ELOOP);
	if (mknodat(f->fd, "null", S_IFCHR | 0666, makedev(1, 3)) == 0)
		assert_int_equal(open_node(f, node_of(f, FUSE_ROOT_ID, "null"), O_RDONLY), -EACCES);
	close(s);
}

static int create(struct fixture *f, const char *name, uint32_t flags)
{
	const struct fuse_create_in in = {.flags = flags, .mode = 0644};
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out;

	return ask(f, FUSE_CREATE, FUSE_ROOT_ID, &in, sizeof(in), name, &out, sizeof(out));
}

static void test_create_opens_no_special_file(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mkfifoat(f->fd, "fifo", 0666), 0);
	assert_int_equal(symlinkat("../secret", f->fd, "link"), 0);
	assert_int_equal(symlinkat("../new", f->fd, "dangling"), 0);
	assert_int_equal(create(f, "fifo", O_RDWR), -EACCES);
	assert_int_equal(create(f, "link", O_RDWR), -ELOOP);
	assert_int_equal(create(f, "dangling", O_RDWR), -ELOOP);
	assert_int_equal(create(f, "dangling", O_RDWR | O_EXCL), -EEXIST);
	assert_int_equal(faccessat(f->top_fd, "new", F_OK, 0), -1);
}

static void test_links_lead_nowhere(void **state)
{
	struct fixture *f = *state;
	struct fuse_entry_out e;

	assert_int_equal(symlinkat("..", f->fd, "up"), 0);
	assert_int_equal(symlinkat("/", f->fd, "top"), 0);
	assert_int_equal(symlinkat("/proc/self/root", f->fd, "magic"), 0);
	for (unsigned i = 0; i < 3; i++) {
		static const char *const names[] = {"up", "top", "magic"};
		uint64_t node = node_of(f, FUSE_ROOT_ID, names[i]);

		assert_int_equal(look_up(f, node, "secret", &e), -ENOTDIR);
		assert_int_equal(make_dir(f, node, "x", &e), -ENOTDIR);
		assert_int_equal(rename_to(f, FUSE_ROOT_ID, names[i], node, "x", 0), -ENOTDIR);
	}
}

/* Somebody on the host turns a directory into a link to the outside and back all the time. */
struct racer {
	int fd;
	bool stop;
};

static void *race(void *arg)
{
	struct racer *r = arg;

	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE)) {
		syscall(SYS_renameat2, r->fd, "d", r->fd, "link", RENAME_EXCHANGE);
		sched_yield();
	}
	return NULL;
}

static void test_race(void **state)
{
	struct fixture *f = *state;
	struct racer racer = {.fd = f->fd};
	unsigned found = 0;
	pthread_t thread;

	assert_int_equal(mkdirat(f->fd, "d", 0755), 0);
	fixture_file(f->fd, "d/secret", "no secret");
	assert_int_equal(symlinkat("..", f->fd, "link"), 0);
	assert_int_equal(pthread_create(&thread, NULL, race, &racer), 0);
	for (unsigned i = 0; i < 3000; i++) {
		struct fuse_entry_out dir, e;

		if (look_up(f, FUSE_ROOT_ID, i % 2 ? "d" : "link", &dir) < 0)
			continue;
		if (look_up(f, dir.nodeid, "secret", &e) == 0) {
			assert_int_not_equal(e.attr.ino, f->secret.st_ino);
			found++;
			forget(f, e.nodeid, 1);
		}
		forget(f, dir.nodeid, 1);
	}
	__atomic_store_n(&racer.stop, true, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(found > 0);
}

/* ---- read-only shares ---- */

static void test_read_only(void **state)
{
	struct fixture *f = *state;
	const struct fuse_setattr_in attr_in = {.valid = FATTR_MODE, .mode = 0600};
	struct fuse_attr_out attr;
	struct fuse_entry_out e;
	uint64_t a;

	fixture_file(f->fd, "a", "text");
	a = node_of(f, FUSE_ROOT_ID, "a");
	assert_int_equal(make_dir(f, FUSE_ROOT_ID, "d", &e), -EROFS);
	assert_int_equal(make_node(f, "n", S_IFREG | 0644, &e), -EROFS);
	assert_int_equal(make_link(f, a, "b", &e), -EROFS);
	assert_int_equal(unlink_name(f, FUSE_UNLINK, FUSE_ROOT_ID, "a"), -EROFS);
	assert_int_equal(unlink_name(f, FUSE_RMDIR, FUSE_ROOT_ID, "d"), -EROFS);
	assert_int_equal(rename_to(f, FUSE_ROOT_ID, "a", FUSE_ROOT_ID, "b", 0), -EROFS);
	assert_int_equal(fs_rig_call(&f->rig, FUSE_SYMLINK, FUSE_ROOT_ID, "a\0b", 4, NULL, 0, &e, sizeof(e)),
			 -EROFS);
	assert_int_equal(create(f, "n", O_RDWR), -EROFS);
	assert_int_equal(ask(f, FUSE_SETATTR, a, &attr_in, sizeof(attr_in), NULL, &attr, sizeof(attr)),
			 -EROFS);
	assert_int_equal(open_node(f, a, O_WRONLY), -EROFS);
	assert_int_equal(open_node(f, a, O_RDWR), -EROFS);
	assert_int_equal(open_node(f, a, O_RDONLY | O_TRUNC), -EROFS);
	assert_int_equal(open_node(f, a, O_RDONLY), 0);
}

/* ---- too many ---- */

static void test_many_inodes(void **state)
{
	struct rlimit old, few = {.rlim_cur = 400};
	struct fixture f;
	uint64_t dir, nodes[600];

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	fixture_begin(&f, false, FILE_CACHE_AUTO);
	assert_int_equal(mkdirat(f.fd, "d", 0755), 0);
	dir = node_of(&f, FUSE_ROOT_ID, "d");
	for (unsigned i = 0; i < 600; i++) {
		char name[16];

		snprintf(name, sizeof(name), "d/%u", i);
		fixture_file(f.fd, name, "");
		nodes[i] = node_of(&f, dir, name + 2);
	}
	/* All are still there, though not all can be open. */
	for (unsigned i = 0; i < 600; i++) {
		struct fuse_attr_out attr;
		struct stat st;
		char name[16];

		snprintf(name, sizeof(name), "d/%u", i);
		assert_int_equal(get_attr(&f, nodes[i], &attr), 0);
		assert_int_equal(fstatat(f.fd, name, &st, 0), 0);
		assert_int_equal(attr.attr.ino, st.st_ino);
	}
	fixture_end(&f);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

/* With its name gone or given to another, a file whose descriptor was closed is stale, not another one. */
static void test_closed_inodes(void **state)
{
	struct rlimit old, few = {.rlim_cur = 400};
	struct fuse_attr_out attr;
	struct fixture f;
	uint64_t kept, lost, swapped;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	fixture_begin(&f, false, FILE_CACHE_AUTO);
	fixture_file(f.fd, "kept", "1");
	fixture_file(f.fd, "lost", "22");
	fixture_file(f.fd, "swapped", "333");
	fixture_file(f.fd, "other", "4444");
	kept = node_of(&f, FUSE_ROOT_ID, "kept");
	lost = node_of(&f, FUSE_ROOT_ID, "lost");
	swapped = node_of(&f, FUSE_ROOT_ID, "swapped");
	for (unsigned i = 0; i < 400; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%u", i);
		fixture_file(f.fd, name, "");
		(void)node_of(&f, FUSE_ROOT_ID, name);
	}
	/* The guest removes one: it keeps it. The host does: it is gone. */
	assert_int_equal(unlink_name(&f, FUSE_UNLINK, FUSE_ROOT_ID, "kept"), 0);
	assert_int_equal(unlinkat(f.fd, "lost", 0), 0);
	assert_int_equal(renameat(f.fd, "other", f.fd, "swapped"), 0);
	/* One of these may get the number of the lost file. */
	for (unsigned i = 0; i < 50; i++) {
		struct fuse_entry_out e;
		char name[16];

		snprintf(name, sizeof(name), "fifo%u", i);
		assert_int_equal(mkfifoat(f.fd, name, 0666), 0);
		assert_int_equal(look_up(&f, FUSE_ROOT_ID, name, &e), 0);
		assert_true(S_ISFIFO(e.attr.mode));
		assert_int_equal(open_node(&f, e.nodeid, O_RDONLY), -EACCES);
	}
	assert_int_equal(get_attr(&f, kept, &attr), 0);
	assert_int_equal(attr.attr.size, 1);
	assert_int_equal(get_attr(&f, lost, &attr), -ESTALE);
	assert_int_equal(get_attr(&f, swapped, &attr), -ESTALE);
	fixture_end(&f);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

static void test_many_opens(void **state)
{
	struct rlimit old, few = {.rlim_cur = 400};
	const struct fuse_open_in in = {0};
	struct fuse_open_out out;
	struct fixture f;
	unsigned opened = 0;
	int r = 0;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	fixture_begin(&f, false, FILE_CACHE_AUTO);
	for (unsigned i = 0; i < 2000; i++) {
		r = ask(&f, FUSE_OPENDIR, FUSE_ROOT_ID, &in, sizeof(in), NULL, &out, sizeof(out));
		if (r < 0)
			continue;
		opened++;
	}
	assert_int_equal(r, -EMFILE);
	assert_true(opened > 100 && opened < 400);
	/* Others are served. */
	fixture_file(f.fd, "a", "");
	(void)node_of(&f, FUSE_ROOT_ID, "a");
	fs_rig_reset(&f.rig);
	assert_int_equal(fs_rig_session(&f.rig), 0);
	(void)open_dir(&f, FUSE_ROOT_ID);
	fixture_end(&f);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

/* ---- what the kernel shows of itself ---- */

static void test_hollow(void **state)
{
	struct file_share share = {.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)};
	struct fixture f = {0};
	struct fuse_entry_out e;
	struct fuse_attr_out attr;
	const struct fuse_setattr_in in = {.valid = FATTR_MODE, .mode = 0755};
	uint8_t buf[1024];
	uint64_t proc;
	ssize_t n;

	(void)state;
	fs_rig_init(&f.rig, &share);
	proc = node_of(&f, FUSE_ROOT_ID, "proc");
	assert_int_equal(look_up(&f, proc, "self", &e), -ENOENT);
	assert_int_equal(look_up(&f, proc, "1", &e), -ENOENT);
	assert_int_equal(look_up(&f, proc, "version", &e), -ENOENT);
	assert_int_equal(make_dir(&f, proc, "x", &e), -EROFS);
	assert_int_equal(unlink_name(&f, FUSE_RMDIR, proc, "1"), -EROFS);
	assert_int_equal(ask(&f, FUSE_SETATTR, proc, &in, sizeof(in), NULL, &attr, sizeof(attr)), -EROFS);
	assert_int_equal(get_attr(&f, proc, &attr), 0);
	assert_true(S_ISDIR(attr.attr.mode));
	n = read_dir(&f, FUSE_READDIR, proc, open_dir(&f, proc), 0, buf, sizeof(buf));
	assert_int_equal(n, 2 * FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + 1));
	fs_rig_finish(&f.rig);
	close(share.root_fd);
}

/* Handles of such directories have descriptors as others have: what is kept for others stays free. */
static void test_many_hollow_opens(void **state)
{
	struct rlimit old, few = {.rlim_cur = 400};
	struct file_share share = {.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)};
	const struct fuse_open_in in = {0};
	struct fuse_open_out out;
	struct fixture f, all = {0};
	uint64_t node, proc;
	unsigned fds;
	int r = 0;

	(void)state;
	fixture_begin(&f, false, FILE_CACHE_AUTO);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	fs_rig_init(&all.rig, &share);
	fds = open_fds();
	proc = node_of(&all, FUSE_ROOT_ID, "proc");
	node = node_of(&all, node_of(&all, FUSE_ROOT_ID, "tmp"), strrchr(f.top, '/') + 1);
	for (unsigned i = 0; i < 500; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%u", i);
		fixture_file(f.top_fd, name, "");
		(void)node_of(&all, node, name);
	}
	for (unsigned i = 0; i < 500 && r == 0; i++)
		r = ask(&all, FUSE_OPENDIR, proc, &in, sizeof(in), NULL, &out, sizeof(out));
	assert_int_equal(r, -EMFILE);
	assert_in_range(open_fds() - fds, 100, 400 - 64);
	fs_rig_finish(&all.rig);
	close(share.root_fd);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	fixture_end(&f);
}

static void test_cache_modes(void **state)
{
	static const enum file_cache modes[] = {FILE_CACHE_AUTO, FILE_CACHE_LONG, FILE_CACHE_WRITEBACK};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		struct fixture f;
		uint32_t flags;

		fixture_begin(&f, false, modes[i]);
		flags = f.rig.init.flags;
		assert_int_equal(!(flags & FUSE_AUTO_INVAL_DATA), modes[i] == FILE_CACHE_LONG);
		assert_int_equal(!(flags & FUSE_CACHE_SYMLINKS), modes[i] != FILE_CACHE_LONG);
		assert_int_equal(!(flags & FUSE_WRITEBACK_CACHE), modes[i] != FILE_CACHE_WRITEBACK);
		assert_true(flags & FUSE_DO_READDIRPLUS && flags & FUSE_HANDLE_KILLPRIV_V2);
		assert_false(flags &
			     (FUSE_EXPORT_SUPPORT | FUSE_POSIX_ACL | FUSE_DONT_MASK | FUSE_SUBMOUNTS));
		assert_int_equal(f.rig.init.max_write, 1 << 20);
		assert_int_equal(f.rig.init.max_pages, 256);
		fixture_end(&f);
	}
	struct fixture f;
	fixture_begin(&f, true, FILE_CACHE_WRITEBACK);
	assert_false(f.rig.init.flags & FUSE_WRITEBACK_CACHE);
	fixture_end(&f);
}

#define CASE(name_) cmocka_unit_test_setup_teardown(name_, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_lookup),
		CASE(test_many_nodes),
		CASE(test_names),
		CASE(test_forget),
		CASE(test_batch_forget),
		CASE(test_make),
		CASE(test_no_devices),
		CASE(test_symlink),
		CASE(test_link),
		CASE(test_rename),
		CASE(test_readdir),
		CASE(test_dir_handles),
		CASE(test_special_files),
		CASE(test_create_opens_no_special_file),
		CASE(test_links_lead_nowhere),
		CASE(test_race),
		cmocka_unit_test_setup_teardown(test_read_only, setup_read_only, teardown),
		cmocka_unit_test(test_many_inodes),
		cmocka_unit_test(test_closed_inodes),
		cmocka_unit_test(test_many_opens),
		cmocka_unit_test(test_hollow),
		cmocka_unit_test(test_many_hollow_opens),
		cmocka_unit_test(test_cache_modes),
	};

	return cmocka_run_group_tests_name("file server: directories", tests, NULL, NULL);
}
