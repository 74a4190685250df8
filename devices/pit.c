/* The 8254 interval timer (ports 40h-43h) and the PC's port 61h, which gates channel 2. Intel 8254 data sheet (231164-005).
 *
 * A channel's counter and OUT pin are functions of (mode, period, start tick, now): nothing counts down by itself. Ticks come
 * from the partition clock at 1 193 182 Hz by integer arithmetic, so there is no drift. Only channel 0 has an observer, IRQ 0:
 * one event stands at its next change of OUT. OUT changes at ticks, so the event always moves to a later cycle. Choices where
 * the sheet is silent: before the first control word OUT is high and no count is loaded; a count of 1, illegal in modes 2 and
 * 3, is taken as 2; hexadecimal digits in a BCD count weigh their value. Leaves out: channel 1's DRAM refresh (the channel
 * counts, nobody listens), the speaker, and port 61h's NMI sources.
 */
#include <stdlib.h>

#include "devices/device.h"
#include "devices/trace_ids.h"

#define PIT_HZ 1193182ULL

/* Ticks are signed, because a square wave may begin in the middle of a cycle that would have started before tick 0. They end
 * at TICK_LIMIT, thousands of years ahead, so that sums of them do not overflow. */
typedef int64_t tick_t;
#define TICK_LIMIT (INT64_C(1) << 60)
#define TICK_NEVER INT64_MAX

enum { CHANNELS = 3, EDGES = 3 };
enum pit_access { ACCESS_LATCH, ACCESS_LOW, ACCESS_HIGH, ACCESS_BOTH };
enum pit_phase {
    PHASE_IDLE,     /* no count, or no trigger yet */
    PHASE_COUNTING, /* the counter holds `period` at start_tick, which may still come */
    PHASE_PAUSED,   /* the gate is low after paused_ticks of counting */
};

struct pit_channel {
    uint8_t mode;   /* 0-5 */
    uint8_t access; /* enum pit_access, as the control word has it */
    bool bcd, gate;
    bool high_next_write, high_next_read; /* the second byte of two is due */
    uint8_t low_byte;                     /* the first one written */
    bool count_latched, status_latched;
    uint16_t latched_count;
    uint8_t latched_status;

    uint8_t phase;
    uint32_t period;   /* in ticks, 1..65536; 0: no count was ever loaded */
    uint32_t reload;   /* what was written last; 0: nothing since the control word */
    bool reload_waits; /* modes 2 and 3: `reload` takes over at switch_tick */
    tick_t start_tick, switch_tick, paused_ticks;
};
struct pit {
    struct machine *machine;
    struct irq_lines *irqs;
    unsigned source;
    int event;
    uint8_t port61; /* bits 3:0 as written: gate 2, speaker, two NMI masks */
    struct pit_channel channel[CHANNELS];
};

static tick_t pit_tick(const struct pit *p, uint64_t cycle)
{
    uint64_t tick = clock_ticks(&p->machine->clock, cycle, PIT_HZ);
    return tick < (uint64_t)TICK_LIMIT ? (tick_t)tick : TICK_LIMIT;
}
static tick_t pit_now(const struct pit *p)
{
    return pit_tick(p, machine_now(p->machine));
}

/* ---- the channel as a function of the tick ---- */

static bool started(const struct pit_channel *c, tick_t tick)
{
    return c->phase == PHASE_PAUSED || (c->phase == PHASE_COUNTING && tick >= c->start_tick);
}

/* Ticks counted since the counter held `period`. */
static tick_t elapsed(const struct pit_channel *c, tick_t tick)
{
    return c->phase == PHASE_PAUSED ? c->paused_ticks : started(c, tick) ? tick - c->start_tick : 0;
}

static uint32_t high_ticks(uint32_t period)
{
    return (period + 1) / 2; /* mode 3: odd periods are high one tick longer */
}

/* The OUT pin, mode by mode ("Mode Definitions"). */
static bool channel_out(const struct pit_channel *c, tick_t tick)
{
    tick_t e = elapsed(c, tick);
    switch (c->mode) {
    case 0:
        return c->phase != PHASE_IDLE && started(c, tick) && e >= c->period;
    case 1:
        return !started(c, tick) || e >= c->period;
    case 2:
        return c->phase != PHASE_COUNTING || !started(c, tick) || e % c->period != c->period - 1;
    case 3:
        return c->phase != PHASE_COUNTING || !started(c, tick) || e % c->period < high_ticks(c->period);
    default:
        return c->phase != PHASE_COUNTING || !started(c, tick) || e != c->period;
    }
}

