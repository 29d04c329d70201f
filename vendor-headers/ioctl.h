/*
 * /dev/zfs: the command block and the commands this project issues itself.
 *
 * libzfs_core has no listing of datasets, no setting of properties and no send progress; those go through the commands below
 * that zfs(8) itself uses. The block's size and the offsets of the fields named here are the same from 2.1 to 2.4 (fields of
 * no use to us are folded into reserved space).
 *
 * Sources: sys/zfs_ioctl.h (zfs_cmd_t), sys/fs/zfs.h (numbers, property sources, keys), sys/dmu.h (statistics),
 * sys/zfs_stat.h. Linux on 64-bit machines only.
 */
#ifndef REPLICATOR_IOCTL_H
#define REPLICATOR_IOCTL_H

#include "stream.h"
#include "types.h"

#ifndef REPLICATOR_TYPES_ARE_REAL

/* Command numbers. Not encoded with _IO*: the driver takes them as they are. */
enum {
    ZFS_IOC_POOL_CONFIGS = 0x5a04,
    ZFS_IOC_POOL_STATS = 0x5a05,
    ZFS_IOC_OBJSET_STATS = 0x5a12,
    ZFS_IOC_OBJSET_ZPLPROPS = 0x5a13,
    ZFS_IOC_DATASET_LIST_NEXT = 0x5a14,
    ZFS_IOC_SNAPSHOT_LIST_NEXT = 0x5a15,
    ZFS_IOC_SET_PROP = 0x5a16,
    ZFS_IOC_RENAME = 0x5a1a,
    ZFS_IOC_POOL_GET_PROPS = 0x5a27,
    ZFS_IOC_INHERIT_PROP = 0x5a2b,
    ZFS_IOC_OBJSET_RECVD_PROPS = 0x5a33,
    ZFS_IOC_SPACE_WRITTEN = 0x5a39,
    ZFS_IOC_SEND_PROGRESS = 0x5a3e,
    ZFS_IOC_LOG_HISTORY = 0x5a3f,
};

/* Keys of the list given to SNAPSHOT_LIST_NEXT: only snapshots whose createtxg lies within. */
#define SNAP_ITER_MIN_TXG "snap_iter_min_txg"
#define SNAP_ITER_MAX_TXG "snap_iter_max_txg"

/* Keys of a property in the lists the driver returns, and its mark for a received value as source. */
#define ZPROP_VALUE "value"
#define ZPROP_SOURCE "source"
#define ZPROP_SOURCE_VAL_RECVD "$recvd"
#define ZPROP_N_MORE_ERRORS "N_MORE_ERRORS"

/* Where a property's value comes from: zfs-get(8), column SOURCE. */
enum {
    ZPROP_SRC_NONE = 0x01,
    ZPROP_SRC_DEFAULT = 0x02,
    ZPROP_SRC_TEMPORARY = 0x04,
    ZPROP_SRC_LOCAL = 0x08,
    ZPROP_SRC_INHERITED = 0x10,
    ZPROP_SRC_RECEIVED = 0x20,
};

/* What is known of a dataset without reading its properties. */
typedef struct dmu_objset_stats {
    uint64_t dds_num_clones;
    uint64_t dds_creation_txg;
    uint64_t dds_guid;
    dmu_objset_type_t dds_type;
    uint8_t dds_is_snapshot;
    uint8_t dds_inconsistent;
    uint8_t dds_redacted;
    char dds_origin[ZFS_MAX_DATASET_NAME_LEN];
    /* Padding before 2.4. */
    uint8_t dds_flags;
} dmu_objset_stats_t;

typedef struct zfs_share {
    uint64_t z_exportdata;
    uint64_t z_sharedata;
    uint64_t z_sharetype;
    uint64_t z_sharemax;
} zfs_share_t;

typedef struct zfs_stat {
    uint64_t zs_gen;
    uint64_t zs_mode;
    uint64_t zs_links;
    uint64_t zs_ctime[2];
} zfs_stat_t;

