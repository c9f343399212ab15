/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file of a machine's state: sections with names and checksums; see snapshot.h for the format. */
#include "hull/snapshot.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "hull/util.h"

static const uint8_t magic[8] = {'H', 'U', 'L', 'L', 'S', 'N', 'A', 'P'};

/* Where the fields of the header are. It is the same in every version of the format. */
enum { AT_ARCH = 8, AT_VERSION = 12, AT_SECTIONS = 16, AT_HEADER_CRC = 20, HEADER_BYTES = 24 };

/* Where the fields before a section's name are. */
enum { AT_NAME_LEN = 0, AT_KIND_LEN = 2, AT_CONTENT_LEN = 4, AT_CRC = 8, SECTION_BYTES = 12 };

enum {
	FIRST_CAPACITY = 64 << 10, /* more than small machines need */
	CONTENT_ALIGN = 16,        /* of what a reader is given: any structure may be there */
};

/* What stands before a section's name, as numbers. */
struct head {
	size_t name, kind, content; /* lengths in bytes */
	uint32_t crc;
};

static struct head read_head(const uint8_t *p)
{
	return (struct head){
		.name = load_le16(p + AT_NAME_LEN),
		.kind = load_le16(p + AT_KIND_LEN),
		.content = load_le32(p + AT_CONTENT_LEN),
		.crc = load_le32(p + AT_CRC),
	};
}

static size_t head_total(const struct head *h)
{
	return SECTION_BYTES + h->name + h->kind + h->content;
}

/* The CRC of the section of `len` bytes at `p`. */
static uint32_t section_crc(const uint8_t *p, size_t len)
{
	static const uint8_t none[SECTION_BYTES - AT_CRC] = {0};
	uLong crc = crc32(0, p, AT_CRC);

	crc = crc32(crc, none, sizeof(none));
	return (uint32_t)crc32(crc, p + SECTION_BYTES, (uInt)(len - SECTION_BYTES));
}

/* True for 1 to SNAPSHOT_MAX_NAME - 1 printable bytes of ASCII. */
static bool is_name(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < len; i++) {
		if (p[i] < ' ' || p[i] > '~')
			return false;
	}
	return len >= 1 && len < SNAPSHOT_MAX_NAME;
}

/* ---- writing ---- */

struct snapshot_writer {
	uint8_t *bytes; /* the file so far; its header is made at the end */
	size_t len, cap;
	unsigned count;
	uint32_t names[SNAPSHOT_MAX_SECTIONS]; /* their CRCs, to find one that is there twice */
	struct err err;                        /* what went wrong first */
};

int snapshot_writer_create(struct snapshot_writer **ret_writer, struct err *err)
{
	struct snapshot_writer *w = calloc(1, sizeof(*w));

	if (w)
		w->bytes = malloc(FIRST_CAPACITY);
	if (!w || !w->bytes) {
		free(w);
		return err_errno(err, -ENOMEM, "a snapshot's state");
	}
	w->cap = FIRST_CAPACITY;
	w->len = HEADER_BYTES;
	*ret_writer = w;
	return 0;
}

void snapshot_writer_destroy(struct snapshot_writer *w)
{
	if (!w)
		return;
	free(w->bytes);
	free(w);
}

void snapshot_writer_fail(struct snapshot_writer *w, const struct err *err)
{
	if (w->err.code == 0)
		w->err = *err;
}

static bool compare_all(const struct snapshot_writer *w, const char *name, size_t len)
{
	for (size_t at = HEADER_BYTES; at < w->len;) {
		struct head h = read_head(w->bytes + at);

		if (h.name == len && memcmp(w->bytes + at + SECTION_BYTES, name, len) == 0)
			return true;
		at += head_total(&h);
	}
	return false;
}

static uint32_t name_crc(const void *name, size_t len)
{
	return (uint32_t)crc32(0, name, (uInt)len);
}

/* The machine stands still meanwhile, and there may be thousands. */
static bool has_section(const struct snapshot_writer *w, const char *name, size_t len)
{
	uint32_t crc = name_crc(name, len);

	for (unsigned i = 0; i < w->count; i++) {
		if (w->names[i] == crc)
			return compare_all(w, name, len);
	}
	return false;
}