/* The counting element as a read shows it. */
static uint16_t channel_count(const struct pit_channel *c, tick_t tick)
{
    uint32_t modulus = c->bcd ? 10000 : 65536, period = c->period, value;
    if (period == 0) {
        return 0;
    }
    tick_t e = elapsed(c, tick);
    if (c->mode == 2) {
        value = period - (uint32_t)(e % period);
    } else if (c->mode == 3) {
        uint32_t in_cycle = (uint32_t)(e % period), high = high_ticks(period);
        uint32_t in_half = in_cycle < high ? in_cycle : in_cycle - high;
        value = (period & ~1u) - 2 * in_half;
    } else {
        value = period + modulus - (uint32_t)(e % modulus); /* goes on below zero */
    }
    value %= modulus;
    if (c->bcd) {
        value = value % 10 | (value / 10 % 10) << 4 | (value / 100 % 10) << 8 | (value / 1000) << 12;
    }
    return (uint16_t)value;
}

/* The first tick after `tick` at which OUT may change; TICK_NEVER: never without the guest's doing. */
static tick_t channel_next_edge(const struct pit_channel *c, tick_t tick)
{
    if (c->phase != PHASE_COUNTING) {
        return TICK_NEVER;
    }
    tick_t e = elapsed(c, tick), start = c->start_tick, cycle = start + (e - e % c->period);
    const tick_t edges[6][EDGES] = {
        {start + c->period, start + c->period, start + c->period},
        {start, start + c->period, start + c->period},
        {cycle + c->period - 1, cycle + c->period, cycle + 2 * (tick_t)c->period - 1},
        {cycle + high_ticks(c->period), cycle + c->period, cycle + c->period + high_ticks(c->period)},
        {start + c->period, start + c->period + 1, start + c->period + 1},
        {start + c->period, start + c->period + 1, start + c->period + 1},
    };
    tick_t next = c->reload_waits && c->switch_tick > tick ? c->switch_tick : TICK_NEVER;
    for (unsigned i = 0; i < EDGES; i++) {
        if (edges[c->mode][i] > tick && edges[c->mode][i] < next) {
            next = edges[c->mode][i];
        }
    }
    return next;
}

/* A new count of a running rate generator or square wave takes over when its (half) cycle ends. */
static void channel_settle(struct pit_channel *c, tick_t tick)
{
    if (!c->reload_waits || c->phase != PHASE_COUNTING || tick < c->switch_tick) {
        return;
    }
    bool low_half_begins = c->mode == 3 && (c->switch_tick - c->start_tick) % c->period != 0;
    c->period = c->reload;
    c->start_tick = c->switch_tick - (low_half_begins ? high_ticks(c->period) : 0);
    c->reload_waits = false;
}

/* ---- what the guest does to a channel ---- */

static void channel_load(struct pit_channel *c, tick_t tick)
{
    c->period = c->reload;
    c->reload_waits = false;
    c->phase = c->gate ? PHASE_COUNTING : PHASE_PAUSED;
    c->start_tick = tick + 1; /* the CLK pulse after the write or trigger loads the counter */
    c->paused_ticks = 0;
}

static void channel_count_written(struct pit_channel *c, uint32_t count, tick_t tick)
{
    uint32_t digits = (count & 15) + (count >> 4 & 15) * 10 + (count >> 8 & 15) * 100 + (count >> 12) * 1000;
    count = c->bcd ? digits : count;
    if (count == 0) {
        count = c->bcd ? 10000 : 65536;
    } else if (count == 1 && (c->mode == 2 || c->mode == 3)) {
        count = 2;
    }
    c->reload = count;
    if (c->mode == 1 || c->mode == 5) {
        return; /* waits for the trigger */
    }
    bool cycling = (c->mode == 2 || c->mode == 3) && c->phase == PHASE_COUNTING && started(c, tick);
    if (!cycling) {
        channel_load(c, tick);
    } else if (!c->reload_waits) {
        tick_t in_cycle = elapsed(c, tick) % c->period;
        bool high_half = c->mode == 3 && in_cycle < high_ticks(c->period);
        c->switch_tick = tick - in_cycle + (high_half ? high_ticks(c->period) : c->period);
        c->reload_waits = true;
    }
}

static void channel_write(struct pit_channel *c, uint8_t value, tick_t tick)
{
    switch (c->access) {
    case ACCESS_LOW:
        channel_count_written(c, value, tick);
        break;
    case ACCESS_HIGH:
        channel_count_written(c, (uint32_t)value << 8, tick);
        break;
    default:
        if (c->high_next_write) {
            channel_count_written(c, (uint32_t)value << 8 | c->low_byte, tick);
        } else {
            c->low_byte = value;
            if (c->mode == 0) {
                c->phase = PHASE_IDLE; /* the first byte stops the count and lowers OUT */
            }
        }
        c->high_next_write = !c->high_next_write;
        break;
    }
}

