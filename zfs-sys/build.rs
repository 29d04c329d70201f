//! Nothing to build by default: the bindings are checked in. With the feature `buildtime-bindgen` they are made anew from
//! `vendor-headers/`, which takes libclang.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "buildtime-bindgen")]
    bindings::write()?;
    Ok(())
}

#[cfg(feature = "buildtime-bindgen")]
mod bindings {
    use std::env;
    use std::error::Error;
    use std::fs;
    use std::path::Path;
    use std::path::PathBuf;

    const HEAD: &str = "\
// Made by bindgen from vendor-headers/. Do not edit: `cargo test -p replicator-zfs-sys --features buildtime-bindgen`
// says when this file is out of date and, with ZFS_SYS_BLESS=1, writes it anew.";

    pub(super) fn write() -> Result<(), Box<dyn Error>> {
        let folder = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set")?);
        let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
        let headers = folder.join("headers");
        for entry in fs::read_dir(&headers)? {
            println!("cargo::rerun-if-changed={}", entry?.path().display());
        }
        fs::write(out.join("bindings.rs"), generate(&headers)?)?;
        Ok(())
    }

    /// Rust source for everything the headers declare. The functions become the fields of one struct, `Api`.
    fn generate(headers: &Path) -> Result<String, Box<dyn Error>> {
        let bindings = bindgen::Builder::default()
            .header(headers.join("zfs_sys.h").display().to_string())
            .allowlist_file(".*/headers/[^/]+\\.h")
            .dynamic_library_name("Api")
            .dynamic_link_require_all(true)
            .wrap_unsafe_ops(true)
            // C enums are numbers another program chose; as a Rust enum, an unknown one would be undefined behaviour.
            .default_enum_style(bindgen::EnumVariation::Consts)
            .prepend_enum_name(false)
            .derive_default(false)
            .generate_comments(false)
            .generate_cstr(true)
            .layout_tests(true)
            .use_core()
            .rust_edition(bindgen::RustEdition::Edition2024)
            // The newest language version this bindgen knows that is not above the workspace's.
            .rust_target(bindgen::RustTarget::stable(89, 0).map_err(|error| error.to_string())?)
            .formatter(bindgen::Formatter::Prettyplease)
            .raw_line(HEAD)
            .generate()?;
        Ok(bindings.to_string())
    }
}
