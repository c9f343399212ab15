/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The layers of the sandbox in words; see sandbox.h. */
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "hull/util.h"
#include "sandbox/layers.h"

static const char *const names[SANDBOX_LAYERS] = {
	[LAYER_NAMESPACES] = "namespaces",     [LAYER_ROOT] = "root",         [LAYER_UID] = "uid",
	[LAYER_CAPABILITIES] = "capabilities", [LAYER_LANDLOCK] = "landlock", [LAYER_FILTERS] = "filters",
};

const char *sandbox_layer_name(enum sandbox_layer layer)
{
	return names[layer];
}

void layer_note(struct sandbox_state *state, enum sandbox_layer layer, int r)
{
	state->why[layer] = r < 0 ? r : 0;
	if (r < 0)
		state->have &= ~(1u << layer);
	else
		state->have |= 1u << layer;
}

bool layer_is_wanted(const struct sandbox_state *state, enum sandbox_layer layer)
{
	return state->wanted >> layer & 1;
}

bool layer_is_there(const struct sandbox_state *state, enum sandbox_layer layer)
{
	return state->have >> layer & 1;
}

int layer_check(const struct sandbox *sb, struct err *err)
{
	const struct sandbox_state *state = &sb->state;

	if (sb->mode != SANDBOX_STRICT)
		return 0;
	for (unsigned i = 0; i < SANDBOX_LAYERS; i++) {
		const int why = state->why[i] < 0 ? state->why[i] : -ENOTSUP;

		if (layer_is_wanted(state, i) && !layer_is_there(state, i))
			return err_set(err, why,
				       "--sandbox strict: '%s' is missing: %s ('hull doctor' says more)",
				       names[i], strerrordesc_np(-why));
	}
	return 0;
}

/* ---- for people ---- */

static void add(char text[static SANDBOX_TEXT], const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(char text[static SANDBOX_TEXT], const char *fmt, ...)
{
	const size_t at = strlen(text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text + at, SANDBOX_TEXT - at, fmt, ap);
	va_end(ap);
}

static void add_namespaces(const struct sandbox_state *state, char text[static SANDBOX_TEXT])
{
	static const struct {
		unsigned flag;
		const char *name;
	} list[] = {
		{CLONE_NEWUSER, "user"}, {CLONE_NEWNS, "mount"}, {CLONE_NEWNET, "network"},
		{CLONE_NEWIPC, "IPC"},   {CLONE_NEWUTS, "UTS"},  {CLONE_NEWCGROUP, "cgroup"},
		{CLONE_NEWPID, "PID"},
	};
	const char *before = "namespaces (";

	for (unsigned i = 0; i < ARRAY_SIZE(list); i++) {
		if (!(state->namespaces & list[i].flag))
			continue;
		add(text, "%s%s", before, list[i].name);
		before = ", ";
	}
	add(text, ")");
}

static void add_layer(const struct sandbox_state *state, enum sandbox_layer layer,
		      char text[static SANDBOX_TEXT])
{
	switch (layer) {
	case LAYER_NAMESPACES:
		add_namespaces(state, text);
		break;
	case LAYER_ROOT:
		add(text, "empty root");
		break;
	case LAYER_UID:
		add(text, "unprivileged user");
		break;
	case LAYER_CAPABILITIES:
		add(text, "no capabilities");
		break;
	case LAYER_LANDLOCK:
		add(text, "Landlock (ABI %d)", state->landlock_abi);
		break;
	case LAYER_FILTERS:
		add(text, "system call filters");
		break;
	case SANDBOX_LAYERS:
		break;
	}
}

void sandbox_describe(const struct sandbox_state *state, char text[static SANDBOX_TEXT])
{
	const unsigned missing = state->wanted & ~state->have;
	const char *before = "";

	text[0] = '\0';
	for (unsigned i = 0; i < SANDBOX_LAYERS; i++) {
		if (!layer_is_there(state, i))
			continue;
		add(text, "%s", before);
		add_layer(state, i, text);
		before = ", ";
	}
	before = "; missing: ";
	for (unsigned i = 0; i < SANDBOX_LAYERS; i++) {
		if (!(missing >> i & 1))
			continue;
		add(text, "%s%s", before, names[i]);
		if (state->why[i] < 0)
			add(text, " (%s)", strerrordesc_np(-state->why[i]));
		before = ", ";
	}
}
