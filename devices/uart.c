/* Four 16550A UARTs: 3F8h/4, 2F8h/3, 3E8h/4, 2E8h/3. National Semiconductor PC16550D data sheet (June 1995).
 *
 * A written byte leaves at once: the transmitter is always empty (THRE and TEMT read 1), its interrupt follows each write.
 * Boots print much, and at 115 200 baud a polling guest would spend most of its cycles on waiting. Received bytes do take their
 * line time, from divisor and frame: the other end sends one, waits until the receiver has room for the next (as if RTS told
 * it), and so never overruns it. Events: the arrival of the next byte, armed only when one waits and there is room; the
 * character time-out (4 frames), armed only while its interrupt is enabled. A frame takes at least 7 x 16 / 1 843 200 s: 60
 * cycles at the slowest clock. Interrupts reach the ISA line while OUT2 is set and loopback is not, as a PC wires them.
 * Choices: divisor 0 counts as 65 536; reading an empty receiver gives 0.
 * Leaves out: parity, framing and break (the other end sends none; a break of ours is not seen), and DMA mode.
 */
#include "devices/uart.h"

#include <stdlib.h>

#include "devices/device.h"
#include "devices/platform.h"
#include "devices/trace_ids.h"

#define UART_HZ 1843200ULL
enum { FIFO_BYTES = 16, TIMEOUT_FRAMES = 4 };

enum uart_register { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCRATCH };
enum { IER_RX = 0x01, IER_THRE = 0x02, IER_LINE = 0x04, IER_MODEM = 0x08, IER_BITS = 0x0f };
enum {
    IIR_MODEM = 0x00,
    IIR_NONE = 0x01,
    IIR_THRE = 0x02,
    IIR_RX = 0x04,
    IIR_LINE = 0x06,
    IIR_TIMEOUT = 0x0c,
    IIR_FIFO = 0xc0
};
enum { FCR_ENABLE = 0x01, FCR_CLEAR_RX = 0x02, FCR_TRIGGER = 0xc0 };
enum { LCR_STOP = 0x04, LCR_PARITY = 0x08, LCR_DLAB = 0x80 };
enum { MCR_DTR = 0x01, MCR_RTS = 0x02, MCR_OUT1 = 0x04, MCR_OUT2 = 0x08, MCR_LOOP = 0x10, MCR_BITS = 0x1f };
enum { LSR_READY = 0x01, LSR_OVERRUN = 0x02, LSR_EMPTY = 0x60 };
enum { MSR_DELTAS = 0x0b, MSR_TERI = 0x04, MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40, MSR_DCD = 0x80 };

struct uarts;
struct uart {
    struct uarts *all;
    unsigned port, source; /* 0-3; of the ISA line */
    int receive_event, timeout_event;
    uint8_t ier, fcr, lcr, mcr, scratch; /* fcr: enable and trigger bits */
    uint16_t divisor;
    uint8_t msr_delta;
    bool overrun, thre_pending, timed_out;
    unsigned fifo_first, fifo_count; /* without FCR_ENABLE its depth is 1 */
    uint8_t fifo[FIFO_BYTES];
    unsigned queue_first, queue_count; /* bytes on their way from the other end */
    uint8_t queue[UART_QUEUE_BYTES];
};
struct uarts {
    struct machine *machine;
    struct irq_lines *irqs;
    const struct platform_config *config;
    struct uart uart[UARTS];
};

static const struct {
    uint16_t port;
    uint8_t irq;
} uart_places[UARTS] = {{0x3f8, 4}, {0x2f8, 3}, {0x3e8, 4}, {0x2e8, 3}};

/* Cycles of a frame: start bit, 5-8 data bits, parity, and 1, 1.5 (of 5) or 2 stop bits. */
static uint64_t frame_cycles(const struct uart *u)
{
    unsigned data = 5 + (u->lcr & 3), parity = u->lcr & LCR_PARITY ? 1 : 0;
    unsigned stop_halves = !(u->lcr & LCR_STOP) ? 2 : data == 5 ? 3 : 4;
    uint64_t divisor = u->divisor != 0 ? u->divisor : 65536;
    uint64_t halves = 2 * (1 + data + parity) + stop_halves;
    return mul_div_up(halves * divisor * 8, u->all->machine->clock.hz, UART_HZ);
}

/* ---- interrupts ---- */

static unsigned fifo_depth(const struct uart *u)
{
    return u->fcr & FCR_ENABLE ? FIFO_BYTES : 1;
}

