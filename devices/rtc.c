/* The MC146818 real-time clock with 128 bytes of CMOS memory, ports 70h and 71h. Motorola MC146818 data sheet (1984).
 *
 * Wall clock = `seconds` + whole seconds since `second_tick`, counted in ticks of the 32 768 Hz crystal. The time registers are
 * computed when they are read; only while the clock stands (SET, or the divider held) do their bytes rule.
 * Flags PF, AF and UF are brought up to date by rtc_settle() whenever somebody looks. An event is armed only for an enabled
 * interrupt whose line is low: after it fired nothing happens until the guest reads register C, so no rate can flood the
 * emulator. The date survives a reset of the machine; an update takes no time, and UIP shows the 8 ticks (244 us) before it.
 * Leaves out: daylight saving (DSE is kept, not obeyed), the square wave, crystals of other rates, and what the NMI mask masks
 * (there is no such source). Time bytes that are no time (month 13, hour 77) are added up as numbers.
 */
#include <stdlib.h>

#include "devices/device.h"
#include "devices/platform.h"
#include "devices/trace_ids.h"

#define RTC_HZ 32768
enum { UIP_TICKS = 8, CMOS_BYTES = 128 };

enum rtc_register {
    RTC_SECOND,
    RTC_SECOND_ALARM,
    RTC_MINUTE,
    RTC_MINUTE_ALARM,
    RTC_HOUR,
    RTC_HOUR_ALARM,
    RTC_WEEKDAY,
    RTC_DAY,
    RTC_MONTH,
    RTC_YEAR,
    RTC_A,
    RTC_B,
    RTC_C,
    RTC_D,
    RTC_CENTURY = 0x32,
};
enum { A_UIP = 0x80, A_DIVIDER = 0x70, A_DIVIDER_32K = 0x20, A_RATE = 0x0f };
enum { B_SET = 0x80, B_PIE = 0x40, B_AIE = 0x20, B_UIE = 0x10, B_SQWE = 0x08, B_BINARY = 0x04, B_24H = 0x02 };
enum { C_IRQF = 0x80, C_PF = 0x40, C_AF = 0x20, C_UF = 0x10 };
enum { D_VALID = 0x80 };
enum { HOUR_PM = 0x80, ALARM_ANY = 0xc0 };

/* Years 0 to 9999 and then some: far from where sums of seconds could overflow. */
#define SECONDS_LIMIT (INT64_C(1) << 40)
#define TICK_LIMIT (INT64_C(1) << 60)

struct rtc {
    struct machine *machine;
    struct irq_lines *irqs;
    unsigned source;
    int event;
    uint8_t index; /* port 70h bits 6:0 */
    bool nmi_masked;
    uint8_t cmos[CMOS_BYTES];
    uint8_t weekday_shift; /* what the guest's day of the week is ahead of the calendar's, 0-6 */
    int64_t seconds;       /* Unix time at second_tick */
    int64_t second_tick;   /* a tick at which a second began */
    int64_t settled_tick;  /* the flags are right up to here */
};

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}
static int64_t floor_mod(int64_t a, int64_t b)
{
    return a - floor_div(a, b) * b;
}

static int64_t rtc_tick(const struct rtc *r)
{
    uint64_t tick = clock_ticks(&r->machine->clock, machine_now(r->machine), RTC_HZ);
    return tick < (uint64_t)TICK_LIMIT ? (int64_t)tick : TICK_LIMIT;
}
static bool divider_runs(const struct rtc *r)
{
    return (r->cmos[RTC_A] & A_DIVIDER) == A_DIVIDER_32K;
}
static bool clock_runs(const struct rtc *r)
{
    return divider_runs(r) && !(r->cmos[RTC_B] & B_SET);
}
static int64_t seconds_at(const struct rtc *r, int64_t tick)
{
    return r->seconds + floor_div(tick - r->second_tick, RTC_HZ);
}

/* ---- calendar: proleptic Gregorian, days since 1970-01-01; a year of the count begins in March ---- */

struct date {
    int64_t year;
    unsigned month, day; /* 1-12, 1-31 */
};

