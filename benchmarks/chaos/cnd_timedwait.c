/* libfaketime shifts pthread_cond_timedwait and leaves out C11's cnd_timedwait, in which librdkafka's main thread sleeps: with the clock an hour
 * ahead that thread slept for an hour. glibc's cnd_t and mtx_t are its pthread types, so the one can be told by the other. */
#include <errno.h>
#include <pthread.h>
#include <threads.h>
#include <time.h>

int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *until)
{
    int answer = pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, until);
    return answer == 0 ? thrd_success : answer == ETIMEDOUT ? thrd_timedout : thrd_error;
}
