//! A service that is moved away again while a verb goes on that a cluster or a timer has started: no further step is taken, and
//! what was done is finished by whoever has the service next.

use super::*;
use crate::role::Role;
use crate::role::watch::Fenced;

/// A node that the service leaves after so many steps.
struct Leaves {
    node: TestNode,
    steps: usize,
}

impl Node for Leaves {
    fn name(&self) -> &NodeName {
        self.node.name()
    }

    fn host(&mut self) -> &mut dyn Host {
        self.node.host()
    }

    fn still(&mut self) -> Result<(), Refused> {
        let fenced = || Fenced { was: Role::Standby, now: "the service is on a".to_string() };
        self.steps = self.steps.checked_sub(1).ok_or_else(fenced)?;
        Ok(())
    }

    fn close(&mut self, roots: &[DatasetName]) -> Result<Box<dyn Send>, LockError> {
        self.node.close(roots)
    }

    fn health(&mut self, pool: &str) -> Result<Option<String>, HostError> {
        self.node.health(pool)
    }

    fn take(&mut self, snapshots: &[SnapshotName]) -> Result<(), HostError> {
        self.node.take(snapshots)
    }

    fn mounts(&mut self) -> Result<Vec<Mount>, HostError> {
        self.node.mounts()
    }

    fn mount(&mut self, dataset: &DatasetName, at: &Path) -> Result<(), HostError> {
        self.node.mount(dataset, at)
    }

    fn unmount(&mut self, mount: &Mount) -> Result<(), HostError> {
        self.node.unmount(mount)
    }

    fn flush(&mut self, mount: &Mount) -> Result<(), HostError> {
        self.node.flush(mount)
    }

    fn claim(&mut self) -> Result<(), NotTaken> {
        self.node.claim()
    }

    fn hand_over(&mut self) -> Result<bool, String> {
        self.node.hand_over()
    }

    fn release(&mut self) -> Result<(), String> {
        self.node.release()
    }
}

/// What a promotion of `b` comes to that the service leaves after so many steps, and how many steps were told.
fn promote_until(case: &Case, steps: usize) -> (Result<promote::Promoted, VerbError>, usize) {
    let mut node = Leaves { node: case.node("b"), steps };
    let away = Err("no route".to_string());
    let mut told = 0;
    let mut tell = |_: &str| told += 1;
    let done = promote::promote(&mut node, &case.roots, away, &case.asks(false), &mut tell);
    (done, told)
}

#[test]
fn a_promotion_takes_no_step_once_the_service_is_not_its_any_more() {
    let demoted = || {
        let case = Case::with_two_pools();
        case.demote("a").expect("demoted");
        case
    };
    let (whole, steps) = promote_until(&demoted(), usize::MAX);
    assert!(whole.expect("promoted").raised && steps > 6, "{steps}");
    for after in 0..steps {
        let case = demoted();
        let (broken, told) = promote_until(&case, after);
        let refused = refused(broken);
        assert!(matches!(refused, Refused::Fenced(_)) && refused.to_string().contains("on a"), "{refused}");
        assert_eq!(told, after);
        // Nobody can write there before it was promoted as a whole.
        let open = case.value("b", ROOT, "readonly") == "off";
        assert!(!open || case.epoch("b") == (2, "b".to_string()), "{after}");
        // Whoever has it next goes on, here or there.
        assert_eq!(case.promote_alone("b").expect("goes on").epoch, 2);
        let case = demoted();
        assert!(promote_until(&case, after).0.is_err());
        let back = case.promote("a", true).expect("it is back");
        assert!(back.epoch >= 1 && !case.mounted("a").is_empty());
    }
}
