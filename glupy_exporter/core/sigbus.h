/*
 * Keeps a brick alive when the kernel cannot back a page of its mapped segment, because somebody
 * truncated the file or the file system has no room for it. The next access to such a page raises
 * SIGBUS, which would end the process.
 */
#ifndef GLUPY_SIGBUS_H
#define GLUPY_SIGBUS_H

#include <stdbool.h>
#include <stddef.h>

/* Covers a shared mapping: at the first access that its file cannot back, the handler replaces the
 * whole mapping by zeroed anonymous memory at the same address, and the access goes on there. False
 * if too many mappings are covered. */
bool
glupy_sigbus_cover(void *start, size_t size);

/* Has to be called before a covered mapping is removed. Does nothing for any other mapping. */
void
glupy_sigbus_uncover(void *start, size_t size);

#endif
