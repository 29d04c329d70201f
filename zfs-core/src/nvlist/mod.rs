//! Name-value lists, the form in which ZFS takes arguments and gives answers (nvlist in libnvpair; the layouts
//! are those of `sys/nvpair.h`). Here are the type and its two encodings, in safe Rust and without libnvpair:
//!
//! * [`NvList`] and [`Value`]: an ordered map from names to typed values.
//! * [`NvList::encode_xdr`] and [`NvList::encode_native`], [`NvList::decode`] with [`Limits`].
//! * [`view`]: reading single values out of a native encoding without building a tree.
//!
//! Names and strings are bytes: the kernel does not promise UTF-8. A name occurs once in a list; inserting it
//! again replaces the value, while an encoding that holds it twice is refused, because no list that ZFS makes
//! does and readers would disagree on which one counts.
//!
//! ```
//! use zfs_core::nvlist::{Limits, NvList};
//!
//! let list = NvList::new().with("guid", 42_u64).with("origin", "tank/a@b");
//! let packed = list.encode_native()?;
//! let back = NvList::decode(&packed, &Limits::default())?;
//! assert_eq!(back.u64("guid"), Some(42));
//! assert_eq!(back.str("origin"), Some("tank/a@b"));
//! # Ok::<(), zfs_core::nvlist::NvError>(())
//! ```

#[cfg(any(test, feature = "proptest"))]
pub mod arbitrary;
mod codec;
mod cursor;
mod error;
mod fmt;
mod layout;
mod list;
mod native;
#[cfg(test)]
mod tests;
mod value;
pub mod view;
mod xdr;

pub use error::Limits;
pub use error::NvError;
pub use list::Iter;
pub use list::NvList;
pub use value::DataType;
pub use value::Value;