static struct date date_of_days(int64_t days)
{
    int64_t shifted = days + 719468; /* since 0000-03-01 */
    int64_t era = floor_div(shifted, 146097), in_era = floor_mod(shifted, 146097);
    int64_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    int64_t in_year = in_era - (365 * year + year / 4 - year / 100);
    unsigned march_month = (unsigned)((5 * in_year + 2) / 153);
    unsigned month = march_month < 10 ? march_month + 3 : march_month - 9;
    return (struct date){era * 400 + year + (month <= 2), month, (unsigned)(in_year - (153 * march_month + 2) / 5 + 1)};
}

static int64_t days_of_date(int64_t year, unsigned month, unsigned day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = floor_div(y, 400), in_era = floor_mod(y, 400);
    unsigned march_month = month > 2 ? month - 3 : month + 9;
    int64_t in_year = (153 * (int64_t)march_month + 2) / 5 + day - 1;
    return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719468;
}

/* ---- register bytes: BCD or binary (DM), 12 or 24 hours ---- */

static uint8_t encode(const struct rtc *r, unsigned value)
{
    return (uint8_t)(r->cmos[RTC_B] & B_BINARY ? value : value / 10 % 10 << 4 | value % 10);
}
static unsigned decode(const struct rtc *r, uint8_t byte)
{
    return r->cmos[RTC_B] & B_BINARY ? byte : (byte >> 4) * 10u + (byte & 15);
}
static uint8_t encode_hour(const struct rtc *r, unsigned hour)
{
    if (r->cmos[RTC_B] & B_24H) {
        return encode(r, hour);
    }
    return encode(r, (hour + 11) % 12 + 1) | (hour >= 12 ? HOUR_PM : 0);
}
static unsigned decode_hour(const struct rtc *r, uint8_t byte)
{
    if (r->cmos[RTC_B] & B_24H) {
        return decode(r, byte);
    }
    return decode(r, byte & 0x7f) % 12 + (byte & HOUR_PM ? 12 : 0);
}

static int64_t weekday_of(int64_t seconds)
{
    return floor_mod(floor_div(seconds, 86400) + 4, 7); /* 1970-01-01 was a Thursday; Sunday is 0 here, 1 in the register */
}

/* Time to registers. */
static void registers_load(struct rtc *r, int64_t seconds)
{
    unsigned in_day = (unsigned)floor_mod(seconds, 86400);
    struct date date = date_of_days(floor_div(seconds, 86400));
    r->cmos[RTC_SECOND] = encode(r, in_day % 60);
    r->cmos[RTC_MINUTE] = encode(r, in_day / 60 % 60);
    r->cmos[RTC_HOUR] = encode_hour(r, in_day / 3600);
    r->cmos[RTC_WEEKDAY] = (uint8_t)((weekday_of(seconds) + r->weekday_shift) % 7 + 1);
    r->cmos[RTC_DAY] = encode(r, date.day);
    r->cmos[RTC_MONTH] = encode(r, date.month);
    r->cmos[RTC_YEAR] = encode(r, (unsigned)floor_mod(date.year, 100));
    r->cmos[RTC_CENTURY] = encode(r, (unsigned)floor_mod(floor_div(date.year, 100), 100));
}

/* Registers to time: the second that began last gets this name. */
static void registers_store(struct rtc *r, int64_t tick)
{
    unsigned month = decode(r, r->cmos[RTC_MONTH]);
    month = month < 1 ? 1 : month > 12 ? 12 : month;
    int64_t year = 100 * (int64_t)decode(r, r->cmos[RTC_CENTURY]) + decode(r, r->cmos[RTC_YEAR]);
    int64_t days = days_of_date(year, month, decode(r, r->cmos[RTC_DAY]));
    r->seconds = days * 86400 + decode_hour(r, r->cmos[RTC_HOUR]) * 3600LL + decode(r, r->cmos[RTC_MINUTE]) * 60LL +
                 decode(r, r->cmos[RTC_SECOND]);
    r->second_tick += floor_div(tick - r->second_tick, RTC_HZ) * RTC_HZ;
    r->weekday_shift = (uint8_t)floor_mod(r->cmos[RTC_WEEKDAY] - 1 - weekday_of(r->seconds), 7);
    TRACE(r->machine->trace, rtc_set, TRACE_NO_VP, (uint64_t)r->seconds);
}

