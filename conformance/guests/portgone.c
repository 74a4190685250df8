/* Ports that are deleted and connections that are broken while a guest uses them. TLFS 6.0b §11.3.6, §11.6, §11.11.
 *
 * The scenario does it at 20, 40 and 60 ms, and says so by `moments=1`. A test sees by the status of a message without a type,
 * which never is posted, that its moment has come, and gives up halfway to the next test's.
 */
#include "synic_use.h"

enum { PORT_LIMIT_100NS = 300000, EVENT_PORT_LIMIT_100NS = 500000, CONNECTION_LIMIT_100NS = 700000, QUEUED = 3 };

static unsigned empty_status(uint32_t connection)
{
    return post_with(connection, HvMessageTypeNone, "", 0);
}

/* Messages 1 to QUEUED wait behind a busy slot while the moment comes. */
static bool queue_and_wait(uint32_t connection, unsigned sint, uint64_t limit_100ns)
{
    message_slot(sint)->type = 7;
    for (unsigned i = 1; i <= QUEUED; i++) {
        if (!EXPECT(post(connection, i) == HV_STATUS_SUCCESS, "the moment came before the test")) {
            return false;
        }
    }
    EXPECT_EQ(empty_status(connection), HV_STATUS_INVALID_PARAMETER);
    while (empty_status(connection) == HV_STATUS_INVALID_PARAMETER && ref_time() < limit_100ns) {
        pause();
    }
    return EXPECT(empty_status(connection) != HV_STATUS_INVALID_PARAMETER, "nothing has happened");
}

TEST(deleted_message_port, "port.post.deleted-port", "port.connection.deleted-port", "message.reliable.port-deleted")
{
    NEEDS(AccessPartitionReferenceCounter);
    NEEDS_POSTS();
    NEEDS_THAT(arg_present("moments"), "nobody deletes the port");
    if (!queue_and_wait(CONNECTION_DELETED, SINT_DELETED, PORT_LIMIT_100NS)) {
        return;
    }
    EXPECT_EQ(post(CONNECTION_DELETED, 9), HV_STATUS_INVALID_PORT_ID);
    slot_clear(SINT_DELETED);
    eom();
    spin_100ns(SILENCE_100NS);
    EXPECT_FOR("message.reliable.port-deleted", !slot_full(SINT_DELETED), "message %lu has survived",
               message_number(SINT_DELETED));
}

TEST(deleted_event_port, "event.signal.deleted-port")
{
    NEEDS(AccessPartitionReferenceCounter);
    NEEDS_EVENTS();
    NEEDS_THAT(arg_present("moments"), "nobody deletes the port");
    sint_on(SINT_DELETED, VECTOR_A, 0);
    EXPECT(signal(CONNECTION_EVENTS_DELETED, 0) == HV_STATUS_SUCCESS, "the moment came before the test");
    while (signal(CONNECTION_EVENTS_DELETED, 0) == HV_STATUS_SUCCESS && ref_time() < EVENT_PORT_LIMIT_100NS) {
        pause();
    }
    memset((void *)siefp(), 0, PAGE_BYTES);
    EXPECT_EQ(signal(CONNECTION_EVENTS_DELETED, 0), HV_STATUS_INVALID_PORT_ID);
    EXPECT(!flag_set(SINT_DELETED, 0), "the flag is set");
}

TEST(broken_connection, "message.reliable.connection-broken")
{
    NEEDS(AccessPartitionReferenceCounter);
    NEEDS_POSTS();
    NEEDS_THAT(arg_present("moments"), "nobody breaks the connection");
    if (!queue_and_wait(CONNECTION_BROKEN, SINT_BROKEN, CONNECTION_LIMIT_100NS)) {
        return;
    }
    EXPECT_EQ(post(CONNECTION_BROKEN, 9), HV_STATUS_INVALID_CONNECTION_ID);
    for (unsigned i = 1; i <= QUEUED; i++) {
        slot_clear(SINT_BROKEN);
        eom();
        EXPECT(slot_fills(SINT_BROKEN) && message_number(SINT_BROKEN) == i, "message %u is lost", i);
    }
}
