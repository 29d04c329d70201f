/*
 * The records of a send stream.
 *
 * A stream is a sequence of 312-byte headers, each followed by the payload its type implies, in the byte order of the sender.
 * All headers except BEGIN end in a running fletcher-4 checksum of everything before it.
 *
 * Sources: sys/zfs_ioctl.h (records, flags), sys/fs/zfs.h and sys/dmu.h (object set types), sys/ddt.h (deduplication key),
 * sys/zio.h (lengths of salt, IV and MAC); zstream(8) prints the same fields.
 */
#ifndef REPLICATOR_STREAM_H
#define REPLICATOR_STREAM_H

#include "types.h"

#ifndef REPLICATOR_TYPES_ARE_REAL

/* First word of BEGIN; read byte-swapped, it says that the whole stream is. */
#define DMU_BACKUP_MAGIC 0x2f5bacbacULL

/* Low two bits of drr_versioninfo. */
enum {
    DMU_SUBSTREAM = 1,
    DMU_COMPOUNDSTREAM = 2,
};

/* Feature flags: the bits of drr_versioninfo from bit 2 upwards. */
enum {
    DMU_BACKUP_FEATURE_DEDUP = 1 << 0,
    DMU_BACKUP_FEATURE_DEDUPPROPS = 1 << 1,
    DMU_BACKUP_FEATURE_SA_SPILL = 1 << 2,
    DMU_BACKUP_FEATURE_EMBED_DATA = 1 << 16,
    DMU_BACKUP_FEATURE_LZ4 = 1 << 17,
    DMU_BACKUP_FEATURE_LARGE_BLOCKS = 1 << 19,
    DMU_BACKUP_FEATURE_RESUMING = 1 << 20,
    DMU_BACKUP_FEATURE_REDACTED = 1 << 21,
    DMU_BACKUP_FEATURE_COMPRESSED = 1 << 22,
    DMU_BACKUP_FEATURE_LARGE_DNODE = 1 << 23,
    DMU_BACKUP_FEATURE_RAW = 1 << 24,
    DMU_BACKUP_FEATURE_ZSTD = 1 << 25,
    DMU_BACKUP_FEATURE_HOLDS = 1 << 26,
    DMU_BACKUP_FEATURE_SWITCH_TO_LARGE_BLOCKS = 1 << 27,
    /* 2.3 */
    DMU_BACKUP_FEATURE_LONGNAME = 1 << 28,
    DMU_BACKUP_FEATURE_LARGE_MICROZAP = 1 << 29,
};

/* drr_flags of BEGIN. */
enum {
    DRR_FLAG_CLONE = 1 << 0,
    DRR_FLAG_CI_DATA = 1 << 1,
    DRR_FLAG_FREERECORDS = 1 << 2,
    DRR_FLAG_SPILL_BLOCK = 1 << 3,
};

/* drr_flags of the other records. */
enum {
    DRR_CHECKSUM_DEDUP = 1 << 0,
    DRR_RAW_BYTESWAP = 1 << 1,
    DRR_OBJECT_SPILL = 1 << 2,
    DRR_SPILL_UNMODIFIED = 1 << 2,
};

/* drr_type of a header. */
enum {
    DRR_BEGIN = 0,
    DRR_OBJECT = 1,
    DRR_FREEOBJECTS = 2,
    DRR_WRITE = 3,
    DRR_FREE = 4,
    DRR_END = 5,
    DRR_WRITE_BYREF = 6,
    DRR_SPILL = 7,
    DRR_WRITE_EMBEDDED = 8,
    DRR_OBJECT_RANGE = 9,
    DRR_REDACT = 10,
    /* How many types there are; not a type. */
    DRR_NUMTYPES = 11,
};

/* What kind of object set a dataset is. */
typedef enum {
    DMU_OST_NONE = 0,
    DMU_OST_META = 1,
    DMU_OST_ZFS = 2,
    DMU_OST_ZVOL = 3,
    DMU_OST_OTHER = 4,
    DMU_OST_ANY = 5,
} dmu_objset_type_t;

/* Version in front of a resume token: the "1" of "1-...". */
enum { ZFS_SEND_RESUME_TOKEN_VERSION = 1 };

/* Bytes of encryption parameters that raw streams carry per block. */
enum {
    ZIO_DATA_SALT_LEN = 8,
    ZIO_DATA_IV_LEN = 12,
    ZIO_DATA_MAC_LEN = 16,
};

/* Four words of fletcher-4. */
typedef struct zio_cksum {
    uint64_t zc_word[4];
} zio_cksum_t;

/* Deduplication key of a block. */
typedef struct ddt_key {
    zio_cksum_t ddk_cksum;
    uint64_t ddk_prop;
} ddt_key_t;

/* BEGIN: what is sent, and from where. Payload: drr_payloadlen bytes, a packed name/value list. */
struct drr_begin {
    uint64_t drr_magic;
    uint64_t drr_versioninfo;
    uint64_t drr_creation_time;
    dmu_objset_type_t drr_type;
    uint32_t drr_flags;
    uint64_t drr_toguid;
    uint64_t drr_fromguid;
    char drr_toname[MAXNAMELEN];
};

/* END: checksum of the whole stream. No payload. */
struct drr_end {
    zio_cksum_t drr_checksum;
    uint64_t drr_toguid;
};

