//! What is asked for, and what there is, as values; files in a folder that goes away.

use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

use super::*;
use crate::check::Grade;
use crate::receiver::machine::add_line;
use crate::receiver::machine::parse_user;

const BLOB: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIPXWwr9JmLpR9fJ2X2Jm6Yc3sVtKkO1nJqQ0n4m0b2aZ";
const OTHER: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIAXWwr9JmLpR9fJ2X2Jm6Yc3sVtKkO1nJqQ0n4m0b2aZ";

fn name(text: &str) -> DatasetName {
    text.parse().expect("a name")
}

fn wanted() -> Wanted {
    Wanted {
        roots: vec![name("tank/backup")],
        user: "keeper".to_string(),
        key: format!("ssh-ed25519 {BLOB} root@source\n").parse().expect("a key"),
        program: "/usr/sbin/replicator".to_string(),
    }
}

fn keeper() -> User {
    parse_user("keeper:x:998:997::/home/keeper:/bin/sh\n", "keeper\n", Password::Fine).expect("a user")
}

fn found() -> Found {
    Found {
        user: keeper(),
        rights: BTreeMap::new(),
        entries: Vec::new(),
        guarded: Vec::new(),
        version: Version::parse("2.2.9"),
    }
}

fn line_of(options: &str) -> Entry {
    let file = format!("# mine\n\n{options} ssh-ed25519 {BLOB} root@source\n");
    key::entries(&file, &wanted().key).pop().expect("one")
}

const OURS: &str = "restrict,command=\"'/usr/sbin/replicator' agent --root 'tank/backup' --allow list,receive,discard,bookmark,set-properties\"";

#[test]
fn a_key_is_read_and_what_is_none_is_told() {
    let bad = |text: &str| text.parse::<PublicKey>().expect_err(text);
    assert_eq!(bad("-----BEGIN OPENSSH PRIVATE KEY-----\nx\n"), BadKey::Private);
    assert_eq!(bad(&format!("ssh-ed25519 {BLOB}\nssh-ed25519 {OTHER}\n")), BadKey::Many(2));
    for text in ["", "# nothing\n", "ssh-ed25519", "ssh-ed25519 AAAA", "hello world"] {
        assert_eq!(bad(text), BadKey::NoKey, "{text:?}");
    }
    // The data is that of another kind.
    assert_eq!(bad(&format!("ssh-rsa {BLOB}")), BadKey::NoKey);
    // Options are no part of a public key.
    assert_eq!(bad(&format!("restrict ssh-ed25519 {BLOB}")), BadKey::NoKey);
}

#[test]
fn a_line_names_the_program_and_the_roots_and_nothing_gets_out_of_its_quotes() {
    let mut wanted = wanted();
    assert_eq!(key::line(&wanted), format!("{OURS} ssh-ed25519 {BLOB} root@source"));
    wanted.roots = vec![name("tank/it has space"), name("tank/b")];
    wanted.program = "/opt/a \"b\"/replicator".to_string();
    let line = key::line(&wanted);
    assert!(line.starts_with(
        "restrict,command=\"'/opt/a \\\"b\\\"/replicator' agent --root 'tank/it has space' --root 'tank/b' --allow list,"
    ));
    let entries = key::entries(&line, &wanted.key);
    assert_eq!(entries.len(), 1);
    assert!(entries[0].options.ends_with(",set-properties\""), "{entries:?}");
}

#[test]
fn lines_with_the_key_are_found_whatever_stands_before_it() {
    for options in ["restrict", "no-pty,command=\"echo \\\"a b\\\"\"", "from=\"10.0.0.0/8\",restrict", OURS] {
        assert_eq!(line_of(options).options, options);
        assert_eq!(line_of(options).line, 3);
    }
    let key = wanted().key;
    assert_eq!(key::entries(&format!("ssh-ed25519 {BLOB}"), &key)[0].options, "");
    for other in
        [format!("ssh-ed25519 {OTHER}"), format!("#ssh-ed25519 {BLOB}"), "restrict,command=\"".to_string()]
    {
        assert!(key::entries(&other, &key).is_empty(), "{other}");
    }
}

#[test]
fn what_is_missing_is_done_and_done_again_it_is_nothing() {
    let wanted = wanted();
    let mut found = found();
    found.user.password = Password::of_shadow("!*");
    let steps: Vec<_> = plan(&wanted, &found).expect("a plan").iter().map(ToString::to_string).collect();
    let [password, create, allow, key] = &steps[..] else { panic!("{steps:#?}") };
    assert!(password.starts_with("usermod --password '*' keeper"), "{password}");
    assert_eq!(create, "zfs create -o canmount=off -o mountpoint=none tank/backup");
    assert!(
        allow.starts_with("zfs allow -u keeper receive,create,mount,bookmark,readonly,canmount,")
            && allow.ends_with(" tank/backup"),
        "{allow}"
    );
    for property in crate::plan::properties::DEFAULT {
        assert!(allow.contains(property), "{property}");
    }
    for right in TOO_MUCH {
        let given: Vec<_> = allow.split(' ').nth(4).expect("a list").split(',').collect();
        assert!(given.len() > 5 && !given.contains(right), "{right}: {allow}");
    }
    assert!(key.contains("/home/keeper/.ssh/authorized_keys") && key.contains(OURS), "{key}");
    assert_eq!(judge(&wanted, &found).grade(), Grade::Fail);

    found.user.password = Password::Fine;
    let rights = permissions(found.version).into_iter().map(str::to_string).collect();
    found.rights.insert(name("tank/backup"), rights);
    found.entries = vec![line_of(OURS)];
    assert_eq!(plan(&wanted, &found).expect("a plan"), []);
    assert_eq!(judge(&wanted, &found).grade(), Grade::Ok);
}

