/* Who listens to a run's trace points: the ring of last exits always, the trace writer when asked. Listening never changes the
 * run. */
#include "scenarios/runner_parts.h"

#include "machine/ctf.h"
#include "machine/ring.h"

enum { LAST_EXITS = 32 };

/* What takes the guest off its straight line; the evidence of a run that went wrong. */
static const char *const exit_events[] = {
    "exception", "port_in",  "port_out",    "mmio_read", "mmio_write",     "msr_read",  "msr_write",    "msr_refused",
    "cpuid",     "cr_write", "task_switch", "halt",      "hypercall_trap", "interrupt", "triple_fault",
};

bool runner_listen(struct runner *r, struct message *why)
{
    r->ring = ring_create(LAST_EXITS);
    if (r->ring == NULL) {
        return message_say(why, "the host has no memory left");
    }
    for (size_t i = 0; i < ARRAY_COUNT(exit_events); i++) {
        const struct trace_row *row = trace_row_by_name(r->machine->trace, exit_events[i]);
        if (row != NULL && !r->options.test_no_ring) {
            trace_keep(r->machine->trace, r->ring, row);
        }
    }
    return true;
}

/* The trace's identity is the scenario's, marked as a UUID of version 8 (RFC 9562 §5.8), so equal runs write equal traces. */
static void trace_uuid(const struct runner *r, uint8_t uuid[16])
{
    for (unsigned i = 0; i < 8; i++) {
        uuid[i] = (uint8_t)(r->identity.high >> (56 - 8 * i));
        uuid[8 + i] = (uint8_t)(r->identity.low >> (56 - 8 * i));
    }
    uuid[6] = (uint8_t)(0x80 | (uuid[6] & 0x0f));
    uuid[8] = (uint8_t)(0x80 | (uuid[8] & 0x3f));
}

bool runner_open_trace(struct runner *r, struct message *why)
{
    char reason[300] = "";
    struct ctf_config config = {.directory = r->options.trace_dir, .scenario = r->scenario->name, .vp_count = r->scenario->vps};
    if (config.directory == NULL) {
        return true;
    }
    trace_uuid(r, config.uuid);
    r->ctf = ctf_open(r->machine->trace, &config, reason, sizeof reason);
    return r->ctf != NULL || message_say(why, "--trace %s: %s", quote_text(config.directory).text, reason);
}

bool runner_close_trace(struct runner *r, struct message *why)
{
    char reason[300] = "";
    if (r->ctf == NULL) {
        return true;
    }
    r->trace_digest = ctf_digest(r->ctf);
    r->traced = true;
    bool ok = ctf_close(r->ctf, reason, sizeof reason);
    r->ctf = NULL;
    return ok || message_say(why, "--trace %s: %s", quote_text(r->options.trace_dir).text, reason);
}

void runner_unlisten(struct runner *r)
{
    if (r->ctf != NULL) {
        ctf_close(r->ctf, NULL, 0);
    }
    if (r->ring != NULL) {
        trace_keep(r->machine->trace, NULL, NULL);
        ring_destroy(r->ring);
    }
}

bool runner_trace_digest(const struct runner *r, struct digest *d)
{
    *d = r->trace_digest;
    return r->traced;
}

struct ring *runner_last_exits(const struct runner *r)
{
    return r->ring;
}
