/* What the reader makes of scenarios and machines, value by value. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "sim/scenario/scenario.h"

#define GOOD "tests/sim/data/scenarios/"

static struct scenario load(const char *path, const struct setting *settings, unsigned n)
{
    struct scenario scenario;
    struct diagnostics diagnostics = {0};
    bool ok = scenario_load(&scenario, path, settings, n, &diagnostics);
    diagnostics_print(&diagnostics, stderr, false);
    diagnostics_free(&diagnostics);
    cr_assert(ok, "%s (run from the top of the repository)", path);
    return scenario;
}

static struct diagnostics refused(const char *text, const struct setting *settings, unsigned n)
{
    struct scenario scenario;
    struct diagnostics diagnostics = {0};
    cr_assert(!scenario_parse(&scenario, "s.json", text, strlen(text), settings, n, &diagnostics));
    cr_assert_gt(diagnostics.count, 0);
    return diagnostics;
}

static struct scenario parse(const char *text, const struct setting *settings, unsigned n)
{
    struct scenario scenario;
    struct diagnostics diagnostics = {0};
    bool ok = scenario_parse(&scenario, "s.json", text, strlen(text), settings, n, &diagnostics);
    diagnostics_print(&diagnostics, stderr, false);
    diagnostics_free(&diagnostics);
    cr_assert(ok);
    return scenario;
}

Test(scenario, an_empty_vm_has_the_defaults)
{
    struct scenario s = load(GOOD "minimal.json", NULL, 0);
    const struct vm_config *vm = &s.machine.vms[0];
    cr_expect_str_eq(s.machine.profile.name, "skylake-sp");
    cr_expect_eq(s.machine.seed, 1);
    cr_expect_eq(s.machine.cpus, 1);
    cr_expect_eq(s.machine.memory, (uint64_t)8 << 30);
    cr_expect_eq(s.machine.n_vms, 1);
    cr_expect_str_eq(vm->name, "vm0");
    cr_expect_eq(vm->mode, MODE_NATIVE);
    cr_expect_eq(vm->memory, (uint64_t)2 << 30);
    cr_expect_eq(vm->vcpus, 1);
    cr_expect_eq(vm->paging, PAGING_4_LEVEL);
    cr_expect_eq(vm->reclaim, RECLAIM_NONE);
    cr_expect(!vm->raw && !vm->huge_pages && !vm->map_on_touch);
    cr_expect_eq(s.n_script, 0);
    scenario_free(&s);
}

Test(scenario, the_sample_of_the_manual_is_read)
{
    struct scenario s = load(GOOD "sample.json", NULL, 0);
    const struct vm_config *vm = &s.machine.vms[0];
    const struct map_config *map = &vm->processes[0].maps[0];
    const struct generator_spec *g = &vm->processes[0].phases[0].generator;
    cr_expect_str_eq(s.title, "Two VMs, one needs more");
    cr_expect_eq(s.machine.seed, 0x5eed);
    cr_expect_eq(s.machine.cpus, 2);
    cr_expect_str_eq(vm->name, "web");
    cr_expect_eq(vm->mode, MODE_NESTED);
    cr_expect_str_eq(vm->processes[0].name, "server");
    cr_expect_eq(map->gva, 0x400000);
    cr_expect_eq(map->size, 64 << 20);
    cr_expect_eq(map->rights, RIGHT_READ | RIGHT_WRITE | RIGHT_USER);
    cr_expect_eq(g->pattern, PATTERN_ZIPF);
    cr_expect_eq(g->theta, 0.9);
    cr_expect_eq(g->writes, 0.3);
    cr_expect_eq(g->accesses, 1000000);
    cr_expect_eq(g->base, 0x400000);
    cr_expect_eq(g->page, 4096);
    cr_expect_eq(g->flags, ACCESS_USER);
    scenario_free(&s);
}

/* "a plain object replaces the whole TLB, shared, and what it omits keeps the 4 KiB values". */
Test(scenario, a_plain_tlb_override_replaces_the_whole_tlb_and_keeps_what_it_omits)
{
    struct scenario s = load(GOOD "sample.json", NULL, 0);
    const struct tlb_profile *l2 = &s.machine.profile.tlb[TLB_L2];
    cr_expect_eq(l2->array[0].entries, 2048);
    cr_expect_eq(l2->array[0].ways, 8);
    cr_expect_eq(l2->array[0].replacement, REPLACE_LRU);
    for (unsigned c = 0; c < PAGE_CLASSES; c++) {
        cr_expect_eq(l2->array_of[c], 0);
        cr_expect_eq(l2->kept_as[c], c);
    }
    scenario_free(&s);
}

