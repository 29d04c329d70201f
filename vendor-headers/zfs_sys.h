/* Everything the bindings are generated from. */
#ifndef REPLICATOR_ZFS_SYS_H
#define REPLICATOR_ZFS_SYS_H

#include "ioctl.h"
#include "libzfs_core.h"
#include "nvpair.h"
#include "stream.h"
#include "types.h"
#include "zfs_errno.h"

#endif
