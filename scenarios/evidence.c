/* What a person needs first when a run went wrong: where each VP stood, what it had done last, what it was about to do. */
#include "scenarios/result.h"

#include "cpu/registers.h"
#include "machine/ring.h"

#include <capstone/capstone.h>
#include <inttypes.h>
#include <string.h>

/* ---- registers ---- */

static bool segment_row(const struct register_row *row)
{
    static const char *const titles[] = {"Es", "Cs", "Ss", "Ds", "Fs", "Gs", "Ldtr", "Tr", "Gdtr", "Idtr"};
    for (size_t i = 0; i < ARRAY_COUNT(titles); i++) {
        if (strcmp(row->title, titles[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* HV_X64_SEGMENT_REGISTER and HV_X64_TABLE_REGISTER as TLFS 6.0b §7.3 lays them out. */
static void print_segment(FILE *out, const struct register_row *row, struct register_value v)
{
    if (strcmp(row->title, "Gdtr") == 0 || strcmp(row->title, "Idtr") == 0) {
        fprintf(out, "  %-5s base %016" PRIx64 " limit %04x\n", row->title, v.high, (unsigned)(v.low >> 48));
    } else {
        fprintf(out, "  %-5s %04x base %016" PRIx64 " limit %08x attributes %04x\n", row->title,
                (unsigned)(v.high >> 32 & 0xffff), v.low, (unsigned)v.high, (unsigned)(v.high >> 48));
    }
}

static void print_registers(FILE *out, const struct vp_state *s)
{
    unsigned column = 0;
    for (size_t i = 0; i < register_row_count; i++) {
        const struct register_row *row = &register_rows[i];
        bool wanted = strlen(row->title) <= 6 && row->bits <= 64 && row->get != NULL && !segment_row(row);
        if (wanted) {
            fprintf(out, "  %-6s %016" PRIx64 "%s", row->title, row->get(s, row->argument).low, ++column % 4 == 0 ? "\n" : "");
        }
    }
    fputs(column % 4 != 0 ? "\n" : "", out);
    for (size_t i = 0; i < register_row_count; i++) {
        if (segment_row(&register_rows[i]) && register_rows[i].get != NULL) {
            print_segment(out, &register_rows[i], register_rows[i].get(s, register_rows[i].argument));
        }
    }
}

/* ---- disassembly ---- */

enum { BYTES_BEFORE = 64, BYTES_AFTER = 64, LINES_BEFORE = 4, LINES_AFTER = 8 };

/* Bytes of [linear, linear + count) that the VP's tables map to memory; from the first that they do not, none. */
static size_t read_linear(struct vcpu *vp, struct machine *m, uint64_t linear, uint8_t *to, size_t count)
{
    for (size_t at = 0; at < count; at++) {
        gpa_t where;
        if (!vp_translate(vp, gva(linear + at), &where) || !memory_read(m->memory, where, to + at, 1)) {
            return at;
        }
    }
    return count;
}

static cs_mode code_mode(const struct vp_state *s)
{
    const struct segment *cs = &s->seg[SEG_CS];
    if ((s->efer & EFER_LMA) && (cs->attributes & ATTR_L)) {
        return CS_MODE_64;
    }
    return cs->attributes & ATTR_DB ? CS_MODE_32 : CS_MODE_16;
}

static void print_line(FILE *out, const cs_insn *insn, bool here)
{
    fprintf(out, "  %s %016" PRIx64 "  ", here ? "=>" : "  ", insn->address);
    for (unsigned i = 0; i < insn->size; i++) {
        fprintf(out, "%02x ", insn->bytes[i]);
    }
    fprintf(out, "%*s%s %s\n", insn->size < 11 ? (int)(11 - insn->size) * 3 : 0, "", insn->mnemonic, insn->op_str);
}

/* Code has no marks to read it backwards by: the longest run of instructions that ends exactly at RIP is taken for what came
 * before. */
static void print_before(FILE *out, csh handle, struct vcpu *vp, struct machine *m, uint64_t linear)
{
    for (unsigned back = BYTES_BEFORE; back > 0; back--) {
        uint8_t code[BYTES_BEFORE];
        cs_insn *insn = NULL;
        if (linear < back || read_linear(vp, m, linear - back, code, back) != back) {
            continue;
        }
        size_t count = cs_disasm(handle, code, back, linear - back, 0, &insn);
        bool fits = count > 0 && insn[count - 1].address + insn[count - 1].size == linear;
        for (size_t i = count > LINES_BEFORE ? count - LINES_BEFORE : 0; fits && i < count; i++) {
            print_line(out, &insn[i], false);
        }
        cs_free(insn, count);
        if (fits) {
            return;
        }
    }
}

static void print_code(FILE *out, struct vcpu *vp, struct machine *m, const struct vp_state *s)
{
    csh handle;
    uint64_t linear = s->rip + (code_mode(s) == CS_MODE_64 ? 0 : s->seg_base[SEG_CS]);
    uint8_t code[BYTES_AFTER];
    size_t count = read_linear(vp, m, linear, code, sizeof code);
    if (count == 0) {
        fprintf(out, "  => %016" PRIx64 "  is not mapped to memory\n", linear);
        return;
    }
    if (cs_open(CS_ARCH_X86, code_mode(s), &handle) != CS_ERR_OK) {
        return;
    }
    cs_insn *insn = NULL;
    print_before(out, handle, vp, m, linear);
    size_t lines = cs_disasm(handle, code, count, linear, LINES_AFTER, &insn);
    for (size_t i = 0; i < lines; i++) {
        print_line(out, &insn[i], i == 0);
    }
    if (lines == 0) {
        fprintf(out, "  => %016" PRIx64 "  %02x  (no instruction)\n", linear, code[0]);
    }
    cs_free(insn, lines);
    cs_close(&handle);
}

/* ---- all ---- */

static void print_exits(FILE *out, struct ring *ring)
{
    fprintf(out, "The last %zu exits, oldest first:\n", ring_count(ring));
    for (size_t i = 0; i < ring_count(ring); i++) {
        char text[300];
        trace_event_text(ring_at(ring, i), text, sizeof text);
        fprintf(out, "  %s\n", text);
    }
}

void evidence_print(FILE *out, struct runner *r)
{
    static const char *const activities[] = {"running", "halted", "mwait", "wait for SIPI", "shutdown", "idle"};
    struct cpu *c = partition_cpu(runner_partition(r));
    struct machine *m = partition_machine(runner_partition(r));
    for (unsigned i = 0; i < cpu_vps(c); i++) {
        struct vp_state s;
        vp_get_state(cpu_vp(c, i), &s);
        fprintf(out, "VP %u, %s:\n", i, s.activity < ARRAY_COUNT(activities) ? activities[s.activity] : "?");
        if (s.activity == VP_WAIT_SIPI) {
            continue;
        }
        print_registers(out, &s);
        print_code(out, cpu_vp(c, i), m, &s);
    }
    print_exits(out, runner_last_exits(r));
}