Test(scenario, an_override_reaches_every_part_of_the_profile)
{
    struct scenario s = load(GOOD "overrides.json", NULL, 0);
    const struct profile *p = &s.machine.profile;
    cr_expect_eq(s.machine.seed, 12345);
    cr_expect_eq(p->maxphyaddr, 40);
    cr_expect_eq(p->mhz, 2500);
    cr_expect(profile_has(p, FEATURE_la57) && !profile_has(p, FEATURE_pcid));
    for (unsigned c = 0; c < PAGE_CLASSES; c++)
        cr_expect_eq(p->tlb[TLB_L1I].array_of[c], TLB_NOWHERE);
    cr_expect_eq(p->tlb[TLB_L1D].array[0].entries, 8);
    const struct tlb_profile *l2 = &p->tlb[TLB_L2];
    cr_expect_eq(l2->array[l2->array_of[0]].entries, 64);
    cr_expect_eq(l2->array[l2->array_of[0]].ways, 0);
    cr_expect_eq(l2->array[l2->array_of[1]].entries, 2048, "what isn't named stays");
    cr_expect_eq(l2->kept_as[2], 1);
    cr_expect(!p->structure_by_entry);
    cr_expect_eq(p->structure[2].entries, 16);
    cr_expect_eq(p->structure[5].entries, 0);
    cr_expect_eq(p->nested_tlb.replacement, REPLACE_RANDOM);
    cr_expect_eq(p->line, 32);
    cr_expect(p->program_data);
    cr_expect_eq(p->data[0].entries, 128);
    cr_expect_eq(p->data[1].entries, 0);
    cr_expect_eq(p->data[2].replacement, REPLACE_LFU);
    cr_expect_eq(p->cost[COST_memory], 300);
    cr_expect_eq(p->cost[COST_l2_tlb], 7);
    cr_expect_null(profile_fault(p));
    scenario_free(&s);
}

Test(scenario, a_vm_keeps_memory_reclaim_and_vcpus)
{
    struct scenario s = load(GOOD "overrides.json", NULL, 0);
    const struct vm_config *vm = &s.machine.vms[0];
    cr_expect_eq(vm->mode, MODE_DIRECT);
    cr_expect_eq(vm->memory, (uint64_t)4 << 30);
    cr_expect_eq(vm->vcpus, 2);
    cr_expect(vm->huge_pages);
    cr_expect_eq(vm->reclaim, RECLAIM_CLOCK);
    cr_expect_eq(vm->reclaim_frames, 3);
    scenario_free(&s);
}

Test(scenario, a_textbook_geometry_is_read_and_bounds_the_memory)
{
    struct scenario s = load(GOOD "textbook-two-level.json", NULL, 0);
    const struct vm_config *vm = &s.machine.vms[0];
    const struct geometry *g = &vm->geometry;
    cr_expect_eq(vm->paging, PAGING_TEXTBOOK);
    cr_expect_eq(g->levels, 2);
    cr_expect(g->index_bits[0] == 5 && g->index_bits[1] == 5);
    cr_expect_eq(g->page, 32);
    cr_expect_eq(g->entry_bytes, 1);
    cr_expect_eq(g->valid, 7);
    cr_expect(g->frame_low == 0 && g->frame_bits == 7);
    cr_expect_eq(vm->memory, 128 * 32, "as much as 7-bit frame numbers reach");
    cr_expect_eq(vm->processes[0].phases[0].generator.page, 32);
    scenario_free(&s);
}

