//! Bytes of unknown origin as a list: no panic, no runaway memory, and what can be read can be written and read
//! again as the same; the reader in place sees what the tree has.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zfs_core::nvlist::Limits;
use zfs_core::nvlist::NvError;
use zfs_core::nvlist::NvList;
use zfs_core::nvlist::view;

fuzz_target!(|data: &[u8]| {
    let limits = Limits { bytes: 1 << 20, depth: 12, pairs: 10_000, elements: 100_000 };
    let viewed = view::native(data, &limits).and_then(|view| {
        view.map(|pair| pair.and_then(|pair| Ok((pair.name, pair.value()?))))
            .collect::<Result<Vec<_>, NvError>>()
    });
    let Ok(list) = NvList::decode(data, &limits) else { return };
    // Written out rather than compared as values, because a Double may be no number and differ from itself.
    let native = list.encode_native().expect("what was read can be written");
    let xdr = list.encode_xdr().expect("what was read can be written");
    if data[0] == 0 {
        let viewed: NvList = viewed.expect("what the tree takes, the view takes").into_iter().collect();
        assert_eq!(viewed.encode_native().as_ref(), Ok(&native));
    }
    for packed in [&native, &xdr] {
        let again = NvList::decode(packed, &Limits::default()).expect("what was written can be read");
        assert_eq!(again.encode_native().as_ref(), Ok(&native));
        assert_eq!(again.encode_xdr().as_ref(), Ok(&xdr));
    }
    let _ = format!("{list}");
});
