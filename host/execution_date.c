/* Dates of a request: in UTC, to the millisecond, and yet to come; or as long from now as "3h10m" says. */
#include "execution_check.h"

#include "alarm.h"
#include "host.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int number_at(const char *text, int digits) {
  int number = 0;
  for (int i = 0; i < digits; i++)
    number = number * 10 + (text[i] - '0');
  return number;
}

/* 2016-11-18T12:38:16Z, with up to nine digits of a fraction of a second. */
static bool parse_date(const char *text, struct tm *date, int *ms) {
  static const char form[] = "dddd-dd-ddTdd:dd:dd";
  for (size_t i = 0; i < strlen(form); i++) {
    if (form[i] == 'd' ? !isdigit((unsigned char)text[i]) : text[i] != form[i])
      return false;
  }
  *date = (struct tm){
    .tm_year = number_at(text, 4) - 1900,
    .tm_mon = number_at(text + 5, 2) - 1,
    .tm_mday = number_at(text + 8, 2),
    .tm_hour = number_at(text + 11, 2),
    .tm_min = number_at(text + 14, 2),
    .tm_sec = number_at(text + 17, 2),
  };
  const char *end = text + strlen(form);
  char fraction[] = "000";
  if (*end == '.') {
    size_t digits = strspn(++end, "0123456789");
    if (digits == 0 || digits > 9)
      return false;
    memcpy(fraction, end, digits < 3 ? digits : 3);
    end += digits;
  }
  *ms = number_at(fraction, 3);
  return strcmp(end, "Z") == 0;
}

/* There is no February 30th and no 25th hour: timegm would make another day of them. */
static bool is_real(const struct tm *date, time_t *time) {
  struct tm normal = *date;
  *time = timegm(&normal);
  return normal.tm_mon == date->tm_mon && normal.tm_mday == date->tm_mday && normal.tm_hour == date->tm_hour &&
         normal.tm_min == date->tm_min && normal.tm_sec == date->tm_sec;
}

static void write_date(Check *c, const char *until_seconds, int ms) {
  char normal[32];
  int length = snprintf(normal, sizeof normal, "%.19s.%03dZ", until_seconds, ms);
  writer_string(c->out, normal, (size_t)length);
}

/* ---- From now. */

/* Some of 1d2h3m4s, in this order; no more than nine digits each, and so no sum of them overflows. */
static bool parse_duration(const char *text, long long *seconds) {
  static const struct {
    char letter;
    long long seconds;
  } units[] = { { 'd', 86400 }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 } };
  *seconds = 0;
  const char *p = text;
  for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
    size_t digits = strspn(p, "0123456789");
    if (digits == 0 || digits > 9 || p[digits] != units[i].letter)
      continue;
    *seconds += number_at(p, (int)digits) * units[i].seconds;
    p += digits + 1;
  }
  return p > text && *p == '\0';
}

/* The date itself is sent, and so what is shown is when it will be. */
static void check_duration(Check *c, long long seconds) {
  static const double last = 253402300800.0; /* the year 10000 */
  double ms = ceil((clock_wall(host_of(c->L)) + (double)seconds) * 1e3);
  time_t time = (time_t)(ms / 1e3);
  struct tm date;
  char text[32];
  if (seconds == 0)
    check_fault_value(c, "a time in the future", NULL);
  else if (ms / 1e3 >= last || gmtime_r(&time, &date) == NULL)
    check_fault_value(c, "a time before the year 10000", NULL);
  else if (strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &date) > 0)
    write_date(c, text, (int)fmod(ms, 1e3));
}

/* Sent in milliseconds, as the API's own samples are. */
void check_date(Check *c, const char *expected) {
  if (!check_is_name(c, expected))
    return;
  struct tm date;
  time_t seconds;
  int ms;
  long long from_now;
  const char *text = lua_tostring(c->L, -1);
  if (parse_duration(text, &from_now))
    check_duration(c, from_now);
  else if (!parse_date(text, &date, &ms))
    check_fault_value(c, expected, NULL);
  else if (!is_real(&date, &seconds))
    check_fault_value(c, "a day and a time that exist", NULL);
  else if ((double)seconds + ms / 1e3 <= clock_wall(host_of(c->L)))
    check_fault_value(c, "a time in the future", NULL);
  else
    write_date(c, text, ms);
}
