/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prints the wall clock in nanoseconds since the epoch: busybox has seconds only. */
#include <stdio.h>
#include <time.h>

int main(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	printf("%lld%09ld\n", (long long)ts.tv_sec, ts.tv_nsec);
	return 0;
}
