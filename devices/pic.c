/* The 8259A pair: master at 20h, slave at A0h behind the master's input 2, edge/level registers at 4D0h and 4D1h.
 * Intel 8259A data sheet (231468-003); ELCR: Intel 82371AB (PIIX4) §4.2.6.
 *
 * One request latch per input (IRR): set by a rising edge and withdrawn when the input falls before it was acknowledged (the
 * data sheet's "must remain high until INTA"); for a level-triggered input it is the input itself. INTR to the processor is a
 * function of the registers, recomputed after each change. Until ICW1 all inputs are masked, as a BIOS would leave them: direct
 * boots have no firmware that programs vectors. Leaves out: MCS-80 mode and buffered mode (the ICW4 bits change nothing), and
 * other wirings of the cascade (ICW3 is ignored).
 */
#include "devices/pic.h"

#include <stdlib.h>

#include "devices/device.h"
#include "devices/trace_ids.h"

enum { MASTER, SLAVE, CASCADE_INPUT = 2, SPURIOUS_INPUT = 7 };
enum pic_step { STEP_READY, STEP_ICW2, STEP_ICW3, STEP_ICW4 };

struct pic_chip {
    uint8_t irr, isr, imr;
    uint8_t inputs;      /* levels */
    uint8_t elcr;        /* inputs that are level-triggered */
    uint8_t vector_base; /* ICW2, bits 7:3 */
    uint8_t lowest;      /* the input of lowest priority; 7 after ICW1 */
    uint8_t step;        /* enum pic_step: the ICW that the data port expects */
    bool all_level;      /* ICW1.LTIM */
    bool single;         /* ICW1.SNGL: no ICW3 */
    bool wants_icw4;     /* ICW1.IC4 */
    bool auto_eoi;       /* ICW4.AEOI */
    bool nested;         /* ICW4.SFNM: special fully nested */
    bool rotate_on_auto_eoi, special_mask, poll;
    bool read_isr; /* OCW3: command port reads show ISR instead of IRR */
};
struct pic {
    struct machine *machine;
    struct cpu *cpu;
    struct pic_chip chip[2];
    bool intr;
};

static const uint8_t elcr_bits[2] = {0xf8, 0xde}; /* system timer, keyboard, cascade, RTC and FPU are edges for ever */

static uint8_t level_inputs(const struct pic_chip *c)
{
    return c->all_level ? 0xff : c->elcr;
}

static void chip_input(struct pic_chip *c, unsigned input, bool level)
{
    uint8_t bit = (uint8_t)(1u << input);
    bool rises = level && !(c->inputs & bit);
    c->inputs = level ? c->inputs | bit : c->inputs & ~bit;
    if (!level) {
        c->irr &= ~bit;
    } else if (rises || (level_inputs(c) & bit)) {
        c->irr |= bit;
    }
}

/* After the trigger modes changed: level-triggered requests are the inputs. */
static void chip_follow_levels(struct pic_chip *c)
{
    uint8_t level = level_inputs(c);
    c->irr = (c->irr & ~level) | (c->inputs & level);
}

/* The input to be served next, or -1. Special mask mode: a masked level in service does not hold back others. Special fully
 * nested mode: the slave may interrupt its own service. */
static int chip_highest(const struct pic_chip *c, bool is_master)
{
    uint8_t requests = c->irr & ~c->imr;
    uint8_t blocking = c->special_mask ? c->isr & ~c->imr : c->isr;
    if (is_master && c->nested) {
        blocking &= ~(1u << CASCADE_INPUT);
    }
    for (unsigned k = 1; k <= 8; k++) {
        unsigned input = (c->lowest + k) & 7;
        if (blocking >> input & 1) {
            return -1;
        }
        if (requests >> input & 1) {
            return (int)input;
        }
    }
    return -1;
}

static void pic_update(struct pic *p)
{
    chip_input(&p->chip[MASTER], CASCADE_INPUT, chip_highest(&p->chip[SLAVE], false) >= 0);
    bool intr = chip_highest(&p->chip[MASTER], true) >= 0;
    if (intr != p->intr) {
        p->intr = intr;
        cpu_set_extint(p->cpu, intr);
    }
}

