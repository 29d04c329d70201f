/*
 * Plain types the other headers of this folder share.
 *
 * Written for this project from documented facts; no text is taken from OpenZFS. The declarations describe the ABI of
 * OpenZFS 2.1 and later on 64-bit Linux. Where a program already has OpenZFS' own headers (the check that compares ours with
 * them), REPLICATOR_TYPES_ARE_REAL is defined and only function prototypes remain visible.
 */
#ifndef REPLICATOR_TYPES_H
#define REPLICATOR_TYPES_H

#include <stddef.h>
#include <stdint.h>

#ifndef REPLICATOR_TYPES_ARE_REAL

/* Source: libspl's sys/stdtypes.h. An enum, hence four bytes; zero is false. */
typedef enum { B_FALSE = 0, B_TRUE = 1 } boolean_t;

/* Source: libspl's sys/types.h. */
typedef unsigned int uint_t;

/* Source: sys/nvpair.h. Only ever handled by pointer; libnvpair owns the contents. */
typedef struct nvlist nvlist_t;

/* Source: sys/fs/zfs.h (names, each with its NUL byte) and sys/param.h (paths), Linux. */
enum {
    ZFS_MAX_DATASET_NAME_LEN = 256,
    MAXNAMELEN = 256,
    MAXPATHLEN = 4096,
};

#endif
#endif