Test(scenario, registers_of_a_raw_vm_have_defaults_and_say_the_paging)
{
    static const struct {
        const char *path;
        enum paging paging;
        uint64_t cr3, cr4, efer;
    } cases[] = {
        {GOOD "raw-2-level.json", PAGING_2_LEVEL, 0x1000, 0x10, 0},
        {GOOD "raw-pae.json", PAGING_PAE, 0x1020, 0x20, 0x800},
        {GOOD "raw-4-level.json", PAGING_4_LEVEL, 0x1000, 0x20, 0xd01},
        {GOOD "raw-5-level.json", PAGING_5_LEVEL, 0x1000, 0x1020, 0xd01},
        {GOOD "raw-by-paging.json", PAGING_PAE, 0x20, 0x20, 0x800},
        {GOOD "raw-textbook.json", PAGING_TEXTBOOK, 0x220, 0x20, 0xd01},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct scenario s = load(cases[i].path, NULL, 0);
        const struct vm_config *vm = &s.machine.vms[0];
        cr_expect(vm->raw, "%s", cases[i].path);
        cr_expect_eq(vm->paging, cases[i].paging, "%s", cases[i].path);
        cr_expect_eq(vm->registers.cr0, 0x80010033, "%s", cases[i].path);
        cr_expect_eq(vm->registers.cr3, cases[i].cr3, "%s", cases[i].path);
        cr_expect_eq(vm->registers.cr4, cases[i].cr4, "%s", cases[i].path);
        cr_expect_eq(vm->registers.efer, cases[i].efer, "%s", cases[i].path);
        scenario_free(&s);
    }
}

