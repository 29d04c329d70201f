//! The checked-in bindings against the headers they are made from.

use std::collections::BTreeSet;

use crate::support::BINDINGS;

/// With the feature, the build script has just made bindings from the headers; they must be the checked-in ones.
#[test]
#[cfg(feature = "buildtime-bindgen")]
fn checked_in_bindings_are_current() {
    let fresh = include_str!(concat!(env!("OUT_DIR"), "/bindings.rs"));
    if std::env::var_os("ZFS_SYS_BLESS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bindings/generated.rs");
        std::fs::write(path, fresh).expect("write the bindings");
        return;
    }
    let first_difference = BINDINGS.lines().zip(fresh.lines()).position(|(old, new)| old != new);
    assert!(
        BINDINGS == fresh,
        "src/bindings/generated.rs is out of date (first difference: line {:?}); run with ZFS_SYS_BLESS=1",
        first_difference.map(|line| line + 1)
    );
}

/// The table of symbols the loader checks must be what the generated loader then takes for granted.
#[test]
fn every_bound_function_is_in_the_table_of_symbols() {
    let bound: BTreeSet<&str> = BINDINGS
        .split("__library.get(b\"")
        .skip(1)
        .map(|rest| rest.split("\\0").next().expect("split yields at least one piece"))
        .collect();
    let listed: BTreeSet<&str> = zfs_sys::SYMBOLS.iter().map(|s| s.name.to_str().expect("ASCII")).collect();
    assert_eq!(listed.len(), zfs_sys::SYMBOLS.len(), "a symbol is listed twice");
    assert!(bound.len() > 30, "found only {bound:?}");
    assert_eq!(bound, listed);
}

/// Neither may ever be bound: one is declared but missing up to 2.4, both change their prototype without a new soname.
#[test]
fn unstable_functions_are_not_bound() {
    for name in ["lzc_send_progress", "lzc_initialize"] {
        assert!(!BINDINGS.contains(name), "{name} is bound");
    }
}
