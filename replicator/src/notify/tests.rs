//! What is told of checks that come and go, of some things at once, and after an update.

use super::*;

fn state(subjects: &[Subject]) -> State {
    let level = subjects.iter().map(|one| one.level).max().unwrap_or_default();
    State { check: "health".to_string(), level, text: "text".to_string(), subjects: subjects.to_vec() }
}

fn subject(name: &str, level: Level) -> Subject {
    Subject::seen(name, level, format!("{name} is {}", level.word()))
}

/// What is told of levels of one thing that come at these times.
fn told(course: &[(i64, Level)]) -> Vec<(i64, Level)> {
    let mut known = Told::default();
    let mut all = Vec::new();
    for (clock, level) in course {
        let news = known.news(&[state(&[subject("tank", *level)])], 100, *clock);
        all.extend(news.iter().map(|one| (*clock, one.level)));
        known.remember(&news, *clock);
    }
    all
}

/// Tells what has changed to these, and gives the texts.
fn tell(known: &mut Told, subjects: &[Subject], clock: i64) -> Vec<String> {
    let news = known.news(&[state(subjects)], 100, clock);
    known.remember(&news, clock);
    news.into_iter().map(|one| one.text).collect()
}

#[test]
fn each_change_is_told_once() {
    use Level::*;
    assert_eq!(told(&[(1000, Ok), (1001, Ok)]), []);
    let course = [(1000, Warning), (1010, Warning), (5000, Warning), (5001, Ok), (5002, Ok)];
    assert_eq!(told(&course), [(1000, Warning), (5001, Ok)]);
}

#[test]
fn what_is_worse_is_told_at_once_and_what_comes_and_goes_rests() {
    use Level::*;
    let course = [
        (1000, Warning),
        (1001, Critical),
        (1002, Ok),
        (1003, Critical),
        (1050, Warning),
        (1101, Warning),
        (1102, Unknown),
    ];
    assert_eq!(told(&course), [(1000, Warning), (1001, Critical), (1101, Warning), (1102, Unknown)]);
    // The clock was wrong when it was told.
    assert_eq!(told(&[(9000, Critical), (1000, Ok)]).len(), 2);
}

#[test]
fn one_that_is_in_a_bad_way_hides_no_other() {
    use Level::*;
    let mut known = Told::default();
    assert_eq!(tell(&mut known, &[subject("a", Critical)], 1000), ["a: CRITICAL (was OK): a is CRITICAL"]);
    let both = [subject("a", Critical), subject("b", Critical)];
    assert_eq!(
        tell(&mut known, &both, 1001),
        ["b: CRITICAL (was OK): b is CRITICAL; not in order as before: a"]
    );
    assert_eq!(tell(&mut known, &both, 1002), Vec::<String>::new());
    // The one that was told long ago has rested, the other one has not.
    assert_eq!(tell(&mut known, &[], 1100), ["a: OK (was CRITICAL)"]);
    assert_eq!(tell(&mut known, &[], 1101), ["b: OK (was CRITICAL)"]);
    assert_eq!(tell(&mut known, &[], 5000), Vec::<String>::new());
    assert_eq!(known.checks, []);
}