Test(scenario, an_image_is_words_or_bytes)
{
    struct scenario s = load(GOOD "raw-4-level.json", NULL, 0);
    const struct image_config *image = s.machine.vms[0].images;
    cr_expect_eq(image->gpa, 0x1000);
    cr_expect_eq(image->length, 16);
    cr_expect_arr_eq(image->bytes, "\x67\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
    scenario_free(&s);
    s = load(GOOD "raw-textbook.json", NULL, 0);
    cr_expect_arr_eq(s.machine.vms[0].images[0].bytes, "\x7f\x7f\x84\xff", 4);
    scenario_free(&s);
}

Test(scenario, an_access_has_size_8_or_1_and_the_privilege_of_its_place)
{
    struct scenario s = load(GOOD "raw-4-level.json", NULL, 0);
    const struct script_item *item = s.script;
    cr_expect_eq(s.n_script, 6);
    cr_expect(item[0].access.op == OP_READ && item[0].access.size == 8);
    cr_expect_eq(item[0].access.flags, 0, "a raw VM's accesses are the supervisor's");
    cr_expect(item[1].access.op == OP_EXEC && item[1].access.size == 1);
    cr_expect_eq(item[1].access.flags, ACCESS_USER);
    cr_expect(item[2].has_value && item[2].value == 0xffff && item[2].access.size == 2);
    cr_expect_eq(item[2].access.flags, ACCESS_AC);
    cr_expect(item[3].verb == VERB_store && item[3].size == 8 && item[3].gpa == 0x2000);
    cr_expect(item[5].verb == VERB_dump && item[5].length == 4);
    scenario_free(&s);
}

Test(scenario, every_verb_is_read)
{
    struct scenario s = load(GOOD "verbs.json", NULL, 0);
    uint32_t seen = 0;
    for (unsigned i = 0; i < s.n_script; i++)
        seen |= 1u << s.script[i].verb;
    cr_expect_eq(seen, (1u << VERB_COUNT) - 1);
    const struct script_item *map = &s.script[1], *exec = &s.script[3];
    cr_expect(map->process == 1 && map->map.level == 2 && map->length == 2 << 20);
    cr_expect(exec->process == 1 && exec->access.process == 1, "by number");
    cr_expect_eq(exec->access.flags, ACCESS_USER, "a process's accesses are the user's");
    const struct script_item *invept = &s.script[12], *invvpid = &s.script[14];
    cr_expect(invept[0].verb == VERB_invept && invept[0].type == 1, "one second stage by default");
    cr_expect(invept[1].vm == 2 && invept[1].type == 2);
    cr_expect(invvpid[0].verb == VERB_invvpid && invvpid[0].type == 1 && !invvpid[0].pcid);
    cr_expect(invvpid[1].process == 1 && invvpid[1].type == 0 && invvpid[1].pcid == 7);
    cr_expect_eq(invvpid[1].access.gva, 0x10000);
    const struct script_item *drop = &s.script[24], *protect = &s.script[25];
    cr_expect(drop->verb == VERB_drop && drop->gpa == 0x10000 && drop->length == 0x10000);
    cr_expect(protect->verb == VERB_write_protect && protect->vm == 1);
    cr_expect(protect->gpa == 0x1000 && protect->length == 0x1000);
    cr_expect_eq(s.script[s.n_script - 2].at, 500);
    cr_expect(s.script[s.n_script - 2].at_access);
    cr_expect_eq(s.script[s.n_script - 1].at, 10000);
    cr_expect(s.script[s.n_script - 1].at_time);
    scenario_free(&s);
}

Test(scenario, every_generator_is_read_and_phases_are_laid_in_a_row)
{
    struct scenario s = load(GOOD "generators.json", NULL, 0);
    const struct vm_config *vm = &s.machine.vms[0];
    const struct process_config *p = &vm->processes[0];
    uint32_t seen = 0;
    cr_assert_eq(p->n_phases, 10);
    for (unsigned i = 0; i < p->n_phases; i++)
        seen |= p->phases[i].trace ? 0 : 1u << p->phases[i].generator.pattern;
    cr_expect_eq(seen, (1u << PATTERNS) - 1);
    cr_expect_eq(p->maps[0].populate, true);
    cr_expect_eq(p->maps[2].level, 3);
    cr_expect_eq(p->phases[1].generator.page, 2 << 20);
    cr_expect_eq(p->phases[1].generator.stride, 4096);
    cr_expect_eq(p->phases[7].generator.accesses, 3, "a list is gone through once");
    cr_expect_eq(p->phases[7].generator.list[1], 0x401008);
    cr_expect_str_eq(p->phases[8].trace, GOOD "addresses.txt");
    cr_expect_str_eq(vm->processes[1].phases[0].trace, GOOD "./addresses.txt");
    cr_expect_eq(vm->processes[1].phases[0].generator.accesses, 2);
    cr_expect(vm->map_on_touch, "a trace without maps is given them");
    cr_expect_str_eq(vm->processes[2].name, "p2");
    cr_expect_eq(vm->quantum, 1000);
    scenario_free(&s);
}

Test(scenario, invalid_entries_of_a_preload_are_left_out)
{
    struct scenario s = load(GOOD "preload.json", NULL, 0);
    const struct vm_config *vm = &s.machine.vms[0];
    cr_assert_eq(vm->n_preloads, 3);
    cr_expect(!vm->preloads[0].data_cache && vm->preloads[0].which == TLB_L1D);
    cr_expect(vm->preloads[1].tag == 9 && vm->preloads[1].frame == 0xd);
    cr_expect_eq(vm->preloads[1].rights, 15);
    cr_expect(vm->preloads[2].data_cache && vm->preloads[2].length == 4);
    cr_expect_arr_eq(vm->preloads[2].bytes, "\x99\x11\x23\x11", 4);
    scenario_free(&s);
}

Test(scenario, a_setting_replaces_makes_and_spreads)
{
    struct setting settings[] = {{"/vms/0/mode", "shadow"},
                                 {"/machine/override/maxphyaddr", "39"},
                                 {"/vms/*/memory", "1GiB"},
                                 {"/seed", "0x7"},
                                 {"/vms/0/guest", "{\"paging\": \"5-level\"}"}};
    struct scenario s = load(GOOD "sample.json", settings, 5);
    cr_expect_eq(s.machine.vms[0].mode, MODE_SHADOW);
    cr_expect_eq(s.machine.profile.maxphyaddr, 39);
    cr_expect_eq(s.machine.vms[0].memory, 1 << 30);
    cr_expect_eq(s.machine.seed, 7);
    cr_expect_eq(s.machine.vms[0].paging, PAGING_5_LEVEL);
    scenario_free(&s);
}

Test(scenario, what_is_wrong_with_a_setting_names_the_setting)
{
    static const struct {
        const char *pointer, *value, *file, *at, *message;
    } cases[] = {
        {"/vms/0/mode", "nestd", "--set /vms/0/mode", "/vms/0/mode", "unknown mode \"nestd\""},
        {"/vms/1/mode", "nested", "--set /vms/1/mode", "/vms/1/mode", "no element \"1\" there"},
        {"/version/x", "1", "--set /version/x", "/version/x", "no \"x\" there"},
        {"mode", "1", "--set mode", "mode", "not a JSON pointer"},
        {"/vms/0/a~1b", "1", "--set /vms/0/a~1b", "/vms/0/a~1b", "unknown key \"a/b\""},
        {"/seed", "99999999999999999999", "--set /seed", "/seed",
         "beyond 2^53 - 1 a number loses bits"},
        {"/machine/x/y", "1", "--set /machine/x/y", "/machine/x", "unknown key \"x\""},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct setting setting = {cases[i].pointer, cases[i].value};
        struct diagnostics d = refused("{\"version\": 1, \"vms\": [{}]}", &setting, 1);
        cr_expect_str_eq(d.list[0].file, cases[i].file);
        cr_expect_str_eq(d.list[0].pointer, cases[i].at);
        cr_expect_str_eq(d.list[0].message, cases[i].message);
        cr_expect_eq(d.list[0].line, 0);
        diagnostics_free(&d);
    }
}

Test(scenario, everything_wrong_with_a_file_is_said_in_its_order)
{
    static const unsigned lines[] = {1, 2, 3, 4, 5, 6, 7};
    struct diagnostics d = refused("{ \"vms\": [ { \"mode\": \"nestd\",\n"
                                   "\"memory\": \"1XB\",\n"
                                   "\"wokload\": 1,\n"
                                   "\"vcpus\": 0, \"processes\": [ { \"map\": [ \n"
                                   "{ \"gva\": \"0x1001\", \"size\": 4096 },\n"
                                   "{ \"gva\": \"0x1000\" } ] } ] } ],\n"
                                   "\"seed\": -1 }",
                                   NULL, 0);
    cr_assert_eq(d.count, 8); /* two on the first line: no version, no such mode */
    for (unsigned i = 0; i < 7; i++)
        cr_expect_eq(d.list[i + 1].line, lines[i], "%u: %s", i, d.list[i + 1].message);
    diagnostics_free(&d);
}

Test(scenario, diagnostics_are_data_too)
{
    struct diagnostics d = refused("{\"version\": 1, \"vms\": 3}", NULL, 0);
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    diagnostics_print_json(&d, out);
    fclose(out);
    cr_expect_str_eq(text,
                     "[\n  { \"file\": \"s.json\", \"line\": 1, \"column\": 23, \"width\": 1, "
                     "\"pointer\": \"/vms\", \"message\": \"3 is not a list\", "
                     "\"hint\": \"put it in [ ]\" }\n]\n");
    diagnostics_free(&d);
    free(text);
}

Test(scenario, hostile_text_is_refused_soon)
{
    size_t length = 10 << 20;
    char *text = malloc(length + 1);
    struct scenario s;
    struct diagnostics d = {0};
    memset(text, '[', length);
    cr_expect(!scenario_parse(&s, "s.json", text, length, NULL, 0, &d));
    cr_expect_eq(d.count, 1);
    diagnostics_free(&d);
    memset(text, ',', length); /* a million elements, each wrong */
    memcpy(text, "{\"vms\":[", 8);
    for (size_t i = 8; i < length - 2; i += 2)
        text[i] = '1';
    memcpy(text + length - 3, "1]}", 3);
    cr_expect(!scenario_parse(&s, "s.json", text, length, NULL, 0, &d));
    cr_expect_lt(d.count, 300);
    diagnostics_free(&d);
    free(text);
}

Test(scenario, impossible_numbers_are_refused_not_allocated)
{
    static const char *const texts[] = {
        "{\"version\":1,\"vms\":[{\"memory\":\"8EiB\"}]}",
        "{\"version\":1,\"vms\":[{\"memory\":\"16777215TiB\"}]}",
        "{\"version\":1,\"vms\":[{\"vcpus\":1e15}]}",
        "{\"version\":1,\"machine\":{\"cpus\":9007199254740991},\"vms\":[{}]}",
        "{\"version\":1,\"machine\":{\"override\":{\"tlb\":{\"l2\":{\"entries\":4294967296}}}},"
        "\"vms\":[{}]}",
        "{\"version\":1,\"machine\":{\"override\":{\"tlb\":{\"l2\":{\"entries\":1048576,"
        "\"ways\":0}}}},\"vms\":[{}]}",
        "{\"version\":1,\"vms\":[{\"guest\":{\"paging\":{\"levels\":[30,30],\"page\":1048576,"
        "\"entry_bytes\":8,\"valid\":0,\"frame\":[1,63]}}}]}",
        "{\"version\":1,\"vms\":[{}],\"script\":[{\"do\":\"dump\",\"gpa\":\"0x0\","
        "\"count\":1000000000}]}",
        "{\"version\":1,\"vms\":[{\"processes\":[{\"map\":[{\"gva\":\"0x0\",\"size\":\"64TiB\"}],"
        "\"workload\":{\"generator\":\"zipf\",\"accesses\":1}}]}]}",
    };
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct diagnostics d = refused(texts[i], NULL, 0);
        diagnostics_free(&d);
    }
}

