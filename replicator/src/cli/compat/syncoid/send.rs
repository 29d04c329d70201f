//! One stream of the syncoid front end, with what the target gives up for it.

use zfs_core::ErrorKind;
use zfs_core::name::SnapshotName;
use zfs_core::send::SendFlags;

use super::dataset::Failed;
use super::dataset::One;
use super::plan;
use super::run::End;
use super::run::Run;
use crate::engine::RunError;
use crate::engine::stream::Hosts;
use crate::engine::stream::Stream;
use crate::host::Base;
use crate::host::Deed;
use crate::host::HostError;
use crate::host::Partial;
use crate::host::SendSpec;
use crate::host::Snapshot;
use crate::transfer::Compression;
use crate::transfer::TransferError;
use crate::transfer::retry::Class;
use crate::transfer::retry::Replan;
use crate::transfer::retry::Transient;

/// How often a target that is written to meanwhile is rolled back for one stream.
const ROLLBACKS: usize = 3;

impl Run<'_> {
    /// A stream as the options want it.
    pub(super) fn spec(
        &self,
        to: Snapshot,
        from: Option<Base>,
        raw: bool,
        partial: Option<Partial>,
    ) -> SendSpec {
        let flags = match partial {
            // The token says the rest.
            Some(_) => SendFlags { raw, ..SendFlags::default() },
            None => self.options.send.flags,
        };
        SendSpec { to, from, raw, flags: Some(flags), resume: partial.map(Box::new), compress: false }
    }

    /// How many bytes they are, where anybody reads it.
    pub(super) fn estimate(&mut self, specs: &[SendSpec]) -> Option<u64> {
        if self.options.quiet {
            return None;
        }
        let sizes = self.source.host.estimate(specs).ok()?;
        sizes.into_iter().try_fold(0_u64, |sum, size| Some(sum.saturating_add(size?)))
    }

    /// Sends one stream.
    pub(super) fn send(
        &mut self,
        one: &mut One,
        spec: &SendSpec,
        origin: Option<&SnapshotName>,
    ) -> Result<(), Failed> {
        let into = match one.name.snapshot(spec.to.name.short()) {
            Ok(into) => into,
            Err(error) => {
                self.log.critical(format!("{} cannot be received: {error}", spec.to.name));
                return Err(Failed::Told);
            }
        };
        if spec.resume.is_none()
            && let Some(target) = &one.target
            && target.snapshots.iter().any(|there| there.name == into)
        {
            return Err(Failed::Collision(into));
        }
        self.choose_compression();
        let set = self.set_of(&one.source);
        // A new dataset has nothing to give up.
        let base = spec.from.as_ref().map(Base::guid).filter(|_| one.target.is_some() && origin.is_none());
        for attempt in 0..ROLLBACKS {
            if let Some(base) = base.filter(|_| !self.options.no_rollback) {
                if attempt > 0 {
                    let seen = self.target.look(&one.name);
                    one.target = seen.map_err(Failed::Look)?;
                }
                self.roll_back(one, base, attempt > 0)?;
            }
            let stream = Stream { spec, into: &into, creates: Some(&set), origin };
            let mut hosts = Hosts { source: self.source.host.as_mut(), target: self.target.host.as_mut() };
            match stream.send(&mut hosts, &self.settings, self.cancel, &|_| {}) {
                Ok((_, missing)) => {
                    if !missing.is_empty() {
                        self.log.warn(format!("{} was received without {}", one.name, missing.join(", ")));
                    }
                    self.arrived(one, &spec.to, into);
                    return Ok(());
                }
                Err(RunError::Cancelled) => return Err(Failed::End(End::Interrupted)),
                Err(_) if self.cancel.is_cancelled() => return Err(Failed::End(End::Interrupted)),
                Err(error) => {
                    let again = base.is_some() && !self.options.no_rollback && attempt + 1 < ROLLBACKS;
                    if !(again && class(&error) == Some(Class::Replan(Replan::TargetModified))) {
                        return Err(Failed::Stream(error));
                    }
                }
            }
        }
        Err(Failed::Told)
    }

    /// Makes the base the newest of the target, and names what goes before it does.
    fn roll_back(&mut self, one: &mut One, base: zfs_core::Guid, written: bool) -> Result<(), Failed> {
        let Some(target) = &mut one.target else { return Ok(()) };
        if written {
            // Nothing shows it yet, but the kernel has just said so.
            target.written = target.written.max(1);
        }
        let Some(back) = plan::roll_back(target, base) else { return Ok(()) };
        self.tell(&back);
        let deed = Deed::RollBack { to: back.to.name.clone(), guid: back.to.guid, newer: back.newer.clone() };
        match self.target.host.deed(&deed) {
            Ok(()) => {
                if let Some(target) = &mut one.target {
                    target.snapshots.retain(|one| !back.newer.iter().any(|(name, _)| *name == one.name));
                    target.written = 0;
                }
                Ok(())
            }
            Err(error) if error.is_cancelled() => Err(Failed::End(End::Interrupted)),
            Err(error) => Err(Failed::Stream(RunError::Host(error))),
        }
    }

    /// Finds out once what compresses, and says where it is missing.
    fn choose_compression(&mut self) {
        let any_far = self.source.host.is_far() || self.target.host.is_far();
        if self.told_compression || !any_far {
            return;
        }
        self.told_compression = true;
        let candidates = self.options.compress.candidates();
        let Some(asked) = candidates.first().copied() else { return };
        let mut first = None;
        for codec in candidates {
            let mut missing = Vec::new();
            if !codec.is_zstd() && !is_here(codec.program) {
                missing.push("local machine".to_string());
            }
            for (side, what) in [(&mut self.source, "source"), (&mut self.target, "target")] {
                if !side.host.is_far() {
                    continue;
                }
                match side.host.compresses_with(&codec) {
                    Ok(true) => {}
                    Ok(false) => {
                        let machine = side.machine.clone().unwrap_or_default();
                        let host = machine.rsplit('@').next().unwrap_or_default();
                        missing.push(format!("{what} ssh:{host}"));
                    }
                    // The stream says so, too.
                    Err(_) => return,
                }
            }
            if missing.is_empty() {
                self.settings.codec = codec;
                if codec.program != asked.program {
                    self.log.debug(format!("{} compresses in place of {}", codec.program, asked.program));
                }
                return;
            }
            first.get_or_insert(missing);
        }
        self.settings.compression = Compression::Off;
        for machine in first.unwrap_or_default() {
            self.log.warn(format!(
                "{} not available on {machine} - sync will continue without compression.",
                asked.program
            ));
        }
    }
}

/// Whether this machine has a program.
fn is_here(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// What a failure calls for.
fn class(error: &RunError) -> Option<Class> {
    match error {
        RunError::Transfer { error, .. } => Some(Class::of_transfer(error, None)),
        RunError::Host(error) => Some(Class::of_host(error, None)),
        _ => None,
    }
}

/// Whether another receive into the target is going on: the kernel refuses another stream then, and to roll back.
pub(super) fn is_busy(error: &RunError) -> bool {
    let by_kernel = |error: &HostError| {
        Class::of_host(error, None) == Class::Transient(Transient::TargetBusy)
            && error.zfs_kind() != Some(ErrorKind::Held)
    };
    match error {
        RunError::Transfer { error, .. } => {
            matches!(&**error, TransferError::Receiver(error) if by_kernel(error))
        }
        RunError::Host(error) => by_kernel(error),
        _ => false,
    }
}

/// Whether one of the sides is no longer as it was when it was listed.
pub(super) fn is_outdated(error: &RunError) -> bool {
    matches!(
        class(error),
        Some(Class::Replan(
            Replan::Gone | Replan::BaseGone | Replan::Changed | Replan::Exists | Replan::NotAnAncestor
        ))
    )
}
