//! Inputs of the benchmarks: like what the kernel hands out in shape and size, but made here, so that they run on
//! any machine. The benchmarks themselves are in `benches/`; run them with `cargo bench -p benches`.

use zfs_core::nvlist::NvList;
use zfs_core::stream::ByteOrder;
use zfs_core::stream::RecordType;
use zfs_core::stream::build::Begin;
use zfs_core::stream::build::StreamBuilder;

const NUMBERS: [&str; 20] = [
    "creation",
    "createtxg",
    "guid",
    "used",
    "referenced",
    "compressratio",
    "refcompressratio",
    "written",
    "logicalreferenced",
    "userrefs",
    "objsetid",
    "defer_destroy",
    "unique",
    "inconsistent",
    "available",
    "usedbysnapshots",
    "usedbydataset",
    "usedbychildren",
    "logicalused",
    "snapshot_count",
];
const TEXTS: [&str; 10] = [
    "mlslabel",
    "org.example:policy",
    "org.example:owner",
    "org.example:retention",
    "org.example:last-run",
    "com.example:ticket",
    "com.example:contact",
    "redact_snaps",
    "keyformat",
    "encryptionroot",
];

/// The properties of one dataset as the listing ioctls give them: 30 of them, each a list of value and source,
/// about 4 KB in native encoding.
pub fn properties() -> NvList {
    let mut list = NvList::new();
    for (at, name) in NUMBERS.iter().enumerate() {
        let value = 0x1234_5678_9abc_def0_u64.rotate_left(at as u32);
        list.insert(name, NvList::new().with("value", value));
    }
    for name in TEXTS {
        list.insert(name, NvList::new().with("value", "keep 30 days, 12 months").with("source", "tank/data"));
    }
    list
}

/// A stream of about `size` bytes: blocks of `block` bytes, with an OBJECT and a FREE record before every 64th.
pub fn stream(size: usize, block: usize) -> Vec<u8> {
    let data: Vec<u8> = (0..block as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut builder = StreamBuilder::new(ByteOrder::Little).begin(&Begin::default());
    for at in 0..(size / block) as u64 {
        if at % 64 == 0 {
            builder = builder.object(at, &[1; 168]).bare(RecordType::Free, at, 0);
        }
        builder = builder.write(at / 64, at % 64 * block as u64, &data);
    }
    builder.end().build()
}
