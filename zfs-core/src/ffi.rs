//! The only place of this crate that calls C: one owner of the loaded libraries and of `/dev/zfs`, name and list
//! conversions, and one method a function. Nothing here decides anything; errors leave as plain numbers.
#![allow(unsafe_code, reason = "this is the crate's one module for it")]

use std::ffi::{CString, c_char, c_int};
use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::ptr::{null, null_mut};

pub(crate) use zfs_sys::Ioctl;
use zfs_sys::{B_FALSE, B_TRUE, LoadError, boolean_t, nvlist_t};

use crate::command::Command;
use crate::error::{OpenError, Result};
use crate::nvlist::{Limits, NvList, Value};

/// The libraries, started, and `/dev/zfs`, open.
#[derive(Debug)]
pub(crate) struct Ffi {
    library: zfs_sys::Library,
    device: File,
}

/// What a call that works on many names says: an error number, 0 for success, and a list.
pub(crate) struct Answer {
    pub(crate) errno: i32,
    pub(crate) list: Option<NvList>,
}

/// What a send is told.
pub(crate) struct SendCall<'a> {
    pub(crate) to: &'a str,
    pub(crate) from: Option<&'a str>,
    pub(crate) flags: u32,
    pub(crate) object: u64,
    pub(crate) offset: u64,
    pub(crate) bytes_before: u64,
}

/// What a receive is told. There is no `force` on purpose: it lets the kernel destroy snapshots of the target.
pub(crate) struct ReceiveCall<'a> {
    pub(crate) snapshot: &'a str,
    pub(crate) origin: Option<&'a str>,
    /// Properties that are to count as received. An empty list would clear those of earlier receives, so it is not
    /// passed on.
    pub(crate) received: &'a NvList,
    pub(crate) local: &'a NvList,
    pub(crate) resumable: bool,
    pub(crate) raw: bool,
    pub(crate) begin: &'a [u8; BEGIN_BYTES],
}

/// The size of a stream's record header, and so of its BEGIN record.
pub(crate) const BEGIN_BYTES: usize = size_of::<zfs_sys::dmu_replay_record>();

impl Ffi {
    pub(crate) fn open() -> Result<Self, OpenError> {
        let library = zfs_sys::Library::open().map_err(|error| match error {
            LoadError::Init { errno } => open_error(errno),
            other => OpenError::Library { reason: other.to_string() },
        })?;
        let device = OpenOptions::new().read(true).write(true).open(zfs_sys::DEV_ZFS);
        let device = device.map_err(|error| open_error(error.raw_os_error().unwrap_or(0)))?;
        Ok(Self { library, device })
    }

