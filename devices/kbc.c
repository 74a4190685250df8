/* The 8042 keyboard controller (ports 60h and 64h) without a keyboard, and port 92h: reset and the A20 gate.
 * IBM PC/AT Technical Reference, keyboard controller; port 92h: Intel 82371AB (PIIX4) and later ICH data sheets.
 *
 * The controller answers its own commands. A byte for the keyboard or the mouse times out: FEh with the time-out bit, as the AT
 * describes for a keyboard that is not there. A20 is open while either the controller's output port or port 92h opens it; both
 * are state here, the processor is told of each change. After reset A20 is open, as firmware leaves it for direct boots.
 * Leaves out: keyboard and mouse, scan-code translation, and the password commands (ignored).
 */
#include <stdlib.h>

#include "devices/device.h"
#include "devices/trace_ids.h"

enum { DATA_PORT = 0x60, COMMAND_PORT = 0x64, PORT92 = 0x92 };
enum {
    STATUS_FULL = 0x01,    /* the output buffer holds a byte */
    STATUS_SYSTEM = 0x04,  /* configuration bit 2: the self-test has passed */
    STATUS_COMMAND = 0x08, /* the last write went to port 64h */
    STATUS_UNLOCKED = 0x10,
    STATUS_AUX = 0x20, /* the byte is the mouse's */
    STATUS_TIMEOUT = 0x40,
};
enum { STATUS_KEPT = STATUS_FULL | STATUS_COMMAND | STATUS_AUX | STATUS_TIMEOUT };
enum { CONFIG_IRQ1 = 0x01, CONFIG_SYSTEM = 0x04, CONFIG_KEYBOARD_OFF = 0x10, CONFIG_MOUSE_OFF = 0x20 };
enum { OUTPUT_NOT_RESET = 0x01, OUTPUT_A20 = 0x02, OUTPUT_IRQ1 = 0x10, OUTPUT_IRQ12 = 0x20, OUTPUT_AT_RESET = 0xcf };
enum { PORT92_RESET = 0x01, PORT92_A20 = 0x02 };
enum { NO_DEVICE = 0xfe, RAM_BYTES = 32 };

struct kbc {
    struct machine *machine;
    struct cpu *cpu;
    struct irq_lines *irqs;
    unsigned source;
    uint8_t status;         /* STATUS_KEPT bits */
    uint8_t data;           /* output buffer */
    uint8_t command;        /* its data byte comes next on port 60h; 0 when none does */
    uint8_t ram[RAM_BYTES]; /* commands 20h-3Fh read it, 60h-7Fh write it; byte 0 is the configuration */
    uint8_t output;         /* output port */
    uint8_t port92;
};

static void kbc_drive(struct kbc *k)
{
    bool keyboard_byte = (k->status & (STATUS_FULL | STATUS_AUX)) == STATUS_FULL;
    irq_set(k->irqs, k->source, keyboard_byte && (k->ram[0] & CONFIG_IRQ1));
}

static void gate_a20(struct kbc *k, bool was_open)
{
    bool open = (k->output & OUTPUT_A20) || (k->port92 & PORT92_A20);
    if (open != was_open) {
        TRACE(k->machine->trace, a20, TRACE_NO_VP, open);
        cpu_set_a20(k->cpu, open);
    }
}

static void request_reset(struct kbc *k, uint16_t port, uint8_t value)
{
    TRACE(k->machine->trace, reset_request, TRACE_NO_VP, port, value);
    machine_end(k->machine, END_RESET, 0);
}

static void answer(struct kbc *k, uint8_t byte, uint8_t flags)
{
    k->data = byte;
    k->status = (uint8_t)((k->status & STATUS_COMMAND) | STATUS_FULL | flags);
}

static void output_port_write(struct kbc *k, uint8_t value)
{
    bool was_open = (k->output & OUTPUT_A20) || (k->port92 & PORT92_A20);
    k->output = value;
    gate_a20(k, was_open);
    if (!(value & OUTPUT_NOT_RESET)) {
        request_reset(k, COMMAND_PORT, value);
    }
}

static uint8_t output_port_read(const struct kbc *k)
{
    bool full = k->status & STATUS_FULL, aux = k->status & STATUS_AUX;
    uint8_t pins = (uint8_t)((full && !aux ? OUTPUT_IRQ1 : 0) | (full && aux ? OUTPUT_IRQ12 : 0));
    return (k->output & ~(OUTPUT_IRQ1 | OUTPUT_IRQ12)) | pins;
}

