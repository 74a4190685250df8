/* Message buffers and the queues in which they wait. TLFS 6.0b §11.3, §11.10.4. Private to tlfs/.
 *
 * A partition has one numbered row of buffers: four for the timers of each VP, sixteen for the host's own posts, sixteen for
 * each message port. A buffer is free or stands in exactly one queue; queues are chains of numbers, so that all of it is plain.
 */
#ifndef ORRERY_TLFS_MESSAGES_H
#define ORRERY_TLFS_MESSAGES_H

#include "machine/state.h"
#include "tlfs/message.h"

struct partition;

enum { PORT_BUFFERS = 16, TIMER_BUFFERS = 4 };
#define BUFFER_NONE UINT32_MAX

struct message_buffer {
    bool queued;
    uint8_t sint; /* whose queue: of this SINT of this VP */
    uint32_t vp, next;
    struct hv_message message;
};
struct message_queue {
    uint32_t first, last, count;
};
struct messages {
    struct message_buffer *buffers;
    uint32_t count;
};

/* Timers' and host's buffers. False when the host has no memory. */
bool messages_create(struct partition *p);
void messages_destroy(struct partition *p);
/* Sixteen more; the number of the first, or BUFFER_NONE when the host has no memory. */
uint32_t messages_add_port(struct partition *p);
void messages_reset(struct partition *p); /* all queues are empty */
uint32_t message_timer_buffer(unsigned vp, unsigned timer);
uint32_t message_host_buffers(const struct partition *p);
/* The first free one of sixteen; BUFFER_NONE when all are in use. */
uint32_t message_buffer_free(const struct partition *p, uint32_t first);

void message_append(struct partition *p, unsigned vp, unsigned sint, uint32_t buffer);
/* Takes a queued buffer out of its queue, wherever it stands. */
void message_remove(struct partition *p, uint32_t buffer);

/* All queues, each message in its order; fields only. */
void messages_state(struct state *s, struct partition *p);

#endif