Test(scenario, a_profile_forbids_nothing_and_an_override_may)
{
    struct scenario s = parse("{\"version\":1,\"machine\":{\"profile\":\"k10\"},\"vms\":[{"
                              "\"guest\":{\"paging\":\"5-level\"}}]}",
                              NULL, 0);
    cr_expect(profile_has(&s.machine.profile, FEATURE_la57));
    cr_expect(profile_has(&s.machine.profile, FEATURE_pcid));
    scenario_free(&s);
    struct diagnostics d = refused("{\"version\":1,\"machine\":{\"override\":{\"features\":{"
                                   "\"pdpe1gb\":false}}},\"vms\":[{\"processes\":[{\"map\":[{"
                                   "\"gva\":\"0x0\",\"size\":\"1GiB\",\"page\":\"1GiB\"}]}]}]}",
                                   NULL, 0);
    cr_expect_str_eq(d.list[0].message, "4-level paging has no pages of 1GiB");
    diagnostics_free(&d);
}

Test(scenario, every_shipped_profile_loads_by_name_and_as_a_file)
{
    for (const char *const *name = profile_names(); *name; name++) {
        struct scenario by_name, by_path;
        struct diagnostics d = {0};
        char path[200];
        snprintf(path, sizeof path, "scenarios/machines/%s.json", *name);
        bool ok = machine_load(&by_name, *name, &d) && machine_load(&by_path, path, &d);
        diagnostics_print(&d, stderr, false);
        cr_assert(ok, "%s", path);
        cr_expect_str_eq(by_name.machine.profile.name, *name);
        cr_expect_null(profile_fault(&by_name.machine.profile));
        cr_expect_arr_eq((char *)&by_name.machine.profile, (char *)&by_path.machine.profile,
                         sizeof by_name.machine.profile);
        for (unsigned c = 0; c < COST_COUNT; c++)
            cr_expect_neq(by_name.machine.profile.cost[c], 0, "%s: %s", *name,
                          cost_name((enum cost)c));
        scenario_free(&by_name);
        scenario_free(&by_path);
    }
}

