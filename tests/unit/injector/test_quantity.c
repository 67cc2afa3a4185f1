/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/injector/pods.h"

#include "injector/quantity.h"

static void cpu_is(const char *text, const char *want)
{
    char buf[QUANTITY_TEXT];
    uint64_t milli;

    if (quantity_cpu(slice_str(text), &milli))
        fail_msg("%s refused", text);
    assert_string_equal(quantity_cpu_format(milli, buf).ptr, want);
}

static void test_cpu(void **state)
{
    static const char *const bad[] = {"",    "m",      "0",        "0m", "-1",
                                      "1.",  "1.0005", "1e3",      "1k", "1 ",
                                      "0.0", "1025",   "1024001m", ".5", "a"};
    uint64_t milli;

    (void)state;
    cpu_is("100m", "100m");
    cpu_is("2000m", "2");
    cpu_is("0.5", "500m");
    cpu_is("1.250", "1250m");
    cpu_is("1024", "1024");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (quantity_cpu(slice_str(bad[i]), &milli) != ERR_INVALID)
            fail_msg("'%s' taken", bad[i]);
}

static void memory_is(const char *text, const char *want)
{
    char buf[QUANTITY_TEXT];
    uint64_t bytes;
    bool binary;

    if (quantity_memory(slice_str(text), &bytes, &binary))
        fail_msg("%s refused", text);
    assert_string_equal(quantity_memory_format(bytes, binary, buf).ptr, want);
}

static void test_memory(void **state)
{
    static const char *const bad[] = {
        "",    "Mi",    "0",   "1023Ki",          "1Ei",     "64mi", "64MB",
        "2Ti", "-64Mi", "100", "9999999999999Ti", "1.0001Mi"};
    uint64_t bytes;
    bool binary;

    (void)state;
    memory_is("64Mi", "64Mi");
    memory_is("1024Mi", "1Gi");
    memory_is("1.5Gi", "1536Mi");
    memory_is("1500M", "1500M");
    memory_is("1000M", "1G");
    memory_is("67108864", "67108864");
    memory_is("1Ti", "1Ti");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (quantity_memory(slice_str(bad[i]), &bytes, &binary) != ERR_INVALID)
            fail_msg("'%s' taken", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cpu),
        cmocka_unit_test(test_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
