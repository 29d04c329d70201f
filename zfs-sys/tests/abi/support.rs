//! Asks a C compiler what it makes of a set of headers, and compares the answer with the Rust side.
//!
//! Used with our own headers here, and with OpenZFS' own by the lab's tests. Constants are read from the generated file and
//! structures from [`zfs_sys::layout`], so that nothing can be bound and forgotten here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// The checked-in bindings.
pub(crate) const BINDINGS: &str = include_str!("../../src/bindings/generated.rs");

/// Our C declarations.
pub(crate) fn vendor_headers() -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    crates
        .map(|folder| folder.join("vendor-headers"))
        .find(|folder| folder.is_dir())
        .expect("a folder of the workspace")
}

/// A set of headers and how to compile against it.
pub(crate) struct Headers {
    /// `#include` lines.
    pub(crate) prelude: String,
    /// Folders for `-I`, in order.
    pub(crate) folders: Vec<PathBuf>,
    /// Constants these headers are too old to have.
    pub(crate) lacks: fn(&str) -> bool,
}

/// What the Rust side believes: an expression in C and its value.
pub(crate) fn expectations(lacks: fn(&str) -> bool) -> BTreeMap<String, u64> {
    let mut expected = BTreeMap::new();
    let whole = zfs_sys::layout::STRUCTS.iter().map(|layout| (layout, false));
    let growing = zfs_sys::layout::GROWING.iter().map(|layout| (layout, true));
    for (layout, grows) in whole.chain(growing) {
        if grows {
            expected.insert(format!("(uint64_t)(sizeof({}) >= {})", layout.c_type, layout.size), 1);
        } else {
            expected.insert(format!("sizeof({})", layout.c_type), layout.size as u64);
        }
        for (field, offset) in layout.fields {
            expected.insert(format!("offsetof({}, {field})", layout.c_type), *offset as u64);
        }
    }
    for (name, value) in numbers().into_iter().filter(|(name, _)| !lacks(name)) {
        expected.insert(format!("(uint64_t){name}"), value);
    }
    for (name, text) in strings() {
        expected.insert(format!("(uint64_t)(strcmp({name}, \"{text}\") == 0)"), 1);
    }
    for c_type in ["boolean_t", "uint_t", "dmu_objset_type_t", "zfs_wait_activity_t", "enum lzc_send_flags"] {
        expected.insert(format!("sizeof({c_type})"), 4);
    }
    expected
}

/// The integer constants of the bindings.
fn numbers() -> Vec<(&'static str, u64)> {
    constants().filter_map(|(name, _, value)| Some((name, value.parse().ok()?))).collect()
}

/// The string constants of the bindings.
fn strings() -> Vec<(&'static str, &'static str)> {
    constants()
        .filter(|(_, ty, _)| ty.contains("CStr"))
        .map(|(name, _, value)| {
            let text = value.split('"').nth(1).unwrap_or_else(|| panic!("no text in {name}: {value}"));
            (name, text.trim_end_matches("\\0"))
        })
        .collect()
}

/// Name, type and value of each constant at the top level of the generated file.
fn constants() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    BINDINGS.split("\npub const ").skip(1).map(|rest| {
        let item = rest.split(';').next().expect("split yields at least one piece");
        let (name, rest) = item.split_once(':').unwrap_or_else(|| panic!("no type: {item}"));
        let (ty, value) = rest.split_once('=').unwrap_or_else(|| panic!("no value: {item}"));
        (name.trim(), ty.trim(), value.trim())
    })
}

/// Compiles and runs a program that prints each expression's value, and lists the differences.
///
/// `Ok` holds how many expressions agreed and, for each that did not, a line that names it.
pub(crate) fn compare(headers: &Headers) -> Result<(usize, Vec<String>), String> {
    let expected = expectations(headers.lacks);
    let mut program = format!(
        "#include <stddef.h>\n#include <stdint.h>\n#include <stdio.h>\n#include <string.h>\n{}\nint main(void) {{\n",
        headers.prelude
    );
    for expression in expected.keys() {
        let quoted = expression.replace('"', "\\\"");
        let _ = writeln!(
            program,
            "    printf(\"%s\\t%llu\\n\", \"{quoted}\", (unsigned long long)({expression}));"
        );
    }
    program.push_str("    return 0;\n}\n");

    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let binary = folder.path().join("abi");
    compile(headers, &program, folder.path(), Some(&binary))?;
    let output = Command::new(&binary).output().map_err(|error| error.to_string())?;
    let printed = String::from_utf8(output.stdout).map_err(|error| error.to_string())?;
    let actual: BTreeMap<&str, u64> = printed
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, value)| Ok((name, value.parse::<u64>().map_err(|error| format!("{name}: {error}"))?)))
        .collect::<Result<_, String>>()?;

    let mut agreed = 0;
    let mut differences = Vec::new();
    for (expression, want) in &expected {
        match actual.get(expression.as_str()) {
            Some(have) if have == want => agreed += 1,
            Some(have) => differences.push(format!("{expression}: Rust has {want}, C has {have}")),
            None => differences.push(format!("{expression}: the C program printed nothing")),
        }
    }
    Ok((agreed, differences))
}

/// Compiles our function prototypes after the declarations in `headers`: C refuses a second prototype that differs.
pub(crate) fn compile_prototypes(headers: &Headers, ours: &Path) -> Result<(), String> {
    let program = format!(
        "{}\n#define REPLICATOR_TYPES_ARE_REAL 1\n#include \"{}\"\n#include \"{}\"\n",
        headers.prelude,
        ours.join("nvpair.h").display(),
        ours.join("libzfs_core.h").display(),
    );
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    compile(headers, &program, folder.path(), None)
}

/// Runs the C compiler (`$CC` or `cc`): to a binary, or for its opinion only. `Err` holds what it said.
fn compile(headers: &Headers, program: &str, folder: &Path, binary: Option<&Path>) -> Result<(), String> {
    let source = folder.join("abi.c");
    std::fs::write(&source, program).map_err(|error| error.to_string())?;
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut command = Command::new(&compiler);
    // OpenZFS' own headers are not free of warnings, so they are not asked for; what matters here are errors.
    command.args(["-std=gnu11", "-D_GNU_SOURCE", "-w"]);
    for folder in &headers.folders {
        command.arg("-I").arg(folder);
    }
    match binary {
        Some(binary) => command.arg("-o").arg(binary),
        None => command.arg("-fsyntax-only"),
    };
    let output = command
        .arg(&source)
        .env("LC_ALL", "C")
        .output()
        .map_err(|error| format!("{}: {error}", compiler.display()))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}