static unsigned fifo_trigger(const struct uart *u)
{
    static const uint8_t triggers[4] = {1, 4, 8, 14};
    return u->fcr & FCR_ENABLE ? triggers[u->fcr >> 6] : 1;
}

/* The interrupt of highest priority (Table V). */
static uint8_t pending_interrupt(const struct uart *u)
{
    if ((u->ier & IER_LINE) && u->overrun) {
        return IIR_LINE;
    }
    if ((u->ier & IER_RX) && u->fifo_count >= fifo_trigger(u)) {
        return IIR_RX;
    }
    if ((u->ier & IER_RX) && u->timed_out) {
        return IIR_TIMEOUT;
    }
    if ((u->ier & IER_THRE) && u->thre_pending) {
        return IIR_THRE;
    }
    if ((u->ier & IER_MODEM) && u->msr_delta != 0) {
        return IIR_MODEM;
    }
    return IIR_NONE;
}

static void uart_drive(struct uart *u)
{
    bool wired = (u->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;
    irq_set(u->all->irqs, u->source, wired && pending_interrupt(u) != IIR_NONE);
}

static void arm(struct uart *u, int event, uint64_t cycles)
{
    uint64_t now = machine_now(u->all->machine);
    event_arm(u->all->machine->events, event, now + cycles > now ? now + cycles : CYCLE_NEVER);
}

/* Starts the character time-out anew: something was received or read, or became of interest. */
static void timeout_restart(struct uart *u)
{
    bool waits = (u->fcr & FCR_ENABLE) && (u->ier & IER_RX) && u->fifo_count != 0 && u->fifo_count < fifo_trigger(u);
    u->timed_out = false;
    if (waits) {
        arm(u, u->timeout_event, TIMEOUT_FRAMES * frame_cycles(u));
    } else {
        event_disarm(u->all->machine->events, u->timeout_event);
    }
}

static void timeout_due(void *owner, uint64_t due_cycle)
{
    struct uart *u = owner;
    u->timed_out = u->fifo_count != 0;
    uart_drive(u);
}

/* ---- receiver ---- */

static void receive_byte(struct uart *u, uint8_t byte)
{
    if (u->fifo_count == fifo_depth(u)) { /* only loopback can overrun */
        u->overrun = true;
        if (!(u->fcr & FCR_ENABLE)) {
            u->fifo[u->fifo_first] = byte; /* the receiver buffer is overwritten; the FIFO is not */
        }
        return;
    }
    u->fifo[(u->fifo_first + u->fifo_count++) % FIFO_BYTES] = byte;
    timeout_restart(u);
}

static void fifo_clear(struct uart *u)
{
    u->fifo_first = u->fifo_count = 0;
    timeout_restart(u);
}

/* The other end sends its next byte when there is one and room for it. In loopback the line in is cut off. */
static void receive_next(struct uart *u)
{
    bool sends = u->queue_count != 0 && u->fifo_count < fifo_depth(u) && !(u->mcr & MCR_LOOP);
    if (!sends) {
        event_disarm(u->all->machine->events, u->receive_event);
    } else if (event_due(u->all->machine->events, u->receive_event) == CYCLE_NEVER) {
        arm(u, u->receive_event, frame_cycles(u));
    }
}

static void receive_due(void *owner, uint64_t due_cycle)
{
    struct uart *u = owner;
    if (u->queue_count == 0 || u->fifo_count >= fifo_depth(u)) {
        return; /* a restored machine may have armed it */
    }
    uint8_t byte = u->queue[u->queue_first];
    u->queue_first = (u->queue_first + 1) % UART_QUEUE_BYTES;
    u->queue_count--;
    TRACE(u->all->machine->trace, uart_in, TRACE_NO_VP, u->port, byte);
    receive_byte(u, byte);
    receive_next(u);
    uart_drive(u);
}

bool uart_input(void *device, unsigned port, const uint8_t *bytes, size_t count)
{
    struct uarts *all = device;
    if (port >= UARTS || count > UART_QUEUE_BYTES - all->uart[port].queue_count) {
        return false;
    }
    struct uart *u = &all->uart[port];
    for (size_t i = 0; i < count; i++) {
        u->queue[(u->queue_first + u->queue_count++) % UART_QUEUE_BYTES] = bytes[i];
    }
    receive_next(u);
    return true;
}

/* ---- modem lines ---- */

/* MSR bits 7:4. The other end is always there; in loopback they are our own outputs. */
static uint8_t modem_lines(const struct uart *u)
{
    if (!(u->mcr & MCR_LOOP)) {
        return MSR_CTS | MSR_DSR | MSR_DCD;
    }
    return (uint8_t)((u->mcr & MCR_RTS ? MSR_CTS : 0) | (u->mcr & MCR_DTR ? MSR_DSR : 0) | (u->mcr & MCR_OUT1 ? MSR_RI : 0) |
                     (u->mcr & MCR_OUT2 ? MSR_DCD : 0));
}

static void write_mcr(struct uart *u, uint8_t value)
{
    uint8_t before = modem_lines(u);
    u->mcr = value & MCR_BITS;
    uint8_t after = modem_lines(u), changed = before ^ after;
    u->msr_delta |= changed >> 4 & MSR_DELTAS;
    u->msr_delta |= (before & ~after & MSR_RI) >> 4; /* TERI: the ring indicator's trailing edge */
}

/* ---- registers ---- */

/* The interrupt of an earlier byte ends, the byte leaves, THR is empty again: the line falls and rises. */
static void write_data(struct uart *u, uint8_t byte)
{
    u->thre_pending = false;
    uart_drive(u);
    if (u->mcr & MCR_LOOP) {
        receive_byte(u, byte);
    } else {
        TRACE(u->all->machine->trace, uart_out, TRACE_NO_VP, u->port, byte);
        if (u->all->config->console_output != NULL) {
            u->all->config->console_output(u->all->config->console_owner, u->port, byte);
        }
    }
    u->thre_pending = true;
}

static void write_ier(struct uart *u, uint8_t value)
{
    if (!(u->ier & IER_THRE) && (value & IER_THRE)) {
        u->thre_pending = true; /* enabling it while THR is empty asks at once */
    }
    bool receive_changes = (u->ier ^ value) & IER_RX;
    u->ier = value & IER_BITS;
    if (receive_changes) {
        timeout_restart(u);
    }
}

static void write_fcr(struct uart *u, uint8_t value)
{
    bool switches = (u->fcr ^ value) & FCR_ENABLE;
    u->fcr = value & FCR_ENABLE ? value & (FCR_ENABLE | FCR_TRIGGER) : 0;
    if (switches || (value & FCR_CLEAR_RX)) {
        fifo_clear(u);
    } else {
        timeout_restart(u);
    }
}

static void uart_write(struct uart *u, enum uart_register reg, uint8_t value)
{
    bool dlab = u->lcr & LCR_DLAB;
    switch (reg) {
    case REG_DATA:
        if (dlab) {
            u->divisor = (uint16_t)((u->divisor & 0xff00) | value);
        } else {
            write_data(u, value);
        }
        break;
    case REG_IER:
        if (dlab) {
            u->divisor = (uint16_t)(value << 8 | (u->divisor & 0xff));
        } else {
            write_ier(u, value);
        }
        break;
    case REG_IIR_FCR:
        write_fcr(u, value);
        break;
    case REG_LCR:
        u->lcr = value;
        break;
    case REG_MCR:
        write_mcr(u, value);
        break;
    case REG_SCRATCH:
        u->scratch = value;
        break;
    default:
        break; /* LSR is for reading; writing MSR does nothing here */
    }
}

static uint8_t read_data(struct uart *u)
{
    if (u->fifo_count == 0) {
        return 0;
    }
    uint8_t byte = u->fifo[u->fifo_first];
    u->fifo_first = (u->fifo_first + 1) % FIFO_BYTES;
    u->fifo_count--;
    timeout_restart(u);
    return byte;
}

static uint8_t read_iir(struct uart *u)
{
    uint8_t iir = pending_interrupt(u);
    if (iir == IIR_THRE) {
        u->thre_pending = false;
    }
    return iir | (u->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static uint8_t uart_read(struct uart *u, enum uart_register reg)
{
    bool dlab = u->lcr & LCR_DLAB;
    uint8_t value;
    switch (reg) {
    case REG_DATA:
        return dlab ? u->divisor & 0xff : read_data(u);
    case REG_IER:
        return dlab ? (uint8_t)(u->divisor >> 8) : u->ier;
    case REG_IIR_FCR:
        return read_iir(u);
    case REG_LCR:
        return u->lcr;
    case REG_MCR:
        return u->mcr;
    case REG_LSR:
        value = LSR_EMPTY | (u->fifo_count != 0 ? LSR_READY : 0) | (u->overrun ? LSR_OVERRUN : 0);
        u->overrun = false;
        return value;
    case REG_MSR:
        value = modem_lines(u) | u->msr_delta;
        u->msr_delta = 0;
        return value;
    default:
        return u->scratch;
    }
}

static uint32_t uart_in(void *owner, uint16_t port, unsigned bytes)
{
    struct uart *u = owner;
    uint8_t value = uart_read(u, port & 7);
    receive_next(u);
    uart_drive(u);
    return value;
}

static void uart_out(void *owner, uint16_t port, unsigned bytes, uint32_t value)
{
    struct uart *u = owner;
    uart_write(u, port & 7, (uint8_t)value);
    receive_next(u);
    uart_drive(u);
}

/* ---- the device ---- */

static void *uart_create(const struct device_env *env)
{
    static const struct port_ops ops = {uart_in, uart_out, 1};
    static const char *const names[UARTS][3] = {{"uart0", "uart0-receive", "uart0-timeout"},
                                                {"uart1", "uart1-receive", "uart1-timeout"},
                                                {"uart2", "uart2-receive", "uart2-timeout"},
                                                {"uart3", "uart3-receive", "uart3-timeout"}};
    struct uarts *all = calloc(1, sizeof *all);
    if (all == NULL) {
        return NULL;
    }
    all->machine = env->machine;
    all->irqs = env->irqs;
    all->config = env->config;
    for (unsigned i = 0; i < UARTS; i++) {
        struct uart *u = &all->uart[i];
        u->all = all;
        u->port = i;
        u->source = irq_connect(env->irqs, uart_places[i].irq);
        u->receive_event = event_add(env->machine->events, names[i][1], receive_due, u);
        u->timeout_event = event_add(env->machine->events, names[i][2], timeout_due, u);
        if (!ports_add(env->machine->ports, names[i][0], uart_places[i].port, 8, &ops, u)) {
            free(all);
            return NULL;
        }
    }
    return all;
}

/* Master reset (Table III); the divisor is a BIOS's 9 600 baud. What the other end has queued, it still has. */
static void uart_reset(void *device)
{
    struct uarts *all = device;
    for (unsigned i = 0; i < UARTS; i++) {
        struct uart *u = &all->uart[i];
        u->ier = u->fcr = u->lcr = u->mcr = u->scratch = u->msr_delta = 0;
        u->divisor = 12;
        u->overrun = u->thre_pending = false;
        event_disarm(all->machine->events, u->receive_event);
        fifo_clear(u);
        receive_next(u);
        uart_drive(u);
    }
}

/* A ring in order of arrival: where it starts in memory is no state. */
static void ring_state(struct state *s, uint8_t *bytes, unsigned size, unsigned *first, unsigned *count, unsigned max,
                       const char *what)
{
    uint32_t held = *count;
    state_u32_in(s, &held, 0, max, what);
    if (state_restoring(s)) {
        *first = 0;
        *count = held <= max ? held : 0;
    }
    for (unsigned i = 0; i < *count; i++) {
        state_u8(s, &bytes[(*first + i) % size]);
    }
}

static void uart_state(struct state *s, void *device)
{
    struct uarts *all = device;
    state_section(s, "uart", 1);
    for (unsigned i = 0; i < UARTS; i++) {
        struct uart *u = &all->uart[i];
        device_state_bits(s, &u->ier, IER_BITS, "uart: IER");
        device_state_bits(s, &u->fcr, FCR_ENABLE | FCR_TRIGGER, "uart: FCR");
        state_u8(s, &u->lcr);
        device_state_bits(s, &u->mcr, MCR_BITS, "uart: MCR");
        state_u8(s, &u->scratch);
        state_u16(s, &u->divisor);
        device_state_bits(s, &u->msr_delta, MSR_DELTAS | MSR_TERI, "uart: MSR");
        state_bool(s, &u->overrun);
        state_bool(s, &u->thre_pending);
        state_bool(s, &u->timed_out);
        ring_state(s, u->fifo, FIFO_BYTES, &u->fifo_first, &u->fifo_count, fifo_depth(u), "uart: bytes in the receiver");
        if (u->timed_out && u->fifo_count == 0) {
            state_fail(s, "uart: time-out of an empty receiver");
        }
        ring_state(s, u->queue, UART_QUEUE_BYTES, &u->queue_first, &u->queue_count, UART_QUEUE_BYTES,
                   "uart: bytes in the queue");
    }
}

const struct device_type uart_device = {"uart", uart_create, uart_reset, uart_state, free};
