/* The table of keys as JSON Schema, draft-07: what an editor completes, checks and explains. */
#include "sim/scenario/scenario.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "sim/scenario/value.h"

#define DIGITS "(0[xX][0-9a-fA-F](_?[0-9a-fA-F])*|[0-9](_?[0-9])*)"

/* Strings of a type; NULL where it has none, or words. */
static const char *const patterns[TYPES] = {
    [TYPE_ADDRESS] = "^" DIGITS "$",
    [TYPE_U64] = "^" DIGITS "$",
    [TYPE_SIZE] = "^" DIGITS " *(B|KiB|K|MiB|M|GiB|G|TiB|T)?$",
    [TYPE_MOMENT] = "^" DIGITS " *(us|ms|s)$",
    [TYPE_RIGHTS] = "^(?!.*(.).*\\1)[rwxu]*$",
    [TYPE_BYTES] = "^[ _]*([0-9a-fA-F][0-9a-fA-F][ _]*)*$",
    [TYPE_NAME] = "",
    [TYPE_TEXT] = "",
    [TYPE_PROFILE] = "^.+\\.json$",
};

/* JSON's own type of the numbers of a type; NULL where it has none. */
static const char *const number_types[TYPES] = {
    [TYPE_U64] = "integer",    [TYPE_SIZE] = "integer", [TYPE_COUNT] = "integer",
    [TYPE_REAL] = "number",    [TYPE_SHARE] = "number", [TYPE_NAME] = "integer",
    [TYPE_MOMENT] = "integer",
};

static void add_bounds(cJSON *form, const struct key *key)
{
    bool share = key->type == TYPE_SHARE;
    double most = share ? 1 : key->most > 0 ? key->most : NUMBER_MAX;
    if (key->type == TYPE_REAL && key->most == 0)
        return;
    cJSON_AddNumberToObject(form, "minimum", share ? 0 : key->least);
    cJSON_AddNumberToObject(form, "maximum", most > NUMBER_MAX ? NUMBER_MAX : most);
}

static cJSON *words_form(const char *const *words)
{
    cJSON *form = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(form, "enum");
    for (; *words; words++)
        cJSON_AddItemToArray(list, cJSON_CreateString(*words));
    return form;
}

static cJSON *powers_form(const struct key *key)
{
    cJSON *form = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(form, "enum");
    for (double power = 1; power <= key->most; power *= 2)
        if (power >= key->least)
            cJSON_AddItemToArray(list, cJSON_CreateNumber(power));
    return form;
}

static cJSON *string_form(const struct key *key)
{
    cJSON *form = cJSON_CreateObject();
    cJSON_AddStringToObject(form, "type", "string");
    if (*patterns[key->type])
        cJSON_AddStringToObject(form, "pattern", patterns[key->type]);
    if (key->type == TYPE_TEXT && key->least > 0)
        cJSON_AddNumberToObject(form, "minLength", key->least);
    if (key->type == TYPE_TEXT && key->most > 0)
        cJSON_AddNumberToObject(form, "maxLength", key->most);
    return form;
}

static cJSON *number_form(const struct key *key)
{
    cJSON *form = cJSON_CreateObject();
    cJSON_AddStringToObject(form, "type", number_types[key->type]);
    add_bounds(form, key);
    return form;
}

static cJSON *reference_form(const struct schema *schema)
{
    char path[80];
    cJSON *form = cJSON_CreateObject();
    snprintf(path, sizeof path, "#/definitions/%s", schema->name);
    cJSON_AddStringToObject(form, "$ref", path);
    return form;
}

/* Keys that anything may carry: $schema, $comment, x-... */
static void close_object(cJSON *form)
{
    cJSON *open = cJSON_AddObjectToObject(form, "patternProperties");
    cJSON_AddBoolToObject(open, "^(x-|\\$)", true);
    cJSON_AddBoolToObject(form, "additionalProperties", false);
}

/* One form, or any of several. */
static cJSON *any_of(cJSON *forms)
{
    if (cJSON_GetArraySize(forms) == 1) {
        cJSON *only = cJSON_DetachItemFromArray(forms, 0);
        cJSON_Delete(forms);
        return only;
    }
    cJSON *form = cJSON_CreateObject();
    cJSON_AddItemToObject(form, "anyOf", forms);
    return form;
}

static cJSON *scalar_form(const struct key *key)
{
    cJSON *forms = cJSON_CreateArray();
    if (key->type == TYPE_WORD || key->type == TYPE_PROFILE)
        cJSON_AddItemToArray(forms, words_form(spec_words(key)));
    if (key->type == TYPE_POWER)
        cJSON_AddItemToArray(forms, powers_form(key));
    if (number_types[key->type])
        cJSON_AddItemToArray(forms, number_form(key));
    if (patterns[key->type])
        cJSON_AddItemToArray(forms, string_form(key));
    if (key->type == TYPE_BOOL) {
        cJSON *form = cJSON_CreateObject();
        cJSON_AddStringToObject(form, "type", "boolean");
        cJSON_AddItemToArray(forms, form);
    }
    return any_of(forms);
}

static cJSON *property_form(const struct key *);

/* { "value": ..., "source": ..., "confidence": ... } */
static cJSON *sourced_form(const struct key *key)
{
    cJSON *form = cJSON_CreateObject();
    cJSON_AddStringToObject(form, "type", "object");
    cJSON *properties = cJSON_AddObjectToObject(form, "properties");
    cJSON_AddItemToObject(properties, "value", scalar_form(key));
    for (unsigned i = 1; i < sourced_schema.n_keys; i++)
        cJSON_AddItemToObject(properties, sourced_schema.keys[i].name,
                              property_form(&sourced_schema.keys[i]));
    cJSON_AddItemToArray(cJSON_AddArrayToObject(form, "required"), cJSON_CreateString("value"));
    close_object(form);
    return form;
}