    fn list(&self, list: &NvList) -> Result<List<'_>, i32> {
        let mut bytes = list.encode_xdr().map_err(|_| libc::EINVAL)?;
        let mut raw = null_mut();
        // SAFETY: the buffer is valid for its length and only read; `raw` takes a list that `List` frees.
        let errno = unsafe {
            (self.library.api().nvlist_unpack)(bytes.as_mut_ptr().cast(), bytes.len(), &raw mut raw, 0)
        };
        if errno == 0 { Ok(List { api: self.library.api(), raw }) } else { Err(errno) }
    }

    fn list_or_none(&self, list: &NvList) -> Result<Option<List<'_>>, i32> {
        if list.is_empty() { Ok(None) } else { self.list(list).map(Some) }
    }

    /// Takes over a list that a call returned, which may be null.
    fn answer(&self, errno: i32, raw: *mut nvlist_t) -> Answer {
        if raw.is_null() {
            return Answer { errno, list: None };
        }
        let list = List { api: self.library.api(), raw };
        match list.read() {
            Some(read) => Answer { errno, list: Some(read) },
            // An answer that cannot be read must not look like an empty one.
            None => Answer { errno: if errno == 0 { libc::EBADMSG } else { errno }, list: None },
        }
    }

    /// One command to the device. `output` is where the kernel may write a list; empty for none.
    pub(crate) fn ioctl(&self, ioctl: Ioctl, command: &mut Command, output: &mut [u8]) -> Result<(), i32> {
        let (block, input) = command.parts();
        block.zc_nvlist_src = input.as_ptr() as u64;
        block.zc_nvlist_src_size = input.len() as u64;
        block.zc_nvlist_dst = if output.is_empty() { 0 } else { output.as_mut_ptr() as u64 };
        block.zc_nvlist_dst_size = output.len() as u64;
        // SAFETY: the file is /dev/zfs; source and destination are buffers of the given sizes that live until the
        // call returns, the destination borrowed mutably; the other addresses in the block are zero.
        unsafe { zfs_sys::ioctl(self.device.as_fd(), ioctl, block) }
    }

    pub(crate) fn snapshot(&self, snapshots: &NvList, properties: Option<&NvList>) -> Answer {
        self.many(snapshots, |list, errors| {
            let properties = properties.map(|list| self.list(list)).transpose();
            match properties {
                // SAFETY: all three are lists or null, alive during the call; `errors` takes a list.
                Ok(properties) => unsafe {
                    let properties = properties.as_ref().map_or(null_mut(), |list| list.raw);
                    (self.library.api().lzc_snapshot)(list, properties, errors)
                },
                Err(errno) => errno,
            }
        })
    }

    pub(crate) fn destroy_snaps(&self, snapshots: &NvList, defer: bool) -> Answer {
        self.many(snapshots, |list, errors| {
            // SAFETY: a list alive during the call; `errors` takes a list.
            unsafe { (self.library.api().lzc_destroy_snaps)(list, boolean(defer), errors) }
        })
    }

    pub(crate) fn bookmark(&self, bookmarks: &NvList) -> Answer {
        // SAFETY: a list alive during the call; `errors` takes a list.
        self.many(bookmarks, |list, errors| unsafe { (self.library.api().lzc_bookmark)(list, errors) })
    }

    pub(crate) fn destroy_bookmarks(&self, bookmarks: &NvList) -> Answer {
        // SAFETY: a list alive during the call; `errors` takes a list.
        self.many(bookmarks, |list, errors| unsafe {
            (self.library.api().lzc_destroy_bookmarks)(list, errors)
        })
    }

    pub(crate) fn get_bookmarks(&self, dataset: &str, properties: &NvList) -> Answer {
        let Some(dataset) = c_string(dataset) else { return Answer { errno: libc::EINVAL, list: None } };
        self.many(properties, |list, bookmarks| {
            // SAFETY: a C string and a list alive during the call; `bookmarks` takes a list.
            unsafe { (self.library.api().lzc_get_bookmarks)(dataset.as_ptr(), list, bookmarks) }
        })
    }

    pub(crate) fn hold(&self, holds: &NvList, until: Option<&Device>) -> Answer {
        let fd = until.map_or(-1, |device| device.0.as_raw_fd());
        // SAFETY: a list alive during the call, an open file or -1; `errors` takes a list.
        self.many(holds, |list, errors| unsafe { (self.library.api().lzc_hold)(list, fd, errors) })
    }

    pub(crate) fn release(&self, holds: &NvList) -> Answer {
        // SAFETY: a list alive during the call; `errors` takes a list.
        self.many(holds, |list, errors| unsafe { (self.library.api().lzc_release)(list, errors) })
    }

    pub(crate) fn get_holds(&self, snapshot: &str) -> Answer {
        let Some(snapshot) = c_string(snapshot) else { return Answer { errno: libc::EINVAL, list: None } };
        let mut holds = null_mut();
        // SAFETY: a C string alive during the call; `holds` takes a list.
        let errno = unsafe { (self.library.api().lzc_get_holds)(snapshot.as_ptr(), &raw mut holds) };
        self.answer(errno, holds)
    }

    fn many(&self, list: &NvList, call: impl FnOnce(*mut nvlist_t, *mut *mut nvlist_t) -> c_int) -> Answer {
        let list = match self.list(list) {
            Ok(list) => list,
            Err(errno) => return Answer { errno, list: None },
        };
        let mut answer = null_mut();
        let errno = call(list.raw, &raw mut answer);
        self.answer(errno, answer)
    }

    pub(crate) fn create_filesystem(&self, name: &str, properties: &NvList) -> i32 {
        self.create(name, zfs_sys::LZC_DATSET_TYPE_ZFS, properties)
    }

    pub(crate) fn create_volume(&self, name: &str, properties: &NvList) -> i32 {
        self.create(name, zfs_sys::LZC_DATSET_TYPE_ZVOL, properties)
    }

    fn create(&self, name: &str, kind: zfs_sys::lzc_dataset_type, properties: &NvList) -> i32 {
        let (Some(name), Ok(list)) = (c_string(name), self.list(properties)) else { return libc::EINVAL };
        // SAFETY: a C string and a list alive during the call, and no key.
        unsafe { (self.library.api().lzc_create)(name.as_ptr(), kind, list.raw, null_mut(), 0) }
    }

    pub(crate) fn clone_snapshot(&self, name: &str, origin: &str, properties: &NvList) -> i32 {
        let (Some(name), Some(origin)) = (c_string(name), c_string(origin)) else { return libc::EINVAL };
        let Ok(list) = self.list(properties) else { return libc::EINVAL };
        // SAFETY: C strings and a list alive during the call.
        unsafe { (self.library.api().lzc_clone)(name.as_ptr(), origin.as_ptr(), list.raw) }
    }

    /// The error number, and the snapshot whose name is in the way, if that is the reason.
    pub(crate) fn promote(&self, name: &str) -> (i32, Option<String>) {
        let Some(name) = c_string(name) else { return (libc::EINVAL, None) };
        let mut conflict = [0u8; 256];
        // SAFETY: a C string alive during the call, and a buffer of the length given.
        let errno = unsafe {
            (self.library.api().lzc_promote)(
                name.as_ptr(),
                conflict.as_mut_ptr().cast(),
                conflict.len() as c_int,
            )
        };
        (errno, text(&conflict).filter(|text| !text.is_empty()))
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> i32 {
        let (Some(from), Some(to)) = (c_string(from), c_string(to)) else { return libc::EINVAL };
        // SAFETY: C strings alive during the call.
        unsafe { (self.library.api().lzc_rename)(from.as_ptr(), to.as_ptr()) }
    }

    pub(crate) fn destroy(&self, name: &str) -> i32 {
        let Some(name) = c_string(name) else { return libc::EINVAL };
        // SAFETY: a C string alive during the call.
        unsafe { (self.library.api().lzc_destroy)(name.as_ptr()) }
    }

    pub(crate) fn rollback_to(&self, dataset: &str, snapshot: &str) -> i32 {
        let (Some(dataset), Some(snapshot)) = (c_string(dataset), c_string(snapshot)) else {
            return libc::EINVAL;
        };
        // SAFETY: C strings alive during the call.
        unsafe { (self.library.api().lzc_rollback_to)(dataset.as_ptr(), snapshot.as_ptr()) }
    }

    pub(crate) fn snaprange_space(&self, first: &str, last: &str) -> Result<u64, i32> {
        let (Some(first), Some(last)) = (c_string(first), c_string(last)) else { return Err(libc::EINVAL) };
        let mut bytes = 0;
        // SAFETY: C strings alive during the call; `bytes` takes a number.
        let errno = unsafe {
            (self.library.api().lzc_snaprange_space)(first.as_ptr(), last.as_ptr(), &raw mut bytes)
        };
        if errno == 0 { Ok(bytes) } else { Err(errno) }
    }

    pub(crate) fn sync(&self, pool: &str) -> i32 {
        let Some(pool) = c_string(pool) else { return libc::EINVAL };
        let Ok(list) = self.list(&NvList::new().with("force", Value::BooleanValue(false))) else {
            return libc::EINVAL;
        };
        // SAFETY: a C string and a list alive during the call, which answers with no list.
        unsafe { (self.library.api().lzc_sync)(pool.as_ptr(), list.raw, null_mut()) }
    }

    pub(crate) fn send(&self, call: &SendCall<'_>, output: BorrowedFd<'_>) -> i32 {
        let Some((to, from)) = ends(call) else { return libc::EINVAL };
        let from = from.as_ref().map_or(null(), |from| from.as_ptr());
        // SAFETY: C strings alive during the call, or null; an open file.
        unsafe {
            (self.library.api().lzc_send_resume_redacted)(
                to.as_ptr(),
                from,
                output.as_raw_fd(),
                call.flags,
                call.object,
                call.offset,
                null(),
            )
        }
    }

    pub(crate) fn send_space(&self, call: &SendCall<'_>) -> Result<u64, i32> {
        let Some((to, from)) = ends(call) else { return Err(libc::EINVAL) };
        let from = from.as_ref().map_or(null(), |from| from.as_ptr());
        let mut bytes = 0;
        // SAFETY: C strings alive during the call, or null; `bytes` takes a number; -1 stands for no file.
        let errno = unsafe {
            (self.library.api().lzc_send_space_resume_redacted)(
                to.as_ptr(),
                from,
                call.flags,
                call.object,
                call.offset,
                call.bytes_before,
                null(),
                -1,
                &raw mut bytes,
            )
        };
        if errno == 0 { Ok(bytes) } else { Err(errno) }
    }

    /// Reads the rest of a stream, whose BEGIN record was read before, from `input`. The list is of properties that
    /// could not be set.
    pub(crate) fn receive(&self, call: &ReceiveCall<'_>, input: BorrowedFd<'_>) -> Answer {
        let refused = Answer { errno: libc::EINVAL, list: None };
        let (Some(snapshot), Some(origin)) =
            (c_string(call.snapshot), call.origin.map(c_string).transpose_option())
        else {
            return refused;
        };
        let (Ok(received), Ok(local)) = (self.list_or_none(call.received), self.list_or_none(call.local))
        else {
            return refused;
        };
        let mut begin = std::mem::MaybeUninit::<zfs_sys::dmu_replay_record>::uninit();
        // SAFETY: both are `BEGIN_BYTES` long, and any bytes make a record: it is integers all through.
        let begin = unsafe {
            std::ptr::copy_nonoverlapping(call.begin.as_ptr(), begin.as_mut_ptr().cast::<u8>(), BEGIN_BYTES);
            begin.assume_init()
        };
        let (mut read, mut flags, mut handle) = (0, 0, 0);
        let mut errors = null_mut();
        // SAFETY: C strings, lists and the record are alive during the call, or null; an open file; no key; the rest
        // takes numbers and a list.
        let errno = unsafe {
            (self.library.api().lzc_receive_with_cmdprops)(
                snapshot.as_ptr(),
                received.as_ref().map_or(null_mut(), |list| list.raw),
                local.as_ref().map_or(null_mut(), |list| list.raw),
                null_mut(),
                0,
                origin.as_ref().map_or(null(), |origin| origin.as_ptr()),
                B_FALSE,
                boolean(call.resumable),
                boolean(call.raw),
                input.as_raw_fd(),
                &raw const begin,
                -1,
                &raw mut read,
                &raw mut flags,
                &raw mut handle,
                &raw mut errors,
            )
        };
        self.answer(errno, errors)
    }
}

