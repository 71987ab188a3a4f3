/*
 * Truncates files behind mappings, covered by the handler of sigbus.c or not.
 *
 * Usage: sigbus_harness DIRECTORY SCENE
 * covered: Truncates files behind covered mappings. They have to read as zeros from then on and to
 *   keep what is written. Two of the mappings have the same address, one after the other.
 * handled: Truncates a file behind a mapping that is not covered. A handler that was there before
 *   ends the process with 7.
 * default: Does the same without an earlier handler, and dies of SIGBUS.
 * sent: Sends itself SIGBUS while a mapping is covered, and dies of it.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sigbus.h"

#define SIZE (16 * 4096UL)

static const char *directory;

static volatile char *
map(const char *name, int *fd)
{
    char path[4096];
    void *start;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    *fd = open(path, O_RDWR | O_CREAT, 0600);
    if (*fd < 0 || ftruncate(*fd, SIZE) < 0)
        exit(2);
    start = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    if (start == MAP_FAILED)
        exit(2);
    memset(start, 'x', SIZE);
    return start;
}

static void
cut(int fd)
{
    if (ftruncate(fd, 4096) < 0)
        exit(2);
}

static int
covered(void)
{
    volatile char *first, *second;
    int first_fd, second_fd, round;

    second = map("second", &second_fd);
    if (!glupy_sigbus_cover((void *)second, SIZE))
        return 2;
    for (round = 0; round < 2; round++) {
        first = map("first", &first_fd);
        if (!glupy_sigbus_cover((void *)first, SIZE))
            return 2;
        cut(first_fd);
        if (first[0] != 'x') /* still there */
            return 3;
        first[SIZE - 1] = 'y'; /* not there any more, so all of it goes */
        if (first[SIZE - 1] != 'y' || first[0] || first[8192])
            return 4;
        glupy_sigbus_uncover((void *)first, SIZE);
        munmap((void *)first, SIZE);
        close(first_fd);
    }
    if (second[SIZE - 1] != 'x')
        return 5;
    cut(second_fd);
    return second[SIZE - 1] ? 6 : 0;
}

static void
end(int number)
{
    _exit(number == SIGBUS ? 7 : 8);
}

static int
uncovered(bool handled)
{
    volatile char *other, *mine;
    int other_fd, mine_fd;

    if (handled)
        signal(SIGBUS, end);
    other = map("other", &other_fd);
    if (!glupy_sigbus_cover((void *)other, SIZE))
        return 2;
    mine = map("mine", &mine_fd);
    cut(mine_fd);
    return mine[SIZE - 1];
}

int
main(int argc, char **argv)
{
    volatile char *other;
    int fd;

    if (argc != 3)
        return 2;
    directory = argv[1];
    if (strcmp(argv[2], "covered") == 0)
        return covered();
    if (strcmp(argv[2], "sent") != 0)
        return uncovered(strcmp(argv[2], "handled") == 0);
    other = map("other", &fd);
    if (!glupy_sigbus_cover((void *)other, SIZE))
        return 2;
    raise(SIGBUS);
    return other[0];
}