static cJSON *value_form_of(const struct key *key)
{
    cJSON *forms = cJSON_CreateArray();
    if (key->type != TYPE_NONE)
        cJSON_AddItemToArray(forms, scalar_form(key));
    if (key->child)
        cJSON_AddItemToArray(forms, reference_form(key->child));
    if (key->sourced)
        cJSON_AddItemToArray(forms, sourced_form(key));
    return any_of(forms);
}

/* Draft-07 ignores what stands beside a $ref, so that goes into a list of its own. */
static cJSON *annotatable(cJSON *form)
{
    if (!cJSON_GetObjectItemCaseSensitive(form, "$ref"))
        return form;
    cJSON *outer = cJSON_CreateObject();
    cJSON_AddItemToArray(cJSON_AddArrayToObject(outer, "allOf"), form);
    return outer;
}

static cJSON *property_form(const struct key *key)
{
    cJSON *form = annotatable(value_form_of(key));
    if (key->list) {
        cJSON *list = cJSON_CreateObject();
        cJSON_AddStringToObject(list, "type", "array");
        cJSON_AddItemToObject(list, "items", form);
        if (key->items_least)
            cJSON_AddNumberToObject(list, "minItems", key->items_least);
        if (key->items_most)
            cJSON_AddNumberToObject(list, "maxItems", key->items_most);
        form = list;
    }
    cJSON_AddStringToObject(form, "description", key->help);
    if (key->fallback)
        cJSON_AddItemToObject(form, "default", cJSON_Parse(key->fallback));
    if (key->example)
        cJSON_AddItemToArray(cJSON_AddArrayToObject(form, "examples"), cJSON_Parse(key->example));
    return form;
}

/* Under one word of the selector: what is needed, and what isn't taken. */
static cJSON *condition(const struct schema *schema, unsigned word, const char *text)
{
    cJSON *rule = cJSON_CreateObject(), *if_ = cJSON_AddObjectToObject(rule, "if");
    cJSON *chosen = cJSON_AddObjectToObject(if_, "properties");
    cJSON_AddStringToObject(cJSON_AddObjectToObject(chosen, schema->selector), "const", text);
    cJSON_AddItemToArray(cJSON_AddArrayToObject(if_, "required"),
                         cJSON_CreateString(schema->selector));
    cJSON *then = cJSON_AddObjectToObject(rule, "then");
    cJSON *required = cJSON_AddArrayToObject(then, "required");
    cJSON *properties = cJSON_AddObjectToObject(then, "properties");
    for (unsigned i = 0; i < schema->n_keys; i++) {
        const struct key *key = &schema->keys[i];
        if (key->needed_by >> word & 1)
            cJSON_AddItemToArray(required, cJSON_CreateString(key->name));
        if (key->taken_by && !(key->taken_by >> word & 1))
            cJSON_AddBoolToObject(properties, key->name, false);
    }
    return rule;
}

static cJSON *object_form(const struct schema *schema)
{
    cJSON *form = cJSON_CreateObject();
    cJSON_AddStringToObject(form, "title", schema->name);
    cJSON_AddStringToObject(form, "description", schema->help);
    cJSON_AddStringToObject(form, "type", "object");
    cJSON *required = cJSON_CreateArray();
    cJSON *properties = cJSON_AddObjectToObject(form, "properties");
    for (unsigned i = 0; i < schema->n_keys; i++) {
        const struct key *key = &schema->keys[i];
        cJSON_AddItemToObject(properties, key->name, property_form(key));
        if (key->required)
            cJSON_AddItemToArray(required, cJSON_CreateString(key->name));
    }
    cJSON_AddItemToObject(form, "required", required);
    close_object(form);
    const char *const *words = schema->selector ? spec_key(schema, schema->selector)->words : NULL;
    cJSON *rules = words ? cJSON_AddArrayToObject(form, "allOf") : NULL;
    for (unsigned i = 0; words && words[i]; i++)
        cJSON_AddItemToArray(rules, condition(schema, i, words[i]));
    return form;
}

/* Defines a schema and all that its keys lead to. */
static void define(cJSON *definitions, const struct schema *schema)
{
    if (cJSON_GetObjectItemCaseSensitive(definitions, schema->name))
        return;
    cJSON_AddItemToObject(definitions, schema->name, object_form(schema));
    for (unsigned i = 0; i < schema->n_keys; i++)
        if (schema->keys[i].child)
            define(definitions, schema->keys[i].child);
}

static void print(FILE *out, const char *title, const struct schema *const *roots, unsigned n)
{
    cJSON *whole = cJSON_CreateObject(), *forms = cJSON_CreateArray();
    cJSON *definitions = cJSON_CreateObject();
    cJSON_AddStringToObject(whole, "$schema", "http://json-schema.org/draft-07/schema#");
    cJSON_AddStringToObject(whole, "title", title);
    for (unsigned i = 0; i < n; i++) {
        cJSON_AddItemToArray(forms, reference_form(roots[i]));
        define(definitions, roots[i]);
    }
    cJSON_AddItemToObject(whole, "anyOf", forms);
    cJSON_AddItemToObject(whole, "definitions", definitions);
    char *text = cJSON_Print(whole);
    fprintf(out, "%s\n", text ? text : "");
    free(text);
    cJSON_Delete(whole);
}

void schema_print(FILE *out)
{
    print(out, "nestwalk scenario, version 1", (const struct schema *const[]){&scenario_schema}, 1);
}

void machine_schema_print(FILE *out)
{
    print(out, "nestwalk machine: a profile, or a profile with an override, version 1",
          (const struct schema *const[]){&profile_schema, &machine_schema}, 2);
}
