/* Ports and connections; HvPostMessage and HvSignalEvent with each status, in the order of the texts. TLFS 6.0b §11.6, §11.11.
 */
#include "tests/unit/synic_fixture.h"

enum { POST_MESSAGE = 0x5c, SIGNAL_EVENT = 0x5d, INPUT = 0x200000, FAST = 1 << 16 };
enum {
    ECHO = 0x10,
    EVENTS = 0x11,
    SINK = 0x12,
    ANY = 0x13,
    ABSENT = 0x14,
    ANY_EVENTS = 0x15,
    HOSTS = 0x16,
    HOSTS_EVENTS = 0x17
};

static struct {
    unsigned messages, events;
    struct hv_message last;
    uint32_t flag;
} host;
static hv_status_t host_message(void *owner, const struct hv_message *m)
{
    host.messages++;
    host.last = *m;
    return m->type == 99 ? HV_STATUS_INVALID_PARAMETER : HV_STATUS_SUCCESS;
}
static hv_status_t host_event(void *owner, uint32_t flag)
{
    host.events++;
    host.flag = flag;
    return HV_STATUS_SUCCESS;
}

static int port(struct port_config c)
{
    const char *why = NULL;
    c.id = c.connection;
    int handle = port_create(p, &c, &why);
    cr_assert(handle >= 0, "%s", why);
    return handle;
}
static void ports_of(void)
{
    port((struct port_config){.type = PORT_MESSAGE, .connection = ECHO, .vp = 0, .sint = 2});
    port((struct port_config){.type = PORT_EVENT, .connection = EVENTS, .vp = 1, .sint = 4, .base_flag = 8, .flag_count = 3});
    port((struct port_config){.type = PORT_MESSAGE, .connection = SINK, .hosts = true});
    port((struct port_config){.type = PORT_MESSAGE, .connection = ANY, .vp = HV_ANY_VP, .sint = 2});
    port((struct port_config){.type = PORT_MESSAGE, .connection = ABSENT, .vp = 2, .sint = 2});
    port((struct port_config){.type = PORT_EVENT, .connection = ANY_EVENTS, .vp = HV_ANY_VP, .sint = 2, .flag_count = 2048});
    const struct port_owner owner = {.message = host_message, .event = host_event};
    port((struct port_config){.type = PORT_MESSAGE, .connection = HOSTS, .hosts = true, .owner = owner});
    port((struct port_config){
        .type = PORT_EVENT, .connection = HOSTS_EVENTS, .hosts = true, .owner = owner, .base_flag = 100, .flag_count = 1});
}
static void setup(void)
{
    synic_setup("ws2019");
    cr_assert(wr(p, 0, 0x40000000, 1) == MSR_OK && wr(p, 0, 0x40000001, 0x600001) == MSR_OK);
    guest(p, BOOT_MODE_64, CODE, "\xf4", 1);
    sleep_all(p);
    ports_of();
    synic_on(0, 2, 0x50);
    synic_on(1, 4, 0x54);
}
static void teardown(void)
{
    partition_destroy(p);
}
TestSuite(ports, .init = setup, .fini = teardown);

static uint16_t call(uint64_t control, uint64_t input, uint64_t output)
{
    struct vcpu *v = p->vps[0].vcpu;
    bool again;
    vp_set_gpr(v, RCX, control);
    vp_set_gpr(v, RDX, input);
    vp_set_gpr(v, R8, output);
    cr_assert(hv_hypercall(p, v, true, &again) == -1 && !again);
    return (uint16_t)vp_gpr(v, RAX);
}
static uint16_t post_to(uint32_t connection, uint32_t type, uint32_t bytes)
{
    struct {
        uint32_t connection, padding, type, bytes;
        uint8_t payload[240];
    } in = {connection, 0xdeadbeef, type, bytes, {0}};
    for (unsigned i = 0; i < sizeof in.payload; i++) {
        in.payload[i] = (uint8_t)(0x80 + i);
    }
    cr_assert(memory_write(p->machine->memory, gpa(INPUT), &in, sizeof in));
    return call(POST_MESSAGE, INPUT, 0);
}
static uint16_t signal_to(uint32_t connection, uint64_t flag)
{
    return call(SIGNAL_EVENT | FAST, connection | flag << 32, 0);
}

/* ---- messages ---- */