static void command_write(struct kbc *k, uint8_t command)
{
    k->command = 0;
    k->status |= STATUS_COMMAND;
    if (command >= 0xf0) { /* pulse the output port's bits that are 0; bit 0 is the processor's reset */
        if (!(command & 1)) {
            request_reset(k, COMMAND_PORT, command);
        }
        return;
    }
    if (command >= 0x20 && command <= 0x3f) {
        answer(k, k->ram[command & 31], 0);
        return;
    }
    switch (command) {
    case 0xa7:
        k->ram[0] |= CONFIG_MOUSE_OFF;
        break;
    case 0xa8:
        k->ram[0] &= ~CONFIG_MOUSE_OFF;
        break;
    case 0xa9: /* mouse interface test */
    case 0xab: /* keyboard interface test: 0 is "no error" */
        answer(k, 0, 0);
        break;
    case 0xaa: /* self-test */
        k->ram[0] |= CONFIG_SYSTEM;
        answer(k, 0x55, 0);
        break;
    case 0xad:
        k->ram[0] |= CONFIG_KEYBOARD_OFF;
        break;
    case 0xae:
        k->ram[0] &= ~CONFIG_KEYBOARD_OFF;
        break;
    case 0xc0: /* input port: the keyboard is not inhibited (bit 7) */
        answer(k, 0x80, 0);
        break;
    case 0xd0:
        answer(k, output_port_read(k), 0);
        break;
    case 0xe0: /* test inputs: both clock lines are low */
        answer(k, 0, 0);
        break;
    default:
        if ((command >= 0x60 && command <= 0x7f) || (command >= 0xd1 && command <= 0xd4)) {
            k->command = command; /* wants a data byte */
        }
        break;
    }
}

static void data_write(struct kbc *k, uint8_t value)
{
    uint8_t command = k->command;
    k->command = 0;
    k->status &= ~STATUS_COMMAND;
    switch (command) {
    case 0: /* to the keyboard */
        answer(k, NO_DEVICE, STATUS_TIMEOUT);
        break;
    case 0xd1:
        output_port_write(k, value);
        break;
    case 0xd2: /* as if the keyboard had sent it */
        answer(k, value, 0);
        break;
    case 0xd3: /* as if the mouse had */
        answer(k, value, STATUS_AUX);
        break;
    case 0xd4: /* to the mouse */
        answer(k, NO_DEVICE, STATUS_AUX | STATUS_TIMEOUT);
        break;
    default:
        k->ram[command & 31] = value; /* 60h-7Fh */
        break;
    }
}

static uint32_t kbc_in(void *device, uint16_t port, unsigned bytes)
{
    struct kbc *k = device;
    if (port == COMMAND_PORT) {
        return k->status | STATUS_UNLOCKED | (k->ram[0] & CONFIG_SYSTEM ? STATUS_SYSTEM : 0);
    }
    k->status &= ~(STATUS_FULL | STATUS_AUX | STATUS_TIMEOUT);
    kbc_drive(k);
    return k->data;
}

static void kbc_out(void *device, uint16_t port, unsigned bytes, uint32_t value)
{
    struct kbc *k = device;
    if (port == COMMAND_PORT) {
        command_write(k, (uint8_t)value);
    } else {
        data_write(k, (uint8_t)value);
    }
    kbc_drive(k);
}

static uint32_t port92_in(void *device, uint16_t port, unsigned bytes)
{
    struct kbc *k = device;
    return k->port92;
}

/* Bit 0 rising resets the processor; bit 1 opens A20. */
static void port92_out(void *device, uint16_t port, unsigned bytes, uint32_t value)
{
    struct kbc *k = device;
    bool was_open = (k->output & OUTPUT_A20) || (k->port92 & PORT92_A20), was_reset = k->port92 & PORT92_RESET;
    k->port92 = value & (PORT92_RESET | PORT92_A20);
    gate_a20(k, was_open);
    if (!was_reset && (value & PORT92_RESET)) {
        request_reset(k, port, (uint8_t)value);
    }
}

static void *kbc_create(const struct device_env *env)
{
    static const struct port_ops ops = {kbc_in, kbc_out, 1}, port92_ops = {port92_in, port92_out, 1};
    struct kbc *k = calloc(1, sizeof *k);
    if (k == NULL) {
        return NULL;
    }
    k->machine = env->machine;
    k->cpu = env->cpu;
    k->irqs = env->irqs;
    k->source = irq_connect(env->irqs, 1);
    if (!ports_add(env->machine->ports, "keyboard-data", DATA_PORT, 1, &ops, k) ||
        !ports_add(env->machine->ports, "keyboard-command", COMMAND_PORT, 1, &ops, k) ||
        !ports_add(env->machine->ports, "port92", PORT92, 1, &port92_ops, k)) {
        free(k);
        return NULL;
    }
    return k;
}

static void kbc_reset(void *device)
{
    struct kbc *k = device;
    k->status = k->data = k->command = k->port92 = 0;
    for (unsigned i = 0; i < RAM_BYTES; i++) {
        k->ram[i] = 0;
    }
    k->output = OUTPUT_AT_RESET;
    kbc_drive(k);
    cpu_set_a20(k->cpu, true);
}

static void kbc_state(struct state *s, void *device)
{
    struct kbc *k = device;
    state_section(s, "kbc", 1);
    device_state_bits(s, &k->status, STATUS_KEPT, "kbc: status");
    state_u8(s, &k->data);
    state_u8(s, &k->command);
    state_bytes(s, k->ram, sizeof k->ram);
    state_u8(s, &k->output);
    device_state_bits(s, &k->port92, PORT92_RESET | PORT92_A20, "kbc: port 92h");
    bool takes_data = (k->command >= 0x60 && k->command <= 0x7f) || (k->command >= 0xd1 && k->command <= 0xd4);
    if (k->command != 0 && !takes_data) {
        state_fail(s, "kbc: command %02x takes no data", k->command);
        k->command = 0;
    }
}

const struct device_type kbc_device = {"kbc", kbc_create, kbc_reset, kbc_state, free};