/* ---- flags and interrupts ---- */

static int64_t periodic_ticks(const struct rtc *r)
{
    unsigned rate = r->cmos[RTC_A] & A_RATE; /* 1 and 2 are slower than 3, see the sheet's table of rates */
    return rate == 0 ? 0 : rate < 3 ? 64 << rate : 1 << (rate - 1);
}

/* The value that an alarm byte waits for: -1 any (both top bits set), -2 none that the clock ever shows. */
static int alarm_value(const struct rtc *r, enum rtc_register reg, unsigned values)
{
    uint8_t byte = r->cmos[reg];
    if ((byte & ALARM_ANY) == ALARM_ANY) {
        return -1;
    }
    for (unsigned v = 0; v < values; v++) {
        if ((reg == RTC_HOUR_ALARM ? encode_hour(r, v) : encode(r, v)) == byte) {
            return (int)v;
        }
    }
    return -2;
}

/* The first second after `after` that matches the alarm bytes; INT64_MAX when none will. At most 24 + 60 + 60 steps. */
static int64_t next_alarm(const struct rtc *r, int64_t after)
{
    int hour = alarm_value(r, RTC_HOUR_ALARM, 24), minute = alarm_value(r, RTC_MINUTE_ALARM, 60),
        second = alarm_value(r, RTC_SECOND_ALARM, 60);
    if (hour == -2 || minute == -2 || second == -2) {
        return INT64_MAX;
    }
    for (int64_t t = after + 1;;) {
        int in_day = (int)floor_mod(t, 86400);
        if (hour != -1 && in_day / 3600 != hour) {
            t += 3600 - in_day % 3600;
        } else if (minute != -1 && in_day / 60 % 60 != minute) {
            t += 60 - in_day % 60;
        } else if (second != -1 && in_day % 60 != second) {
            t++;
        } else {
            return t;
        }
    }
}

/* Brings PF, AF and UF up to now. */
static void rtc_settle(struct rtc *r)
{
    int64_t tick = rtc_tick(r), before = r->settled_tick < tick ? r->settled_tick : tick;
    int64_t period = periodic_ticks(r);
    if (divider_runs(r) && period != 0 &&
        floor_div(tick - r->second_tick, period) != floor_div(before - r->second_tick, period)) {
        r->cmos[RTC_C] |= C_PF;
    }
    if (clock_runs(r) && seconds_at(r, tick) != seconds_at(r, before)) {
        r->cmos[RTC_C] |= C_UF;
        if (next_alarm(r, seconds_at(r, before)) <= seconds_at(r, tick)) {
            r->cmos[RTC_C] |= C_AF;
        }
    }
    r->settled_tick = tick;
}

/* The first tick after now at which an enabled flag rises; INT64_MAX: none. */
static int64_t next_interrupt(const struct rtc *r)
{
    uint8_t enabled = r->cmos[RTC_B];
    int64_t next = INT64_MAX, now = r->settled_tick, period = periodic_ticks(r), since = now - r->second_tick;
    if ((enabled & B_PIE) && divider_runs(r) && period != 0) {
        next = now + period - floor_mod(since, period);
    }
    if (clock_runs(r) && (enabled & (B_UIE | B_AIE))) {
        int64_t second = now + RTC_HZ - floor_mod(since, RTC_HZ);
        if (!(enabled & B_UIE)) {
            int64_t alarm = next_alarm(r, seconds_at(r, now));
            second = alarm == INT64_MAX ? alarm : second + (alarm - seconds_at(r, now) - 1) * RTC_HZ;
        }
        next = second < next ? second : next;
    }
    return next;
}

/* The line, and the event for its next rise. The flags of C are settled. */
static void rtc_drive(struct rtc *r)
{
    bool raised = r->cmos[RTC_B] & r->cmos[RTC_C] & (C_PF | C_AF | C_UF);
    r->cmos[RTC_C] = (r->cmos[RTC_C] & ~C_IRQF) | (raised ? C_IRQF : 0);
    irq_set(r->irqs, r->source, raised);
    int64_t tick = raised ? INT64_MAX : next_interrupt(r);
    uint64_t due = tick == INT64_MAX ? CYCLE_NEVER : clock_cycle_of_ticks(&r->machine->clock, (uint64_t)tick, RTC_HZ);
    if (due != CYCLE_NEVER && due > machine_now(r->machine)) {
        event_arm(r->machine->events, r->event, due);
    } else {
        event_disarm(r->machine->events, r->event);
    }
}

