/* What threads leave for the main thread: notices for the center, and sessions that have to go. One
 * bell for all (uv_async merges rings), bounded, and limited per second and kind, so that a program
 * that is refused a million times a second costs its own time and not the center's. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "base/clock.h"

/* May one more of this name go out in this second? The caller holds the lock. *ret_dropped: how
 * many did not before. */
static bool rate_allows(struct mail *m, const char *name, uint64_t *ret_dropped)
{
    uint64_t second = clock_ns() / NS_PER_S;
    struct notice_rate *rate = m->rates;

    while (rate->name && strcmp(rate->name, name) != 0 &&
           rate < m->rates + AGENT_NOTICE_KINDS - 1) {
        rate++;
    }
    rate->name = name;
    *ret_dropped = 0;
    if (rate->second != second) {
        *ret_dropped = rate->dropped;
        rate->second = second;
        rate->sent = rate->dropped = 0;
    }
    if (rate->sent >= AGENT_NOTICES_PER_S) {
        rate->dropped++;
        return false;
    }
    rate->sent++;
    return true;
}

void agent_notice(struct agent *a, enum log_level level, const char *name, const char *format, ...)
{
    struct mail *m = &a->mail;
    char text[WHY_BYTES], quoted[WHY_BYTES + 64];
    uint64_t dropped;
    va_list arguments;
    bool allowed;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&m->lock);
    allowed = rate_allows(m, name, &dropped);
    if (allowed && m->notices_count < AGENT_NOTICES_MAX) {
        struct notice *n = &m->notices[m->notices_count++];

        n->name = name;
        memcpy(n->text, text, sizeof(text));
    }
    pthread_mutex_unlock(&m->lock);
    if (allowed) {
        log_write(level, name, "text=%s not_shown_before=%llu",
                  log_quote(text, quoted, sizeof(quoted)), (unsigned long long)dropped);
        uv_async_send(&m->bell);
    }
}

void agent_condemn(struct agent *a, uint64_t client)
{
    pthread_mutex_lock(&a->mail.lock);
    a->mail.condemned = client;
    pthread_mutex_unlock(&a->mail.lock);
    uv_async_send(&a->mail.bell);
}

void mail_read(struct agent *a)
{
    struct mail *m = &a->mail;
    struct notice notices[AGENT_NOTICES_MAX];
    uint64_t condemned;
    size_t count;

    pthread_mutex_lock(&m->lock);
    count = m->notices_count;
    memcpy(notices, m->notices, count * sizeof(notices[0]));
    m->notices_count = 0;
    condemned = m->condemned;
    m->condemned = 0;
    pthread_mutex_unlock(&m->lock);
    for (size_t i = 0; i < count; i++) {
        struct event e = { .type = EVENT_NOTICE,
                           .name = (char *)(uintptr_t)notices[i].name,
                           .text = notices[i].text };

        watch_send(&a->watch, &e);
    }
    if (condemned) {
        doors_condemn(&a->doors, condemned);
    }
}
