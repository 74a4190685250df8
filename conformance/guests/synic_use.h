/* How the probes of this folder use a SynIC: a clean start, messages to send to oneself, calls of ports.
 *
 * Messages come from the VP's own synthetic timers (set to a time that is past) or from the ports that the scenarios of these
 * probes declare. What an earlier test left queued is drained by synic_open(), so that no test sees another's.
 */
#ifndef GUESTS_SYNIC_USE_H
#define GUESTS_SYNIC_USE_H

#include "kit.h"

enum { SINTS = 16, STIMERS = 4, SLOT_BYTES = 256 };
enum { VECTOR_A = 0x51, VECTOR_B = 0x61 };

/* the `ports` of the scenarios message, event and port */
enum {
    CONNECTION_SINT3 = 0x10,      /* messages to VP 0, SINT 3 */
    CONNECTION_EVENTS = 0x11,     /* events to VP 0, SINT 4, flags 7-10 */
    CONNECTION_SINK = 0x12,       /* messages that nobody reads */
    CONNECTION_SINT5 = 0x13,      /* messages to VP 0, SINT 5 */
    CONNECTION_VP1 = 0x14,        /* messages to VP 1, SINT 3 */
    CONNECTION_EVENTS_VP1 = 0x15, /* events to VP 1, SINT 4, flag 0 */
    CONNECTION_LAST_FLAG = 0x16,  /* events to VP 0, SINT 6, flag 2047 */
    CONNECTION_FLAG_9 = 0x17,     /* events to VP 0, SINT 2, flag 9 */
    CONNECTION_ANY_VP = 0x18,     /* messages to any VP, SINT 7 */
    CONNECTION_EVENTS_ANY = 0x19, /* events to any VP, SINT 7, flag 3 */
    CONNECTION_NO_VP = 0x1a,      /* messages to a VP that is not there */
    CONNECTION_EVENTS_NO_VP = 0x1b,
    CONNECTION_DELETED = 0x1c, /* messages to VP 0, SINT 8; deleted by the timeline at some moment */
    CONNECTION_EVENTS_DELETED = 0x1d,
    CONNECTION_BROKEN = 0x1e, /* messages to VP 0, SINT 9; disconnected then */
    CONNECTION_NONE = 0xfffffe,
    PORT_SINT3 = 0x1234, /* the port of CONNECTION_SINT3 */
    SINT_MESSAGES = 3,
    SINT_MESSAGES_TOO = 5,
    SINT_EVENTS = 4,
    SINT_ANY_VP = 7,
    FLAG_ANY_VP = 3,
    SINT_DELETED = 8,
    SINT_BROKEN = 9,
    SINT_LAST_FLAG = 6,
    SINT_FLAG_9 = 2,
    EVENTS_BASE = 7,
    EVENTS_COUNT = 4,
};

static inline uint32_t sint_msr(unsigned sint)
{
    return HV_X64_MSR_SINT0 + sint;
}

static inline uint32_t config_msr(unsigned timer)
{
    return HV_X64_MSR_STIMER0_CONFIG + 2 * timer;
}

static inline uint32_t count_msr(unsigned timer)
{
    return HV_X64_MSR_STIMER0_COUNT + 2 * timer;
}

/* ---- this VP's SynIC ---- */

/* On, with empty slots, empty queues and no flag set; all SINTs masked, as kit_quiet() leaves them. */
static inline bool synic_open(void)
{
    if (!synic_enable()) {
        return false;
    }
    for (unsigned rounds = 0, found = 1; found != 0 && rounds < 100; rounds++) {
        found = 0;
        for (unsigned sint = 0; sint < SINTS; sint++) {
            found |= message_slot(sint)->type;
            message_slot(sint)->type = HvMessageTypeNone;
        }
        wrmsr(HV_X64_MSR_EOM, 0);
        for (unsigned sint = 0; sint < SINTS; sint++) {
            found |= message_slot(sint)->type;
        }
    }
    memset((void *)simp(), 0, PAGE_BYTES);
    memset((void *)siefp(), 0, PAGE_BYTES);
    return true;
}

static inline void sint_on(unsigned sint, unsigned vector, uint64_t more)
{
    wrmsr(sint_msr(sint), vector | more);
}

static inline bool slot_full(unsigned sint)
{
    return message_slot(sint)->type != HvMessageTypeNone;
}

static inline void slot_clear(unsigned sint)
{
    message_slot(sint)->type = HvMessageTypeNone;
}

static inline void eom(void)
{
    wrmsr(HV_X64_MSR_EOM, 0);
}

enum { ARRIVAL_100NS = 20 * 10000, SILENCE_100NS = 500 }; /* patience, and how long "nothing came" takes */

static inline bool slot_fills(unsigned sint)
{
    return WAIT_FOR(slot_full(sint), ARRIVAL_100NS);
}

/* ---- a message without a sender ---- */

/* The timer's message, due at once. Type 0x80000010; its payload begins with the timer's index. */
static inline void timer_message(unsigned timer, unsigned sint)
{
    wrmsr(config_msr(timer), 0);
    wrmsr(count_msr(timer), 1);
    wrmsr(config_msr(timer), HV_STIMER_ENABLED | HV_STIMER_SINT(sint));
}

static inline uint32_t message_timer(unsigned sint)
{
    return (uint32_t)message_slot(sint)->payload[0];
}

/* ---- ports ---- */

static struct hv_post_message_input post_input __attribute__((aligned(256)));

static inline unsigned post_with(uint32_t connection, uint32_t type, const void *payload, uint32_t bytes)
{
    memset(&post_input, 0, sizeof post_input);
    post_input.connection_id = connection;
    post_input.message_type = type;
    post_input.payload_bytes = bytes;
    memcpy(post_input.payload, payload, bytes < HV_MESSAGE_PAYLOAD_BYTES ? bytes : HV_MESSAGE_PAYLOAD_BYTES);
    return HV_STATUS_OF(hv_call(HvCallPostMessage, gpa_of(&post_input), 0));
}

/* A message of type 1 with one number in it. */
static inline unsigned post(uint32_t connection, uint64_t number)
{
    return post_with(connection, 1, &number, sizeof number);
}

static inline uint64_t message_number(unsigned sint)
{
    return message_slot(sint)->payload[0];
}

static inline unsigned signal(uint32_t connection, uint32_t flag)
{
    return HV_STATUS_OF(hv_fast(HvCallSignalEvent, connection | (uint64_t)flag << 32, 0));
}

static inline bool flag_set(unsigned sint, unsigned flag)
{
    return event_flags(sint)[flag / 64] >> flag % 64 & 1;
}

/* What every test of messages from ports needs. */
#define NEEDS_POSTS()                                                                                                          \
    NEEDS(AccessSynicRegs);                                                                                                    \
    NEEDS(PostMessages);                                                                                                       \
    NEEDS_THAT(hv_enable(), "no hypercall page");                                                                              \
    REQUIRE(synic_open(), "a SynIC register refused")
#define NEEDS_EVENTS()                                                                                                         \
    NEEDS(AccessSynicRegs);                                                                                                    \
    NEEDS(SignalEvents);                                                                                                       \
    NEEDS_THAT(hv_enable(), "no hypercall page");                                                                              \
    REQUIRE(synic_open(), "a SynIC register refused")
#define NEEDS_TIMERS()                                                                                                         \
    NEEDS(AccessSynicRegs);                                                                                                    \
    NEEDS(AccessSyntheticTimerRegs);                                                                                           \
    REQUIRE(synic_open(), "a SynIC register refused")

#endif
