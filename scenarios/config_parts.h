/* Shared by config.c and config_ports.c. Private to them. */
#ifndef ORRERY_SCENARIOS_CONFIG_PARTS_H
#define ORRERY_SCENARIOS_CONFIG_PARTS_H

#include "scenarios/scenario.h"

/* partition.ports; `n` may be NULL. After the profile. */
bool config_ports_read(struct value_reader *r, const struct yaml_node *n, struct scenario *s);
/* Actions that name a VP or a connection. After everything else. */
bool config_actions_check(struct value_reader *r, const struct scenario *s);

#endif
