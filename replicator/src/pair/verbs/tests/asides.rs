//! What was set aside below a root, on a node that has the service later: it stays there, and nobody gets it.

use super::*;

const ASIDE: &str = "tank/data/x-divergent-1";

#[test]
fn what_was_set_aside_on_a_standby_is_not_sent_when_that_is_active() {
    let case = Case::new();
    case.write("b", CHILD, 50, 1);
    case.rejoin_as("b", &rejoin::Asked { aside: true, ..rejoin::Asked::default() }).expect("set aside");
    let content = || case.world.on("b", |b| b.dataset(&name(ASIDE)).map(|found| found.content.clone()));
    let kept = content();
    assert!(kept.is_some(), "{:?}", case.datasets("b"));
    // Somebody looks after it, which is nothing that the pair does.
    case.world.on("b", |b| b.snapshot(&[snap(&format!("{ASIDE}@mine"))]).expect("taken"));
    case.demote("a").expect("demoted");
    case.send("a").expect("everything is sent");
    case.promote("b", false).expect("promoted");
    case.write("b", ROOT, 3, 3);
    case.snapshot("b", "2");
    case.send("b").expect("sent");
    assert!(case.same(ROOT) && case.same(CHILD));
    assert_eq!(case.datasets("a"), ["tank", ROOT, CHILD]);
    // And back: it keeps nobody from following.
    case.demote("b").expect("demoted");
    case.send("b").expect("sent");
    assert_eq!(case.promote("a", false).expect("promoted").epoch, 3);
    case.snapshot("a", "3");
    case.send("a").expect("sent");
    assert_eq!((content(), case.snapshots("b", ASIDE)), (kept, vec!["mine".to_string()]));
}
