/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A thread of hull's: with a name, a role and a filter of system calls, a small stack, and
 * signals blocked, as they are other threads' business. One that has a filter makes no system
 * call for its own end: it waits for that of the process.
 *
 * Thread: the creator's.
 */
#ifndef HULL_THREAD_H
#define HULL_THREAD_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>

#include "hull/syscalls.h"

/* The first fields are the creator's to set. */
struct thread {
	char name[16]; /* as the kernel shows it */
	enum syscall_role role;
	syscall_confine confine; /* NULL: none */
	int signal;              /* the one that is not blocked; 0: none */
	size_t stack_bytes;      /* 0: THREAD_STACK_BYTES */
	void (*run)(void *arg);
	void *arg;

	pthread_t id;
	int pid, tid;   /* the kernel's numbers, from thread_await() on */
	sem_t confined; /* posted with the filter in place */
	sem_t ended;    /* of a thread with a filter */
	bool started;
};

enum { THREAD_STACK_BYTES = 64 << 10 };

/*
 * Starts the thread. It first gives itself its name and its filter. The object stays where it is
 * until the thread has ended. Errors: -EAGAIN.
 */
int thread_start(struct thread *t);

/* Waits until the thread has its filter. Once for each start. */
void thread_await(struct thread *t);

/* Waits for its end; fine when it was not started. */
void thread_join(struct thread *t);

/* Sends it its signal. Any thread of the process, after thread_await(). */
void thread_signal(const struct thread *t);

#endif
