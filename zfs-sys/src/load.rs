//! Finding and loading the ZFS libraries at run time.
//!
//! The libraries are loaded once per process and stay loaded. A [`Library`] can only be had by a successful
//! `libzfs_core_init`: any other function of libzfs_core aborts the process when called before it.

use std::ffi::CStr;
use std::ffi::OsStr;
use std::sync::OnceLock;

use libloading::os::unix;

use crate::bindings::Api;

/// Soname of libzfs_core, the same for OpenZFS 2.1 to 2.4.
pub const LIBZFS_CORE: &str = "libzfs_core.so.3";

/// Soname of libnvpair, the same for OpenZFS 2.1 to 2.4.
pub const LIBNVPAIR: &str = "libnvpair.so.3";

/// A function this crate binds and the library it must come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol {
    /// Soname of the library.
    pub soname: &'static str,
    /// Name of the function.
    pub name: &'static CStr,
}

const fn core(name: &'static CStr) -> Symbol {
    Symbol { soname: LIBZFS_CORE, name }
}

const fn nvpair(name: &'static CStr) -> Symbol {
    Symbol { soname: LIBNVPAIR, name }
}

/// Every function of [`Api`]: what a ZFS installation must offer.
pub const SYMBOLS: &[Symbol] = &[
    core(c"libzfs_core_init"),
    core(c"libzfs_core_fini"),
    core(c"lzc_create"),
    core(c"lzc_clone"),
    core(c"lzc_promote"),
    core(c"lzc_rename"),
    core(c"lzc_destroy"),
    core(c"lzc_exists"),
    core(c"lzc_snapshot"),
    core(c"lzc_destroy_snaps"),
    core(c"lzc_rollback_to"),
    core(c"lzc_snaprange_space"),
    core(c"lzc_bookmark"),
    core(c"lzc_get_bookmarks"),
    core(c"lzc_get_bookmark_props"),
    core(c"lzc_destroy_bookmarks"),
    core(c"lzc_hold"),
    core(c"lzc_release"),
    core(c"lzc_get_holds"),
    core(c"lzc_send"),
    core(c"lzc_send_redacted"),
    core(c"lzc_send_resume"),
    core(c"lzc_send_resume_redacted"),
    core(c"lzc_send_space"),
    core(c"lzc_send_space_resume_redacted"),
    core(c"lzc_receive_with_header"),
    core(c"lzc_receive_with_cmdprops"),
    core(c"lzc_load_key"),
    core(c"lzc_unload_key"),
    core(c"lzc_change_key"),
    core(c"lzc_sync"),
    core(c"lzc_wait_fs"),
    nvpair(c"nvlist_unpack"),
    nvpair(c"nvlist_pack"),
    nvpair(c"nvlist_free"),
];

/// Why the ZFS libraries cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The dynamic loader found no such library, or could not load it.
    #[error(
        "cannot load {soname}: {reason}. It comes with the OpenZFS user-space tools \
         (Debian, Ubuntu and Proxmox: package zfsutils-linux; Fedora and RHEL: package zfs)."
    )]
    LibraryMissing {
        /// The library asked for.
        soname: &'static str,
        /// What the dynamic loader said.
        reason: String,
    },
    /// The library is there but lacks a function.
    #[error(
        "{soname} has no function {symbol}. OpenZFS 2.1 or newer is needed \
         (`zfs version` tells which one is installed)."
    )]
    SymbolMissing {
        /// The library searched.
        soname: &'static str,
        /// The function it lacks.
        symbol: &'static str,
    },
    /// `libzfs_core_init` failed: in practice, `/dev/zfs` cannot be opened.
    #[error("cannot initialise libzfs_core: {} (errno {errno}). {}", std::io::Error::from_raw_os_error(*errno), init_hint(*errno))]
    Init {
        /// The positive errno it returned. `ENOENT` and `ENXIO` mean that the kernel module is not loaded.
        errno: i32,
    },
}

fn init_hint(errno: i32) -> &'static str {
    match errno {
        libc::ENOENT | libc::ENXIO | libc::ENODEV => {
            "There is no /dev/zfs: load the kernel module with `modprobe zfs` \
             (Debian and Ubuntu: package zfs-dkms; in a container the host must pass the device in)."
        }
        libc::EACCES | libc::EPERM => "This user may not open /dev/zfs.",
        _ => "Check /dev/zfs.",
    }
}

/// The initialised ZFS libraries.
///
/// The value proves that both libraries are loaded, that every function of [`Api`] was found, and that libzfs_core is
/// initialised and stays so until the value is dropped. libzfs_core counts its users, so several values may exist.
#[derive(Debug)]
pub struct Library {
    api: &'static Loaded,
}

impl Library {
    /// Loads the libraries unless an earlier call did, and initialises libzfs_core.
    ///
    /// A failure is not remembered: installing the packages or loading the module helps a process that is already running.
    ///
    /// # Errors
    /// [`LoadError`], which says what is missing and where it comes from.
    pub fn open() -> Result<Self, LoadError> {
        let api = loaded()?;
        // SAFETY: the function takes nothing, may be called at any time from any thread, and counts its calls.
        let errno = unsafe { api.0.libzfs_core_init() };
        if errno == 0 { Ok(Self { api }) } else { Err(LoadError::Init { errno }) }
    }

    /// The functions of both libraries.
    pub fn api(&self) -> &Api {
        &self.api.0
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: `open` made exactly one successful init for this value, which this call balances.
        unsafe { self.api.0.libzfs_core_fini() }
    }
}

