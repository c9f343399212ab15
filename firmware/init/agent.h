/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The agent: runs commands for the host, which speaks hull/agent.h over vsock. It is PID 1 of
 * COMMAND mode, or a process beside the root's own init. Call it in the root, when all is mounted.
 */
#ifndef INIT_AGENT_H
#define INIT_AGENT_H

/*
 * As PID 1: connects to the host, which has the machine's one command, and serves others beside it. `dhcp` is
 * the interface that start_network() has configured, or "".
 */
void agent_run_machine(const char *dhcp) __attribute__((noreturn));

/*
 * As a child of PID 1, before that becomes the root's init: serves commands of the host until the
 * machine ends. `name` is argv[0] of this process: it becomes one that init leaves alone.
 */
void agent_serve(char *name, const char *dhcp) __attribute__((noreturn));

/*
 * For a PID 1 that cannot go on before it is the agent: if hull waits for one, tells it `text`, which becomes
 * the line that the user sees, and powers the machine off. Else it returns.
 */
void agent_tell_failure(const char *text);

#endif
