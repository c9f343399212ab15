/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads; see thread.h. */
#include "hull/thread.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Ends with the process. */
static _Noreturn void wait_for_ever(void)
{
	sem_t never;

	sem_init(&never, 0, 0);
	for (;;)
		sem_wait(&never);
}

static void *run(void *arg)
{
	struct thread *t = arg;
	sigset_t own;

	/* By itself: to name another thread the C library opens a file in /proc. */
	prctl(PR_SET_NAME, t->name);
	if (t->signal) {
		sigemptyset(&own);
		sigaddset(&own, t->signal);
		pthread_sigmask(SIG_UNBLOCK, &own, NULL);
	}
	t->pid = (int)getpid();
	t->tid = (int)gettid();
	if (t->confine)
		t->confine(t->role);
	sem_post(&t->confined);
	t->run(t->arg);
	if (!t->confine)
		return NULL;
	sem_post(&t->ended);
	wait_for_ever();
}

int thread_start(struct thread *t)
{
	pthread_attr_t attr;
	sigset_t all;
	sigset_t old;
	int r;

	sem_init(&t->confined, 0, 0);
	sem_init(&t->ended, 0, 0);
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

static void wait_for(sem_t *sem)
{
	while (sem_wait(sem) < 0 && errno == EINTR)
		;
}

void thread_await(struct thread *t)
{
	wait_for(&t->confined);
}

void thread_join(struct thread *t)
{
	if (!t->started)
		return;
	if (t->confine)
		wait_for(&t->ended);
	else
		pthread_join(t->id, NULL);
	t->started = false;
}

/* Not pthread_kill(), which blocks all signals meanwhile: one system call instead of four. */
void thread_signal(const struct thread *t)
{
	syscall(SYS_tgkill, t->pid, t->tid, t->signal);
}
