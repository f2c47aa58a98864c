/* Preload this to delay the system call that disarms a timer, as if the thread lost its core after okibi has noted
   that the timer is disarmed. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <time.h>

long syscall(long number, ...)
{
    long (*real)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    long arguments[6];
    va_list all;
    va_start(all, number);
    for (int i = 0; i < 6; i++) arguments[i] = va_arg(all, long);
    va_end(all);
    if (number == SYS_timer_settime) {
        /* struct itimerspec: the interval and the first expiry; a zero expiry disarms. */
        const long *times = (const long *)arguments[2];
        struct timespec while_it_waits = {0, 30000000};
        if (!times[2] && !times[3]) nanosleep(&while_it_waits, 0);
    }
    return real(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
}