Test(ports, a_message_comes_with_its_bytes_and_the_ports_id)
{
    cr_expect_eq(post_to(ECHO, 5, 8), HV_STATUS_SUCCESS);
    struct slot s = slot_of(0, 2);
    cr_expect(s.type == 5 && s.payload_bytes == 8 && s.origin == ECHO && irr(p, 0, 0x50));
    for (unsigned i = 0; i < 240; i++) {
        cr_expect_eq(s.payload[i], i < 8 ? 0x80 + i : 0);
    }
}

Test(ports, messages_arrive_in_the_order_in_which_they_were_posted)
{
    for (uint32_t type = 1; type <= 3; type++) {
        cr_expect_eq(post_to(ECHO, type, 0), HV_STATUS_SUCCESS);
    }
    for (uint32_t type = 1; type <= 3; type++) {
        cr_expect_eq(slot_of(0, 2).type, type);
        slot_free(0, 2);
        cr_assert(wr(p, 0, EOM, 0) == MSR_OK);
    }
}

Test(ports, post_statuses)
{
    cr_expect_eq(post_to(0xfffffe, 1, 0), HV_STATUS_INVALID_CONNECTION_ID);
    cr_expect_eq(post_to(ECHO | 1u << 24, 1, 0), HV_STATUS_INVALID_CONNECTION_ID, "the high bits are reserved");
    cr_expect_eq(post_to(UINT32_MAX, 1, 0), HV_STATUS_INVALID_CONNECTION_ID);
    cr_expect_eq(post_to(EVENTS, 1, 0), HV_STATUS_INVALID_PORT_ID, "an event port");
    cr_expect_eq(post_to(ECHO, 0, 0), HV_STATUS_INVALID_PARAMETER);
    cr_expect_eq(post_to(ECHO, 0x80000000, 0), HV_STATUS_INVALID_PARAMETER);
    cr_expect_eq(post_to(ECHO, 1, 241), HV_STATUS_INVALID_PARAMETER);
    cr_expect_eq(post_to(ECHO, 1, UINT32_MAX), HV_STATUS_INVALID_PARAMETER);
    cr_expect_eq(post_to(ABSENT, 1, 0), HV_STATUS_INVALID_VP_INDEX);
    cr_expect_eq(slot_of(0, 2).type, 0, "a refused call changes nothing");
    cr_expect_eq(post_to(ECHO, 0x7fffffff, 240), HV_STATUS_SUCCESS);
}

/* The first that applies, in the order of the table of §11.11.1. */
Test(ports, post_statuses_come_in_order)
{
    const char *why;
    cr_assert(wr(p, 0, SCONTROL, 0) == MSR_OK && wr(p, 1, SCONTROL, 0) == MSR_OK);
    cr_expect_eq(post_to(0xfffffe, 0, 999), HV_STATUS_INVALID_CONNECTION_ID);
    cr_expect_eq(post_to(EVENTS, 0, 999), HV_STATUS_INVALID_PORT_ID);
    cr_expect_eq(post_to(ABSENT, 0, 999), HV_STATUS_INVALID_PARAMETER);
    cr_expect_eq(post_to(ABSENT, 1, 0), HV_STATUS_INVALID_VP_INDEX);
    cr_expect_eq(post_to(ECHO, 1, 0), HV_STATUS_INVALID_SYNIC_STATE);
    cr_expect_eq(post_to(ANY, 1, 0), HV_STATUS_INVALID_SYNIC_STATE);
    cr_assert(profile_set(&p->profile, "PostMessages", false, &why));
    cr_expect_eq(post_to(0xfffffe, 0, 999), HV_STATUS_ACCESS_DENIED);
}

/* §11.3.1: sixteen buffers, and each is free again when its message is in the slot. */
Test(ports, a_port_has_sixteen_buffers)
{
    cr_expect_eq(post_to(ECHO, 1, 0), HV_STATUS_SUCCESS, "into the slot");
    for (unsigned i = 0; i < 16; i++) {
        cr_expect_eq(post_to(ECHO, 2, 0), HV_STATUS_SUCCESS);
    }
    cr_expect_eq(post_to(ECHO, 2, 0), HV_STATUS_INSUFFICIENT_BUFFERS);
    cr_expect_eq(post_to(ANY, 3, 0), HV_STATUS_SUCCESS, "another port has its own");
    cr_assert(wr(p, 0, SCONTROL, 0) == MSR_OK);
    cr_expect_eq(post_to(ECHO, 2, 0), HV_STATUS_INSUFFICIENT_BUFFERS, "buffers come before the SynIC's state");
    cr_assert(wr(p, 0, SCONTROL, 1) == MSR_OK);
    slot_free(0, 2);
    cr_assert(wr(p, 0, EOM, 0) == MSR_OK);
    cr_expect_eq(post_to(ECHO, 2, 0), HV_STATUS_SUCCESS);
    cr_expect_eq(post_to(ECHO, 2, 0), HV_STATUS_INSUFFICIENT_BUFFERS);
}

