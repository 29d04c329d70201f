//! One stream, and the proof that it arrived.

use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;
use zfs_core::property::same_value;

use super::RunError;
use crate::cancel::Cancel;
use crate::host::Base;
use crate::host::Depth;
use crate::host::Host;
use crate::host::PropertySource;
use crate::host::ReceiveSpec;
use crate::host::SendSpec;
use crate::transfer::Coding;
use crate::transfer::Compression;
use crate::transfer::Decision;
use crate::transfer::Expected;
use crate::transfer::Head;
use crate::transfer::Moved;
use crate::transfer::Settings;
use crate::transfer::Wire;
use crate::transfer::transfer;

/// The two ends, as one thread uses them.
pub(crate) struct Hosts<'h> {
    pub(crate) source: &'h mut dyn Host,
    pub(crate) target: &'h mut dyn Host,
}

/// What is sent and received.
pub(crate) struct Stream<'s> {
    pub(crate) spec: &'s SendSpec,
    pub(crate) into: &'s SnapshotName,
    pub(crate) creates: Option<&'s [(String, String)]>,
    pub(crate) origin: Option<&'s SnapshotName>,
}

impl Stream<'_> {
    /// Sends it, and checks on the target that it is there. Gives the names of properties that should have been set
    /// with it, and are not.
    pub(crate) fn send(
        &self,
        hosts: &mut Hosts<'_>,
        settings: &Settings,
        cancel: &Cancel,
        progress: &(dyn Fn(Moved) + Sync),
    ) -> Result<(Moved, Vec<String>), RunError> {
        let ends: Vec<Cancel> =
            [hosts.source.breaker(), hosts.target.breaker()].into_iter().flatten().collect();
        let settings = Settings { ends, ..settings.clone() };
        let moved = self.transfer(hosts, &settings, cancel, progress);
        // Both streams are dropped: the hosts can be used again.
        settings.ends.iter().for_each(Cancel::reset);
        let moved = moved?;
        let missing = self.check(hosts.target)?;
        Ok((moved, missing))
    }

    fn transfer(
        &self,
        hosts: &mut Hosts<'_>,
        settings: &Settings,
        cancel: &Cancel,
        progress: &(dyn Fn(Moved) + Sync),
    ) -> Result<Moved, RunError> {
        let expected = Expected {
            to: self.spec.to.guid,
            from: self.spec.from.as_ref().map(Base::guid),
            raw: self.spec.raw,
        };
        let failed = |error| RunError::of_transfer(self.into, error);
        let maybe = match settings.compression {
            Compression::Off => false,
            Compression::On => true,
            Compression::Auto => !self.spec.raw,
        };
        let far_target = maybe && hosts.target.is_far() && hosts.target.compresses_with(&settings.codec)?;
        // Nobody can look into a stream before it was sent: from far away it is compressed only where that was asked for.
        let compress = settings.compression == Compression::On
            && hosts.source.is_far()
            && hosts.source.compresses_with(&settings.codec)?;
        let wire = if hosts.source.is_far() { Wire::In } else { Wire::Out };
        let arrives = if compress { Coding::Packed } else { Coding::Plain };

        let outgoing = hosts.source.send(&SendSpec { compress, ..self.spec.clone() })?;
        let head = if far_target {
            Head::read(outgoing, arrives, self.spec.raw, settings, cancel).map_err(failed)?
        } else {
            Head::unread(outgoing, arrives, settings)
        };
        let leaves =
            if far_target && head.decision() == Decision::Compress { Coding::Packed } else { Coding::Plain };
        let incoming = hosts.target.receive(&ReceiveSpec {
            to: self.into.clone(),
            guid: self.spec.to.guid,
            set: self.creates.unwrap_or_default().to_vec(),
            origin: self.origin.cloned(),
            compressed: leaves == Coding::Packed,
        })?;
        transfer(head, incoming, leaves, wire, expected, settings, cancel, progress).map_err(failed)
    }

    /// A success that was reported is believed when it was read back.
    fn check(&self, target: &mut dyn Host) -> Result<Vec<String>, RunError> {
        let expected = self.spec.to.guid;
        let found = target.snapshot_guids(std::slice::from_ref(self.into))?.into_iter().next().flatten();
        if found != Some(expected) {
            let host = target.label().to_string();
            return Err(RunError::NotWhatWasSent { host, into: self.into.clone(), expected, found });
        }
        match self.creates {
            Some(set) if !set.is_empty() => not_set(target, self.into.dataset(), set, false),
            _ => Ok(Vec::new()),
        }
    }
}

/// Without the right to set a property, a receive reports success and leaves it. With `exact` the values are as ZFS
/// itself writes them, and must be the same.
pub(crate) fn not_set(
    target: &mut dyn Host,
    dataset: &DatasetName,
    set: &[(String, String)],
    exact: bool,
) -> Result<Vec<String>, RunError> {
    let names: Vec<String> = set.iter().map(|(name, _)| name.clone()).collect();
    let all = target.some_properties(dataset, Depth::One, &names)?;
    let there = all.get(dataset);
    let is_set = |(name, value): &&(String, String)| {
        there.and_then(|there| there.get(name)).is_some_and(|found| {
            found.source == PropertySource::Local && (!exact || same_value(name, &found.value, value))
        })
    };
    Ok(set.iter().filter(|pair| !is_set(pair)).map(|(name, _)| name.clone()).collect())
}
