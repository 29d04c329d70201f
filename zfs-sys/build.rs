//! Nothing to build by default: the bindings are checked in. With the feature `buildtime-bindgen` they are made anew.

#[cfg(feature = "buildtime-bindgen")]
include!("codegen/bindings.rs");

#[cfg(not(feature = "buildtime-bindgen"))]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}

#[cfg(feature = "buildtime-bindgen")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::path::PathBuf::from(
        std::env::var_os("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set")?,
    );
    let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let headers = folder.join("headers");
    println!("cargo::rerun-if-changed=codegen");
    println!("cargo::rerun-if-changed={}", headers.display());
    for entry in std::fs::read_dir(&headers)? {
        println!("cargo::rerun-if-changed={}", entry?.path().display());
    }
    std::fs::write(out.join("bindings.rs"), generate(&headers)?)?;
    Ok(())
}
