//! Raw bindings to what OpenZFS offers programs: `libzfs_core`, the packing functions of `libnvpair`, and `/dev/zfs`.
//!
//! Everything here is `unsafe`, or a plain number. There is no policy, no retry and no conversion: the crate `zfs_core`
//! builds the safe library on top. Nothing links to a ZFS library. [`Library::open`] loads `libzfs_core.so.3` and
//! `libnvpair.so.3` when it is called, so that one binary runs with OpenZFS 2.1 to 2.4 and can say what is missing where
//! there is none.
//!
//! The declarations in [`bindings`] are made from the C headers in `vendor-headers/`, which name the manual page or the
//! public header each of them rests on. [`layout`] pins the offsets of every structure shared with the kernel.
//!
//! ```no_run
//! # fn main() -> Result<(), zfs_sys::LoadError> {
//! let zfs = zfs_sys::Library::open()?;
//! // SAFETY: `zfs` exists, so the library is initialised; the name ends with a NUL byte.
//! let exists = unsafe { zfs.api().lzc_exists(c"tank/home".as_ptr()) } != zfs_sys::B_FALSE;
//! # let _ = exists;
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("these bindings describe OpenZFS on 64-bit Linux");

pub mod bindings;
mod ioctl;
pub mod layout;
mod load;

pub use self::bindings::*;
pub use self::ioctl::DEV_ZFS;
pub use self::ioctl::Ioctl;
pub use self::ioctl::ioctl;
pub use self::load::LIBNVPAIR;
pub use self::load::LIBZFS_CORE;
pub use self::load::Library;
pub use self::load::LoadError;
pub use self::load::SYMBOLS;
pub use self::load::Symbol;
pub use self::load::load_from;
