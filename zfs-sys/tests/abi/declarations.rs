//! Our C declarations, as a C compiler sees them, against the Rust side; and proof that a difference would be found.

use std::fs;
use std::path::Path;

use crate::support::Headers;
use crate::support::compare;
use crate::support::compile_prototypes;
use crate::support::vendor_headers;

fn ours(folder: &Path) -> Headers {
    Headers {
        prelude: format!("#include \"{}\"", folder.join("zfs_sys.h").display()),
        folders: Vec::new(),
        lacks: |_| false,
    }
}

/// A copy of our headers with one piece of text replaced.
fn altered(file: &str, from: &str, to: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("temporary folder");
    for entry in fs::read_dir(vendor_headers()).expect("vendor-headers") {
        let path = entry.expect("entry").path();
        let name = path.file_name().expect("a file has a name").to_owned();
        let mut text = fs::read_to_string(&path).expect("readable header");
        if name == file {
            assert!(text.contains(from), "{file} does not contain {from:?}");
            text = text.replacen(from, to, 1);
        }
        fs::write(copy.path().join(name), text).expect("write copy");
    }
    copy
}

#[test]
fn rust_and_c_agree_on_our_headers() {
    let (agreed, differences) = compare(&ours(&vendor_headers())).expect("compiles");
    assert_eq!(differences, Vec::<String>::new());
    // 16 structures, their fields and about 110 constants: fewer would mean that the lists were not read.
    assert!(agreed > 250, "only {agreed} expressions were compared");
}

#[test]
fn moved_field_is_found() {
    let copy = altered(
        "ioctl.h",
        "    uint64_t zc_cookie;\n    uint64_t zc_objset_type;\n",
        "    uint64_t zc_objset_type;\n    uint64_t zc_cookie;\n",
    );
    let (_, differences) = compare(&ours(copy.path())).expect("compiles");
    assert_eq!(
        differences,
        [
            "offsetof(zfs_cmd_t, zc_cookie): Rust has 12616, C has 12624",
            "offsetof(zfs_cmd_t, zc_objset_type): Rust has 12624, C has 12616",
        ]
    );
}

#[test]
fn changed_constant_is_found() {
    let copy = altered("zfs_errno.h", "ZFS_ERR_BADPROP = 1044", "ZFS_ERR_BADPROP = 2044");
    let (_, differences) = compare(&ours(copy.path())).expect("compiles");
    assert_eq!(differences, ["(uint64_t)ZFS_ERR_BADPROP: Rust has 1044, C has 2044"]);
}

#[test]
fn changed_string_is_found() {
    let copy = altered("ioctl.h", "\"snap_iter_min_txg\"", "\"snap_iter_min\"");
    let (_, differences) = compare(&ours(copy.path())).expect("compiles");
    assert_eq!(differences.len(), 1, "{differences:?}");
    assert!(differences[0].contains("SNAP_ITER_MIN_TXG"), "{differences:?}");
}

#[test]
fn prototypes_compile_twice_and_a_changed_one_does_not() {
    let real = ours(&vendor_headers());
    // Without the include guards the second pass would see nothing.
    let second = altered("libzfs_core.h", "#ifndef REPLICATOR_LIBZFS_CORE_H", "#if 1");
    compile_prototypes(&real, second.path()).expect("the same prototypes again");

    let text = fs::read_to_string(second.path().join("libzfs_core.h")).expect("readable header");
    let (from, to) = ("lzc_snaprange_space(const char *first,", "lzc_snaprange_space(char *first,");
    assert!(text.contains(from));
    fs::write(second.path().join("libzfs_core.h"), text.replacen(from, to, 1)).expect("write");
    let said = compile_prototypes(&real, second.path()).expect_err("a different prototype");
    assert!(said.contains("conflicting types for") && said.contains("lzc_snaprange_space"), "{said}");
}
