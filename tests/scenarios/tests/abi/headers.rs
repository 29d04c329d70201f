//! Every structure, constant and prototype we use, against the headers of the OpenZFS the lab runs.

use lab::cache::Artifacts;
use lab::recipe::Generation;

use crate::support::Headers;
use crate::support::compare;
use crate::support::compile_prototypes;
use crate::support::vendor_headers;

/// Constants by the version that brought them; all others are in 2.1. C enums cannot be probed by the preprocessor.
const NEWER_THAN_2_3: &[&str] = &["ZFS_ERR_TOO_MANY_SITOUTS"];

fn artifacts() -> Artifacts {
    lab::cache::artifacts(Generation::from_env()).expect("what `cargo lab build` makes")
}

/// `sys/zfs_ioctl.h` is the kernel module's; everything it includes is also among the user-space headers.
fn real(artifacts: &Artifacts) -> Headers {
    let includes = ["sys/zfs_ioctl.h", "sys/fs/zfs.h", "libzfs_core.h", "libnvpair.h"];
    Headers {
        prelude: includes.map(|name| format!("#include <{name}>")).join("\n"),
        folders: vec![
            artifacts.zfs_source.join("include"),
            artifacts.zfs_headers.join("libspl"),
            artifacts.zfs_headers.join("libzfs"),
        ],
        lacks: if artifacts.zfs_version.starts_with("2.3.") {
            |name| NEWER_THAN_2_3.contains(&name)
        } else {
            |_| false
        },
    }
}

#[test]
fn structures_and_constants_are_those_of_openzfs() {
    let artifacts = artifacts();
    let (agreed, differences) = compare(&real(&artifacts)).expect("compiles against the real headers");
    assert_eq!(differences, Vec::<String>::new(), "OpenZFS {}", artifacts.zfs_version);
    assert!(agreed > 250, "only {agreed} expressions were compared");
}

#[test]
fn prototypes_are_those_of_openzfs() {
    let real = real(&artifacts());
    compile_prototypes(&real, &vendor_headers()).expect("our prototypes beside the real ones");

    // The compiler does look: a prototype that differs in one `const` is refused.
    let copy = tempfile::tempdir().expect("temporary folder");
    for name in ["types.h", "nvpair.h", "libzfs_core.h"] {
        let text = std::fs::read_to_string(vendor_headers().join(name)).expect("our header");
        let text = text
            .replace("int lzc_snaprange_space(const char *first,", "int lzc_snaprange_space(char *first,");
        std::fs::write(copy.path().join(name), text).expect("write");
    }
    let said = compile_prototypes(&real, copy.path()).expect_err("a different prototype");
    assert!(said.contains("conflicting types for") && said.contains("lzc_snaprange_space"), "{said}");
}
