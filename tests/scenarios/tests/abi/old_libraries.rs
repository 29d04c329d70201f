//! The libraries of OpenZFS 2.1, the oldest we promise to run with: every function is there, and libnvpair takes and gives
//! back the bytes we would send.

use std::ffi::OsStr;
use std::process::Command;
use std::ptr;

use lab::recipe::Generation;

/// Where the child finds the libraries; its presence tells the child from the test.
const OLD_LIBS: &str = "SCENARIOS_OLD_LIBS";

/// Runs itself in a process of its own, since only a new process looks for libraries in another folder.
#[test]
fn libraries_of_openzfs_2_1_serve() {
    if let Ok(folder) = std::env::var(OLD_LIBS) {
        return round_trip(&folder);
    }
    let folder =
        lab::cache::artifacts(Generation::from_env()).expect("what `cargo lab build` makes").old_libs;
    // As the maps of the process show it, without links.
    let folder = folder.canonicalize().expect("the unpacked libraries");
    let output = Command::new(std::env::current_exe().expect("own path"))
        .args(["--exact", "old_libraries::libraries_of_openzfs_2_1_serve", "--nocapture"])
        .env("LD_LIBRARY_PATH", &folder)
        .env(OLD_LIBS, &folder)
        .output()
        .expect("run again");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn round_trip(folder: &str) {
    // SAFETY: the folder holds Debian's libraries under these names.
    let api = unsafe { zfs_sys::load_from(OsStr::new(zfs_sys::LIBZFS_CORE), OsStr::new(zfs_sys::LIBNVPAIR)) }
        .expect("every function exists in 2.1");
    let maps = std::fs::read_to_string("/proc/self/maps").expect("own maps");
    for library in [zfs_sys::LIBZFS_CORE, zfs_sys::LIBNVPAIR] {
        // The file behind the soname may carry a longer version.
        assert!(
            maps.lines().any(|line| line.contains(folder) && line.contains(library)),
            "{library} is another one:\n{maps}"
        );
    }

    let sent = sample();
    let mut input = sent.clone();
    let mut list: *mut zfs_sys::nvlist_t = ptr::null_mut();
    // SAFETY: `input` has the length given; the call copies it, writes a new list to `list` and returns an errno.
    let errno = unsafe { api.nvlist_unpack(input.as_mut_ptr().cast(), input.len(), &raw mut list, 0) };
    assert_eq!(errno, 0, "nvlist_unpack");
    assert!(!list.is_null());
    let mut packed: *mut std::ffi::c_char = ptr::null_mut();
    let mut length = 0;
    // SAFETY: `list` is live; with a null buffer the call allocates one and sets both.
    let errno = unsafe {
        api.nvlist_pack(list, &raw mut packed, &raw mut length, zfs_sys::NV_ENCODE_XDR.cast_signed(), 0)
    };
    assert_eq!(errno, 0, "nvlist_pack");
    // SAFETY: the call above made `packed` point to `length` bytes.
    let received = unsafe { std::slice::from_raw_parts(packed.cast::<u8>(), length) }.to_vec();
    // SAFETY: both belong to us and are used no more; the buffer came from malloc.
    unsafe {
        api.nvlist_free(list);
        libc::free(packed.cast());
    }
    assert_eq!(received, sent);
}

/// A list `{"answer": uint64 42, "yes": boolean}` in XDR, by hand: the codec's own tests go through libnvpair elsewhere.
fn sample() -> Vec<u8> {
    let words = |values: &[u32]| values.iter().flat_map(|v| v.to_be_bytes()).collect::<Vec<u8>>();
    let name = |text: &str| {
        let mut bytes = words(&[u32::try_from(text.len()).expect("short")]);
        bytes.extend(text.bytes());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    // Encoding XDR, little-endian host, two reserved bytes; list version 0, flag NV_UNIQUE_NAME.
    let mut list = vec![1, 1, 0, 0];
    list.extend(words(&[0, zfs_sys::NV_UNIQUE_NAME]));
    // A pair: its own size, its size once decoded (rounded to 8), name, type, number of elements, value.
    list.extend(words(&[36, 32]));
    list.extend(name("answer"));
    list.extend(words(&[8, 1, 0, 42]));
    list.extend(words(&[24, 24]));
    list.extend(name("yes"));
    list.extend(words(&[1, 0]));
    // The end: two zero sizes.
    list.extend(words(&[0, 0]));
    list
}