static void chip_accept(struct pic_chip *c, unsigned input)
{
    uint8_t bit = (uint8_t)(1u << input);
    c->irr &= ~(bit & ~level_inputs(c));
    if (!c->auto_eoi) {
        c->isr |= bit;
    } else if (c->rotate_on_auto_eoi) {
        c->lowest = (uint8_t)input;
    }
}

uint8_t pic_acknowledge(void *device)
{
    struct pic *p = device;
    struct pic_chip *c = &p->chip[MASTER];
    int input = chip_highest(c, true);
    if (input >= 0) {
        chip_accept(c, (unsigned)input);
    }
    if (input == CASCADE_INPUT) {
        c = &p->chip[SLAVE];
        input = chip_highest(c, false);
        if (input >= 0) {
            chip_accept(c, (unsigned)input);
        }
        chip_input(&p->chip[MASTER], CASCADE_INPUT, false); /* the slave drops INT for the cycle: its next request is an edge */
    }
    uint8_t vector = (uint8_t)(c->vector_base | (input >= 0 ? input : SPURIOUS_INPUT));
    TRACE(p->machine->trace, pic_acknowledge, TRACE_NO_VP, vector);
    pic_update(p);
    return vector;
}

static void pic_line(void *device, unsigned irq, bool level)
{
    struct pic *p = device;
    if (irq != CASCADE_INPUT) {
        chip_input(&p->chip[irq / 8], irq % 8, level);
        pic_update(p);
    }
}

static void chip_icw1(struct pic_chip *c, uint8_t value)
{
    *c = (struct pic_chip){
        .inputs = c->inputs, /* edge sense starts anew: an input that is high must fall first */
        .elcr = c->elcr,
        .vector_base = c->vector_base,
        .lowest = 7,
        .step = STEP_ICW2,
        .all_level = value >> 3 & 1,
        .single = value >> 1 & 1,
        .wants_icw4 = value & 1,
    };
    chip_follow_levels(c);
}

/* The in-service input of highest priority that a non-specific EOI may end, or -1. */
static int chip_in_service(const struct pic_chip *c)
{
    uint8_t candidates = c->special_mask ? c->isr & ~c->imr : c->isr;
    for (unsigned k = 1; k <= 8; k++) {
        unsigned input = (c->lowest + k) & 7;
        if (candidates >> input & 1) {
            return (int)input;
        }
    }
    return -1;
}

/* OCW2: R (bit 7) rotates, SL (6) names the level in bits 2:0, EOI (5) ends it. */
static void chip_ocw2(struct pic_chip *c, uint8_t value)
{
    bool rotate = value >> 7 & 1, specific = value >> 6 & 1, eoi = value >> 5 & 1;
    int input = specific ? value & 7 : chip_in_service(c);
    if (eoi) {
        if (input >= 0) {
            c->isr &= ~(1u << input);
            c->lowest = rotate ? (uint8_t)input : c->lowest;
        }
    } else if (!specific) {
        c->rotate_on_auto_eoi = rotate;
    } else if (rotate) {
        c->lowest = (uint8_t)input;
    }
}

/* OCW3: ESMM (6) and SMM (5), poll (2), RR (1) and RIS (0). */
static void chip_ocw3(struct pic_chip *c, uint8_t value)
{
    if (value >> 6 & 1) {
        c->special_mask = value >> 5 & 1;
    }
    if (value >> 2 & 1) {
        c->poll = true;
    } else if (value >> 1 & 1) {
        c->read_isr = value & 1;
    }
}

static void chip_write_command(struct pic_chip *c, uint8_t value)
{
    if (value >> 4 & 1) {
        chip_icw1(c, value);
    } else if (value >> 3 & 1) {
        chip_ocw3(c, value);
    } else {
        chip_ocw2(c, value);
    }
}

static void chip_write_data(struct pic_chip *c, uint8_t value)
{
    switch (c->step) {
    case STEP_ICW2:
        c->vector_base = value & 0xf8;
        c->step = !c->single ? STEP_ICW3 : c->wants_icw4 ? STEP_ICW4 : STEP_READY;
        break;
    case STEP_ICW3:
        c->step = c->wants_icw4 ? STEP_ICW4 : STEP_READY;
        break;
    case STEP_ICW4:
        c->nested = value >> 4 & 1;
        c->auto_eoi = value >> 1 & 1;
        c->step = STEP_READY;
        break;
    default:
        c->imr = value; /* OCW1 */
        break;
    }
}

