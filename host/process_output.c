/* Output: read ahead up to a limit, then its writer waits; and when to stop expecting more. */
#include "process.h"

#include <poll.h>
#include <stdlib.h>

#define UNREAD_LIMIT ((size_t)256 * 1024)
#define READ_SIZE ((size_t)64 * 1024)
#define SILENCE_SECONDS 0.2

static const char *const stream_names[] = { "stdout", "stderr" };

static bool is_at_end(const Process *p) {
  return p->silent || p->failure != 0 || (!p->streams[0].open && !p->streams[1].open);
}

bool process_is_ready(const Process *p) {
  if (p->collects)
    return p->too_large || p->failure != 0 || (is_at_end(p) && !p->running);
  return p->streams[0].length > 0 || p->streams[1].length > 0 || is_at_end(p);
}

static void notify_reader(Process *p) {
  if (p->reader != NULL && process_is_ready(p))
    task_wake(&p->reader->wait);
}

static void end_in_silence(Process *p) {
  p->silent = true;
  for (int i = 0; i < 2; i++) {
    if (p->streams[i].open)
      uv_read_stop((uv_stream_t *)&p->streams[i].pipe);
  }
  notify_reader(p);
}

/* The loop may have been late itself, with output in the pipe since long. */
static bool has_output_waiting(const Stream *s) {
  uv_os_fd_t fd;
  if (!s->open || uv_fileno((const uv_handle_t *)&s->pipe, &fd) != 0)
    return false;
  struct pollfd readable = { .fd = fd, .events = POLLIN };
  return poll(&readable, 1, 0) > 0;
}

static void watch_for_silence(Process *p);

static void on_silence(Host *host, Alarm *alarm) {
  (void)host;
  Process *p = (Process *)alarm;
  if (has_output_waiting(&p->streams[0]) || has_output_waiting(&p->streams[1]))
    watch_for_silence(p);
  else
    end_in_silence(p);
}

/* After the leader's end, whoever keeps a pipe open gets a moment; and another one after each piece of output. */
static void watch_for_silence(Process *p) {
  if (p->running || p->owner == NULL || is_at_end(p) || p->streams[0].paused || p->streams[1].paused)
    alarm_cancel(p->host, &p->silence);
  else if (!alarm_set(p->host, &p->silence, SILENCE_SECONDS, on_silence))
    end_in_silence(p);
}

bool process_is_outside(const Host *host) {
  const Process *p = host->processes != NULL ? host->processes->first : NULL;
  while (p != NULL && !p->running && p->silence.place == 0)
    p = p->next;
  return p != NULL;
}

void process_notify(Process *p) {
  watch_for_silence(p);
  notify_reader(p);
}

static void on_room_needed(uv_handle_t *handle, size_t suggested, uv_buf_t *room) {
  (void)suggested;
  Stream *s = (Stream *)handle;
  *room = uv_buf_init(NULL, 0);
  if (s->capacity - s->length < READ_SIZE) {
    size_t capacity = s->capacity == 0 ? READ_SIZE : s->capacity * 2;
    char *data = realloc(s->data, capacity);
    if (data == NULL)
      return;
    s->data = data;
    s->capacity = capacity;
  }
  *room = uv_buf_init(s->data + s->length, (unsigned)(s->capacity - s->length));
}

static void pause_reading(Stream *s) {
  s->paused = true;
  uv_read_stop((uv_stream_t *)&s->pipe);
}

static void take_in(Process *p, Stream *s, size_t count) {
  if (s->length == 0)
    s->arrival = p->arrivals++;
  s->length += count;
  p->total += count;
  if (p->collects)
    p->too_large = p->total > p->max_bytes;
  if (p->collects ? p->too_large : s->length >= UNREAD_LIMIT)
    pause_reading(s);
}

static void on_output(uv_stream_t *pipe, ssize_t count, const uv_buf_t *room) {
  (void)room;
  Process *p = pipe->data;
  Stream *s = (Stream *)pipe;
  if (count == 0)
    return; /* nothing yet */
  if (count > 0) {
    take_in(p, s, (size_t)count);
  } else if (count == UV_ENOBUFS && s->length > 0 && !p->collects) {
    pause_reading(s); /* there will be room when this is read */
  } else {
    if (count != UV_EOF)
      p->failure = (int)count;
    process_close_stream(s);
  }
  process_notify(p);
}

int process_start_reading(Stream *s) {
  s->paused = false;
  int err = uv_read_start((uv_stream_t *)&s->pipe, on_room_needed, on_output);
  s->open = err == 0;
  return err;
}

static Stream *oldest_unread(Process *p) {
  Stream *a = &p->streams[0], *b = &p->streams[1];
  if (a->length == 0 || b->length == 0)
    return a->length > 0 ? a : b;
  return a->arrival < b->arrival ? a : b;
}

int process_push_output(lua_State *L, Process *p) {
  Stream *s = oldest_unread(p);
  if (s->length == 0) {
    if (p->failure != 0)
      return host_fail_uv(L, p->failure, "cannot read the process's output");
    lua_pushnil(L);
    return 1;
  }
  lua_pushlstring(L, s->data, s->length);
  lua_pushstring(L, stream_names[s - p->streams]);
  s->length = 0;
  if (s->paused && s->open && !p->silent) {
    process_start_reading(s);
    watch_for_silence(p);
  }
  return 2;
}

void process_set_output(lua_State *L, const Process *p) {
  for (int i = 0; i < 2; i++) {
    lua_pushlstring(L, p->streams[i].data, p->streams[i].length);
    lua_setfield(L, -2, stream_names[i]);
  }
}
