/* I/O ports: permission, the access itself, IN and OUT. INS and OUTS (string.c) use the same two steps.
 *
 * SDM 1 chapter 19 (§19.5.2 I/O Permission Bit Map), SDM 2A IN, 2B OUT. A port access is an exit of the hypervisor's kind: it
 * is charged and traced.
 */
#include <Zydis/Zydis.h>

#include "cpu/exec/system.h"

/* The map begins where the 16-bit field at 0x66 of a 32- or 64-bit TSS says. Two bytes are read always, so that an access
 * across a byte of the map is checked at once; both must lie in the TSS. */
static bool bitmap_allows(struct vcpu *v, uint16_t port, unsigned bytes)
{
    const struct segment *tr = &v->s.tr.seg;
    unsigned type = attributes_type(tr->attributes);
    if (!(tr->attributes & ATTR_P) || !(type == TYPE_TSS || type == TYPE_TSS_BUSY) || tr->limit < 0x67) {
        return false;
    }
    uint32_t at = (uint32_t)sys_load(v, system_linear(v, v->s.tr.base + 0x66), 2) + port / 8;
    if (at + 1 > tr->limit) {
        return false;
    }
    uint64_t map = sys_load(v, system_linear(v, v->s.tr.base + at), 2);
    return (map >> (port & 7) & ((1u << bytes) - 1)) == 0;
}

void io_check(struct vcpu *v, uint16_t port, unsigned bytes)
{
    if (LIKELY(!vp_protected(v) || (!vp_v86(v) && v->s.cpl <= vp_iopl(v)))) {
        return;
    }
    if (!bitmap_allows(v, port, bytes)) {
        vp_gp0(v);
    }
}

static void note_breakpoint(struct vcpu *v, uint16_t port, unsigned bytes)
{
    if (UNLIKELY(v->s.dr7 & 0xff)) {
        uint64_t hit = debug_match_io(v, port, bytes);
        if (hit) {
            v->s.pending_db |= hit;
            vp_attention(v);
        }
    }
}

uint32_t io_in(struct vcpu *v, uint16_t port, unsigned bytes)
{
    vp_charge(v, EXIT_PORT, v->cpu->cost->event[EXIT_PORT]);
    uint32_t value = ports_in(v->machine->ports, port, bytes);
    TRACE(v->trace, port_in, v->index, port, bytes, value);
    note_breakpoint(v, port, bytes);
    return value;
}

void io_out(struct vcpu *v, uint16_t port, unsigned bytes, uint32_t value)
{
    vp_charge(v, EXIT_PORT, v->cpu->cost->event[EXIT_PORT]);
    value &= bytes == 4 ? UINT32_MAX : (1u << (8 * bytes)) - 1;
    TRACE(v->trace, port_out, v->index, port, bytes, value);
    ports_out(v->machine->ports, port, bytes, value);
    note_breakpoint(v, port, bytes);
}

static uint16_t port_of(const struct vcpu *v, const struct uop *u)
{
    return u->s ? (uint16_t)v->s.gpr[RDX] : (uint16_t)u->imm;
}

static HANDLER(in_port)
{
    vp_begin_system(v, u);
    uint16_t port = port_of(v, u);
    unsigned bytes = operand_bytes(u);
    io_check(v, port, bytes);
    write_gpr(v, SLOT_GPR, bytes, io_in(v, port, bytes));
    LEAVE_NEXT;
}

static HANDLER(out_port)
{
    vp_begin_system(v, u);
    uint16_t port = port_of(v, u);
    unsigned bytes = operand_bytes(u);
    uint64_t next = uop_next_rip(v, u);
    io_check(v, port, bytes);
    io_out(v, port, bytes, (uint32_t)v->s.gpr[RAX]);
    LEAVE_AT(v, next);
}

static uop_fn *const in_fn = in_port, *const out_fn = out_port;

/* x: bytes of the accumulator; s: the port is in DX, else imm. */
static bool emit_io(struct emit *e, const struct insn *in, const void *argument)
{
    const struct operand *accumulator = &in->op[in->mnemonic == ZYDIS_MNEMONIC_IN ? 0 : 1];
    const struct operand *port = &in->op[in->mnemonic == ZYDIS_MNEMONIC_IN ? 1 : 0];
    e->u->fn = *(uop_fn *const *)argument;
    e->u->x = accumulator->bytes;
    e->u->s = port->kind == OPERAND_GPR;
    e->u->imm = in->imm & 0xff;
    return accumulator->kind == OPERAND_GPR && accumulator->bytes <= 4;
}

const struct insn_row io_rows[] = {
    {ZYDIS_MNEMONIC_IN, COST_SYSTEM, INSN_ENDS_BLOCK, emit_io, &in_fn},
    {ZYDIS_MNEMONIC_OUT, COST_SYSTEM, INSN_ENDS_BLOCK, emit_io, &out_fn},
};
const size_t io_row_count = ARRAY_COUNT(io_rows);