Test(scenario, skylake_sp_is_what_its_file_says)
{
    struct scenario s;
    struct diagnostics d = {0};
    cr_assert(machine_load(&s, "skylake-sp", &d));
    const struct profile *p = &s.machine.profile;
    const struct tlb_profile *l1i = &p->tlb[TLB_L1I], *l2 = &p->tlb[TLB_L2];
    cr_expect(p->maxphyaddr == 46 && p->mhz == 2100);
    cr_expect_eq(l1i->kept_as[2], 1, "a 1 GiB page is kept as its 2 MiB fragment");
    cr_expect_eq(l1i->array[l1i->array_of[1]].entries, 8);
    cr_expect_eq(l2->array_of[0], l2->array_of[1], "4 KiB and 2 MiB share an array");
    cr_expect_eq(l2->array[l2->array_of[0]].entries, 1536);
    cr_expect_eq(l2->array[l2->array_of[2]].entries, 16);
    cr_expect_eq(p->structure[4].entries, 2);
    cr_expect_eq(p->data[0].entries, 512);
    cr_expect_eq(p->cost[COST_l2_tlb], 9);
    scenario_free(&s);
}

Test(scenario, an_unknown_machine_is_told_the_known_ones)
{
    struct scenario s;
    struct diagnostics d = {0};
    cr_expect(!machine_load(&s, "skylak", &d));
    cr_assert_eq(d.count, 1);
    cr_expect_str_eq(d.list[0].message, "no such machine");
    cr_expect(strstr(d.list[0].hint, "did you mean \"skylake\"?"));
    diagnostics_free(&d);
}

Test(scenario, a_file_that_is_not_there_is_one_diagnostic)
{
    struct scenario s;
    struct diagnostics d = {0};
    cr_expect(!scenario_load(&s, "no/such/file.json", NULL, 0, &d));
    cr_assert_eq(d.count, 1);
    cr_expect_str_eq(d.list[0].message, "can't be read: No such file or directory");
    diagnostics_free(&d);
}