/* Room for `len` more bytes. */
static int make_room(struct snapshot_writer *w, size_t len)
{
	size_t cap = w->cap;
	uint8_t *bytes;

	if (len > SNAPSHOT_MAX_BYTES - w->len || w->count == SNAPSHOT_MAX_SECTIONS)
		return err_set(&w->err, -EFBIG, "a snapshot's state is larger than %d MiB or %d sections",
			       SNAPSHOT_MAX_BYTES >> 20, SNAPSHOT_MAX_SECTIONS);
	while (cap - w->len < len)
		cap *= 2;
	if (cap == w->cap)
		return 0;
	bytes = block_grow(w->bytes, w->len, cap);
	if (!bytes)
		return err_errno(&w->err, -ENOMEM, "a snapshot's state");
	w->bytes = bytes;
	w->cap = cap;
	return 0;
}

/* Adds a section all but its content and its CRC. Returns where it begins; NULL: it cannot be. */
static uint8_t *begin_section(struct snapshot_writer *w, const char *name, const char *kind, size_t len)
{
	struct head h = {.name = strlen(name), .kind = strlen(kind), .content = len};
	uint8_t *p;

	if (w->err.code < 0)
		return NULL;
	if (!is_name(name, h.name) || !is_name(kind, h.kind) || has_section(w, name, h.name)) {
		err_set(&w->err, -EINVAL, "a snapshot's section '%s' of kind '%s' is no name or there twice",
			name, kind);
		return NULL;
	}
	/* Before the sum, which it keeps from wrapping. */
	if (len > SNAPSHOT_MAX_BYTES)
		len = SNAPSHOT_MAX_BYTES;
	if (make_room(w, SECTION_BYTES + h.name + h.kind + len) < 0)
		return NULL;
	p = w->bytes + w->len;
	store_le16(p + AT_NAME_LEN, (uint16_t)h.name);
	store_le16(p + AT_KIND_LEN, (uint16_t)h.kind);
	store_le32(p + AT_CONTENT_LEN, (uint32_t)len);
	memcpy(p + SECTION_BYTES, name, h.name);
	memcpy(p + SECTION_BYTES + h.name, kind, h.kind);
	return p;
}

/* The content of the section at `p` is there. */
static void end_section(struct snapshot_writer *w, uint8_t *p)
{
	struct head h = read_head(p);

	store_le32(p + AT_CRC, section_crc(p, head_total(&h)));
	w->names[w->count++] = name_crc(p + SECTION_BYTES, h.name);
	w->len += head_total(&h);
}

static uint8_t *content_of(uint8_t *p)
{
	struct head h = read_head(p);

	return p + SECTION_BYTES + h.name + h.kind;
}

void snapshot_put(struct snapshot_writer *w, const char *name, const struct state_table *table,
		  const void *obj)
{
	size_t len = state_size(table);
	uint8_t *p = begin_section(w, name, table->name, len);

	if (!p)
		return;
	assert(len <= STATE_MAX_BYTES);
	state_save(table, obj, content_of(p), len);
	end_section(w, p);
}

void snapshot_put_bytes(struct snapshot_writer *w, const char *name, const char *kind, const void *bytes,
			size_t len)
{
	uint8_t *p = begin_section(w, name, kind, len);

	if (!p)
		return;
	if (len > 0)
		memcpy(content_of(p), bytes, len);
	end_section(w, p);
}

int snapshot_writer_finish(struct snapshot_writer *w, const void **ret_bytes, size_t *ret_len,
			   struct err *err)
{
	uint8_t *p = w->bytes;

	if (w->err.code < 0) {
		if (err)
			*err = w->err;
		return w->err.code;
	}
	memcpy(p, magic, sizeof(magic));
	store_le32(p + AT_ARCH, SNAPSHOT_X86_64);
	store_le32(p + AT_VERSION, SNAPSHOT_FORMAT);
	store_le32(p + AT_SECTIONS, w->count);
	store_le32(p + AT_HEADER_CRC, (uint32_t)crc32(0, p, AT_HEADER_CRC));
	*ret_bytes = p;
	*ret_len = w->len;
	return 0;
}

/* ---- reading ---- */

