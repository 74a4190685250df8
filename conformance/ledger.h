/* The clause ledger: every testable statement of the Requirements document and of the TLFS, in our own words.
 *
 * conformance/clauses/CHAPTER.yaml each; a clause has one dotted id, never renamed, the editions and sections that state it,
 * its kind, the features that it stands behind, and either the tests that judge it or one reason why none can. The loader
 * refuses what is malformed; ledger_check.h proves what the ledger says of probes and documents. Texts are borrowed from the
 * trees.
 */
#ifndef ORRERY_CONFORMANCE_LEDGER_H
#define ORRERY_CONFORMANCE_LEDGER_H

#include "scenarios/yaml.h"
#include "tlfs/profile.h"

enum ledger_document { DOCUMENT_REQUIREMENTS, DOCUMENT_TLFS };

/* Editions of both documents, oldest first. 3.0 and 4.0 are derived: their texts are not at hand. */
enum ledger_edition { LEDGER_2012, LEDGER_2_0, LEDGER_3_0, LEDGER_4_0, LEDGER_5_0, LEDGER_6_0, LEDGER_EDITIONS };
extern const char *const ledger_edition_names[LEDGER_EDITIONS];
/* What a probe is told (edition=N). */
enum tlfs_edition ledger_probe_edition(enum ledger_edition e);

enum clause_kind { CLAUSE_REQUIRED, CLAUSE_OPTIONAL, CLAUSE_PROHIBITED, CLAUSE_BEHAVIOUR, CLAUSE_KINDS };
extern const char *const clause_kind_names[CLAUSE_KINDS];

enum clause_reason {
    REASON_NONE, /* it has tests */
    REASON_PARENT_ONLY,
    REASON_REAL_HARDWARE,
    REASON_NO_OBSERVABLE,
    REASON_NOT_BUILT,
    CLAUSE_REASONS
};
extern const char *const clause_reason_names[CLAUSE_REASONS];

enum { CLAUSE_GATES_MAX = 8, CLAUSE_TESTS_MAX = 24, CLAUSE_ID_MAX = 80 };

struct clause_test {
    const struct yaml_node *where;
    char probe[48], test[80]; /* "PROBE/TEST" */
};
struct clause {
    const char *id, *statement;
    const char *note; /* what the texts leave open or contradict, and the way taken; may be NULL */
    const struct chapter *chapter;
    const struct yaml_node *where; /* its id */
    enum ledger_document document;
    unsigned editions; /* bit set of enum ledger_edition */
    bool derived;
    const struct yaml_node *sections[LEDGER_EDITIONS]; /* NULL: not cited there */
    enum clause_kind kind;
    unsigned gate_count;
    enum hv_feature gates[CLAUSE_GATES_MAX];
    enum clause_reason reason;
    unsigned test_count;
    bool unproven; /* no mutant has made its tests fail; see judge.h */
    struct clause_test *tests;
};
struct chapter {
    struct yaml_tree *tree;
    char *file;
    const char *name, *title;
    struct clause *clauses;
    size_t count;
};
struct ledger {
    struct chapter *chapters;
    size_t chapter_count;
    struct clause **by_id; /* sorted */
    size_t count;
};

/* All chapters of a folder, in the order of their files' names. NULL with a message. */
struct ledger *ledger_read(const char *folder, struct message *why);
void ledger_free(struct ledger *l);
const struct clause *ledger_find(const struct ledger *l, const char *id);
bool ledger_mark_unproven(struct ledger *l, const char *id); /* false: no clause with a test has that id */

/* One chapter from memory, for tests. */
struct ledger *ledger_read_text(const char *file, const char *text, size_t bytes, struct message *why);

#endif