Test(scenario, a_bad_file_is_bad_after_many_others)
{
    struct scenario s;
    struct diagnostics d = {0};
    static const char text[] = "{\"version\": 1, \"vms\": 3}";
    for (unsigned i = 0; i < 300; i++)
        cr_assert(!scenario_parse(&s, "s.json", text, sizeof text - 1, NULL, 0, &d));
    cr_expect_eq(d.count, 300);
    diagnostics_free(&d);
}

Test(scenario, a_2_level_guest_has_at_most_4_gib)
{
    struct diagnostics d = refused(
        "{\"version\":1,\"vms\":[{\"memory\":\"5GiB\",\"guest\":{\"paging\":\"2-level\"}}]}", NULL,
        0);
    cr_expect_str_eq(d.list[0].pointer, "/vms/0/memory");
    diagnostics_free(&d);
}

Test(scenario, controls_of_second_stages_are_read)
{
    struct scenario s = load(GOOD "hypervisor.json", NULL, 0);
    const struct vm_config *vm = s.machine.vms;
    cr_expect(!vm[0].no_accessed_dirty && vm[0].page_log && vm[0].mode_based_execute);
    cr_expect(vm[0].no_execute_only && vm[0].advanced_information && vm[0].no_vpid);
    cr_expect(vm[1].no_accessed_dirty && !vm[1].no_execute_only && !vm[1].no_vpid);
    cr_expect_eq(vm[2].second_stage, SECOND_FLAT);
    cr_expect(vm[3].second_stage == SECOND_NPT4 && vm[3].no_vpid, "an ASID");
    const struct second_stage_raw *ept = &vm[4].second_stage_raw, *npt = &vm[5].second_stage_raw;
    cr_expect(ept->given && ept->pointer == 0x1005e && ept->n_images == 2);
    cr_expect(ept->images[0].gpa == 0x10000 && ept->images[0].length == 8, "an hpa");
    cr_expect_arr_eq(ept->images[1].bytes, "\xb7\0", 2);
    cr_expect(npt->given && npt->pointer == 0x10000 && !npt->n_images);
    scenario_free(&s);
}

Test(scenario, settings_of_all_modes_are_read_whatever_the_mode)
{
    struct scenario s = load(GOOD "hypervisor.json", NULL, 0);
    const struct vm_config *vm = &s.machine.vms[0];
    cr_expect(vm->shadow.policy == SHADOW_VTLB && vm->shadow.prefetch == 0);
    cr_expect(vm->shadow.flood == 7 && vm->shadow.pages == 1000);
    cr_expect_eq(vm->direct.batch, 5);
    cr_expect(vm->agile.shadow_levels == 0 && vm->agile.writes == 9 && vm->agile.interval == 500);
    scenario_free(&s);
}

/* What `replay` builds has the same. */
Test(scenario, a_vm_of_which_nothing_is_said_has_the_defaults)
{
    struct scenario s = load(GOOD "minimal.json", NULL, 0);
    const struct vm_config *vm = &s.machine.vms[0], expected = vm_config_default();
    cr_expect_eq(vm->mode, expected.mode);
    cr_expect_eq(vm->second_stage, expected.second_stage);
    cr_expect_arr_eq(vm->page_share, expected.page_share, sizeof vm->page_share);
    cr_expect_eq(vm->no_accessed_dirty, expected.no_accessed_dirty);
    cr_expect_eq(vm->page_log, expected.page_log);
    cr_expect_eq(vm->no_vpid, expected.no_vpid);
    cr_expect_eq(vm->mode_based_execute, expected.mode_based_execute);
    cr_expect_eq(vm->no_execute_only, expected.no_execute_only);
    cr_expect_eq(vm->advanced_information, expected.advanced_information);
    cr_expect_eq(vm->shadow.policy, expected.shadow.policy);
    cr_expect_eq(vm->shadow.prefetch, expected.shadow.prefetch);
    cr_expect_eq(vm->shadow.flood, expected.shadow.flood);
    cr_expect_eq(vm->shadow.pages, expected.shadow.pages);
    cr_expect_eq(vm->direct.batch, expected.direct.batch);
    cr_expect_eq(vm->agile.shadow_levels, expected.agile.shadow_levels);
    cr_expect_eq(vm->agile.writes, expected.agile.writes);
    cr_expect_eq(vm->agile.interval, expected.agile.interval);
    cr_expect_eq(vm->vcpus, expected.vcpus);
    cr_expect_eq(vm->paging, expected.paging);
    scenario_free(&s);
}