/* Keys of a pool's configuration as POOL_STATS gives it: the tree of its devices. */
#define ZPOOL_CONFIG_POOL_GUID "pool_guid"
#define ZPOOL_CONFIG_SUSPENDED "suspended"
#define ZPOOL_CONFIG_VDEV_TREE "vdev_tree"
#define ZPOOL_CONFIG_VDEV_STATS "vdev_stats"
#define ZPOOL_CONFIG_CHILDREN "children"
#define ZPOOL_CONFIG_SPARES "spares"
#define ZPOOL_CONFIG_L2CACHE "l2cache"
#define ZPOOL_CONFIG_TYPE "type"
#define ZPOOL_CONFIG_ID "id"
#define ZPOOL_CONFIG_GUID "guid"
#define ZPOOL_CONFIG_PATH "path"
#define ZPOOL_CONFIG_WHOLE_DISK "whole_disk"
#define ZPOOL_CONFIG_NPARITY "nparity"
#define ZPOOL_CONFIG_NOT_PRESENT "not_present"
#define ZPOOL_CONFIG_IS_HOLE "is_hole"

/* What becomes of a device, and the reasons that tell two kinds of "cannot be opened" apart. */
enum {
    VDEV_STATE_CLOSED = 1,
    VDEV_STATE_OFFLINE = 2,
    VDEV_STATE_REMOVED = 3,
    VDEV_STATE_CANT_OPEN = 4,
    VDEV_STATE_FAULTED = 5,
    VDEV_STATE_DEGRADED = 6,
    VDEV_STATE_HEALTHY = 7,
};
enum {
    VDEV_AUX_CORRUPT_DATA = 2,
    VDEV_AUX_SPARED = 10,
    VDEV_AUX_BAD_LOG = 13,
    VDEV_AUX_SPLIT_POOL = 15,
};

/* The statistics of a device come as an array of 64-bit numbers: this structure, which grows at its end. */
typedef struct vdev_stat {
    int64_t vs_timestamp;
    uint64_t vs_state;
    uint64_t vs_aux;
    uint64_t vs_alloc;
    uint64_t vs_space;
    uint64_t vs_dspace;
    uint64_t vs_rsize;
    uint64_t vs_esize;
    uint64_t vs_ops[6];
    uint64_t vs_bytes[6];
    uint64_t vs_read_errors;
    uint64_t vs_write_errors;
    uint64_t vs_checksum_errors;
} vdev_stat_t;

/*
 * The command block, copied in and out whole. Members that hold addresses of our memory are 64-bit integers.
 */
typedef struct zfs_cmd {
    char zc_name[MAXPATHLEN];
    uint64_t zc_nvlist_src;
    uint64_t zc_nvlist_src_size;
    uint64_t zc_nvlist_dst;
    uint64_t zc_nvlist_dst_size;
    boolean_t zc_nvlist_dst_filled;
    int zc_pad2;
    uint64_t zc_history;
    char zc_value[MAXPATHLEN * 2];
    char zc_string[MAXNAMELEN];
    uint64_t zc_guid;
    uint64_t zc_nvlist_conf;
    uint64_t zc_nvlist_conf_size;
    uint64_t zc_cookie;
    uint64_t zc_objset_type;
    uint64_t zc_perm_action;
    uint64_t zc_history_len;
    uint64_t zc_history_offset;
    uint64_t zc_obj;
    uint64_t zc_iflags;
    zfs_share_t zc_share;
    dmu_objset_stats_t zc_objset_stats;
    struct drr_begin zc_begin_record;
    /* Fault injection and three members only old commands read: never ours. */
    uint64_t replicator_reserved[46];
    int zc_cleanup_fd;
    uint8_t zc_simple;
    uint8_t zc_pad[3];
    uint64_t zc_sendobj;
    uint64_t zc_fromobj;
    uint64_t zc_createtxg;
    zfs_stat_t zc_stat;
    uint64_t zc_zoneid;
} zfs_cmd_t;

#endif
#endif
