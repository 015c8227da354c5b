/* What the workloads of scripts/bench do to many files one by one, at the price of the system calls alone. A LIST has
 * names relative to the working directory, each ended by NUL. Every command prints how many files it was about; the
 * first failure ends it with exit code 1. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void fail(const char *what, const char *name)
{
    fprintf(stderr, "files: %s %s: %s\n", what, name, strerror(errno));
    exit(1);
}

/* The whole of a list, and its length; one NUL more ends it. */
static char *list_of(const char *file, size_t *length)
{
    struct stat about;
    int fd = open(file, O_RDONLY);
    if (fd < 0 || fstat(fd, &about) != 0)
        fail("open", file);
    char *list = malloc(about.st_size + 1);
    ssize_t got = list == NULL ? -1 : read(fd, list, about.st_size);
    if (got != about.st_size)
        fail("read", file);
    list[got] = 0;
    *length = got;
    close(fd);
    return list;
}

static long open_read_close(const char *name)
{
    static char data[1 << 20];
    ssize_t got;
    int fd = open(name, O_RDONLY);
    if (fd < 0)
        fail("open", name);
    while ((got = read(fd, data, sizeof data)) > 0)
        ;
    if (got < 0)
        fail("read", name);
    close(fd);
    return 1;
}

/* A name that is not there is an answer, too. */
static long look(const char *name)
{
    struct stat about;
    if (stat(name, &about) == 0)
        return 1;
    if (errno != ENOENT)
        fail("stat", name);
    return 0;
}

static long append(const char *name)
{
    static const char text[] = "/* appended */\n";
    int fd = open(name, O_WRONLY | O_APPEND);
    if (fd < 0)
        fail("open", name);
    if (write(fd, text, sizeof text - 1) != sizeof text - 1 || close(fd) != 0)
        fail("append to", name);
    return 1;
}

static long each(const char *file, long passes, long (*act)(const char *))
{
    size_t length;
    long count = 0;
    char *list = list_of(file, &length);
    while (passes-- > 0)
        for (char *name = list; name < list + length; name += strlen(name) + 1)
            count += act(name);
    return count;
}

/* FIRST to LAST, each STEP-th, named by number, of so many BYTES, in DIR, which is made. */
static long create(const char *dir, long first, long last, long step, size_t bytes)
{
    static char data[1 << 16];
    char name[4096];
    long count = 0;
    if (mkdir(dir, 0777) != 0 && errno != EEXIST)
        fail("mkdir", dir);
    memset(data, 'x', sizeof data);
    for (long n = first; n <= last; n += step, count++) {
        snprintf(name, sizeof name, "%s/name-%06ld", dir, n);
        int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
        if (fd < 0)
            fail("create", name);
        if (bytes > 0 && write(fd, data, bytes) != (ssize_t)bytes)
            fail("write", name);
        if (close(fd) != 0)
            fail("close", name);
    }
    return count;
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";
    long count;
    if (argc == 4 && strcmp(command, "open") == 0)
        count = each(argv[2], atol(argv[3]), open_read_close);
    else if (argc == 4 && strcmp(command, "stat") == 0)
        count = each(argv[2], atol(argv[3]), look);
    else if (argc == 3 && strcmp(command, "append") == 0)
        count = each(argv[2], 1, append);
    else if (argc == 7 && strcmp(command, "create") == 0 && atol(argv[5]) > 0 && atol(argv[6]) <= 1 << 16)
        count = create(argv[2], atol(argv[3]), atol(argv[4]), atol(argv[5]), atol(argv[6]));
    else {
        fprintf(stderr, "usage: files open|stat LIST PASSES, append LIST, create DIR FIRST LAST STEP BYTES\n");
        return 2;
    }
    printf("%ld\n", count);
    return 0;
}
