/*
 * libzfs_core: the functions this project calls, as of OpenZFS 2.1 (soname libzfs_core.so.3).
 *
 * Every function here exists unchanged from 2.1 to 2.4. Left out on purpose: lzc_send_progress (declared but not exported up
 * to 2.4, later exported with other parameters) and lzc_initialize (its prototype changes without a new soname).
 *
 * Sources: libzfs_core.h (declarations); the meaning of each call follows zfs(8)'s pages named beside it. Functions return 0
 * or a positive errno, which may be one of zfs_errno.h's numbers above 1023.
 */
#ifndef REPLICATOR_LIBZFS_CORE_H
#define REPLICATOR_LIBZFS_CORE_H

#include "types.h"

#ifndef REPLICATOR_TYPES_ARE_REAL

/* Source: libzfs_core.h. The kind of dataset lzc_create makes. */
enum lzc_dataset_type {
    LZC_DATSET_TYPE_ZFS = 2,
    LZC_DATSET_TYPE_ZVOL = 3,
};

/* Source: libzfs_core.h; zfs-send(8) -e, -L, -c, -w, -S. */
enum lzc_send_flags {
    LZC_SEND_FLAG_EMBED_DATA = 0x01,
    LZC_SEND_FLAG_LARGE_BLOCK = 0x02,
    LZC_SEND_FLAG_COMPRESS = 0x04,
    LZC_SEND_FLAG_RAW = 0x08,
    LZC_SEND_FLAG_SAVED = 0x10,
};

/* Source: sys/fs/zfs.h; zfs-wait(8). */
typedef enum {
    ZFS_WAIT_DELETEQ = 0,
    ZFS_WAIT_NUM_ACTIVITIES = 1,
} zfs_wait_activity_t;

#endif

struct dmu_replay_record;

/* The library counts its users. Nothing below may be called before a successful init: the library aborts the process. */
int libzfs_core_init(void);
void libzfs_core_fini(void);

/* zfs-create(8), zfs-clone(8), zfs-promote(8), zfs-rename(8), zfs-destroy(8) */
int lzc_create(const char *name, enum lzc_dataset_type type, nvlist_t *props, uint8_t *key, uint_t key_len);
int lzc_clone(const char *name, const char *origin, nvlist_t *props);
int lzc_promote(const char *name, char *conflicting_snapshot, int conflicting_snapshot_len);
int lzc_rename(const char *from, const char *to);
int lzc_destroy(const char *name);
boolean_t lzc_exists(const char *name);

/* zfs-snapshot(8), zfs-destroy(8), zfs-rollback(8), zfs-list(8) */
int lzc_snapshot(nvlist_t *snapshots, nvlist_t *props, nvlist_t **errors);
int lzc_destroy_snaps(nvlist_t *snapshots, boolean_t defer, nvlist_t **errors);
int lzc_rollback_to(const char *dataset, const char *snapshot);
int lzc_snaprange_space(const char *first, const char *last, uint64_t *bytes);

/* zfs-bookmark(8) */
int lzc_bookmark(nvlist_t *bookmarks, nvlist_t **errors);
int lzc_get_bookmarks(const char *dataset, nvlist_t *props, nvlist_t **bookmarks);
int lzc_get_bookmark_props(const char *bookmark, nvlist_t **props);
int lzc_destroy_bookmarks(nvlist_t *bookmarks, nvlist_t **errors);

/* zfs-hold(8), zfs-release(8), zfs-holds(8) */
int lzc_hold(nvlist_t *holds, int cleanup_fd, nvlist_t **errors);
int lzc_release(nvlist_t *holds, nvlist_t **errors);
int lzc_get_holds(const char *snapshot, nvlist_t **holds);

/* zfs-send(8), zfs-redact(8) */
int lzc_send(const char *snapshot, const char *from, int fd, enum lzc_send_flags flags);
int lzc_send_redacted(const char *snapshot, const char *from, int fd, enum lzc_send_flags flags,
    const char *redaction_bookmark);
int lzc_send_resume(const char *snapshot, const char *from, int fd, enum lzc_send_flags flags, uint64_t object,
    uint64_t offset);
int lzc_send_resume_redacted(const char *snapshot, const char *from, int fd, enum lzc_send_flags flags, uint64_t object,
    uint64_t offset, const char *redaction_bookmark);
int lzc_send_space(const char *snapshot, const char *from, enum lzc_send_flags flags, uint64_t *bytes);
int lzc_send_space_resume_redacted(const char *snapshot, const char *from, enum lzc_send_flags flags, uint64_t object,
    uint64_t offset, uint64_t bytes_already_sent, const char *redaction_bookmark, int fd, uint64_t *bytes);

/* zfs-receive(8) */
int lzc_receive_with_header(const char *snapshot, nvlist_t *props, const char *origin, boolean_t force,
    boolean_t resumable, boolean_t raw, int fd, const struct dmu_replay_record *begin);
int lzc_receive_with_cmdprops(const char *snapshot, nvlist_t *received_props, nvlist_t *local_props, uint8_t *key,
    uint_t key_len, const char *origin, boolean_t force, boolean_t resumable, boolean_t raw, int fd,
    const struct dmu_replay_record *begin, int cleanup_fd, uint64_t *read_bytes, uint64_t *error_flags,
    uint64_t *action_handle, nvlist_t **errors);

/* zfs-load-key(8), zfs-unload-key(8), zfs-change-key(8) */
int lzc_load_key(const char *name, boolean_t check_only, uint8_t *key, uint_t key_len);
int lzc_unload_key(const char *name);
int lzc_change_key(const char *name, uint64_t command, nvlist_t *props, uint8_t *key, uint_t key_len);

/* zpool-sync(8), zfs-wait(8) */
int lzc_sync(const char *pool, nvlist_t *args, nvlist_t **out);
int lzc_wait_fs(const char *dataset, zfs_wait_activity_t activity, boolean_t *waited);

#endif