#[test]
fn from_2_3_2_on_it_may_only_append_and_more_than_that_is_told() {
    let wanted = wanted();
    let mut found = found();
    found.version = Version::parse("2.3.2");
    let rights = |text: &str| text.split(',').map(str::to_string).collect::<BTreeSet<_>>();
    let steps = plan(&wanted, &found).expect("a plan");
    assert!(steps[1].to_string().contains(" receive:append,create,"), "{steps:?}");
    // The wider right of before is not what it should have: the narrower one is given beside it.
    let before = permissions(Version::parse("2.3.1")).join(",");
    found.rights.insert(name("tank/backup"), rights(&before));
    let steps = plan(&wanted, &found).expect("a plan");
    assert_eq!(steps[0].to_string(), "zfs allow -u keeper receive:append tank/backup");
    assert_eq!(steps.len(), 2, "{steps:?}");
    found.entries = vec![line_of(OURS)];
    let all = permissions(found.version).join(",");
    found.rights.insert(name("tank/backup"), rights(&all));
    assert_eq!(plan(&wanted, &found).expect("a plan"), []);
    assert_eq!(judge(&wanted, &found).grade(), Grade::Ok);
    found.rights.insert(name("tank/backup"), rights(&format!("{all},receive,destroy,send")));
    let judged = judge(&wanted, &found);
    assert_eq!(judged.grade(), Grade::Warn);
    let told = crate::check::text(&[judged]);
    assert!(told.contains("more than a receiver needs on tank/backup: receive, destroy, send"), "{told}");
    assert!(told.contains("zfs unallow -u keeper receive,destroy,send"), "{told}");
}

#[test]
fn what_is_not_safe_is_refused() {
    let refused = |change: &dyn Fn(&mut Found)| {
        let mut found = found();
        change(&mut found);
        assert_eq!(judge(&wanted(), &found).grade(), Grade::Fail);
        plan(&wanted(), &found).expect_err("refused")
    };
    let guarded = |owner, mode| vec![Guarded { path: PathBuf::from("/home/keeper/.ssh"), owner, mode }];
    assert!(matches!(refused(&|found| found.user.uid = 0), SetupError::Root(_)));
    let locked = Password::of_shadow("!$y$abc");
    assert!(matches!(refused(&|found| found.user.password = locked), SetupError::Locked(_)));
    let shell = "/usr/sbin/nologin";
    assert!(matches!(refused(&|found| found.user.shell = shell.to_string()), SetupError::NoShell { .. }));
    for options in ["", "restrict", "restrict,command=\"'/usr/sbin/replicator' agent --root 'tank'\""] {
        let error = refused(&|found| found.entries = vec![line_of(OURS), line_of(options)]);
        assert!(matches!(error, SetupError::KeyInUse { line: 3, .. }), "{error}");
    }
    for (owner, mode) in [(998, 0o720), (998, 0o702), (0, 0o777), (1234, 0o700)] {
        assert!(matches!(refused(&|found| found.guarded = guarded(owner, mode)), SetupError::Unsafe { .. }));
    }
    let mut found = found();
    found.guarded = guarded(0, 0o755);
    assert_eq!(plan(&wanted(), &found).expect("a plan").len(), 3);
}

/// A user that is us, with a home in this folder.
fn at(home: &Path) -> User {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    User { uid, gid, home: home.to_path_buf(), ..keeper() }
}

#[test]
fn a_line_is_added_to_what_is_there_and_no_link_is_followed() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::fs::symlink;
    let top = tempfile::tempdir().expect("a folder");
    let user = at(top.path());
    let keys = top.path().join(".ssh/authorized_keys");
    let read = || std::fs::read_to_string(&keys).expect("readable");
    add_line(top.path(), "one", &user).expect("added");
    assert_eq!(read(), "one\n");
    std::fs::write(&keys, "mine").expect("written");
    add_line(top.path(), "two", &user).expect("added");
    assert_eq!(read(), "mine\ntwo\n");
    let mode = std::fs::metadata(&keys).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode, if user.uid == 0 { 0o644 } else { 0o600 });
    // Only the file itself is left there.
    assert_eq!(std::fs::read_dir(top.path().join(".ssh")).expect("a folder").count(), 1);

    let victim = top.path().join("victim");
    std::fs::write(&victim, "precious").expect("written");
    std::fs::remove_file(&keys).expect("removed");
    symlink(&victim, &keys).expect("linked");
    assert!(matches!(add_line(top.path(), "three", &user), Err(SetupError::Unsafe { .. })));
    std::fs::remove_dir_all(top.path().join(".ssh")).expect("removed");
    let elsewhere = tempfile::tempdir().expect("a folder");
    symlink(elsewhere.path(), top.path().join(".ssh")).expect("linked");
    assert!(matches!(add_line(top.path(), "three", &user), Err(SetupError::Unsafe { .. })));
    assert_eq!(std::fs::read_to_string(&victim).expect("readable"), "precious");
    assert_eq!(std::fs::read_dir(elsewhere.path()).expect("a folder").count(), 0);
    let none = top.path().join("none");
    assert!(matches!(add_line(&none, "three", &user), Err(SetupError::Failed { .. })));
}
