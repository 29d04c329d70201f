//! Offsets of every structure shared with the kernel, pinned.
//!
//! A wrong offset would make the kernel read or write the wrong memory, so the numbers stand here literally and the crate
//! does not compile when a structure disagrees. The tests compare the same table with what a C compiler makes of
//! `vendor-headers/`, and the lab's tests compare it with the headers of the OpenZFS versions it builds.

/// One structure and the offset of each field in use, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Struct {
    /// How C names the type.
    pub c_type: &'static str,
    /// Its size.
    pub size: usize,
    /// Fields, as C names them, with their offsets.
    pub fields: &'static [(&'static str, usize)],
}

macro_rules! layout {
    ($(#[$about:meta])* $list:ident: $($rust:ident, $c:literal, $size:literal { $($($field:ident).+ : $offset:literal),+ $(,)? })+) => {
        $(#[$about])*
        pub const $list: &[Struct] = &[
            $(Struct {
                c_type: $c,
                size: $size,
                fields: &[$((layout!(@name $($field).+), $offset)),+],
            }),+
        ];

        $(const _: () = {
            assert!(size_of::<crate::bindings::$rust>() == $size);
            assert!(align_of::<crate::bindings::$rust>() == 8);
            $(assert!(std::mem::offset_of!(crate::bindings::$rust, $($field).+) == $offset);)+
        };)+
    };
    (@name $first:ident $(. $rest:ident)*) => {
        concat!(stringify!($first) $(, ".", stringify!($rest))*)
    };
}

layout! {
    /// Structures of which the kernel shows more with each version: ours is their beginning, and its size the least they have.
    GROWING:
    vdev_stat, "vdev_stat_t", 184 {
        vs_timestamp: 0,
        vs_state: 8,
        vs_aux: 16,
        vs_alloc: 24,
        vs_space: 32,
        vs_read_errors: 160,
        vs_write_errors: 168,
        vs_checksum_errors: 176,
    }
}

layout! {
    /// All other structures shared with the kernel.
    STRUCTS:
    zfs_cmd, "zfs_cmd_t", 13744 {
        zc_name: 0,
        zc_nvlist_src: 4096,
        zc_nvlist_src_size: 4104,
        zc_nvlist_dst: 4112,
        zc_nvlist_dst_size: 4120,
        zc_nvlist_dst_filled: 4128,
        zc_history: 4136,
        zc_value: 4144,
        zc_string: 12336,
        zc_guid: 12592,
        zc_nvlist_conf: 12600,
        zc_nvlist_conf_size: 12608,
        zc_cookie: 12616,
        zc_objset_type: 12624,
        zc_perm_action: 12632,
        zc_history_len: 12640,
        zc_history_offset: 12648,
        zc_obj: 12656,
        zc_iflags: 12664,
        zc_share: 12672,
        zc_objset_stats: 12704,
        zc_begin_record: 12992,
        zc_cleanup_fd: 13664,
        zc_simple: 13668,
        zc_sendobj: 13672,
        zc_fromobj: 13680,
        zc_createtxg: 13688,
        zc_stat: 13696,
        zc_zoneid: 13736,
    }
    dmu_objset_stats, "dmu_objset_stats_t", 288 {
        dds_num_clones: 0,
        dds_creation_txg: 8,
        dds_guid: 16,
        dds_type: 24,
        dds_is_snapshot: 28,
        dds_inconsistent: 29,
        dds_redacted: 30,
        dds_origin: 31,
    }
    dmu_replay_record, "dmu_replay_record_t", 312 {
        drr_type: 0,
        drr_payloadlen: 4,
        drr_u: 8,
    }
    drr_begin, "struct drr_begin", 304 {
        drr_magic: 0,
        drr_versioninfo: 8,
        drr_creation_time: 16,
        drr_type: 24,
        drr_flags: 28,
        drr_toguid: 32,
        drr_fromguid: 40,
        drr_toname: 48,
    }
    drr_end, "struct drr_end", 40 {
        drr_checksum: 0,
        drr_toguid: 32,
    }
    drr_object, "struct drr_object", 56 {
        drr_object: 0,
        drr_type: 8,
        drr_bonustype: 12,
        drr_blksz: 16,
        drr_bonuslen: 20,
        drr_checksumtype: 24,
        drr_compress: 25,
        drr_dn_slots: 26,
        drr_flags: 27,
        drr_raw_bonuslen: 28,
        drr_toguid: 32,
        drr_indblkshift: 40,
        drr_nlevels: 41,
        drr_nblkptr: 42,
        drr_maxblkid: 48,
    }
    drr_freeobjects, "struct drr_freeobjects", 24 {
        drr_firstobj: 0,
        drr_numobjs: 8,
        drr_toguid: 16,
    }
    drr_write, "struct drr_write", 136 {
        drr_object: 0,
        drr_type: 8,
        drr_offset: 16,
        drr_logical_size: 24,
        drr_toguid: 32,
        drr_checksumtype: 40,
        drr_flags: 41,
        drr_compressiontype: 42,
        drr_key: 48,
        drr_compressed_size: 88,
        drr_salt: 96,
        drr_iv: 104,
        drr_mac: 116,
    }
    drr_free, "struct drr_free", 32 {
        drr_object: 0,
        drr_offset: 8,
        drr_length: 16,
        drr_toguid: 24,
    }
    drr_write_byref, "struct drr_write_byref", 104 {
        drr_object: 0,
        drr_offset: 8,
        drr_length: 16,
        drr_toguid: 24,
        drr_refguid: 32,
        drr_refobject: 40,
        drr_refoffset: 48,
        drr_checksumtype: 56,
        drr_flags: 57,
        drr_key: 64,
    }
    drr_spill, "struct drr_spill", 80 {
        drr_object: 0,
        drr_length: 8,
        drr_toguid: 16,
        drr_flags: 24,
        drr_compressiontype: 25,
        drr_compressed_size: 32,
        drr_salt: 40,
        drr_iv: 48,
        drr_mac: 60,
        drr_type: 76,
    }
    drr_write_embedded, "struct drr_write_embedded", 48 {
        drr_object: 0,
        drr_offset: 8,
        drr_length: 16,
        drr_toguid: 24,
        drr_compression: 32,
        drr_etype: 33,
        drr_lsize: 40,
        drr_psize: 44,
    }
    drr_object_range, "struct drr_object_range", 64 {
        drr_firstobj: 0,
        drr_numslots: 8,
        drr_toguid: 16,
        drr_salt: 24,
        drr_iv: 32,
        drr_mac: 44,
        drr_flags: 60,
    }
    drr_redact, "struct drr_redact", 32 {
        drr_object: 0,
        drr_offset: 8,
        drr_length: 16,
        drr_toguid: 24,
    }
    drr_checksum, "struct drr_checksum", 304 {
        drr_checksum: 272,
    }
}
