/* Ports of a scenario, and what its timeline lets the host do at the SynIC: from text to effect, saved and restored on the way.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "scenarios/runner.h"

/* Real mode: SIMP at 0x20000, SIEFP at 0x21000, SINT3 = vector 0x50, SynIC on; then sleep without end. */
#define WRMSR(msr, low)                                                                                                        \
    0x66, 0xb9, (msr), 0x00, 0x00, 0x40, 0x66, 0xb8, (low)&0xff, (low) >> 8 & 0xff, (low) >> 16 & 0xff, 0, 0x66, 0x31, 0xd2,   \
        0x0f, 0x30
static const uint8_t synic_guest[] = {
    WRMSR(0x83, 0x20001), WRMSR(0x82, 0x21001), WRMSR(0x93, 0x50), WRMSR(0x80, 1), 0xfa, 0xf4};

#define HEAD "orrery: 1\nscenario: t\nlimits: { time: 40 ms }\nguest: { flat: { image: x.bin, address: 0x7c00, mode: 16 } }\n"
#define PARTITION(ports) "partition: { profile: ws2019, memory: 1 MiB, ports: " ports " }\n"

static struct scenario *scene(const char *text)
{
    struct message why = {.text = {0}};
    struct scenario *s = scenario_read("t.yaml", text, strlen(text), NULL, NULL, &why);
    cr_assert_not_null(s, "%s", why.text);
    s->kernel.bytes = malloc(sizeof synic_guest);
    memcpy(s->kernel.bytes, synic_guest, sizeof synic_guest);
    s->kernel.size = sizeof synic_guest;
    return s;
}

Test(scenario_ports, every_key_reaches_the_port)
{
    struct scenario *s = scene(HEAD PARTITION("[ { message: { connection: 0x10, echo-to: { vp: 0, sint: 3 } } }, "
                                              "{ message: { connection: 0x12, sink: true, port: 9 } }, "
                                              "{ event: { connection: 0x11, vp: 1, sint: 4, flag: 7 } }, "
                                              "{ event: { connection: 0xffffff, vp: any, sint: 15, flag: 2040, flags: 8 } }, "
                                              "{ event: { connection: 0, sink: on } } ]"));
    static const struct port_config wanted[] = {
        {.type = PORT_MESSAGE, .connection = 0x10, .id = 0x10, .vp = 0, .sint = 3},
        {.type = PORT_MESSAGE, .connection = 0x12, .id = 9, .hosts = true},
        {.type = PORT_EVENT, .connection = 0x11, .id = 0x11, .vp = 1, .sint = 4, .base_flag = 7, .flag_count = 1},
        {.type = PORT_EVENT,
         .connection = 0xffffff,
         .id = 0xffffff,
         .vp = HV_ANY_VP,
         .sint = 15,
         .base_flag = 2040,
         .flag_count = 8},
        {.type = PORT_EVENT, .connection = 0, .id = 0, .hosts = true, .flag_count = 1},
    };
    cr_assert_eq(s->port_count, ARRAY_COUNT(wanted));
    for (unsigned i = 0; i < s->port_count; i++) {
        const struct port_config *a = &s->ports[i], *b = &wanted[i];
        cr_expect(a->type == b->type && a->connection == b->connection && a->id == b->id && a->hosts == b->hosts, "%u", i);
        cr_expect(a->vp == b->vp && a->sint == b->sint && a->base_flag == b->base_flag && a->flag_count == b->flag_count, "%u",
                  i);
    }
    scenario_free(s);
}

Test(scenario_ports, ports_are_part_of_the_identity)
{
    struct scenario *a = scene(HEAD PARTITION("[ { message: { connection: 1, sink: on } } ]"));
    struct scenario *b = scene(HEAD PARTITION("[ { message: { connection: 2, sink: on } } ]"));
    cr_expect_neq(scenario_identity(a).low, scenario_identity(b).low);
    scenario_free(a);
    scenario_free(b);
}

#define TIMELINE                                                                                                               \
    "timeline:\n"                                                                                                              \
    "  - { at: 5 ms, do: { post: { vp: 0, sint: 3, type: 1, payload: \"48 65 6C\" } } }\n"                                     \
    "  - { at: 6 ms, do: { signal: { vp: 0, sint: 3, flag: 7 } } }\n"                                                          \
    "  - { at: 7 ms, do: { signal: { vp: 0, sint: 5, flag: 7 } } }\n"                                                          \
    "  - { at: 8 ms, do: { hold-slot: { vp: 0, sint: 4, for: 10 ms } } }\n"                                                    \
    "  - { at: 9 ms, do: { post: { vp: 0, sint: 4, type: 0x7fffffff } } }\n"
#define EXPECT                                                                                                                 \
    "expect:\n"                                                                                                                \
    "  - { event: host_post, sint: 3, type: 1, bytes: 3, status: 0, vp: 0, within: 5001 us }\n"                                \
    "  - { event: message_deliver, sint: 3, type: 1, bytes: 3, origin: 0, more: 0, within: 5001 us }\n"                        \
    "  - { event: event_flag, sint: 3, flag: 7, was_set: 0, within: 6001 us }\n"                                               \
    "  - { event: host_signal, sint: 5, status: 0x18, within: 7001 us }\n"                                                     \
    "  - { event: slot_hold, sint: 4, until_cycle: 18000000, within: 8001 us }\n"                                              \
    "  - { event: message_wait, sint: 4, type: 0x7fffffff, waiting: 1, within: 9001 us }\n"                                    \
    "  - { event: message_deliver, sint: 4, bytes: 0, after: { event: message_wait }, within: 9001 us }\n"                     \
    "  - { count: { event: message_deliver }, is: 2 }\n"                                                                       \
    "  - end: halted\n"

