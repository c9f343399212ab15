/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loading modules. The host has put them into order, dependencies first.
 *
 * Debian's modules are signed. To check one signature the kernel hashes the whole module by its
 * plainest code and raises numbers of 4096 bits: a fifth of the time that COMMAND takes, from start to
 * end, and nothing is won by it, as who gave the modules gave the kernel, too. So for COMMAND the
 * signature is left away, and the kernel remembers that (taint "E"). One that insists on signatures
 * gets them: module.sig_enforce=1, or lockdown, on its command line is the way to ask for that.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init.h"

/* The end of a signed module (Linux, include/linux/module_signature.h): PKCS#7, this, and the words. */
static const char signed_words[] = "~Module signature appended~\n";

struct module_signature {
	uint8_t kind[8]; /* nothing of it matters here */
	uint32_t len;    /* big-endian, of the PKCS#7 before this */
};

enum { WORDS_LEN = sizeof(signed_words) - 1, TRAILER_LEN = sizeof(struct module_signature) + WORDS_LEN };

size_t module_unsigned_len(const uint8_t *module, size_t len)
{
	struct module_signature signature;
	size_t rest;

	if (len < TRAILER_LEN || memcmp(module + len - WORDS_LEN, signed_words, WORDS_LEN) != 0)
		return len;
	rest = len - TRAILER_LEN;
	memcpy(&signature, module + rest, sizeof(signature));
	return be32toh(signature.len) < rest ? rest - be32toh(signature.len) : len;
}

/* What the kernel says to the first `len` bytes: 0 or an errno. */
static int give(const void *module, size_t len)
{
	return syscall(SYS_init_module, module, len, "") < 0 ? errno : 0;
}

static int give_file(int fd, bool *with_signature)
{
	struct stat st;
	size_t len;
	void *module;
	int error;

	if (fstat(fd, &st) < 0)
		return errno;
	module = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (module == MAP_FAILED)
		return errno;
	len = *with_signature ? (size_t)st.st_size : module_unsigned_len(module, (size_t)st.st_size);
	error = give(module, len);
	if ((error == EKEYREJECTED || error == EPERM) && len < (size_t)st.st_size) {
		*with_signature = true;
		error = give(module, (size_t)st.st_size);
	}
	munmap(module, (size_t)st.st_size);
	return error;
}

static void load(const char *name, bool *with_signature)
{
	char path[WORD_MAX];
	int error;
	int fd;

	snprintf(path, sizeof(path), "/modules/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		say("%s: %s", path, strerror(errno));
		return;
	}
	/*
	 * "There already" is fine, and so is "no such device": an accelerated
	 * checksum on a CPU without the instruction has a general one beside it.
	 * Any other failure may do no harm either; if it does, the mount says so.
	 */
	error = give_file(fd, with_signature);
	if (error && error != EEXIST && error != ENODEV)
		say("module %s: %s", name, strerror(error));
	close(fd);
	unlink(path); /* it is in the kernel now: give back the memory */
}

void load_modules(bool with_signature)
{
	char *name = read_file("/modules/order");

	while (*name) {
		size_t len = strcspn(name, "\n");
		char *next = name + len + (name[len] == '\n');

		name[len] = '\0';
		if (len > 0)
			load(name, &with_signature);
		name = next;
	}
	unlink("/modules/order");
	rmdir("/modules");
}