/* The read after a poll command is the acknowledge: bit 7 says that there was a request, bits 2:0 which. */
static uint8_t chip_poll(struct pic_chip *c, bool is_master)
{
    c->poll = false;
    int input = chip_highest(c, is_master);
    if (input < 0) {
        return 0;
    }
    chip_accept(c, (unsigned)input);
    return (uint8_t)(0x80 | input);
}

static uint32_t pic_in(void *device, uint16_t port, unsigned bytes)
{
    struct pic *p = device;
    unsigned which = port >= 0xa0 ? SLAVE : MASTER;
    struct pic_chip *c = &p->chip[which];
    if (c->poll) {
        uint8_t answer = chip_poll(c, which == MASTER);
        pic_update(p);
        return answer;
    }
    if (port & 1) {
        return c->imr;
    }
    return c->read_isr ? c->isr : c->irr;
}

static void pic_out(void *device, uint16_t port, unsigned bytes, uint32_t value)
{
    struct pic *p = device;
    struct pic_chip *c = &p->chip[port >= 0xa0 ? SLAVE : MASTER];
    if (port & 1) {
        chip_write_data(c, (uint8_t)value);
    } else {
        chip_write_command(c, (uint8_t)value);
    }
    pic_update(p);
}

static uint32_t elcr_in(void *device, uint16_t port, unsigned bytes)
{
    struct pic *p = device;
    return p->chip[port & 1].elcr;
}

static void elcr_out(void *device, uint16_t port, unsigned bytes, uint32_t value)
{
    struct pic *p = device;
    struct pic_chip *c = &p->chip[port & 1];
    c->elcr = value & elcr_bits[port & 1];
    chip_follow_levels(c);
    pic_update(p);
}

static void *pic_create(const struct device_env *env)
{
    static const struct port_ops ops = {pic_in, pic_out, 1}, elcr_ops = {elcr_in, elcr_out, 1};
    struct pic *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return NULL;
    }
    p->machine = env->machine;
    p->cpu = env->cpu;
    if (!ports_add(env->machine->ports, "pic-master", 0x20, 2, &ops, p) ||
        !ports_add(env->machine->ports, "pic-slave", 0xa0, 2, &ops, p) ||
        !ports_add(env->machine->ports, "elcr", 0x4d0, 2, &elcr_ops, p)) {
        free(p);
        return NULL;
    }
    irq_listen(env->irqs, pic_line, p);
    return p;
}

static void pic_reset(void *device)
{
    struct pic *p = device;
    for (unsigned i = 0; i < 2; i++) {
        p->chip[i] = (struct pic_chip){.imr = 0xff, .lowest = 7, .inputs = p->chip[i].inputs};
    }
    p->intr = false;
    cpu_set_extint(p->cpu, false);
}

static void pic_state(struct state *s, void *device)
{
    struct pic *p = device;
    state_section(s, "pic", 1);
    for (unsigned i = 0; i < 2; i++) {
        struct pic_chip *c = &p->chip[i];
        state_u8(s, &c->irr);
        state_u8(s, &c->isr);
        state_u8(s, &c->imr);
        state_u8(s, &c->inputs);
        device_state_bits(s, &c->elcr, elcr_bits[i], "pic: ELCR");
        device_state_bits(s, &c->vector_base, 0xf8, "pic: vector base");
        device_state_u8(s, &c->lowest, 7, "pic: lowest priority");
        device_state_u8(s, &c->step, STEP_ICW4, "pic: initialisation step");
        state_bool(s, &c->all_level);
        state_bool(s, &c->single);
        state_bool(s, &c->wants_icw4);
        state_bool(s, &c->auto_eoi);
        state_bool(s, &c->nested);
        state_bool(s, &c->rotate_on_auto_eoi);
        state_bool(s, &c->special_mask);
        state_bool(s, &c->poll);
        state_bool(s, &c->read_isr);
    }
    state_bool(s, &p->intr);
}

const struct device_type pic_device = {"pic", pic_create, pic_reset, pic_state, free};
