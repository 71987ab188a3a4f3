/*
 * Usage: facts_harness BRICK
 * Prints an empty line once it has started. Learns the facts about the brick and this process once
 * for each line that it reads, and prints them in the order of the schema.
 */
#include <inttypes.h>
#include <stdio.h>

#include "facts.h"

int
main(int argc, char **argv)
{
    static struct glupy_indices indices;
    struct glupy_facts facts, published;
    const uint64_t *words = (const uint64_t *)&published;
    char line[16];
    size_t word;

    if (argc != 2)
        return 2;
    puts("");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        glupy_facts_forget(&facts);
        glupy_facts_of_process(&facts);
        glupy_facts_of_disk(argv[1], &indices, &facts);
        glupy_facts_publish(&facts, &published);
        for (word = 0; word < sizeof(published) / sizeof(*words); word++)
            printf("%" PRIu64 " ", words[word]);
        puts("");
        fflush(stdout);
    }
    return 0;
}