static uint8_t channel_read(struct pit_channel *c, tick_t tick)
{
    if (c->status_latched) {
        c->status_latched = false;
        return c->latched_status;
    }
    uint16_t count = c->count_latched ? c->latched_count : channel_count(c, tick);
    bool high = c->access == ACCESS_HIGH || (c->access == ACCESS_BOTH && c->high_next_read);
    if (c->access == ACCESS_BOTH) {
        c->high_next_read = !c->high_next_read;
    }
    if (c->access != ACCESS_BOTH || high) {
        c->count_latched = false;
    }
    return (uint8_t)(high ? count >> 8 : count);
}

static void channel_set_gate(struct pit_channel *c, bool gate, tick_t tick)
{
    if (c->gate == gate) {
        return;
    }
    c->gate = gate;
    bool pauses = c->mode == 0 || c->mode == 4, cycles = c->mode == 2 || c->mode == 3;
    if (!gate) {
        if (c->phase == PHASE_COUNTING && (pauses || cycles)) {
            c->paused_ticks = elapsed(c, tick);
            c->phase = PHASE_PAUSED;
        }
    } else if (pauses) {
        if (c->phase == PHASE_PAUSED) {
            c->phase = PHASE_COUNTING;
            c->start_tick = tick - c->paused_ticks;
        }
    } else if (c->reload != 0) { /* modes 1, 2, 3 and 5: a rising gate triggers */
        bool stays_low = c->mode == 1 && !channel_out(c, tick);
        channel_load(c, tick);
        c->start_tick -= stays_low; /* a one-shot that is retriggered does not end */
    }
}

static void channel_latch_count(struct pit_channel *c, tick_t tick)
{
    if (!c->count_latched) {
        c->latched_count = channel_count(c, tick);
        c->count_latched = true;
    }
}

static void channel_latch_status(struct pit_channel *c, tick_t tick)
{
    if (!c->status_latched) {
        bool null_count = c->reload_waits || c->reload == 0 || !started(c, tick) || c->period != c->reload;
        c->latched_status = (uint8_t)(channel_out(c, tick) << 7 | null_count << 6 | c->access << 4 | c->mode << 1 | c->bcd);
        c->status_latched = true;
    }
}

static void channel_control(struct pit_channel *c, uint8_t word)
{
    uint8_t mode = word >> 1 & 7;
    *c = (struct pit_channel){
        .mode = mode >= 6 ? mode - 4 : mode, /* bit 2 does not count in modes 2 and 3 */
        .access = word >> 4 & 3,
        .bcd = word & 1,
        .gate = c->gate,
        .period = c->period,
    };
}

/* ---- channel 0's line ---- */

static void pit_drive(struct pit *p, uint64_t cycle)
{
    struct pit_channel *c = &p->channel[0];
    tick_t tick = pit_tick(p, cycle);
    channel_settle(c, tick);
    irq_set(p->irqs, p->source, channel_out(c, tick));
    tick_t edge = channel_next_edge(c, tick);
    uint64_t due = edge == TICK_NEVER ? CYCLE_NEVER : clock_cycle_of_ticks(&p->machine->clock, (uint64_t)edge, PIT_HZ);
    if (due != CYCLE_NEVER && due > cycle) {
        event_arm(p->machine->events, p->event, due);
    } else {
        event_disarm(p->machine->events, p->event);
    }
}

/* Edges are taken one by one at their own cycles, also when the clock has moved on: none is lost. Only a restored machine can
 * be more than a second late; it takes the level of now. */
static void pit_due(void *device, uint64_t due_cycle)
{
    struct pit *p = device;
    uint64_t now = machine_now(p->machine);
    pit_drive(p, now - due_cycle > p->machine->clock.hz ? now : due_cycle);
}

/* ---- ports ---- */

static void pit_control(struct pit *p, uint8_t word, tick_t tick)
{
    if (word >> 6 != 3) {
        struct pit_channel *c = &p->channel[word >> 6];
        if ((word >> 4 & 3) == ACCESS_LATCH) {
            channel_latch_count(c, tick);
        } else {
            channel_control(c, word);
        }
        return;
    }
    for (unsigned i = 0; i < CHANNELS; i++) { /* read-back: COUNT# bit 5, STATUS# bit 4, channels in bits 3:1 */
        if (word >> (i + 1) & 1) {
            if (!(word >> 5 & 1)) {
                channel_latch_count(&p->channel[i], tick);
            }
            if (!(word >> 4 & 1)) {
                channel_latch_status(&p->channel[i], tick);
            }
        }
    }
}

static void pit_out(void *device, uint16_t port, unsigned bytes, uint32_t value)
{
    struct pit *p = device;
    tick_t tick = pit_now(p);
    for (unsigned i = 0; i < CHANNELS; i++) {
        channel_settle(&p->channel[i], tick);
    }
    if (port == 0x43) {
        pit_control(p, (uint8_t)value, tick);
    } else {
        struct pit_channel *c = &p->channel[port - 0x40];
        channel_write(c, (uint8_t)value, tick);
        if (!c->high_next_write) {
            TRACE(p->machine->trace, pit_count, TRACE_NO_VP, port - 0x40, c->mode, c->reload);
        }
    }
    pit_drive(p, machine_now(p->machine));
}

