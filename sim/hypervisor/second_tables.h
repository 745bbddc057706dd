/**
 * @file
 * Tables of second stages, as a hypervisor builds them. A stage is named by its depth: its tables
 * stand in the space under it, which for the last one is the host's memory.
 */
#ifndef SIM_HYPERVISOR_SECOND_TABLES_H
#define SIM_HYPERVISOR_SECOND_TABLES_H

#include "sim/hypervisor/technique.h"

/** The controls that a VM's configuration asks for; the pointer is not set. */
struct second_stage_controls second_tables_controls_for(const struct vm_config *);

/** The controls of a VM's second stage, its pointer included. */
struct second_stage_controls *second_tables_controls(struct door *, unsigned depth);

/** The stage as the processor walks it. */
struct stage second_tables_stage(struct door *, unsigned depth);

/** Makes an empty top table and sets the pointer to it. False: no memory. */
bool second_tables_new_root(struct machine *, unsigned vm, unsigned depth);

/** Enters the page of a p2m entry that holds @p gpa. False: no memory. */
bool second_tables_map(struct door *, unsigned depth, gpa_t gpa, const struct p2m_entry *);

/**
 * The p2m entry of the frame at @p gpa has changed: the leaf that maps it, if there is one, says
 * the same from now on, or goes if nothing of its size is present there.
 */
void second_tables_follow(struct door *, unsigned depth, gpa_t gpa, const struct p2m_entry *);

/** INVEPT of the VM's second stage on all its vCPUs, unbilled. */
void second_tables_forget(struct door *);

/** Answers the refusal of a second stage. */
typedef enum remedy second_tables_answer(struct door *, gva_t, const struct refusal *,
                                         struct vm_exit *);

/**
 * The guest OS touches a word of its memory: through the second stages as the processor would, A
 * and D set, what they lack answered, nothing billed but that. False: the hypervisor has no answer.
 */
bool second_tables_touch(struct door *, gpa_t, unsigned kind, second_tables_answer *, hpa_t *);

/**
 * Whether an instruction loads PDPTE registers, from @p root: a second stage must have that page,
 * and the load is a read that no linear address stands for. SDM vol. 3, 28.2.3.2.
 */
bool second_tables_pdptes(const struct door *, const struct instruction *, gpa_t *root);

#endif
