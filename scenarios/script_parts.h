/* Shared by script.c (conditions, timeline, expectations) and script_action.c. Private to them. */
#ifndef ORRERY_SCENARIOS_SCRIPT_PARTS_H
#define ORRERY_SCENARIOS_SCRIPT_PARTS_H

#include "scenarios/script.h"

/* One action; false with a message. */
bool script_action_read(struct value_reader *r, struct action *a, struct yaml_node *n);

#endif
