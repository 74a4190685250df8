/* The door for deliberate faults: the proof that the conformance suites would see them (tests/mutants). Only a build with
 * -DORRERY_MUTANTS=ON opens it; mutants_wrap() then stands between the processor's hooks and the hypervisor, which itself stays
 * as it is. In every other build it is nothing.
 *
 * The environment's ORRERY_MUTANT names one mutant. `list` prints all that the tables alone give, and ends the program;
 * `record:FILE` appends a line for each access by which a mutant would show: msr:INDEX:FAULT, cpuid:LEAF, hypercall:CODE:STATUS
 * (from which status mutants follow); unset or empty: none.
 *
 * msr:400000b0:FAULT
 *     deny-read, deny-write        a readable (writable) MSR raises #GP
 *     allow-read, allow-write      a write-only one reads as zero; a read-only one takes a write and forgets it
 *     ungated                      the privilege is not asked for
 *     forget                       what is written is lost
 *     reserved-ignored             RsvdZ bits do not fault
 *     reserved-more                the highest bit that is not RsvdZ faults
 *     reset                        reads wrongly until it is written
 *     shared                       every VP has VP 0's register
 * cpuid:40000003:eax:FAULT
 *     5                            that bit of the answer is inverted
 *     zero, more                   the word reads zero; it reads one more
 * hypercall:005c:FAULT
 *     0012:0005                    where the call would answer 0x12, it answers 5
 *     ungated                      a denied call succeeds
 *     reps                         one element too few is reported
 */
#ifndef ORRERY_TLFS_MUTANTS_H
#define ORRERY_TLFS_MUTANTS_H

#include "cpu/cpu.h"

/* Replaces the hypervisor's hooks by ones that commit the chosen fault; once for each partition, at its creation. At a reset
 * nothing is written any more. */
#ifdef ORRERY_MUTANTS
void mutants_wrap(struct cpu_hooks *hooks);
void mutants_reset(void);
#else
static inline void mutants_reset(void)
{
}
static inline void mutants_wrap(struct cpu_hooks *hooks)
{
    (void)hooks;
}
#endif

#endif
