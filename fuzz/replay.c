/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for libFuzzer where there is none: feeds every file of a corpus
 * folder to the target once. A crash names its file in the last line printed.
 * Fails when the folder is missing or empty: a target without seeds is one
 * that nobody tested. */
#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 20 }; /* libFuzzer's own bound for a corpus file */

static int replay(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data;
    size_t len;

    if (!f) {
        perror(path);
        return -1;
    }
    data = malloc(INPUT_MAX);
    if (!data)
        abort();
    len = fread(data, 1, INPUT_MAX, f);
    (void)fclose(f);
    /* A buffer of the exact size, so that ASan sees a read past the end. */
    uint8_t *exact = malloc(len ? len : 1);
    if (!exact)
        abort();
    for (size_t i = 0; i < len; i++)
        exact[i] = data[i];
    free(data);
    printf("%s (%zu bytes)\n", path, len);
    (void)fflush(stdout);
    (void)LLVMFuzzerTestOneInput(exact, len);
    free(exact);
    return 0;
}

int main(int argc, char **argv)
{
    struct dirent *entry;
    DIR *folder;
    int count = 0;

    folder = argc == 2 ? opendir(argv[1]) : NULL;
    if (!folder) {
        (void)fprintf(stderr, "usage: %s CORPUS-FOLDER (it must exist)\n",
                      argv[0]);
        return 2;
    }
    while ((entry = readdir(folder))) {
        char path[PATH_MAX];

        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        if (replay(path))
            return 1;
        count++;
    }
    (void)closedir(folder);
    printf("%d inputs\n", count);
    return count ? 0 : 1;
}