static void rtc_due(void *device, uint64_t due_cycle)
{
    rtc_settle(device);
    rtc_drive(device);
}

/* ---- ports ---- */

static bool is_time(unsigned index)
{
    return index == RTC_SECOND || index == RTC_MINUTE || index == RTC_HOUR || (index >= RTC_WEEKDAY && index <= RTC_YEAR) ||
           index == RTC_CENTURY;
}

/* DV: leaving a reset of the divider, the first update comes half a second later. */
static void write_a(struct rtc *r, uint8_t value, int64_t tick)
{
    bool ran = clock_runs(r), divided = divider_runs(r);
    if (ran) {
        registers_load(r, seconds_at(r, tick));
    }
    r->cmos[RTC_A] = value & ~A_UIP;
    if (!divided && divider_runs(r)) {
        r->second_tick = tick - RTC_HZ / 2;
    }
    if (!ran && clock_runs(r)) {
        registers_store(r, tick);
    }
}

/* SET stops the updates (and drops UIE); the divider goes on, so seconds keep their phase. */
static void write_b(struct rtc *r, uint8_t value, int64_t tick)
{
    bool ran = clock_runs(r);
    if (ran) {
        registers_load(r, seconds_at(r, tick));
    }
    if (value & B_SET) {
        value &= ~B_UIE;
    }
    r->cmos[RTC_B] = value;
    if (!ran && clock_runs(r)) {
        registers_store(r, tick);
    }
}

static void rtc_write(struct rtc *r, uint8_t value)
{
    int64_t tick = rtc_tick(r);
    switch (r->index) {
    case RTC_A:
        write_a(r, value, tick);
        break;
    case RTC_B:
        write_b(r, value, tick);
        break;
    case RTC_C:
    case RTC_D:
        break; /* read-only */
    default:
        if (is_time(r->index) && clock_runs(r)) {
            registers_load(r, seconds_at(r, tick));
            r->cmos[r->index] = value;
            registers_store(r, tick);
        } else {
            r->cmos[r->index] = value;
        }
        break;
    }
}

static uint8_t rtc_read(struct rtc *r)
{
    int64_t tick = rtc_tick(r);
    uint8_t value = r->cmos[r->index];
    if (r->index == RTC_A) {
        bool soon = clock_runs(r) && floor_mod(tick - r->second_tick, RTC_HZ) >= RTC_HZ - UIP_TICKS;
        value |= soon ? A_UIP : 0;
    } else if (r->index == RTC_C) {
        r->cmos[RTC_C] = 0;
    } else if (is_time(r->index) && clock_runs(r)) {
        registers_load(r, seconds_at(r, tick));
        value = r->cmos[r->index];
    }
    return value;
}

static void rtc_out(void *device, uint16_t port, unsigned bytes, uint32_t value)
{
    struct rtc *r = device;
    if (port == 0x70) {
        r->index = value & 0x7f;
        r->nmi_masked = value >> 7 & 1;
        return;
    }
    rtc_settle(r);
    rtc_write(r, (uint8_t)value);
    rtc_drive(r);
}

static uint32_t rtc_in(void *device, uint16_t port, unsigned bytes)
{
    struct rtc *r = device;
    if (port == 0x70) {
        return 0xff; /* the index is write-only */
    }
    rtc_settle(r);
    rtc_drive(r); /* IRQF shows what has been settled */
    uint8_t value = rtc_read(r);
    rtc_drive(r);
    return value;
}

/* ---- the device ---- */

static void cmos_put16(struct rtc *r, unsigned index, uint64_t value)
{
    value = value > 0xffff ? 0xffff : value;
    r->cmos[index] = (uint8_t)value;
    r->cmos[index + 1] = (uint8_t)(value >> 8);
}

