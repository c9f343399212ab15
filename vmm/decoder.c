/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The confined process that decodes; see decoder.h. */
#include "decoder.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/sandbox.h"

/* What the decoding process leaves behind; shared with it. */
struct result {
	int code; /* of the function, or 1 while it runs */
	struct err err;
	struct sandbox_note note;
};

struct job {
	decoder_fn *fn;
	void *arg;
	struct sandbox sandbox;
};

static _Noreturn void decoder(struct job *job, struct result *result)
{
	struct err err = {0};
	int r;

	signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is an error of the write */
	r = sandbox_confine(&job->sandbox, &err);
	if (r == 0) {
		sandbox_thread(ROLE_DECODER);
		r = job->fn(job->arg, &err);
	}
	result->err = err;
	result->code = r;
	_exit(0);
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return status;
}

/* Judges a copy of the result: the process is not trusted. */
static int judge(struct result *result, int status, const char *what, struct err *err)
{
	char text[SANDBOX_VIOLATION_TEXT];

	if (status < 0)
		return err_errno(err, status, "%s: cannot start the decoder", what);
	if (sandbox_violation(&result->note, status, "the decoder", text, sizeof(text)))
		return err_set(err, -EINVAL, "%s: %s", what, text);
	if (WIFSIGNALED(status))
		return err_set(err, -EINVAL, "%s: the decoder was killed by signal %d (%s)", what,
			       WTERMSIG(status), strsignal(WTERMSIG(status)));
	if (result->code > 0)
		return err_set(err, -EINVAL, "%s: the decoder ended without a result", what);
	if (result->code == 0)
		return 0;
	result->err.msg[sizeof(result->err.msg) - 1] = '\0';
	return err_set(err, result->code, "%s", result->err.msg);
}

int decoder_run(decoder_fn *fn, void *arg, const int *keep, unsigned keep_count, const char *what,
		struct err *err)
{
	struct result *shared =
		mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct job job = {.fn = fn, .arg = arg};
	struct result result;
	pid_t pid;
	int status;

	if (shared == MAP_FAILED)
		return err_errno(err, -errno, "%s: memory for the decoder", what);
	shared->code = 1;
	/* Whatever the user wants for his machine: a layer that is missing here is missing there, too. */
	job.sandbox = (struct sandbox){.kind = SANDBOX_DECODER,
				       .mode = SANDBOX_ON,
				       .keep = keep,
				       .keep_count = keep_count,
				       .messages = STDERR_FILENO,
				       .link = -1,
				       .root = -1,
				       .proc = -1,
				       .note = &shared->note};
	pid = sandbox_fork(&job.sandbox, err);
	if (pid == 0)
		decoder(&job, shared);
	status = pid < 0 ? pid : wait_for(pid);
	memcpy(&result, shared, sizeof(result));
	munmap(shared, sizeof(*shared));
	return judge(&result, status, what, err);
}
