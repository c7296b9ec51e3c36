/* Runs a fuzz target once over each file of a corpus: the fuzzers as ordinary regression programs,
 * built by any compiler. An empty corpus is an error, so that a moved folder cannot make the test
 * pass by itself. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* The input gets memory of exactly its size, so that a sanitizer sees the first byte read behind
 * it. */
static int file_run(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    struct stat st;
    uint8_t *data = NULL;
    int r = -1;

    if (fd < 0 || fstat(fd, &st) < 0) {
        goto out;
    }
    data = malloc(st.st_size ? (size_t)st.st_size : 1);
    if (!data || read(fd, data, (size_t)st.st_size) != st.st_size) {
        goto out;
    }
    printf("%s\n", name); /* the last line before a crash names the input */
    fflush(stdout);
    r = LLVMFuzzerTestOneInput(data, (size_t)st.st_size);
out:
    free(data);
    if (fd >= 0) {
        close(fd);
    }
    return r;
}

int main(int argc, char **argv)
{
    struct dirent *entry;
    size_t files = 0;
    DIR *dir;

    if (argc != 2 || !(dir = opendir(argv[1]))) {
        fprintf(stderr, "usage: corpus_NAME DIRECTORY (%s)\n",
                argc == 2 ? strerror(errno) : "missing");
        return 2;
    }
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] != '.') {
            if (file_run(dirfd(dir), entry->d_name)) {
                fprintf(stderr, "%s: the target did not return 0\n", entry->d_name);
                return 1;
            }
            files++;
        }
    }
    closedir(dir);
    printf("%zu inputs\n", files);
    return files ? 0 : 1;
}