struct section {
	char name[SNAPSHOT_MAX_NAME], kind[SNAPSHOT_MAX_NAME];
	const uint8_t *bytes;
	size_t len;
	bool asked; /* for snapshot_check_complete() */
};

struct snapshot {
	uint8_t *bytes; /* the contents, one after the other */
	struct section *sections;
	struct section **by_name; /* the same in the order of their names */
	unsigned count;
};

/* *ret_count: the sections, which there is room for. */
static int check_header(const uint8_t *p, size_t len, unsigned *ret_count, struct err *err)
{
	uint32_t version, arch, count;

	if (len < sizeof(magic) || memcmp(p, magic, sizeof(magic)) != 0)
		return err_set(err, -EINVAL, "it is no state of a hull snapshot");
	if (len < HEADER_BYTES)
		return err_set(err, -EINVAL, "the state is cut short: %zu bytes", len);
	if (len > SNAPSHOT_MAX_BYTES)
		return err_set(err, -EINVAL, "the state is larger than %d MiB", SNAPSHOT_MAX_BYTES >> 20);
	if (load_le32(p + AT_HEADER_CRC) != crc32(0, p, AT_HEADER_CRC))
		return err_set(err, -EINVAL, "the header of the state is damaged: its checksum is wrong");
	version = load_le32(p + AT_VERSION);
	arch = load_le32(p + AT_ARCH);
	count = load_le32(p + AT_SECTIONS);
	if (version > SNAPSHOT_FORMAT)
		return err_set(err, -EINVAL, "made by a newer hull: format %u, and this one knows up to %d",
			       version, SNAPSHOT_FORMAT);
	if (version == 0)
		return err_set(err, -EINVAL, "the state has format 0, which there is not");
	if (arch != SNAPSHOT_X86_64)
		return err_set(err, -EINVAL, "made on another architecture: number %u, and this is x86-64",
			       arch);
	if (count > SNAPSHOT_MAX_SECTIONS)
		return err_set(err, -EINVAL, "the state has %u sections, and at most %d can be", count,
			       SNAPSHOT_MAX_SECTIONS);
	if (count > (len - HEADER_BYTES) / SECTION_BYTES)
		return err_set(err, -EINVAL, "the state is cut short: %u sections are not in %zu bytes",
			       count, len);
	*ret_count = count;
	return 0;
}

/* Section `index` at `p`, with `len` bytes to the end of the file; its content goes to *to. */
static int take_section(struct snapshot *s, unsigned index, const uint8_t *p, size_t len, uint8_t **to,
			size_t *ret_used, struct err *err)
{
	struct section *section = &s->sections[index];
	const uint8_t *name, *kind;
	struct head h;

	if (len < SECTION_BYTES)
		return err_set(err, -EINVAL, "the state is cut short in section %u of %u", index + 1,
			       s->count);
	h = read_head(p);
	if (len < head_total(&h))
		return err_set(err, -EINVAL, "the state is cut short in section %u of %u", index + 1,
			       s->count);
	if (h.crc != section_crc(p, head_total(&h)))
		return err_set(err, -EINVAL,
			       "section %u of %u of the state is damaged: its checksum is wrong", index + 1,
			       s->count);
	name = p + SECTION_BYTES;
	kind = name + h.name;
	if (!is_name(name, h.name) || !is_name(kind, h.kind))
		return err_set(err, -EINVAL, "section %u of %u of the state has a name or kind that is none",
			       index + 1, s->count);
	memcpy(section->name, name, h.name);
	memcpy(section->kind, kind, h.kind);
	memcpy(*to, kind + h.kind, h.content);
	section->bytes = *to;
	section->len = h.content;
	*to += align_up(h.content, CONTENT_ALIGN);
	*ret_used = head_total(&h);
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	const struct section *const *left = a, *const *right = b;

	return strcmp((*left)->name, (*right)->name);
}

static int sort_names(struct snapshot *s, struct err *err)
{
	for (unsigned i = 0; i < s->count; i++)
		s->by_name[i] = &s->sections[i];
	qsort(s->by_name, s->count, sizeof(struct section *), compare_names);
	for (unsigned i = 1; i < s->count; i++) {
		if (strcmp(s->by_name[i - 1]->name, s->by_name[i]->name) == 0)
			return err_set(err, -EINVAL, "the state has the section '%s' twice",
				       s->by_name[i]->name);
	}
	return 0;
}