fn ends(call: &SendCall<'_>) -> Option<(CString, Option<CString>)> {
    Some((c_string(call.to)?, call.from.map(c_string).transpose_option()?))
}

/// `Option<Option<T>>` the other way round: an absent name stays absent, a bad one makes all bad.
trait TransposeOption<T> {
    fn transpose_option(self) -> Option<Option<T>>;
}

impl<T> TransposeOption<T> for Option<Option<T>> {
    fn transpose_option(self) -> Option<Option<T>> {
        match self {
            None => Some(None),
            Some(None) => None,
            Some(some) => Some(some),
        }
    }
}

fn open_error(errno: i32) -> OpenError {
    match errno {
        libc::ENOENT | libc::ENXIO | libc::ENODEV => OpenError::ModuleNotLoaded,
        libc::EACCES | libc::EPERM => OpenError::PermissionDenied,
        errno => OpenError::Other { errno, reason: std::io::Error::from_raw_os_error(errno).to_string() },
    }
}

fn boolean(value: bool) -> boolean_t {
    if value { B_TRUE } else { B_FALSE }
}

fn c_string(text: &str) -> Option<CString> {
    CString::new(text).ok()
}

/// The text up to the first NUL.
fn text(bytes: &[u8]) -> Option<String> {
    let length = bytes.iter().position(|byte| *byte == 0)?;
    String::from_utf8(bytes[..length].to_vec()).ok()
}