/// Holds the table of functions for as long as the process lives.
struct Loaded(Api);

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("symbols", &SYMBOLS.len()).finish_non_exhaustive()
    }
}

fn loaded() -> Result<&'static Loaded, LoadError> {
    static LOADED: OnceLock<Loaded> = OnceLock::new();
    if let Some(loaded) = LOADED.get() {
        return Ok(loaded);
    }
    // SAFETY: these are the OpenZFS libraries by their sonames; their initialisers set up their own state only.
    let api = unsafe { load_from(OsStr::new(LIBZFS_CORE), OsStr::new(LIBNVPAIR)) }?;
    // Two threads may both get here; both tables are equal and the loader counts references, so the loser is just dropped.
    Ok(LOADED.get_or_init(|| Loaded(api)))
}

/// Loads the two libraries from given files, without initialising them.
///
/// For tests with libraries that are not installed. Everyone else wants [`Library::open`].
///
/// # Errors
/// [`LoadError::LibraryMissing`] and [`LoadError::SymbolMissing`].
///
/// # Safety
/// Both files must be what their names say: loading runs their initialisers, and the functions found are called with the
/// prototypes of [`Api`]. Functions named `lzc_*` may only be called after `libzfs_core_init` returned 0.
pub unsafe fn load_from(libzfs_core: &OsStr, libnvpair: &OsStr) -> Result<Api, LoadError> {
    // libnvpair comes first: libzfs_core needs it, and finds it by its soname once it is loaded.
    // SAFETY: the caller vouches for both files.
    let nvpair = unsafe { open(libnvpair, LIBNVPAIR) }?;
    // SAFETY: as above.
    let core = unsafe { open(libzfs_core, LIBZFS_CORE) }?;
    for symbol in SYMBOLS {
        let library = if symbol.soname == LIBNVPAIR { &nvpair } else { &core };
        // SAFETY: the address is only tested for presence, never used as the type it is given here.
        unsafe { library.get::<*const ()>(symbol.name.to_bytes_with_nul()) }.map_err(|_| missing(symbol))?;
    }
    // Through libzfs_core's handle the loader also finds the functions of the libnvpair that libzfs_core itself uses.
    // SAFETY: the prototypes of `Api` are those of OpenZFS' headers, which a test compares.
    unsafe { Api::from_library(libloading::Library::from(core)) }
        .map_err(|error| LoadError::LibraryMissing { soname: LIBZFS_CORE, reason: reason(&error) })
}

/// Loads one library, resolving all its own needs at once, so that a broken installation shows here and not later.
///
/// # Safety
/// As for [`load_from`].
unsafe fn open(file: &OsStr, soname: &'static str) -> Result<unix::Library, LoadError> {
    // SAFETY: the caller vouches for the file.
    unsafe { unix::Library::open(Some(file), unix::RTLD_NOW | unix::RTLD_LOCAL) }
        .map_err(|error| LoadError::LibraryMissing { soname, reason: reason(&error) })
}

fn missing(symbol: &'static Symbol) -> LoadError {
    LoadError::SymbolMissing { soname: symbol.soname, symbol: symbol.name.to_str().unwrap_or("?") }
}

/// The loader's own words; libloading keeps them in the source of its error.
fn reason(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_without_zfs_names_what_is_missing() {
        // Where ZFS is installed this succeeds, and dropping and opening again must work as well.
        match Library::open() {
            Ok(first) => {
                let second = Library::open().expect("a second value while the first lives");
                drop((first, second));
                drop(Library::open().expect("again after all were dropped"));
            }
            Err(LoadError::LibraryMissing { soname, reason }) => {
                assert!([LIBZFS_CORE, LIBNVPAIR].contains(&soname), "{soname}");
                assert!(reason.contains(soname), "{reason}");
            }
            Err(LoadError::Init { errno }) => assert!(errno > 0),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn missing_library_is_named_with_a_hint() {
        // SAFETY: neither file exists, so nothing is loaded.
        let error =
            unsafe { load_from(OsStr::new("/nonexistent/core.so"), OsStr::new("/nonexistent/nvpair.so")) }
                .err()
                .expect("nothing to load");
        assert!(matches!(error, LoadError::LibraryMissing { soname: LIBNVPAIR, .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("/nonexistent/nvpair.so"), "{text}");
        assert!(text.contains("zfsutils-linux"), "{text}");
    }

    #[test]
    fn library_without_the_functions_is_told_apart() {
        // SAFETY: the C library is loaded already; this only counts a reference.
        let error = unsafe { load_from(OsStr::new("libc.so.6"), OsStr::new("libc.so.6")) }
            .err()
            .expect("the C library has no such functions");
        assert!(
            matches!(error, LoadError::SymbolMissing { soname: LIBZFS_CORE, symbol: "libzfs_core_init" }),
            "{error}"
        );
        assert!(error.to_string().contains("2.1"), "{error}");
    }

    #[test]
    fn failed_initialisation_says_what_to_do() {
        let text = LoadError::Init { errno: libc::ENOENT }.to_string();
        assert!(text.contains("modprobe zfs"), "{text}");
        let text = LoadError::Init { errno: libc::EACCES }.to_string();
        assert!(text.contains("may not open /dev/zfs"), "{text}");
    }

    #[test]
    fn values_may_cross_threads() {
        fn shareable<T: Send + Sync + 'static>() {}
        shareable::<Library>();
        shareable::<LoadError>();
    }
}