Test(ports, masking_is_no_error_for_messages)
{
    cr_assert(wr(p, 0, SINT0 + 2, 0x50 | MASKED) == MSR_OK);
    cr_expect_eq(post_to(ECHO, 1, 0), HV_STATUS_SUCCESS);
    cr_expect(slot_of(0, 2).type == 1 && !irr(p, 0, 0x50));
}

/* §11.4: HV_ANY_VP: a VP whose SynIC and page are on. */
Test(ports, any_vp_is_one_that_takes_messages)
{
    cr_assert(wr(p, 0, SIMP, 0) == MSR_OK);
    cr_expect_eq(post_to(ANY, 7, 0), HV_STATUS_SUCCESS);
    cr_expect_eq(slot_of(1, 2).type, 7);
}

/* §11.3.6 */
Test(ports, a_deleted_port_takes_its_messages_with_it)
{
    cr_expect(post_to(ECHO, 1, 0) == HV_STATUS_SUCCESS && post_to(ECHO, 2, 0) == HV_STATUS_SUCCESS);
    cr_expect_eq(post_to(ANY, 3, 0), HV_STATUS_SUCCESS);
    cr_expect_eq(post_to(ECHO, 4, 0), HV_STATUS_SUCCESS);
    port_delete(p, port_of_connection(p, ECHO));
    cr_expect_eq(post_to(ECHO, 0, 0), HV_STATUS_INVALID_PORT_ID);
    cr_expect_eq(slot_of(0, 2).type, 1, "what was delivered stays");
    slot_free(0, 2);
    cr_assert(wr(p, 0, EOM, 0) == MSR_OK);
    cr_expect_eq(slot_of(0, 2).type, 3);
    slot_free(0, 2);
    cr_assert(wr(p, 0, EOM, 0) == MSR_OK);
    cr_expect_eq(slot_of(0, 2).type, 0);
}

Test(ports, a_broken_connection_leaves_what_was_posted)
{
    cr_expect(post_to(ECHO, 1, 0) == HV_STATUS_SUCCESS && post_to(ECHO, 2, 0) == HV_STATUS_SUCCESS);
    port_disconnect(p, port_of_connection(p, ECHO));
    cr_expect_eq(post_to(ECHO, 3, 0), HV_STATUS_INVALID_CONNECTION_ID);
    slot_free(0, 2);
    cr_assert(wr(p, 0, EOM, 0) == MSR_OK);
    cr_expect_eq(slot_of(0, 2).type, 2);
    partition_reset(p);
    cr_expect(port_of_connection(p, ECHO) == 0, "a reset brings it back");
}

/* ---- events ---- */

Test(ports, an_event_sets_the_flag_above_the_base)
{
    cr_expect_eq(signal_to(EVENTS, 1), HV_STATUS_SUCCESS);
    cr_expect(flag_of(1, 4, 9) && !flag_of(1, 4, 1) && irr(p, 1, 0x54));
}

/* The same eight bytes from memory. */
Test(ports, signals_come_fast_or_from_memory)
{
    set_mem64(p, INPUT, EVENTS | 2ULL << 32);
    cr_expect_eq(call(SIGNAL_EVENT, INPUT, 0), HV_STATUS_SUCCESS);
    cr_expect(flag_of(1, 4, 10));
}

Test(ports, signal_statuses_in_order)
{
    const char *why;
    cr_assert(wr(p, 0, SCONTROL, 0) == MSR_OK && wr(p, 1, SCONTROL, 0) == MSR_OK);
    cr_expect_eq(signal_to(0xfffffe, 99), HV_STATUS_INVALID_CONNECTION_ID);
    cr_expect_eq(signal_to(EVENTS | 1u << 31, 0), HV_STATUS_INVALID_CONNECTION_ID);
    cr_expect_eq(signal_to(ECHO, 99), HV_STATUS_INVALID_PORT_ID);
    cr_expect_eq(signal_to(EVENTS, 3), HV_STATUS_INVALID_PARAMETER);
    cr_expect_eq(signal_to(EVENTS, 0xffff), HV_STATUS_INVALID_PARAMETER);
    cr_expect_eq(signal_to(EVENTS, 1 << 16), HV_STATUS_INVALID_PARAMETER, "RsvdZ");
    cr_expect_eq(signal_to(EVENTS, 2), HV_STATUS_INVALID_SYNIC_STATE);
    cr_expect_eq(signal_to(ANY_EVENTS, 0), HV_STATUS_INVALID_SYNIC_STATE);
    cr_assert(wr(p, 0, SCONTROL, 1) == MSR_OK);
    cr_expect_eq(signal_to(ANY_EVENTS, 2047), HV_STATUS_SUCCESS);
    cr_expect(flag_of(0, 2, 2047));
    cr_assert(profile_set(&p->profile, "SignalEvents", false, &why));
    cr_expect_eq(signal_to(0xfffffe, 0), HV_STATUS_ACCESS_DENIED);
}

