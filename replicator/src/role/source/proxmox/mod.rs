//! Proxmox VE. The node of a guest is the folder in which its configuration lies, and only a majority can move it. That
//! and the majority are read from files of pmxcfs, which cost nothing; `pvesh` is the second source, which knows too
//! whether the guest is being moved and whether HA is armed. What both know has to be the same.
//!
//! The state of the guest is not looked at: it is up to five minutes old, and goes on to say "running" about a dead node.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use super::super::ask;
use super::super::ask::Answer;
use super::super::ask::Question;
use super::super::decide::Names;
use super::super::observation::Glance;
use super::super::observation::Ha;
use super::super::observation::Owner;
use super::super::observation::Quorum;
use super::super::observation::Reading;
use super::super::observation::Seen;
use super::Source;
use crate::cancel::Cancel;

mod parse;

use parse::Guest;
use parse::HaStatus;

/// All guests that this user may see, with their nodes.
const RESOURCES: &[&str] = &["get", "/cluster/resources", "--type", "vm", "--output-format", "json"];

/// What the HA stack does.
const HA: &[&str] = &["get", "/cluster/ha/status/current", "--output-format", "json"];

/// Where the guest of a pair is.
pub(super) struct Proxmox {
    guest: u32,
    vmlist: PathBuf,
    members: PathBuf,
    pvesh: PathBuf,
    names: Names,
    timeout: Duration,
}

impl Proxmox {
    pub(super) fn new(guest: u32, files: &Path, pvesh: PathBuf, names: Names, timeout: Duration) -> Self {
        let (vmlist, members) = (files.join(".vmlist"), files.join(".members"));
        Self { guest, vmlist, members, pvesh, names, timeout }
    }

    /// What the files say, in one look.
    fn files(&self, cancel: &Cancel) -> Glance {
        let read = ask::read(&[&self.vmlist, &self.members], self.timeout, cancel);
        let [vmlist, members] = read.try_into().unwrap_or_else(|_| [lost(), lost()]);
        let say = |path: &Path, why: String| format!("{}: {why}", path.display());
        let owner = vmlist.and_then(|text| {
            parse::vmlist(&text, self.guest)
                .map(|node| self.names.owner(&node))
                .map_err(|why| say(&self.vmlist, why))
        });
        let quorum = members
            .and_then(|text| parse::members(&text, &self.names.here).map_err(|why| say(&self.members, why)));
        Glance { owner: owner.into(), quorum: quorum.into() }
    }

    /// What `pvesh` says, both questions at once.
    fn pvesh(&self, cancel: &Cancel) -> (Result<Guest, String>, Result<HaStatus, String>) {
        let questions = [RESOURCES, HA].map(|arguments| Question { program: &self.pvesh, arguments });
        let answers = ask::ask(&questions, self.timeout, cancel);
        let [resources, ha] = answers.try_into().unwrap_or_else(|_| [Err(String::new()), Err(String::new())]);
        let say = |path: &str, why: String| format!("pvesh {path}: {why}");
        let good = |answer: Result<Answer, String>| answer.and_then(Answer::good);
        let guest = good(resources)
            .and_then(|text| parse::resources(&text, self.guest))
            .map_err(|why| say(RESOURCES[1], why));
        let ha = good(ha).and_then(|text| parse::ha(&text, self.guest)).map_err(|why| say(HA[1], why));
        (guest, ha)
    }
}

fn lost() -> Result<Vec<u8>, String> {
    Err("it was not read".to_string())
}

impl Source for Proxmox {
    fn observe(&mut self, cancel: &Cancel) -> Reading {
        let (files, (guest, ha)) = std::thread::scope(|scope| {
            let files = scope.spawn(|| self.files(cancel));
            let pvesh = self.pvesh(cancel);
            let why = "pmxcfs: it was not read";
            let nothing = |_| Glance { owner: Seen::unknown(why), quorum: Seen::unknown(why) };
            (files.join().unwrap_or_else(nothing), pvesh)
        });
        together(&self.names, files, guest, ha)
    }

    fn glance(&mut self, cancel: &Cancel) -> Glance {
        self.files(cancel)
    }
}

/// Puts the sources together. What two of them know they have to say alike.
fn together(
    names: &Names,
    files: Glance,
    guest: Result<Guest, String>,
    ha: Result<HaStatus, String>,
) -> Reading {
    let (guest, ha) = (Seen::from(guest), Seen::from(ha));
    let place = guest.clone().map(|guest| names.owner(&guest.node));
    let mut owner = files.owner.and(place, |one: &Owner, two: &Owner| {
        format!("the files of pmxcfs say that the guest is {one}, and pvesh says {two}")
    });
    // Who manages the guest knows where it is, too.
    if let Some(node) =
        ha.known().and_then(|ha| ha.service.as_ref()).and_then(|service| service.node.as_ref())
    {
        let managed = Seen::Known(names.owner(node));
        owner = owner.and(managed, |one, two| format!("the guest is {one}, and HA says {two}"));
    }
    let quorum = files.quorum.and(ha.clone().map(|ha| ha.quorum), |one: &Quorum, two: &Quorum| {
        format!("the files of pmxcfs say: {one}; HA says: {two}")
    });
    let moving = match (&guest, &ha) {
        (Seen::Known(guest), Seen::Known(ha)) => {
            Seen::Known(guest.migrating || ha.service.as_ref().is_some_and(|service| service.moving))
        }
        (Seen::Unknown(why), _) | (_, Seen::Unknown(why)) => Seen::unknown(why.clone()),
    };
    let armed = match (guest, ha) {
        (Seen::Known(guest), Seen::Known(ha)) => match (guest.managed, ha.service.is_some()) {
            (false, false) => Seen::Known(Ha::NoHa),
            (true, true) => ha.armed.into(),
            (true, false) => Seen::unknown("the guest is managed by HA, and HA does not list it"),
            (false, true) => {
                Seen::unknown("HA lists the guest, and the list of guests says that HA does not manage it")
            }
        },
        (Seen::Unknown(why), _) | (_, Seen::Unknown(why)) => Seen::Unknown(why),
    };
    Reading { owner, moving, quorum, ha: armed }
}

#[cfg(test)]
mod tests;
