/* How "A,B,..." is parted into values. */
#include <criterion/criterion.h>
#include <stdint.h>

#include "sim/cli/sweep_axes.h"

Test(sweep_axes, a_value_ends_at_a_comma)
{
    cr_assert_eq(axis_value_length("native,shadow"), 6);
    cr_assert_eq(axis_value_length("native"), 6);
    cr_assert_eq(axis_value_length(",x"), 0);
    cr_assert_eq(axis_value_length(""), 0);
}

Test(sweep_axes, brackets_keep_commas)
{
    cr_assert_eq(axis_value_length("[1,2],[3]"), 5);
    cr_assert_eq(axis_value_length("{\"a\":[1,{\"b\":2}],\"c\":3},x"), 23);
}

Test(sweep_axes, quotes_keep_commas_and_brackets)
{
    cr_assert_eq(axis_value_length("\"a,b\",c"), 5);
    cr_assert_eq(axis_value_length("\"a]},[\",c"), 7);
    cr_assert_eq(axis_value_length("\"a\\\",b\",c"), 7);
    cr_assert_eq(axis_value_length("[\"]\",1],2"), 7);
}

Test(sweep_axes, a_closing_bracket_alone_is_text)
{
    cr_assert_eq(axis_value_length("a],b"), 2);
    cr_assert_eq(axis_value_length("a],[b,c]"), 2);
}

Test(sweep_axes, what_never_closes_is_no_value)
{
    cr_assert_eq(axis_value_length("[1,2"), SIZE_MAX);
    cr_assert_eq(axis_value_length("{\"a\":1"), SIZE_MAX);
    cr_assert_eq(axis_value_length("\"a,b"), SIZE_MAX);
    cr_assert_eq(axis_value_length("\"a\\\""), SIZE_MAX);
    cr_assert_eq(axis_value_length("\"a\\"), SIZE_MAX);
}

/* The last --set changes fastest, as in nested loops. */
Test(sweep_axes, the_first_axis_is_the_slowest)
{
    const char *seeds[] = {"1", "2"}, *sizes[] = {"a", "b", "c"};
    struct axes axes = {
        .list = {{"/seed", seeds, 2, NULL}, {"/size", sizes, 3, NULL}}, .n = 2, .combinations = 6};
    struct setting settings[AXES_MAX];
    for (unsigned i = 0; i < 6; i++) {
        axes_settings(&axes, i, settings);
        cr_assert_str_eq(settings[0].pointer, "/seed");
        cr_assert_str_eq(settings[0].value, seeds[i / 3]);
        cr_assert_str_eq(settings[1].value, sizes[i % 3]);
    }
}