/* OBJECT: a dnode. Payload: the bonus buffer, drr_raw_bonuslen bytes or drr_bonuslen rounded up to 8. */
struct drr_object {
    uint64_t drr_object;
    uint32_t drr_type;
    uint32_t drr_bonustype;
    uint32_t drr_blksz;
    uint32_t drr_bonuslen;
    uint8_t drr_checksumtype;
    uint8_t drr_compress;
    uint8_t drr_dn_slots;
    uint8_t drr_flags;
    uint32_t drr_raw_bonuslen;
    uint64_t drr_toguid;
    uint8_t drr_indblkshift;
    uint8_t drr_nlevels;
    uint8_t drr_nblkptr;
    uint8_t drr_pad[5];
    uint64_t drr_maxblkid;
};

/* FREEOBJECTS: a range of objects that do not exist. No payload. */
struct drr_freeobjects {
    uint64_t drr_firstobj;
    uint64_t drr_numobjs;
    uint64_t drr_toguid;
};

/* WRITE: one block. Payload: drr_compressed_size bytes if drr_compressiontype is set, else drr_logical_size. */
struct drr_write {
    uint64_t drr_object;
    uint32_t drr_type;
    uint32_t drr_pad;
    uint64_t drr_offset;
    uint64_t drr_logical_size;
    uint64_t drr_toguid;
    uint8_t drr_checksumtype;
    uint8_t drr_flags;
    uint8_t drr_compressiontype;
    uint8_t drr_pad2[5];
    ddt_key_t drr_key;
    uint64_t drr_compressed_size;
    uint8_t drr_salt[ZIO_DATA_SALT_LEN];
    uint8_t drr_iv[ZIO_DATA_IV_LEN];
    uint8_t drr_mac[ZIO_DATA_MAC_LEN];
};

/* FREE: a hole. No payload. */
struct drr_free {
    uint64_t drr_object;
    uint64_t drr_offset;
    uint64_t drr_length;
    uint64_t drr_toguid;
};

/* WRITE_BYREF: a block that was sent before (deduplicated streams of old versions). No payload. */
struct drr_write_byref {
    uint64_t drr_object;
    uint64_t drr_offset;
    uint64_t drr_length;
    uint64_t drr_toguid;
    uint64_t drr_refguid;
    uint64_t drr_refobject;
    uint64_t drr_refoffset;
    uint8_t drr_checksumtype;
    uint8_t drr_flags;
    uint8_t drr_pad2[6];
    ddt_key_t drr_key;
};

/* SPILL: a spill block. Payload: drr_compressed_size bytes if not zero, else drr_length. */
struct drr_spill {
    uint64_t drr_object;
    uint64_t drr_length;
    uint64_t drr_toguid;
    uint8_t drr_flags;
    uint8_t drr_compressiontype;
    uint8_t drr_pad[6];
    uint64_t drr_compressed_size;
    uint8_t drr_salt[ZIO_DATA_SALT_LEN];
    uint8_t drr_iv[ZIO_DATA_IV_LEN];
    uint8_t drr_mac[ZIO_DATA_MAC_LEN];
    uint32_t drr_type;
};

/* WRITE_EMBEDDED: a block small enough to live in its pointer. Payload: drr_psize rounded up to 8. */
struct drr_write_embedded {
    uint64_t drr_object;
    uint64_t drr_offset;
    uint64_t drr_length;
    uint64_t drr_toguid;
    uint8_t drr_compression;
    uint8_t drr_etype;
    uint8_t drr_pad[6];
    uint32_t drr_lsize;
    uint32_t drr_psize;
};

/* OBJECT_RANGE: encryption parameters of a block of dnodes (raw streams). No payload. */
struct drr_object_range {
    uint64_t drr_firstobj;
    uint64_t drr_numslots;
    uint64_t drr_toguid;
    uint8_t drr_salt[ZIO_DATA_SALT_LEN];
    uint8_t drr_iv[ZIO_DATA_IV_LEN];
    uint8_t drr_mac[ZIO_DATA_MAC_LEN];
    uint8_t drr_flags;
    uint8_t drr_pad[3];
};

/* REDACT: a range that was left out on purpose. No payload. */
struct drr_redact {
    uint64_t drr_object;
    uint64_t drr_offset;
    uint64_t drr_length;
    uint64_t drr_toguid;
};

/* The last 32 bytes of every header except BEGIN: fletcher-4 of all stream bytes before them, or zero. */
struct drr_checksum {
    uint64_t drr_pad[34];
    zio_cksum_t drr_checksum;
};

/* One header: 312 bytes. */
typedef struct dmu_replay_record {
    uint32_t drr_type;
    uint32_t drr_payloadlen;
    union dmu_replay_record_u {
        struct drr_begin drr_begin;
        struct drr_end drr_end;
        struct drr_object drr_object;
        struct drr_freeobjects drr_freeobjects;
        struct drr_write drr_write;
        struct drr_free drr_free;
        struct drr_write_byref drr_write_byref;
        struct drr_spill drr_spill;
        struct drr_write_embedded drr_write_embedded;
        struct drr_object_range drr_object_range;
        struct drr_redact drr_redact;
        struct drr_checksum drr_checksum;
    } drr_u;
} dmu_replay_record_t;

#endif
#endif
