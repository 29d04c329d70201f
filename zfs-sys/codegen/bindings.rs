// How the bindings are made: shared by build.rs and by the test that compares the checked-in file with a fresh one.

use std::path::Path;

const HEAD: &str = "\
// Made by bindgen from vendor-headers/. Do not edit: `cargo test -p replicator-zfs-sys --features buildtime-bindgen`
// says when this file is out of date, and with ZFS_SYS_BLESS=1 writes it anew.";

/// Bindings of everything `headers/zfs_sys.h` declares, as Rust source. Functions become the fields of one struct, `Api`.
fn generate(headers: &Path) -> Result<String, Box<dyn std::error::Error>> {
    let bindings = bindgen::Builder::default()
        .header(headers.join("zfs_sys.h").display().to_string())
        .allowlist_file(format!("{}/.*\\.h", headers.display()))
        .dynamic_library_name("Api")
        .dynamic_link_require_all(true)
        .wrap_unsafe_ops(true)
        // C enums are numbers another program chose; a Rust enum would make an unknown one undefined behaviour.
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .derive_default(false)
        .generate_comments(false)
        .generate_cstr(true)
        .layout_tests(true)
        .use_core()
        .merge_extern_blocks(true)
        .rust_edition(bindgen::RustEdition::Edition2024)
        .rust_target(bindgen::RustTarget::stable(85, 0).map_err(|e| e.to_string())?)
        .formatter(bindgen::Formatter::Rustfmt)
        .rustfmt_configuration_file(None)
        .raw_line(HEAD)
        .generate()?;
    Ok(bindings.to_string())
}