#[test]
fn what_changes_at_the_same_time_is_one_message() {
    use Level::*;
    let known = Told::default();
    let many: Vec<_> = (0..30).map(|n| subject(&format!("tank/{n:02}"), Warning)).collect();
    let news = known.news(&[state(&many)], 100, 1000);
    let [one] = news.as_slice() else { panic!("{news:?}") };
    assert_eq!((one.was, one.level, one.changes.len()), (Ok, Warning, 30));
    assert!(one.text.starts_with("tank/00: WARNING (was OK): tank/00 is WARNING; tank/01"), "{}", one.text);
    assert!(one.text.ends_with("; and 20 more that have changed"), "{}", one.text);
    // What is worse comes before what is better, and the gravest first.
    let mut known = Told::default();
    tell(&mut known, &[subject("was", Critical)], 1000);
    let now = [subject("late", Warning), subject("lost", Critical)];
    let text = tell(&mut known, &now, 5000).concat();
    let places: Vec<_> = ["lost:", "late:", "was:"].iter().map(|name| text.find(name)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{text}");
}

#[test]
fn what_could_not_be_looked_at_is_neither_better_nor_worse() {
    use Level::*;
    let mut known = Told::default();
    tell(&mut known, &[subject("tank/a", Critical), subject("other/b", Critical)], 1000);
    let hidden = Subject::hidden("tank", Unknown, "no answer");
    let text = tell(&mut known, std::slice::from_ref(&hidden), 5000);
    assert_eq!(text, ["tank: UNKNOWN (was OK): no answer; other/b: OK (was CRITICAL)"]);
    // Nothing at all is known.
    let text = tell(&mut known, &[Subject::hidden("", Unknown, "no ZFS")], 5001);
    assert_eq!(text, ["UNKNOWN (was OK): no ZFS"]);
    // The pool answers again: what is in it is as it was, and the rest is told when it has rested.
    let text = tell(&mut known, &[subject("tank/a", Critical)], 9000);
    assert_eq!(text, ["OK (was UNKNOWN): text; tank: OK (was UNKNOWN); not in order as before: tank/a"]);
    // What was seen in a pool of which not all is known is told.
    let text = tell(&mut known, &[subject("tank/a", Ok), hidden], 20_000).concat();
    assert!(text.contains("tank/a: OK (was CRITICAL)"), "{text}");
}

#[test]
fn a_check_that_names_nothing_is_told_as_a_whole() {
    let bad = State { level: Level::Warning, ..state(&[]) };
    let mut known = Told::default();
    let news = known.news(std::slice::from_ref(&bad), 100, 1000);
    assert_eq!(news[0].text, "WARNING (was OK): text");
    known.remember(&news, 1000);
    assert_eq!(known.news(&[bad], 100, 1001), []);
    assert_eq!(known.news(&[state(&[])], 100, 5000)[0].text, "OK (was WARNING): text");
}

/// What the version before wrote.
fn older(level: &str) -> Told {
    let folder = tempfile::tempdir().expect("a folder");
    let text =
        format!("{{\"version\":1,\"checks\":[{{\"check\":\"health\",\"level\":\"{level}\",\"at\":900}}]}}");
    std::fs::write(folder.path().join(FILE), text).expect("written");
    Told::read(folder.path()).expect("it is understood")
}

#[test]
fn what_an_earlier_version_told_is_not_told_again_and_nothing_is_lost() {
    use Level::*;
    let bad = state(&[subject("a", Critical), subject("b", Warning)]);
    let mut known = older("critical");
    assert!(known.take_over(std::slice::from_ref(&bad)));
    assert_eq!(known.news(std::slice::from_ref(&bad), 100, 5000), []);
    assert!(!known.take_over(std::slice::from_ref(&bad)), "only once");
    // From now on each counts for itself.
    let text = tell(&mut known, &[subject("a", Critical), subject("b", Critical)], 5001);
    assert_eq!(text, ["b: CRITICAL (was WARNING): b is CRITICAL; not in order as before: a"]);
    // It became worse meanwhile, or better, or good.
    let mut known = older("warning");
    known.take_over(std::slice::from_ref(&bad));
    assert_eq!(known.news(std::slice::from_ref(&bad), 100, 950)[0].changes.len(), 1);
    let mut known = older("critical");
    known.take_over(&[state(&[subject("b", Warning)])]);
    let text = tell(&mut known, &[subject("b", Warning)], 5000);
    assert_eq!(text, ["OK (was CRITICAL): text; not in order as before: b"]);
    let mut known = older("critical");
    known.take_over(&[state(&[])]);
    assert_eq!(tell(&mut known, &[], 950), Vec::<String>::new());
    assert_eq!(tell(&mut known, &[], 5000), ["OK (was CRITICAL): text"]);
    // What cannot be looked at just now is taken over later.
    let mut known = older("critical");
    let blind = state(&[Subject::hidden("", Unknown, "no ZFS")]);
    assert!(!known.take_over(&[blind]) && known.take_over(&[bad]));
}

#[test]
fn what_was_told_is_written_down_and_what_is_not_understood_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut known = Told::read(folder.path()).expect("nothing");
    tell(&mut known, &[subject("tank", Level::Critical)], 5);
    known.write(folder.path()).expect("written");
    assert_eq!(Told::read(folder.path()).expect("read"), known);
    for text in ["{}", "{\"version\":3,\"checks\":[]}"] {
        std::fs::write(folder.path().join(FILE), text).expect("written");
        assert!(Told::read(folder.path()).is_err(), "{text}");
    }
}
