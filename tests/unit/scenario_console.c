/* The console's text, and files written whole. Clauses of scenarios/console.h and files.h. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scenarios/console.h"
#include "scenarios/files.h"

static void cleans(const char *bytes, size_t count, const char *want)
{
    char out[100];
    size_t length = utf8_clean((const uint8_t *)bytes, count, out);
    cr_expect(length == strlen(want) && memcmp(out, want, length) == 0, "%.*s is not %s", (int)length, out, want);
}

/* RFC 3629 §3, §4. */
Test(console, invalid_bytes_become_the_replacement_character)
{
    cleans("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 10, "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
    cleans("a\xff"
           "b",
           3,
           "a\xef\xbf\xbd"
           "b");
    cleans("\xc3", 1, "\xef\xbf\xbd");
    cleans("\xc0\xaf", 2, "\xef\xbf\xbd\xef\xbf\xbd");
    cleans("\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    cleans("\xf4\x90\x80\x80", 4, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    cleans("\xe2\x82z", 3, "\xef\xbf\xbd\xef\xbf\xbdz");
}

Test(console, text_within_the_cap_is_kept_whole)
{
    struct console c;
    size_t length;
    cr_assert(console_create(&c));
    for (unsigned i = 0; i < 2 * CONSOLE_KEPT; i++) {
        console_put(&c, (uint8_t)('a' + i % 26));
    }
    char *text = console_text(&c, &length);
    cr_expect_eq(length, 2 * CONSOLE_KEPT);
    cr_expect_eq(text[CONSOLE_KEPT], 'a' + CONSOLE_KEPT % 26);
    free(text);
    console_destroy(&c);
}

Test(console, text_beyond_the_cap_loses_its_middle_and_says_so)
{
    struct console c;
    size_t length;
    cr_assert(console_create(&c));
    for (unsigned i = 0; i < 2 * CONSOLE_KEPT + 5; i++) {
        console_put(&c, (uint8_t)('a' + i % 26));
    }
    char *text = console_text(&c, &length);
    cr_expect_not_null(strstr(text, "\n[orrery: 5 bytes of console text are not kept here]\n"));
    cr_expect_eq(text[length - 1], 'a' + (2 * CONSOLE_KEPT + 4) % 26);
    cr_expect_eq(text[length - CONSOLE_KEPT], 'a' + (CONSOLE_KEPT + 5) % 26);
    free(text);
    console_destroy(&c);
}

Test(files, file_appears_whole_or_not_at_all)
{
    char dir[] = "/tmp/orrery-test-XXXXXX", path[100], late[100];
    struct message why = {.text = {0}};
    uint8_t *bytes;
    size_t size;
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/out", dir);
    snprintf(late, sizeof late, "%s/late", dir);
    cr_expect(file_write(path, "one", 3, &why), "%s", why.text);
    struct file_writer *w = file_writer_open(path, &why), *abandoned = file_writer_open(late, &why);
    file_writer_put(w, "two and more", 12);
    file_writer_put(abandoned, "x", 1);
    cr_expect(file_read(path, 100, &bytes, &size, &why) && size == 3 && memcmp(bytes, "one", 4) == 0,
              "the old one stays until the commit");
    free(bytes);
    cr_expect(file_writer_commit(w, &why));
    file_writer_abandon(abandoned);
    cr_expect(file_read(path, 100, &bytes, &size, &why) && size == 12);
    free(bytes);
    cr_expect_not(file_read(late, 100, &bytes, &size, &why));
    cr_expect_eq(unlink(path), 0);
    cr_expect_eq(rmdir(dir), 0, "nothing else is left");
}

Test(files, devices_are_written_through_and_not_replaced)
{
    struct message why = {.text = {0}};
    struct stat st;
    cr_expect(file_write("/dev/null", "x", 1, &why), "%s", why.text);
    cr_expect(stat("/dev/null", &st) == 0 && S_ISCHR(st.st_mode));
    cr_expect_not(file_write("/dev/full", "x", 1, &why), "a write that fails is told");
}

Test(files, folders_missing_folders_and_large_files_are_refused)
{
    uint8_t *bytes;
    size_t size;
    struct message a = {.text = {0}}, b = {.text = {0}}, c = {.text = {0}};
    cr_expect_not(file_write("/", "x", 1, &a));
    cr_expect_not(file_write("/nonexistent/x", "x", 1, &b));
    cr_expect_not(file_read("/proc/self/exe", 10, &bytes, &size, &c));
    cr_expect_not_null(strstr(c.text, "at most 10"), "%s", c.text);
}
