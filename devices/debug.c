/* Ports for guests that know where they run: the debug console (E9h and 402h), the debug exit (F4h), a probe's verdicts (F6h).
 *
 * A byte written to E9h (Bochs) or 402h (SeaBIOS) goes to the console's port 4; a read gives E9h, by which a guest finds the
 * port. A value written to F4h or F5h, 1, 2 or 4 bytes wide, ends the machine with that value, as QEMU's isa-debug-exit does
 * (which makes an exit status of it; here it is reported as written). A value written to F6h, 32 bits wide, is a verdict of a
 * probe: the number of its line in bits 31:8, a word in bits 7:0 (conformance/guests/README.md); it is only traced. Ports from
 * F6h on take nothing else: F8h and F9h belong to the range because an access is F6h's own only when it lies inside. No state.
 */
#include <stdlib.h>

#include "devices/device.h"
#include "devices/platform.h"
#include "devices/trace_ids.h"

enum { CONSOLE_READBACK = 0xe9 };
enum { PORT_EXIT = 0xf4, PORT_VERDICT = 0xf6, EXIT_PORTS = 6 };

struct debug {
    struct machine *machine;
    const struct platform_config *config;
};

static uint32_t console_in(void *device, uint16_t port, unsigned bytes)
{
    return CONSOLE_READBACK;
}

static void console_out(void *device, uint16_t port, unsigned bytes, uint32_t value)
{
    const struct debug *d = device;
    TRACE(d->machine->trace, debug_out, TRACE_NO_VP, value & 0xff);
    if (d->config->console_output != NULL) {
        d->config->console_output(d->config->console_owner, CONSOLE_DEBUG, (uint8_t)value);
    }
}

static uint32_t exit_in(void *device, uint16_t port, unsigned bytes)
{
    return 0;
}

static void exit_out(void *device, uint16_t port, unsigned bytes, uint32_t value)
{
    const struct debug *d = device;
    if (port >= PORT_VERDICT) {
        if (port == PORT_VERDICT && bytes == 4) {
            TRACE(d->machine->trace, debug_verdict, TRACE_NO_VP, value >> 8, value & 0xff);
        }
        return;
    }
    TRACE(d->machine->trace, debug_exit, TRACE_NO_VP, value);
    machine_end(d->machine, END_DEBUG_EXIT, value);
}

static void *debug_create(const struct device_env *env)
{
    static const struct port_ops console_ops = {console_in, console_out, 1}, exit_ops = {exit_in, exit_out, 4};
    struct debug *d = calloc(1, sizeof *d);
    if (d == NULL) {
        return NULL;
    }
    d->machine = env->machine;
    d->config = env->config;
    if (!ports_add(env->machine->ports, "debug-console", 0xe9, 1, &console_ops, d) ||
        !ports_add(env->machine->ports, "debug-console-seabios", 0x402, 1, &console_ops, d) ||
        !ports_add(env->machine->ports, "debug-exit", PORT_EXIT, EXIT_PORTS, &exit_ops, d)) {
        free(d);
        return NULL;
    }
    return d;
}

static void debug_reset(void *device)
{
}

static void debug_state(struct state *s, void *device)
{
}

const struct device_type debug_device = {"debug", debug_create, debug_reset, debug_state, free};
