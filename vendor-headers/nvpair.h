/*
 * libnvpair: the three functions that carry a name/value list across the library boundary.
 *
 * Lists are built and read in Rust. They enter libnvpair as XDR bytes through nvlist_unpack and leave it through nvlist_pack.
 *
 * Sources: sys/nvpair.h and libnvpair.h (declarations, encodings), nvlist_pack(9F) and nvlist_unpack(9F) of illumos (meaning).
 */
#ifndef REPLICATOR_NVPAIR_H
#define REPLICATOR_NVPAIR_H

#include "types.h"

#ifndef REPLICATOR_TYPES_ARE_REAL

/* How a packed list is encoded: the machine's own layout, or RFC 4506. */
enum {
    NV_ENCODE_NATIVE = 0,
    NV_ENCODE_XDR = 1,
};

/* Flags of a list: which later addition replaces an earlier one. */
enum {
    NV_UNIQUE_NAME = 0x1,
    NV_UNIQUE_NAME_TYPE = 0x2,
};

#endif

/* Decodes `size` bytes at `packed` (either encoding, told by their first byte) into a new list. Returns 0 or an errno. */
int nvlist_unpack(char *packed, size_t size, nvlist_t **list, int kmflag);

/*
 * Encodes `list`. With *packed == NULL the buffer comes from malloc and belongs to the caller; *size becomes its length.
 * Returns 0 or an errno.
 */
int nvlist_pack(nvlist_t *list, char **packed, size_t *size, int encoding, int kmflag);

/* Frees a list and everything in it; NULL is allowed. */
void nvlist_free(nvlist_t *list);

#endif
