/**
 * @file
 * From a checked tree to struct scenario. What the table of keys can't say is checked here: how
 * values go together. Nothing here trusts a value that was refused: member() hides it.
 */
#ifndef SIM_SCENARIO_LOAD_H
#define SIM_SCENARIO_LOAD_H

#include "sim/scenario/check.h"
#include "sim/scenario/storage.h"
#include "sim/scenario/value.h"

/** What later parts need to know of a VM beside its configuration. */
struct vm_facts {
    bool sound;           /**< its format is known; else checks that need it are left out */
    struct format format; /**< of stage 0 */
};

struct loader {
    struct document *document;
    struct storage *storage;
    const char *path; /**< of the scenario: paths inside are relative to its folder */
    struct machine_config *machine;
    struct vm_config *vms;  /**< machine->vms, while it is being filled */
    struct vm_facts *facts; /**< one per VM */
};

/** Whether the member is there at all, refused or not. */
bool present(const cJSON *object, const char *name);

/** @p object's member, or the object itself where there is none: what to underline. */
const cJSON *member_or(const cJSON *object, const char *name);

/** A path from inside a file, relative to the folder of that file; in storage. */
const char *resolve(struct storage *, const char *beside, const char *path);

/** A file's bytes ("-": stdin), malloc'd; NULL with one diagnostic. */
char *read_file(const char *path, size_t *length, struct diagnostics *);

/** load_machine.c: the host. @p item may be NULL: all defaults. */
void load_machine(struct loader *, const cJSON *item);

/** load_vm.c: the VMs. */
void load_vms(struct loader *, const cJSON *list);

/** Complains of elements that have the name of another. */
void check_names(struct loader *, const cJSON *list, const char *what);

/** The name given, or else @p word and the number; in storage. */
const char *name_of(struct loader *, const char *given, const char *word, unsigned number);

/** load_raw.c: registers, which say the paging; then images, which need memory; preload of any. */
void load_raw(struct loader *, const cJSON *item, unsigned vm);
void load_images(struct loader *, const cJSON *item, unsigned vm);
void load_preloads(struct loader *, const cJSON *item, unsigned vm);

/** Where images may stand. */
struct image_place {
    const struct schema *schema;
    const char *address; /**< the key of the address in there */
    const char *owner;   /**< of the memory: "VM" */
    uint64_t bytes;      /**< that there are */
};
const struct image_config *load_images_of(struct loader *, const cJSON *list,
                                          const struct image_place *, unsigned *count);

/** load_hypervisor.c: second stages and modes, when the VM is known otherwise. */
void load_hypervisor(struct loader *, const cJSON *item, unsigned vm);

/** load_process.c: processes of a built VM, with maps and workloads. */
void load_processes(struct loader *, const cJSON *list, unsigned vm);

/** Reads gva, size, page, rights, populate of a map; false if it is not to be relied on. */
bool load_map(struct loader *, const cJSON *item, const struct schema *, unsigned vm,
              struct map_config *);

/** load_script.c */
const struct script_item *load_script(struct loader *, const cJSON *list, unsigned *count);

#endif