static int take_sections(struct snapshot *s, const uint8_t *p, size_t len, struct err *err)
{
	uint8_t *to = s->bytes;

	for (unsigned i = 0; i < s->count; i++) {
		size_t used = 0;
		int r = take_section(s, i, p, len, &to, &used, err);

		if (r < 0)
			return r;
		p += used;
		len -= used;
	}
	if (len > 0)
		return err_set(err, -EINVAL, "the state has %zu bytes after its last section", len);
	return sort_names(s, err);
}

int snapshot_open(struct snapshot **ret_snapshot, const void *bytes, size_t len, struct err *err)
{
	struct snapshot *s;
	unsigned count = 0;
	int r = check_header(bytes, len, &count, err);

	if (r < 0)
		return r;
	s = calloc(1, sizeof(*s));
	if (s) {
		s->count = count;
		s->bytes = malloc(len + (size_t)count * CONTENT_ALIGN);
		s->sections = calloc(count + 1, sizeof(s->sections[0]));
		s->by_name = calloc(count + 1, sizeof(struct section *));
	}
	if (!s || !s->bytes || !s->sections || !s->by_name)
		r = err_errno(err, -ENOMEM, "a snapshot's state");
	else
		r = take_sections(s, (const uint8_t *)bytes + HEADER_BYTES, len - HEADER_BYTES, err);
	if (r < 0)
		snapshot_close(s);
	else
		*ret_snapshot = s;
	return r;
}

void snapshot_close(struct snapshot *s)
{
	if (!s)
		return;
	free(s->bytes);
	free(s->sections);
	free(s->by_name);
	free(s);
}

unsigned snapshot_count(const struct snapshot *s)
{
	return s->count;
}

struct snapshot_section snapshot_section(const struct snapshot *s, unsigned index)
{
	const struct section *section = &s->sections[index];

	return (struct snapshot_section){section->name, section->kind, section->bytes, section->len};
}

static int compare_key(const void *key, const void *element)
{
	const struct section *const *section = element;

	return strcmp(key, (*section)->name);
}

static struct section *find(const struct snapshot *s, const char *name)
{
	struct section **found = bsearch(name, s->by_name, s->count, sizeof(struct section *), compare_key);

	return found ? *found : NULL;
}

bool snapshot_has(const struct snapshot *s, const char *name)
{
	return find(s, name);
}

static struct section *ask(struct snapshot *s, const char *name, const char *kind, int *ret_error,
			   struct err *err)
{
	struct section *section = find(s, name);

	if (!section) {
		*ret_error = err_set(err, -ENOENT, "the state has no section '%s'", name);
		return NULL;
	}
	if (strcmp(section->kind, kind) != 0) {
		*ret_error = err_set(err, -EINVAL,
				     "the section '%s' of the state is of the kind '%s' instead of '%s'",
				     name, section->kind, kind);
		return NULL;
	}
	section->asked = true;
	return section;
}

int snapshot_get(struct snapshot *s, const char *name, const struct state_table *table, void *obj,
		 struct err *err)
{
	int r = 0;
	const struct section *section = ask(s, name, table->name, &r, err);

	if (!section)
		return r;
	r = state_load(table, obj, section->bytes, section->len, err);
	return r < 0 ? err_prefix(err, "section '%s'", name), r : 0;
}

int snapshot_get_bytes(struct snapshot *s, const char *name, const char *kind, const void **ret_bytes,
		       size_t *ret_len, struct err *err)
{
	int r = 0;
	const struct section *section = ask(s, name, kind, &r, err);

	if (!section)
		return r;
	*ret_bytes = section->bytes;
	*ret_len = section->len;
	return 0;
}

int snapshot_check_complete(const struct snapshot *s, struct err *err)
{
	for (unsigned i = 0; i < s->count; i++) {
		if (!s->sections[i].asked)
			return err_set(
				err, -EINVAL,
				"the state has a section '%s' (%s), which nothing of this machine takes",
				s->sections[i].name, s->sections[i].kind);
	}
	return 0;
}