static const struct run_options plain = {.stop_at_cycle = CYCLE_NEVER};
static struct runner *runner_of(const struct scenario *s, const struct run_options *options)
{
    struct message why = {.text = {0}};
    struct runner *r = runner_create(s, options, &why);
    cr_assert_not_null(r, "%s", why.text);
    return r;
}

Test(scenario_ports, the_hosts_actions_happen_at_their_moments)
{
    struct scenario *s = scene(HEAD PARTITION("[]") TIMELINE EXPECT);
    struct runner *r = runner_of(s, &plain);
    struct message why = {.text = {0}};
    cr_assert(runner_run(r, &why), "%s", why.text);
    for (unsigned i = 0; i < s->script.expectation_count; i++) {
        cr_expect(runner_verdict(r, i).met, "%s", s->script.expectations[i].text);
    }
    uint8_t slot[19];
    cr_assert(memory_read(partition_machine(runner_partition(r))->memory, gpa(0x20300), slot, sizeof slot));
    cr_expect_arr_eq(slot, "\1\0\0\0\3\0\0\0\0\0\0\0\0\0\0\0Hel", sizeof slot);
    runner_destroy(r);
    scenario_free(s);
}

/* A post for which no buffer is free waits, as keys do: the first is in the slot, sixteen wait, the eighteenth is tried again.
 */
Test(scenario_ports, a_post_without_a_buffer_waits)
{
#define P "{ post: { vp: 0, sint: 3, type: 1 } }, "
    struct scenario *s =
        scene(HEAD PARTITION("[]") "timeline:\n  - { at: 5 ms, do: [ " P P P P P P P P
                                   "{ hold-slot: { vp: 0, sint: 1, for: 1 ms } } ] }\n"
                                   "  - { at: 5 ms, do: [ " P P P P P P P P "{ hold-slot: { vp: 0, sint: 1, for: 1 ms } } ] }\n"
                                   "  - { at: 6 ms, do: [ " P P "stop ] }\n"
                                   "expect:\n"
                                   "  - { count: { event: host_post, status: 0 }, is: 17 }\n"
                                   "  - { count: { event: host_post, status: 0x13 }, at-least: 30 }\n"
                                   "  - end: limit\n");
    struct runner *r = runner_of(s, &plain);
    struct message why = {.text = {0}};
    cr_assert(runner_run(r, &why), "%s", why.text);
    cr_expect(runner_met(r), "the stop behind a post that waits is never reached");
    runner_destroy(r);
    scenario_free(s);
}

/* At any cycle between, a run saves and goes on in another process to the same end. */
Test(scenario_ports, held_slots_and_waiting_messages_survive_a_file)
{
    struct scenario *s =
        scene(HEAD PARTITION("[ { message: { connection: 1, echo-to: { vp: 0, sint: 3 } } } ]") TIMELINE EXPECT);
    struct runner *whole = runner_of(s, &plain);
    struct message why = {.text = {0}};
    cr_assert(runner_run(whole, &why));
    static const uint64_t cycles[] = {1000, 5000001, 9500000, 17999999};
    for (size_t i = 0; i < ARRAY_COUNT(cycles); i++) {
        struct run_options until = {.stop_at_cycle = cycles[i]};
        struct runner *first = runner_of(s, &until), *second = runner_of(s, &plain);
        size_t size;
        cr_assert(runner_run(first, &why));
        uint8_t *bytes = runner_save(first, &size, &why);
        cr_assert(bytes != NULL && runner_restore(second, bytes, size, &why), "%s", why.text);
        cr_assert(runner_run(second, &why) && runner_met(second));
        cr_expect_eq(runner_digest(second).low, runner_digest(whole).low, "%zu", i);
        free(bytes);
        runner_destroy(first);
        runner_destroy(second);
    }
    runner_destroy(whole);
    scenario_free(s);
}

Test(scenario_ports, ports_can_be_deleted_and_disconnected)
{
    struct scenario *s = scene(HEAD PARTITION("[ { message: { connection: 1, sink: on } }, { message: { connection: 2, sink: "
                                              "on } } ]") "timeline: [ { at: 1 ms, do: [ { delete-port: 1 }, { disconnect: 2 } "
                                                          "] } ]\n");
    struct runner *r = runner_of(s, &plain);
    struct message why = {.text = {0}};
    struct partition *p = runner_partition(r);
    cr_expect(connection_post(p, 1, 1, "", 0) == HV_STATUS_SUCCESS && connection_post(p, 2, 1, "", 0) == HV_STATUS_SUCCESS);
    cr_assert(runner_run(r, &why));
    cr_expect_eq(connection_post(p, 1, 1, "", 0), HV_STATUS_INVALID_PORT_ID);
    cr_expect_eq(connection_post(p, 2, 1, "", 0), HV_STATUS_INVALID_CONNECTION_ID);
    runner_destroy(r);
    scenario_free(s);
}
