/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of running VMs; see vms.h. */
#include "vms.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_fields.h"
#include "control_client.h"
#include "hull/util.h"
#include "run_dir.h"
#include "vm_lock.h"

enum {
	BATCH = 64,       /* asked at a time: each takes a descriptor */
	MAX_VMS = 100000, /* more names than that are no run directory */
};

struct list {
	struct vm_info *vms;
	unsigned count, room;
};

static int add(struct list *list, const char *name)
{
	if (list->count == list->room) {
		unsigned room = list->room ? 2 * list->room : 16;
		struct vm_info *vms = reallocarray(list->vms, room, sizeof(*vms));

		if (!vms)
			return -ENOMEM;
		list->vms = vms;
		list->room = room;
	}
	list->vms[list->count] = (struct vm_info){0};
	snprintf(list->vms[list->count++].status.name, CONFIG_MAX_NAME, "%s", name);
	return 0;
}

/* NAME.lock to NAME; false: it is something else. */
static bool name_of_lock(const char *file, char *name)
{
	static const char suffix[] = ".lock";
	size_t len = strlen(file);

	if (len <= sizeof(suffix) - 1 || len - (sizeof(suffix) - 1) >= CONFIG_MAX_NAME)
		return false;
	len -= sizeof(suffix) - 1;
	if (strcmp(file + len, suffix) != 0)
		return false;
	memcpy(name, file, len);
	name[len] = '\0';
	return config_is_name(name, CONFIG_MAX_NAME - 1);
}

/* Those whose lock is held; the others' leftovers are removed. */
static int find_living(const char *dir, struct list *list)
{
	DIR *d = opendir(dir);
	const struct dirent *entry;
	int r = 0;

	if (!d)
		return -errno;
	while (r == 0 && list->count < MAX_VMS && (entry = readdir(d)) != NULL) {
		char name[CONFIG_MAX_NAME];

		if (!name_of_lock(entry->d_name, name))
			continue;
		if (vm_lock_is_held(dir, name))
			r = add(list, name);
		else
			vm_lock_tidy(dir, name);
	}
	closedir(d);
	return r;
}

static int by_name(const void *a, const void *b)
{
	const struct vm_info *x = a, *y = b;

	return strcmp(x->status.name, y->status.name);
}

/* False: it has gone meanwhile. */
static bool take_answer(struct control_client *client, struct vm_info *vm)
{
	struct control_status status;
	json_t *answer = NULL;
	int r = control_client_receive(client, &answer, NULL, NULL);

	if (r == 0)
		r = control_client_parse_status(answer, &status, NULL);
	json_decref(answer);
	/* The lock's name counts, whatever it says. */
	if (r == 0 && strcmp(status.name, vm->status.name) == 0) {
		vm->answers = true;
		vm->status = status;
	} else {
		vm->status.pid = control_client_pid(client);
	}
	return r != -ESRCH;
}

/* Asks all first, then collects: they answer at the same time, and the silent ones are waited for together.
 */
static void ask(struct vm_info *vms, unsigned count, bool *living)
{
	struct control_client clients[BATCH];

	for (unsigned i = 0; i < count; i++) {
		int r = control_client_open(&clients[i], vms[i].status.name, NULL);

		if (r == 0)
			r = control_client_send(&clients[i], json_pack("{s:s}", "do", "status"), NULL);
		living[i] = r != -ESRCH;
		if (r < 0)
			control_client_close(&clients[i]);
	}
	for (unsigned i = 0; i < count; i++) {
		if (clients[i].fd >= 0)
			living[i] = take_answer(&clients[i], &vms[i]);
		control_client_close(&clients[i]);
	}
}

int vms_list(struct vm_info **ret_vms, unsigned *ret_count, struct err *err)
{
	char dir[CONFIG_MAX_SOCKET];
	struct list list = {0};
	bool living[BATCH];
	unsigned kept = 0;
	int r = run_dir(dir, sizeof(dir), err);

	if (r < 0)
		return r;
	r = find_living(dir, &list);
	if (r < 0) {
		free(list.vms);
		return err_errno(err, r, "%s", dir);
	}
	if (list.count > 0)
		qsort(list.vms, list.count, sizeof(*list.vms), by_name);
	for (unsigned at = 0; at < list.count; at += BATCH) {
		unsigned n = (unsigned)min_u64(BATCH, list.count - at);

		ask(list.vms + at, n, living);
		for (unsigned i = 0; i < n; i++) {
			if (living[i])
				list.vms[kept++] = list.vms[at + i];
		}
	}
	*ret_vms = list.vms;
	*ret_count = kept;
	return 0;
}
