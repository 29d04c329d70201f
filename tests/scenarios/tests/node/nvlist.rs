//! Our encodings of name-value lists against the real libnvpair: byte for byte what it makes, and readable for it.
//!
//! Only libnvpair is called, so these tests also run on any machine whose loader finds the libraries.

use std::ffi::OsStr;
use std::ffi::c_char;
use std::ffi::c_int;
use std::ptr;
use std::sync::OnceLock;

use proptest::prelude::*;
use zfs_core::nvlist::Limits;
use zfs_core::nvlist::NvList;
use zfs_core::nvlist::Value;
use zfs_core::nvlist::arbitrary;
use zfs_sys::nvlist_t;

/// Packs a list afresh: unpacked pairs keep the sizes they came with, copied ones get libnvpair's own.
type Dup = unsafe extern "C" fn(*const nvlist_t, *mut *mut nvlist_t, c_int) -> c_int;

struct Real {
    api: zfs_sys::Api,
    dup: Dup,
}

fn real() -> &'static Real {
    static REAL: OnceLock<Real> = OnceLock::new();
    REAL.get_or_init(|| {
        // SAFETY: these are the OpenZFS libraries by their sonames, and only functions of libnvpair are called.
        let api =
            unsafe { zfs_sys::load_from(OsStr::new(zfs_sys::LIBZFS_CORE), OsStr::new(zfs_sys::LIBNVPAIR)) };
        let api = api.expect("the libraries of OpenZFS");
        // SAFETY: libnvpair is loaded by now and stays so; this takes one more reference and looks a name up.
        let found = unsafe {
            libc::dlsym(libc::dlopen(c"libnvpair.so.3".as_ptr(), libc::RTLD_NOW), c"nvlist_dup".as_ptr())
        };
        assert!(!found.is_null(), "nvlist_dup");
        // SAFETY: the prototype is that of libnvpair.h.
        let dup = unsafe { std::mem::transmute::<*mut libc::c_void, Dup>(found) };
        Real { api, dup }
    })
}

/// A list in the hands of libnvpair.
struct Handle(*mut nvlist_t);

impl Handle {
    /// Reads with `nvlist_unpack`, then copies pair by pair.
    fn unpack(packed: &[u8]) -> Result<Self, c_int> {
        let mut input = packed.to_vec();
        let (mut read, mut copied) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: `input` has the length given and a 16-byte aligned start; the call copies it.
        let errno =
            unsafe { real().api.nvlist_unpack(input.as_mut_ptr().cast(), input.len(), &raw mut read, 0) };
        if errno != 0 {
            return Err(errno);
        }
        let read = Self(read);
        // SAFETY: `read` is live, `copied` is set on success.
        let errno = unsafe { (real().dup)(read.0, &raw mut copied, 0) };
        if errno == 0 { Ok(Self(copied)) } else { Err(errno) }
    }

    fn pack(&self, encoding: u32) -> Vec<u8> {
        let (mut packed, mut length): (*mut c_char, usize) = (ptr::null_mut(), 0);
        // SAFETY: the list is live; with a null buffer the call allocates one and sets both.
        let errno = unsafe {
            real().api.nvlist_pack(self.0, &raw mut packed, &raw mut length, encoding.cast_signed(), 0)
        };
        assert_eq!(errno, 0, "nvlist_pack");
        // SAFETY: the call above made `packed` point to `length` bytes, which it left to us in malloc's memory.
        unsafe {
            let bytes = std::slice::from_raw_parts(packed.cast::<u8>(), length).to_vec();
            libc::free(packed.cast());
            bytes
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the list is ours and used no more.
        unsafe { real().api.nvlist_free(self.0) };
    }
}

/// Both ways through libnvpair; returns what differs.
fn compare(list: &NvList) -> Result<(), String> {
    let (xdr, native) = (list.encode_xdr().expect("XDR"), list.encode_native().expect("native"));
    for (name, ours) in [("XDR", &xdr), ("native", &native)] {
        let handle = Handle::unpack(ours).map_err(|errno| format!("{name} refused with errno {errno}"))?;
        for (name, encoding, ours) in
            [("XDR", zfs_sys::NV_ENCODE_XDR, &xdr), ("native", zfs_sys::NV_ENCODE_NATIVE, &native)]
        {
            let theirs = handle.pack(encoding);
            let read =
                NvList::decode(&theirs, &Limits::default()).map_err(|error| format!("{name}: {error}"))?;
            if read != *list {
                return Err(format!("{name} read as {read}"));
            }
            if theirs != **ours {
                return Err(format!("{name} bytes\ntheirs {theirs:02x?}\nours   {ours:02x?}"));
            }
        }
    }
    Ok(())
}

#[test]
fn every_type_is_encoded_as_libnvpair_does() {
    let inner = NvList::new().with("value", 1_u64).with("source", "tank");
    let list = NvList::new()
        .with("boolean", Value::Boolean)
        .with("boolean_value", true)
        .with("byte", Value::Byte(0xff))
        .with("int8", Value::Int8(-1))
        .with("uint8", Value::UInt8(0x80))
        .with("int16", Value::Int16(-2))
        .with("uint16", Value::UInt16(0xfffe))
        .with("int32", -3_i32)
        .with("uint32", 0xffff_fffd_u32)
        .with("int64", -4_i64)
        .with("uint64", u64::MAX)
        .with("double", Value::Double(1.5))
        .with("string", "text")
        .with("empty string", "")
        .with("hrtime", Value::HrTime(i64::MAX))
        .with("nvlist", inner.clone())
        .with("boolean_array", Value::BooleanArray(vec![true, false]))
        .with("byte_array", Value::ByteArray(vec![1, 0xff, 3, 4, 5]))
        .with("int8_array", Value::Int8Array(vec![-1, 1]))
        .with("uint8_array", Value::UInt8Array(vec![0xff, 1]))
        .with("int16_array", Value::Int16Array(vec![-1, 1, 2]))
        .with("uint16_array", Value::UInt16Array(vec![0xffff, 1]))
        .with("int32_array", Value::Int32Array(vec![-1]))
        .with("uint32_array", Value::UInt32Array(vec![7]))
        .with("int64_array", Value::Int64Array(vec![-1]))
        .with("uint64_array", Value::UInt64Array(vec![1, 2, 3]))
        .with("string_array", Value::StringArray(vec![b"a".to_vec(), Vec::new(), b"\xff\n".to_vec()]))
        .with("nvlist_array", vec![inner, NvList::new()]);
    assert_eq!(compare(&list), Ok(()));
}

#[test]
fn nothing_and_empty_arrays_are_encoded_as_libnvpair_does() {
    assert_eq!(compare(&NvList::new()), Ok(()));
    let list = NvList::new()
        .with("numbers", Value::UInt64Array(Vec::new()))
        .with("bytes", Value::ByteArray(Vec::new()))
        .with("inner", NvList::new().with("shorts", Value::Int16Array(Vec::new())))
        .with("last", 1_u64);
    assert_eq!(compare(&list), Ok(()));
}

#[test]
fn an_encoding_cut_short_is_refused_by_both() {
    let list = NvList::new().with("a", NvList::new().with("value", "text"));
    for packed in [list.encode_xdr().expect("XDR"), list.encode_native().expect("native")] {
        for length in 4..packed.len() {
            let ours = NvList::decode(&packed[..length], &Limits::default());
            assert!(ours.is_err() && Handle::unpack(&packed[..length]).is_err(), "{length} bytes");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn any_list_is_encoded_as_libnvpair_does(list in arbitrary::list()) {
        prop_assert_eq!(compare(&list), Ok(()));
    }
}
