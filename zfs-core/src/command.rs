//! The block in which a command goes to `/dev/zfs` and comes back: its fields as names, texts and numbers. Sending it is
//! the business of `ffi`.

use std::ffi::c_char;

use zfs_sys::zfs_cmd;

use crate::dataset::{Dataset, DatasetKind, Snapshot};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::name::{DatasetName, SnapshotName};
use crate::property::Properties;
use crate::{Guid, Txg};

/// The block of one command to the device, and the packed list that goes with it.
pub(crate) struct Command {
    block: Box<zfs_cmd>,
    input: Vec<u8>,
}

/// Where a list in progress stands.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    cookie: u64,
    object: u64,
}

impl Command {
    pub(crate) fn new(name: &str) -> Self {
        let mut command = Self { block: zfs_cmd::zeroed(), input: Vec::new() };
        command.set_name(name);
        command
    }

    /// The block, and the packed list it is to point to.
    pub(crate) fn parts(&mut self) -> (&mut zfs_cmd, &[u8]) {
        (&mut self.block, &self.input)
    }

    /// Names are checked types and far shorter than the field; one that is not would be cut off and not be found.
    pub(crate) fn set_name(&mut self, name: &str) {
        fill(&mut self.block.zc_name, name);
    }

    pub(crate) fn name(&self) -> Option<String> {
        field(&self.block.zc_name)
    }

    /// False where the text does not fit.
    pub(crate) fn set_value(&mut self, value: &str) -> bool {
        fill(&mut self.block.zc_value, value)
    }

    pub(crate) fn set_cookie(&mut self, cookie: u64) {
        self.block.zc_cookie = cookie;
    }

    pub(crate) fn set_simple(&mut self, simple: bool) {
        self.block.zc_simple = simple.into();
    }

    pub(crate) fn is_simple(&self) -> bool {
        u32::from(self.block.zc_simple) != 0
    }

    pub(crate) fn set_input(&mut self, packed: Vec<u8>) {
        self.input = packed;
    }

    /// How long the list is that the kernel wrote, or wanted to write.
    pub(crate) fn answer_length(&self) -> usize {
        usize::try_from(self.block.zc_nvlist_dst_size).unwrap_or(usize::MAX)
    }

    pub(crate) fn place(&self) -> Place {
        Place { cookie: self.block.zc_cookie, object: self.block.zc_obj }
    }

    pub(crate) fn set_place(&mut self, place: Place) {
        self.block.zc_cookie = place.cookie;
        self.block.zc_obj = place.object;
    }

    pub(crate) fn stats(&self) -> Stats {
        let stats = &self.block.zc_objset_stats;
        Stats {
            guid: Guid(stats.dds_guid),
            createtxg: Txg(stats.dds_creation_txg),
            clones: stats.dds_num_clones,
            kind: stats.dds_type,
            inconsistent: stats.dds_inconsistent != 0,
            origin: field(&stats.dds_origin).filter(|origin| !origin.is_empty()),
        }
    }
}

fn fill(field: &mut [c_char], text: &str) -> bool {
    let fits = text.len() < field.len() && !text.contains('\0');
    field.fill(0);
    let space = field.len() - 1;
    for (to, from) in field[..space].iter_mut().zip(text.bytes()) {
        *to = from as c_char;
    }
    fits
}

fn field(field: &[c_char]) -> Option<String> {
    let bytes: Vec<u8> = field.iter().take_while(|c| **c != 0).map(|c| *c as u8).collect();
    String::from_utf8(bytes).ok()
}

/// What the kernel says of every dataset and snapshot without reading its properties.
#[derive(Clone)]
pub(crate) struct Stats {
    pub(crate) guid: Guid,
    createtxg: Txg,
    clones: u64,
    kind: u32,
    inconsistent: bool,
    origin: Option<String>,
}

impl Stats {
    pub(crate) fn into_dataset(self, name: DatasetName, properties: Properties) -> Result<Dataset> {
        let bad = |what: &str| Error::found(Operation::Inspect, &name, ErrorKind::BadAnswer, what);
        let kind = match self.kind {
            zfs_sys::DMU_OST_ZFS => DatasetKind::Filesystem,
            zfs_sys::DMU_OST_ZVOL => DatasetKind::Volume,
            other => return Err(bad(&format!("dataset type {other} is neither filesystem nor volume"))),
        };
        let origin =
            self.origin.map(|origin| origin.parse().map_err(|_| bad("its origin is not understood")));
        let origin = origin.transpose()?;
        let (guid, createtxg, inconsistent) = (self.guid, self.createtxg, self.inconsistent);
        Ok(Dataset { name, kind, guid, createtxg, origin, inconsistent, properties })
    }

    pub(crate) fn into_snapshot(self, name: SnapshotName) -> Snapshot {
        Snapshot { name, guid: self.guid, createtxg: self.createtxg, clones: self.clones }
    }
}
