/* Message buffers and queues. TLFS 6.0b §11.3. See messages.h.
 *
 * Invariants: a queue's chain has as many links as its count says, ends in its `last`, and every buffer in it names that queue;
 * a timer's buffer holds a timer's message and waits at its own VP, others hold messages without the hypervisor's type bit. A
 * buffer that is not queued holds nothing: its old contents are no state. Leaves out: slots and interrupts (synic.c).
 */
#include "tlfs/messages.h"

#include <stdlib.h>
#include <string.h>

#include "tlfs/hypervisor.h"

enum { TIMER_PAYLOAD_BYTES = 24 };

static uint32_t timer_buffers(const struct partition *p)
{
    return p->vp_count * TIMER_BUFFERS;
}

bool messages_create(struct partition *p)
{
    p->messages.count = timer_buffers(p) + PORT_BUFFERS;
    p->messages.buffers = calloc(p->messages.count, sizeof *p->messages.buffers);
    messages_reset(p);
    return p->messages.buffers != NULL;
}

void messages_destroy(struct partition *p)
{
    free(p->messages.buffers);
    p->messages.buffers = NULL;
}

uint32_t messages_add_port(struct partition *p)
{
    struct messages *m = &p->messages;
    struct message_buffer *more = realloc(m->buffers, (m->count + PORT_BUFFERS) * sizeof *more);
    if (more == NULL) {
        return BUFFER_NONE;
    }
    memset(more + m->count, 0, PORT_BUFFERS * sizeof *more);
    m->buffers = more;
    m->count += PORT_BUFFERS;
    return m->count - PORT_BUFFERS;
}

static struct message_queue *queue_of(struct partition *p, const struct message_buffer *b)
{
    return &p->vps[b->vp].synic.queue[b->sint];
}

void messages_reset(struct partition *p)
{
    for (uint32_t i = 0; p->messages.buffers != NULL && i < p->messages.count; i++) {
        p->messages.buffers[i] = (struct message_buffer){0};
    }
    for (unsigned i = 0; i < p->vp_count; i++) {
        for (unsigned sint = 0; sint < SINTS; sint++) {
            p->vps[i].synic.queue[sint] = (struct message_queue){.first = BUFFER_NONE, .last = BUFFER_NONE};
        }
    }
}

uint32_t message_timer_buffer(unsigned vp, unsigned timer)
{
    return vp * TIMER_BUFFERS + timer;
}

uint32_t message_host_buffers(const struct partition *p)
{
    return timer_buffers(p);
}

uint32_t message_buffer_free(const struct partition *p, uint32_t first)
{
    for (uint32_t i = first; i < first + PORT_BUFFERS; i++) {
        if (!p->messages.buffers[i].queued) {
            return i;
        }
    }
    return BUFFER_NONE;
}

void message_append(struct partition *p, unsigned vp, unsigned sint, uint32_t buffer)
{
    struct message_buffer *b = &p->messages.buffers[buffer];
    assert(!b->queued);
    b->queued = true;
    b->vp = vp;
    b->sint = (uint8_t)sint;
    b->next = BUFFER_NONE;
    struct message_queue *q = queue_of(p, b);
    if (q->count == 0) {
        q->first = buffer;
    } else {
        p->messages.buffers[q->last].next = buffer;
    }
    q->last = buffer;
    q->count++;
}

void message_remove(struct partition *p, uint32_t buffer)
{
    struct message_buffer *b = &p->messages.buffers[buffer];
    assert(b->queued);
    struct message_queue *q = queue_of(p, b);
    uint32_t before = BUFFER_NONE;
    for (uint32_t i = q->first; i != buffer; i = p->messages.buffers[i].next) {
        before = i;
    }
    if (before == BUFFER_NONE) {
        q->first = b->next;
    } else {
        p->messages.buffers[before].next = b->next;
    }
    q->last = q->last == buffer ? before : q->last;
    q->count--;
    b->queued = false;
}

/* ---- save, restore, digest ---- */

static bool message_possible(const struct partition *p, unsigned vp, unsigned sint, uint32_t buffer)
{
    const struct hv_message *m = &p->messages.buffers[buffer].message;
    if (buffer < timer_buffers(p)) {
        return buffer / TIMER_BUFFERS == vp && sint != 0 && m->type == HV_MESSAGE_TIMER_EXPIRED &&
               m->payload_bytes == TIMER_PAYLOAD_BYTES && m->origin == 0 && m->payload[0] == buffer % TIMER_BUFFERS;
    }
    return m->type != HV_MESSAGE_TYPE_NONE && !(m->type & HV_MESSAGE_TYPE_HYPERVISOR_MASK);
}

static void message_visit(struct state *s, struct hv_message *m)
{
    uint32_t bytes = m->payload_bytes;
    state_u32(s, &m->type);
    state_u32_in(s, &bytes, 0, MESSAGE_PAYLOAD_MAX, "bytes of a message");
    m->payload_bytes = (uint8_t)bytes;
    state_u64(s, &m->origin);
    state_bytes(s, m->payload, state_ok(s) ? bytes : 0);
}

static void queue_save(struct state *s, struct partition *p, struct message_queue *q)
{
    state_u32(s, &q->count);
    for (uint32_t i = q->first; i != BUFFER_NONE; i = p->messages.buffers[i].next) {
        uint32_t buffer = i;
        state_u32(s, &buffer);
        message_visit(s, &p->messages.buffers[i].message);
    }
}

static void queue_restore(struct state *s, struct partition *p, unsigned vp, unsigned sint)
{
    uint32_t count = 0;
    state_u32_in(s, &count, 0, p->messages.count, "messages in a queue");
    for (uint32_t i = 0; i < count && state_ok(s); i++) {
        uint32_t buffer = 0;
        state_u32_in(s, &buffer, 0, p->messages.count - 1, "a message buffer");
        if (!state_ok(s) || p->messages.buffers[buffer].queued) {
            state_fail(s, "message buffer %u stands in two queues", buffer);
            return;
        }
        message_visit(s, &p->messages.buffers[buffer].message);
        if (state_ok(s) && !message_possible(p, vp, sint, buffer)) {
            state_fail(s, "VP %u, SINT %u: impossible message in buffer %u", vp, sint, buffer);
            return;
        }
        message_append(p, vp, sint, buffer);
    }
}

void messages_state(struct state *s, struct partition *p)
{
    if (state_restoring(s)) {
        messages_reset(p);
    }
    for (unsigned vp = 0; vp < p->vp_count; vp++) {
        for (unsigned sint = 0; sint < SINTS; sint++) {
            if (state_restoring(s)) {
                queue_restore(s, p, vp, sint);
            } else {
                queue_save(s, p, &p->vps[vp].synic.queue[sint]);
            }
        }
    }
}