Test(ports, a_masked_sint_takes_no_event)
{
    cr_assert(wr(p, 1, SINT0 + 4, 0x54 | MASKED) == MSR_OK);
    cr_expect_eq(signal_to(EVENTS, 0), HV_STATUS_INVALID_SYNIC_STATE);
    cr_expect_not(flag_of(1, 4, 8));
}

/* ---- ports of the host ---- */

Test(ports, a_sink_accepts_and_an_owner_answers)
{
    cr_expect_eq(post_to(SINK, 1, 8), HV_STATUS_SUCCESS);
    cr_expect_eq(post_to(HOSTS, 5, 4), HV_STATUS_SUCCESS);
    cr_expect(host.messages == 1 && host.last.type == 5 && host.last.payload_bytes == 4 && host.last.payload[3] == 0x83);
    cr_expect_eq(post_to(HOSTS, 99, 4), HV_STATUS_INVALID_PARAMETER, "the owner's status");
    cr_expect_eq(post_to(HOSTS, 0, 0), HV_STATUS_INVALID_PARAMETER);
    cr_expect(host.messages == 2, "what is malformed does not reach it");
    cr_expect(signal_to(HOSTS_EVENTS, 0) == HV_STATUS_SUCCESS && host.events == 1 && host.flag == 100);
    cr_expect(signal_to(HOSTS_EVENTS, 1) == HV_STATUS_INVALID_PARAMETER && host.events == 1);
}

/* ---- configuration and state ---- */

Test(ports, impossible_ports_are_refused)
{
    static const struct port_config bad[] = {
        {.type = PORT_MESSAGE, .connection = ECHO, .sint = 2},
        {.type = PORT_MESSAGE, .connection = 0x1000000, .sint = 2},
        {.type = PORT_MESSAGE, .connection = 1, .id = 0x1000000, .sint = 2},
        {.type = PORT_MESSAGE, .connection = 1, .sint = 0},
        {.type = PORT_MESSAGE, .connection = 1, .sint = 16},
        {.type = PORT_EVENT, .connection = 1, .sint = 2, .flag_count = 0},
        {.type = PORT_EVENT, .connection = 1, .sint = 2, .base_flag = 2047, .flag_count = 2},
        {.type = PORT_EVENT, .connection = 1, .sint = 2, .base_flag = 2048, .flag_count = 1},
        {.type = PORT_EVENT, .connection = 1, .sint = 2, .base_flag = UINT32_MAX, .flag_count = 2},
    };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        const char *why = NULL;
        cr_expect(port_create(p, &bad[i], &why) == -1 && why != NULL, "%zu", i);
    }
}

Test(ports, what_waits_at_ports_goes_through_a_file_and_nonsense_does_not)
{
    struct partition *original = p, *q = partition_of("ws2019", 2, GHZ, VENDOR_AMD);
    for (uint32_t type = 1; type <= 5; type++) {
        cr_expect(post_to(ECHO, type, 4) == HV_STATUS_SUCCESS && post_to(ANY, type, 4) == HV_STATUS_SUCCESS);
    }
    port_disconnect(p, port_of_connection(p, ANY));
    cr_expect_not(through_file(q), "a partition without these ports");
    partition_destroy(q);
    p = q = partition_of("ws2019", 2, GHZ, VENDOR_AMD);
    ports_of();
    p = original;
    cr_expect(through_file(q) && digest_equal(digest_of(p), digest_of(q)));
    uint32_t waiting = p->vps[0].synic.queue[2].first;
    p->messages.buffers[waiting].message.origin ^= 1;
    cr_expect_not(through_file(q), "another port's id");
    partition_destroy(q);
}
