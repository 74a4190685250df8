/* The result as JSON and as lines. See result.h. Keys come in one order; numbers are exact integers (all below 2^63). */
#include "scenarios/result.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Text that may hold anything (a path from the environment) as JSON's UTF-8. */
static json_t *clean_string(const char *text)
{
    size_t bytes = strlen(text);
    char *clean = malloc(3 * bytes + 1);
    if (clean == NULL) {
        return NULL;
    }
    json_t *s = json_stringn(clean, utf8_clean((const uint8_t *)text, bytes, clean));
    free(clean);
    return s;
}

static json_t *digest_json(struct digest d)
{
    char text[33];
    digest_text(d, text);
    return json_string(text);
}

static json_t *expectations_json(const struct runner *r)
{
    const struct script *script = &runner_scenario(r)->script;
    json_t *list = json_array();
    for (unsigned i = 0; i < script->expectation_count; i++) {
        struct verdict v = runner_verdict(r, i);
        json_t *o = json_object();
        json_object_set_new(o, "text", clean_string(script->expectations[i].text));
        json_object_set_new(o, "met", json_boolean(v.met));
        json_object_set_new(o, "cycle", json_integer((json_int_t)v.cycle));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *epochs_json(const struct runner *r)
{
    size_t count;
    const struct run_link *links = runner_links(r, &count);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *o = json_object();
        json_object_set_new(o, "cycle", json_integer((json_int_t)links[i].cycle));
        json_object_set_new(o, "digest", digest_json(links[i].digest));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *exits_json(const struct runner *r)
{
    struct cpu *c = partition_cpu(runner_partition((struct runner *)r));
    json_t *o = json_object();
    for (unsigned reason = 0; reason < EXIT_REASONS; reason++) {
        uint64_t sum = 0;
        for (unsigned i = 0; i < cpu_vps(c); i++) {
            sum += vp_account(cpu_vp(c, i)).events[reason];
        }
        json_object_set_new(o, vp_exit_name((enum vp_exit)reason), json_integer((json_int_t)sum));
    }
    return o;
}

static void image_append(json_t *list, const struct scenario_image *image)
{
    if (image->where == NULL) {
        return;
    }
    char hash[64];
    json_t *o = json_object();
    snprintf(hash, sizeof hash, "xxh3-128:%016" PRIx64 "%016" PRIx64, image->content.high, image->content.low);
    json_object_set_new(o, "name", clean_string(image->name));
    json_object_set_new(o, "hash", json_string(hash));
    json_array_append_new(list, o);
}

static json_t *images_json(const struct scenario *s)
{
    json_t *list = json_array();
    image_append(list, &s->kernel);
    image_append(list, &s->initrd);
    for (unsigned i = 0; i < s->module_count; i++) {
        image_append(list, &s->modules[i]);
    }
    return list;
}

static json_t *console_json(const struct runner *r)
{
    size_t length;
    char *text = console_text(runner_console(r), &length);
    json_t *s = text != NULL ? json_stringn(text, length) : NULL;
    free(text);
    return s;
}

/* What the guest said of its crash, §4.3 of the TLFS; the message's bytes are its own affair. */
static json_t *crash_json(const struct crash_report *crash)
{
    char text[CRASH_MESSAGE_BYTES_MAX + 1];
    size_t length = 0;
    for (; length < crash->message_bytes && crash->message[length] != 0; length++) {
        text[length] = (char)crash->message[length];
    }
    text[length] = 0;
    json_t *o = json_object(), *parameters = json_array();
    for (size_t i = 0; i < ARRAY_COUNT(crash->parameter); i++) {
        char number[20];
        snprintf(number, sizeof number, "0x%" PRIx64, crash->parameter[i]);
        json_array_append_new(parameters, json_string(number));
    }
    json_object_set_new(o, "vp", json_integer(crash->vp));
    json_object_set_new(o, "reports", json_integer(crash->count));
    json_object_set_new(o, "parameters", parameters);
    json_object_set_new(o, "message", clean_string(text));
    return o;
}

json_t *result_json(const struct runner *r, double cpu_seconds)
{
    const struct scenario *s = runner_scenario(r);
    char end[32];
    uint32_t code;
    enum run_end how = runner_end(r, &code);
    run_end_text(how, code, end);
    struct digest trace;
    json_t *o = json_object();
    int failed = 0;
    failed |= json_object_set_new(o, "verdict", json_string(runner_met(r) ? "met" : "not-met"));
    failed |= json_object_set_new(o, "end", json_string(end));
    failed |= json_object_set_new(o, "expectations", expectations_json(r));
    failed |= json_object_set_new(o, "digest", digest_json(runner_digest(r)));
    failed |= json_object_set_new(o, "epochs", epochs_json(r));
    if (runner_trace_digest(r, &trace)) {
        failed |= json_object_set_new(o, "trace_digest", digest_json(trace));
    }
    failed |= json_object_set_new(o, "cycles", json_integer((json_int_t)runner_cycles(r)));
    failed |= json_object_set_new(o, "instructions", json_integer((json_int_t)runner_instructions(r)));
    failed |= json_object_set_new(o, "exits", exits_json(r));
    failed |= json_object_set_new(o, "cpu_seconds", json_real(cpu_seconds));
    failed |= json_object_set_new(o, "engine", json_string("interpreter"));
    failed |= json_object_set_new(o, "cost", json_string(s->cost->name));
    failed |= json_object_set_new(o, "deterministic", json_true());
    failed |= json_object_set_new(o, "images", images_json(s));
    const struct crash_report *crash = partition_crash(runner_partition((struct runner *)r));
    if (crash->count != 0) {
        failed |= json_object_set_new(o, "crash", crash_json(crash));
    }
    failed |= json_object_set_new(o, "console", console_json(r));
    if (failed) {
        json_decref(o);
        return NULL;
    }
    return o;
}

/* ---- for people ---- */

static double seconds(const struct runner *r, uint64_t cycle)
{
    return (double)cycle / (double)runner_scenario(r)->model.tsc_hz;
}

/* Printable ASCII and line ends alone reach a terminal. */
static void crash_print(FILE *out, const struct crash_report *crash)
{
    const uint64_t *p = crash->parameter;
    fprintf(out, "crash reported by VP %u: 0x%" PRIx64 " 0x%" PRIx64 " 0x%" PRIx64 " 0x%" PRIx64 " 0x%" PRIx64 "\n", crash->vp,
            p[0], p[1], p[2], p[3], p[4]);
    bool begins = true;
    for (uint32_t i = 0; i < crash->message_bytes && crash->message[i] != 0; i++) {
        uint8_t c = crash->message[i];
        fputs(begins ? "  | " : "", out);
        fputc(c == '\n' || (c >= 0x20 && c < 0x7f) ? c : '.', out);
        begins = c == '\n';
    }
    fputs(begins ? "" : "\n", out);
}

void result_print(FILE *out, const struct runner *r)
{
    const struct script *script = &runner_scenario(r)->script;
    char end[32], digest[33];
    uint32_t code;
    enum run_end how = runner_end(r, &code);
    run_end_text(how, code, end);
    digest_text(runner_digest(r), digest);
    for (unsigned i = 0; i < script->expectation_count; i++) {
        struct verdict v = runner_verdict(r, i);
        fprintf(out, "%-7s %14" PRIu64 "  %s\n", v.met ? "met" : "NOT MET", v.cycle, script->expectations[i].text);
    }
    const struct crash_report *crash = partition_crash(runner_partition((struct runner *)r));
    if (crash->count != 0) {
        crash_print(out, crash);
    }
    fprintf(out, "%s: %s, end %s at cycle %" PRIu64 " (%.6f s), %" PRIu64 " instructions, digest %s\n",
            runner_scenario(r)->name, runner_met(r) ? "met" : "not met", end, runner_cycles(r), seconds(r, runner_cycles(r)),
            runner_instructions(r), digest);
}
