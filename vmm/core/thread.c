/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads; see thread.h. */
#include "hull/thread.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>

static void *run(void *arg)
{
	struct thread *t = arg;

	/* By itself: to name another thread the C library opens a file in /proc. */
	prctl(PR_SET_NAME, t->name);
	if (t->confine)
		t->confine(t->role);
	sem_post(&t->confined);
	t->run(t->arg);
	return NULL;
}

int thread_start(struct thread *t)
{
	pthread_attr_t attr;
	sigset_t all;
	sigset_t old;
	int r;

	sem_init(&t->confined, 0, 0);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, t->stack_bytes ? t->stack_bytes : (size_t)THREAD_STACK_BYTES);
	r = pthread_create(&t->id, &attr, run, t);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	t->started = r == 0;
	return -r;
}

void thread_await(struct thread *t)
{
	while (sem_wait(&t->confined) < 0 && errno == EINTR)
		;
}

void thread_join(struct thread *t)
{
	if (!t->started)
		return;
	pthread_join(t->id, NULL);
	sem_destroy(&t->confined);
	t->started = false;
}