/// A list of libnvpair, freed when dropped.
struct List<'a> {
    api: &'a zfs_sys::Api,
    raw: *mut nvlist_t,
}

impl List<'_> {
    fn read(&self) -> Option<NvList> {
        let (mut bytes, mut length) = (null_mut::<c_char>(), 0usize);
        // SAFETY: the list is alive; with a null buffer the library allocates one with malloc and sets both.
        let errno = unsafe {
            let encoding = zfs_sys::NV_ENCODE_XDR as c_int;
            (self.api.nvlist_pack)(self.raw, &raw mut bytes, &raw mut length, encoding, 0)
        };
        if errno != 0 || bytes.is_null() {
            return None;
        }
        // SAFETY: the library made a buffer of that length, which nobody else knows.
        let list =
            NvList::decode(unsafe { std::slice::from_raw_parts(bytes.cast(), length) }, &Limits::default());
        // SAFETY: the buffer came from malloc and is not used any more.
        unsafe { libc::free(bytes.cast()) };
        list.ok()
    }
}

impl Drop for List<'_> {
    fn drop(&mut self) {
        // SAFETY: this value owns the list.
        unsafe { (self.api.nvlist_free)(self.raw) }
    }
}

/// A second, exclusive opening of `/dev/zfs`, to which the kernel ties what shall end with it.
#[derive(Debug)]
pub(crate) struct Device(File);

impl Device {
    pub(crate) fn open_exclusive() -> Result<Self, i32> {
        let device =
            OpenOptions::new().read(true).write(true).custom_flags(libc::O_EXCL).open(zfs_sys::DEV_ZFS);
        device.map(Self).map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))
    }
}

/// Blocks every signal that can be blocked, for this thread: one that arrived during a send or receive would end it
/// (openzfs #810).
pub(crate) fn block_signals_in_this_thread() {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is filled before it is used, and the old mask is not asked for.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), null_mut());
    }
}