static uint32_t pit_in(void *device, uint16_t port, unsigned bytes)
{
    struct pit *p = device;
    if (port == 0x43) {
        return 0xff; /* the control word cannot be read */
    }
    struct pit_channel *c = &p->channel[port - 0x40];
    tick_t tick = pit_now(p);
    channel_settle(c, tick);
    return channel_read(c, tick);
}

/* Port 61h: bit 5 is channel 2's OUT; bit 4 toggles with each DRAM refresh, every 18 ticks. */
static uint32_t port61_in(void *device, uint16_t port, unsigned bytes)
{
    struct pit *p = device;
    tick_t tick = pit_now(p);
    channel_settle(&p->channel[2], tick);
    return p->port61 | (uint32_t)(tick / 18 & 1) << 4 | (uint32_t)channel_out(&p->channel[2], tick) << 5;
}

static void port61_out(void *device, uint16_t port, unsigned bytes, uint32_t value)
{
    struct pit *p = device;
    tick_t tick = pit_now(p);
    p->port61 = value & 0x0f;
    channel_settle(&p->channel[2], tick);
    channel_set_gate(&p->channel[2], value & 1, tick);
}

/* ---- the device ---- */

static void *pit_create(const struct device_env *env)
{
    static const struct port_ops ops = {pit_in, pit_out, 1}, port61_ops = {port61_in, port61_out, 1};
    struct pit *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return NULL;
    }
    p->machine = env->machine;
    p->irqs = env->irqs;
    p->source = irq_connect(env->irqs, 0);
    p->event = event_add(env->machine->events, "pit", pit_due, p);
    if (!ports_add(env->machine->ports, "pit", 0x40, 4, &ops, p) ||
        !ports_add(env->machine->ports, "port61", 0x61, 1, &port61_ops, p)) {
        free(p);
        return NULL;
    }
    return p;
}

static void pit_reset(void *device)
{
    struct pit *p = device;
    p->port61 = 0;
    for (unsigned i = 0; i < CHANNELS; i++) {
        p->channel[i] = (struct pit_channel){.mode = 3, .access = ACCESS_BOTH, .gate = i != 2};
    }
    pit_drive(p, machine_now(p->machine));
}

static void channel_state(struct state *s, struct pit_channel *c)
{
    device_state_u8(s, &c->mode, 5, "pit: mode");
    device_state_u8(s, &c->access, ACCESS_BOTH, "pit: access");
    state_bool(s, &c->bcd);
    state_bool(s, &c->gate);
    state_bool(s, &c->high_next_write);
    state_bool(s, &c->high_next_read);
    state_u8(s, &c->low_byte);
    state_bool(s, &c->count_latched);
    state_bool(s, &c->status_latched);
    state_u16(s, &c->latched_count);
    state_u8(s, &c->latched_status);
    device_state_u8(s, &c->phase, PHASE_PAUSED, "pit: phase");
    state_u32_in(s, &c->period, 0, 65536, "pit: period");
    state_u32_in(s, &c->reload, 0, 65536, "pit: reload");
    state_bool(s, &c->reload_waits);
    state_i64(s, &c->start_tick);
    state_i64(s, &c->switch_tick);
    state_i64(s, &c->paused_ticks);
    /* A start before the clock's own: a channel that was saved paused for longer than this clock has run, and then went on. */
    bool sane = c->start_tick >= -TICK_LIMIT - 65536 && c->start_tick <= TICK_LIMIT + 1 && c->switch_tick >= 0 &&
                c->switch_tick <= TICK_LIMIT + 65536 && c->paused_ticks >= 0 && c->paused_ticks <= TICK_LIMIT + 65536;
    bool counts = c->phase != PHASE_IDLE, cycles = c->mode == 2 || c->mode == 3;
    if (!sane || (counts && c->period < (cycles ? 2 : 1)) || (c->reload_waits && c->reload < 2) || c->access == ACCESS_LATCH) {
        state_fail(s, "pit: a channel in a state that no guest can reach");
        *c = (struct pit_channel){.mode = 3, .access = ACCESS_BOTH};
    }
}

static void pit_state(struct state *s, void *device)
{
    struct pit *p = device;
    state_section(s, "pit", 1);
    device_state_bits(s, &p->port61, 0x0f, "pit: port 61h");
    for (unsigned i = 0; i < CHANNELS; i++) {
        channel_state(s, &p->channel[i]);
    }
}

const struct device_type pit_device = {"pit", pit_create, pit_reset, pit_state, free};
