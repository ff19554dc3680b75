/* Low latency: a core of a worker's is kept from halting.
 *
 * Bringing a halted core back takes longer than relaying a packet, on a virtual machine several times as long. So a
 * thread of the lowest class (SCHED_IDLE) runs where the worker does whenever nobody else wants to, and does
 * nothing. That it gets to run is also how the worker knows that it keeps nobody from the core by looking out.
 *
 * A kernel that sees ordinary threads starve behind a real-time one lets them go first for a while. This thread
 * shall not have that: where it runs though the worker has something to do, it sleeps. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "internal.h"

#define PAUSES 20
#define STUCK 16 /* times in a row: some 10 µs */
#define NAP_NS 20000000
#define TURN_NS 4000000 /* nobody who wants the core waits longer for a worker that looks out */

struct vos_awake {
    const struct vos_ring *ring;
    pthread_t thread;
    sem_t stop;
    atomic_uint beat; /* goes up while the thread runs */
    uint64_t turn_ns;
    uint32_t seen; /* the beat when the worker began to rest */
    bool resting;
};

static bool stopped(struct vos_awake *awake, long wait_ns)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += wait_ns;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return sem_timedwait(&awake->stop, &until) == 0;
}

static void *stay(void *argument)
{
    struct vos_awake *awake = argument;
    static const struct sched_param none;
    int stuck = 0;
    if (sched_setscheduler(0, SCHED_IDLE, &none))
        return NULL;
    while (sem_trywait(&awake->stop)) {
        for (int i = 0; i < PAUSES; i++)
            VOS_RELAX();
        atomic_fetch_add_explicit(&awake->beat, 1, memory_order_relaxed);
        stuck = vos_ring_empty(awake->ring) ? 0 : stuck + 1;
        if (stuck == STUCK) {
            if (stopped(awake, NAP_NS))
                break;
            stuck = 0;
        }
        sched_yield();
    }
    return NULL;
}

/* Pins the calling worker to one of its cores, or lets it loose again. */
static bool pin(struct vos_worker *worker, bool on)
{
    cpu_set_t one;
    uint32_t left = worker->number;
    if (!on)
        return pthread_setaffinity_np(pthread_self(), sizeof worker->cores, &worker->cores) == 0;
    if (pthread_getaffinity_np(pthread_self(), sizeof worker->cores, &worker->cores))
        return false;
    for (int core = 0; core < CPU_SETSIZE; core++) {
        if (!CPU_ISSET(core, &worker->cores) || --left)
            continue;
        CPU_ZERO(&one);
        CPU_SET(core, &one);
        return pthread_setaffinity_np(pthread_self(), sizeof one, &one) == 0;
    }
    return false; /* more workers than cores: this one has none of its own */
}

void vos_awake_stop(struct vos_worker *worker)
{
    struct vos_awake *awake = worker->awake;
    if (!awake)
        return;
    worker->awake = NULL;
    sem_post(&awake->stop);
    pthread_setaffinity_np(awake->thread, sizeof worker->cores, &worker->cores); /* to its end on the first core that is free */
    pthread_join(awake->thread, NULL);
    sem_destroy(&awake->stop);
    free(awake);
    pin(worker, false);
}

/* Called by the worker's own thread. The new one inherits its core, and its priority until it has given that up. */
int vos_awake_start(struct vos_worker *worker)
{
    if (worker->awake)
        return 0;
    if (!worker->ring || !vos_ring_may_spin(worker->ring))
        return -ENOSYS;
    struct vos_awake *awake = calloc(1, sizeof *awake);
    if (!awake)
        return -ENOMEM;
    awake->ring = worker->ring;
    sem_init(&awake->stop, 0, 0);
    int error = pin(worker, true) ? pthread_create(&awake->thread, NULL, stay, awake) : EINVAL;
    if (error) {
        pin(worker, false);
        sem_destroy(&awake->stop);
        free(awake);
        return -error;
    }
    worker->awake = awake;
    return 0;
}

/* Once in each turn the worker sleeps until the core was nobody's: then the rest of the turn is its own. */
bool vos_awake_alone(struct vos_awake *awake, uint64_t now_ns)
{
    uint32_t beat = atomic_load_explicit(&awake->beat, memory_order_relaxed);
    if (now_ns - awake->turn_ns < TURN_NS)
        return true;
    if (!awake->resting) {
        awake->resting = true;
        awake->seen = beat;
        return false;
    }
    if (beat == awake->seen)
        return false;
    awake->resting = false;
    awake->turn_ns = now_ns;
    return true;
}
