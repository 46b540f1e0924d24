/* The signals that end a run. A thread waits for them, because a recipe that computes for ever never lets the loop
 * turn, and must be ended all the same. */
#include "signals.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum {
  PATIENCE_MS = 300, /* for the loop, before the thread ends the process itself */
  WAKE = SIGUSR1,    /* tells the thread to look whether it is to end */
};

struct Signals {
  uv_async_t async;
  uv_thread_t thread;
  sigset_t set;
  Host *host;
  void (*asked)(Host *host, void *data);
  void *data;
  int code;
  atomic_int count;
  atomic_bool closing;
};

static void end_now(Signals *signals) {
  process_close(signals->host);
  _exit(signals->code);
}

static void on_async(uv_async_t *async) {
  Signals *signals = async->data;
  if (atomic_load(&signals->count) > 1)
    end_now(signals);
  signals->asked(signals->host, signals->data);
}

static void watch(void *data) {
  Signals *signals = data;
  for (;;) {
    int number;
    if (sigwait(&signals->set, &number) != 0)
      continue;
    if (atomic_load(&signals->closing))
      return;
    if (number == WAKE)
      continue;
    int count = atomic_fetch_add(&signals->count, 1) + 1;
    uv_async_send(&signals->async);
    if (count > 1) {
      uv_sleep(PATIENCE_MS);
      end_now(signals); /* the loop does not turn, so nobody else is in there */
    }
  }
}

/* Those that nohup, or a shell for its background, has not had ignored. */
static void choose(sigset_t *set) {
  static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
  sigemptyset(set);
  sigaddset(set, WAKE);
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    struct sigaction action;
    if (sigaction(numbers[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
      sigaddset(set, numbers[i]);
  }
}

static void on_closed(uv_handle_t *handle) {
  free(handle->data);
}

Signals *signals_open(Host *host, void (*asked)(Host *host, void *data), void *data, int code) {
  Signals *signals = calloc(1, sizeof *signals);
  if (signals == NULL)
    return NULL;
  if (uv_async_init(&host->loop, &signals->async, on_async) != 0) {
    free(signals);
    return NULL;
  }
  uv_unref((uv_handle_t *)&signals->async);
  signals->async.data = signals;
  signals->host = host;
  signals->asked = asked;
  signals->data = data;
  signals->code = code;
  choose(&signals->set);
  if (pthread_sigmask(SIG_BLOCK, &signals->set, NULL) == 0 && uv_thread_create(&signals->thread, watch, signals) == 0)
    return signals;
  uv_close((uv_handle_t *)&signals->async, on_closed);
  return NULL;
}

void signals_close(Signals *signals) {
  if (signals == NULL)
    return;
  atomic_store(&signals->closing, true);
  pthread_kill(signals->thread, WAKE);
  uv_thread_join(&signals->thread);
  uv_close((uv_handle_t *)&signals->async, on_closed);
}