/* What a PC's firmware finds in CMOS: memory sizes (15-18h, 30-31h in KiB; 34-35h and 5B-5Dh in 64 KiB above 16 MiB and 4 GiB),
 * the number of further processors (5Fh), equipment (14h: a floating-point unit), and the sum of 10h-2Dh in 2Eh. */
static void cmos_describe(struct rtc *r, const struct platform_config *config)
{
    uint64_t low = config->ram_bytes < MEMORY_HOLE_GPA ? config->ram_bytes : MEMORY_HOLE_GPA, high = config->ram_bytes - low;
    uint64_t above_1m = low > 1 << 20 ? low - (1 << 20) : 0, above_16m = low > 16 << 20 ? low - (16 << 20) : 0;
    uint64_t base = low >> 10;
    r->cmos[0x14] = 0x02;
    cmos_put16(r, 0x15, base < 640 ? base : 640);
    cmos_put16(r, 0x17, above_1m >> 10);
    cmos_put16(r, 0x30, above_1m >> 10);
    cmos_put16(r, 0x34, above_16m >> 16);
    cmos_put16(r, 0x5b, high >> 16 & 0xffff);
    r->cmos[0x5d] = (uint8_t)(high >> 32);
    r->cmos[0x5f] = (uint8_t)(config->vps - 1);
    unsigned sum = 0;
    for (unsigned i = 0x10; i <= 0x2d; i++) {
        sum += r->cmos[i];
    }
    r->cmos[0x2e] = (uint8_t)(sum >> 8); /* high byte first */
    r->cmos[0x2f] = (uint8_t)sum;
}

static void *rtc_create(const struct device_env *env)
{
    static const struct port_ops ops = {rtc_in, rtc_out, 1};
    struct rtc *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return NULL;
    }
    r->machine = env->machine;
    r->irqs = env->irqs;
    r->source = irq_connect(env->irqs, 8);
    r->event = event_add(env->machine->events, "rtc", rtc_due, r);
    int64_t start = env->config->rtc_unix_seconds;
    r->seconds = start > SECONDS_LIMIT ? SECONDS_LIMIT : start < -SECONDS_LIMIT ? -SECONDS_LIMIT : start;
    r->cmos[RTC_A] = A_DIVIDER_32K | 6; /* 1 024 Hz, as a BIOS leaves it */
    r->cmos[RTC_B] = B_24H;
    r->cmos[RTC_D] = D_VALID;
    cmos_describe(r, env->config);
    if (!ports_add(env->machine->ports, "rtc", 0x70, 2, &ops, r)) {
        free(r);
        return NULL;
    }
    return r;
}

/* The RESET pin clears the enables and the flags; time, alarm and memory have a battery. */
static void rtc_reset(void *device)
{
    struct rtc *r = device;
    rtc_settle(r);
    r->index = 0;
    r->nmi_masked = false;
    r->cmos[RTC_B] &= ~(B_PIE | B_AIE | B_UIE | B_SQWE);
    r->cmos[RTC_C] = 0;
    rtc_drive(r);
}

static void rtc_state(struct state *s, void *device)
{
    struct rtc *r = device;
    state_section(s, "rtc", 1);
    device_state_u8(s, &r->index, CMOS_BYTES - 1, "rtc: index");
    state_bool(s, &r->nmi_masked);
    state_bytes(s, r->cmos, sizeof r->cmos);
    device_state_u8(s, &r->weekday_shift, 6, "rtc: day of the week");
    state_i64(s, &r->seconds);
    state_i64(s, &r->second_tick);
    state_i64(s, &r->settled_tick);
    bool sane = r->seconds >= -SECONDS_LIMIT && r->seconds <= SECONDS_LIMIT && r->second_tick >= -RTC_HZ &&
                r->second_tick <= TICK_LIMIT && r->settled_tick >= 0 && r->settled_tick <= TICK_LIMIT;
    bool reserved = (r->cmos[RTC_A] & A_UIP) || (r->cmos[RTC_C] & 0x0f) || r->cmos[RTC_D] != D_VALID;
    if (!sane || reserved) {
        state_fail(s, "rtc: a time that no clock can reach");
        r->seconds = r->second_tick = r->settled_tick = 0;
    }
}

const struct device_type rtc_device = {"rtc", rtc_create, rtc_reset, rtc_state, free};
