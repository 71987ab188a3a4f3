/*
 * Keeps a process alive whose mapped file somebody has truncated, or whose file system cannot back
 * a page: the kernel raises SIGBUS at the next access, which would end the brick.
 */
#ifndef GLUPY_GUARD_H
#define GLUPY_GUARD_H

#include <stdbool.h>
#include <stddef.h>

/* From now on an access that the file behind this shared mapping cannot back turns all of the
 * mapping into anonymous memory of zeros at the same address, and goes on. False if there are
 * too many. */
bool
glupy_guard(void *start, size_t size);

/* To be called before the mapping goes. One that is not guarded is nothing to it. */
void
glupy_unguard(void *start, size_t size);

#endif
