//! Canned answers of the documented shapes, and each way in which they can fail.

use super::super::super::testing::script;
use super::*;

fn names() -> Names {
    Names { here: "elitedesk".to_string(), peer: "thinkpad".to_string() }
}

const VMLIST: &str = r#"{
"version": 7,
"ids": {
"103": { "node": "elitedesk", "type": "lxc", "version": 7 },
"200": { "node": "thinkpad", "type": "qemu", "version": 3 }}
}"#;

const MEMBERS: &str = r#"{
"nodename": "elitedesk", "version": 4,
"cluster": { "name": "home", "version": 3, "nodes": 3, "quorate": 1 },
"nodelist": {
  "elitedesk": { "id": 1, "online": 1, "ip": "192.0.2.1"},
  "thinkpad": { "id": 2, "online": 1, "ip": "192.0.2.2"},
  "witness": { "id": 3, "online": 1, "ip": "192.0.2.3"}
  }
}"#;

const RESOURCES_JSON: &str = r#"[
{"id":"lxc/103","vmid":103,"node":"elitedesk","type":"lxc","status":"running","name":"nfs-server","uptime":86400,"template":0,
 "maxcpu":2,"cpu":0.0123,"maxmem":1073741824,"mem":123,"maxdisk":8589934592,"disk":1,"hastate":"started"},
{"id":"qemu/200","vmid":200,"node":"thinkpad","type":"qemu","status":"unknown"}]"#;

const HA_JSON: &str = r#"[
{"id":"quorum","type":"quorum","node":"elitedesk","status":"OK","quorate":1},
{"id":"master","type":"master","node":"witness","status":"witness (active, Fri Nov 27 05:00:00 2026)","timestamp":1795755600},
{"id":"fencing","type":"fencing","node":"witness","status":"armed (CRM watchdog active)","armed-state":"armed"},
{"id":"lrm:elitedesk","type":"lrm","node":"elitedesk","status":"elitedesk (active, watchdog active, Fri Nov 27 05:00:00 2026)","timestamp":1795755600},
{"id":"service:ct:103","type":"service","sid":"ct:103","node":"elitedesk","status":"elitedesk (started)","state":"started","crm_state":"started","request_state":"started"}]"#;

fn read(vmlist: &str, members: &str, resources: &str, ha: &str) -> Reading {
    let names = names();
    let owner = parse::vmlist(vmlist.as_bytes(), 103).map(|node| names.owner(&node));
    let quorum = parse::members(members.as_bytes(), &names.here);
    let files = Glance { owner: owner.into(), quorum: quorum.into() };
    together(&names, files, parse::resources(resources.as_bytes(), 103), parse::ha(ha.as_bytes(), 103))
}

#[test]
fn all_sources_together_say_where_the_guest_is() {
    let reading = read(VMLIST, MEMBERS, RESOURCES_JSON, HA_JSON);
    let good = Reading {
        owner: Seen::Known(Owner::Here),
        moving: Seen::Known(false),
        quorum: Seen::Known(Quorum::Quorate),
        ha: Seen::Known(Ha::Armed),
    };
    assert_eq!(reading, good);
    let away = |text: &str| text.replace(r#""103": { "node": "elitedesk""#, r#""103": { "node": "thinkpad""#);
    let resources = RESOURCES_JSON.replacen("\"node\":\"elitedesk\"", "\"node\":\"thinkpad\"", 1);
    let ha = HA_JSON.replace(r#""sid":"ct:103","node":"elitedesk""#, r#""sid":"ct:103","node":"thinkpad""#);
    let reading = read(&away(VMLIST), MEMBERS, &resources, &ha);
    assert_eq!(reading, Reading { owner: Seen::Known(Owner::Node("thinkpad".to_string())), ..good.clone() });
    // Five minutes after its node has died a guest still runs by its status, which says nothing.
    let stale = RESOURCES_JSON.replacen("running", "unknown", 1);
    assert_eq!(read(VMLIST, MEMBERS, &stale, HA_JSON), good);
    // Before there was a way to disarm HA, nothing said that it is armed.
    let older: Vec<_> = HA_JSON.lines().filter(|line| !line.contains("armed-state")).collect();
    assert_eq!(read(VMLIST, MEMBERS, RESOURCES_JSON, &older.join("\n")), good);
}

/// What is not known of a reading, with the reasons.
fn unknown(reading: &Reading) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    let mut add = |what, why: Option<&str>| all.extend(why.map(|why| (what, why.to_string())));
    add("owner", reading.owner.why());
    add("moving", reading.moving.why());
    add("quorum", reading.quorum.why());
    add("ha", reading.ha.why());
    all
}

#[test]
fn what_is_missing_or_does_not_agree_is_not_known() {
    let cases: [(&str, [String; 4], &[&str], &str); 14] = {
        let good = || [VMLIST, MEMBERS, RESOURCES_JSON, HA_JSON].map(str::to_string);
        let with = |at: usize, text: &str| {
            let mut all = good();
            all[at] = text.to_string();
            all
        };
        let changed = |at: usize, from: &str, to: &str| {
            let mut all = good();
            assert!(all[at].contains(from), "{from}");
            all[at] = all[at].replacen(from, to, 1);
            all
        };
        [
            (
                "not in the list of pmxcfs",
                changed(0, "\"103\"", "\"104\""),
                &["owner"],
                "it has no guest 103",
            ),
            ("an empty file", with(0, ""), &["owner"], "not of the known shape"),
            ("a file cut short", with(1, &MEMBERS[..60]), &["quorum"], "not of the known shape"),
            ("no cluster", with(1, r#"{"nodename":"elitedesk","version":1}"#), &["quorum"], "in no cluster"),
            (
                "another name of this node",
                changed(1, "\"elitedesk\"", "\"elitedesk2\""),
                &["quorum"],
                "set `node`",
            ),
            (
                "a quorum that is no yes or no",
                changed(1, "\"quorate\": 1", "\"quorate\": 7"),
                &["quorum"],
                "`quorate` is 7",
            ),
            (
                "no right to see the guest",
                with(2, "[]"),
                &["owner", "moving", "ha"],
                "this user may not see it (VM.Audit)",
            ),
            (
                "the two sources differ",
                changed(2, "\"node\":\"elitedesk\"", "\"node\":\"thinkpad\""),
                &["owner"],
                "the files of pmxcfs say that the guest is here, and pvesh says on thinkpad",
            ),
            (
                "HA has it elsewhere",
                changed(3, r#""sid":"ct:103","node":"elitedesk""#, r#""sid":"ct:103","node":"thinkpad""#),
                &["owner"],
                "HA says on thinkpad",
            ),
            (
                "the majority is not agreed on",
                changed(3, "\"quorate\":1", "\"quorate\":0"),
                &["quorum"],
                "HA says: this node is cut off",
            ),
            ("HA says nothing", with(3, "[]"), &["moving", "quorum", "ha"], "nothing about a quorum"),
            (
                "HA does not know the guest",
                changed(3, "ct:103\",\"node", "ct:104\",\"node"),
                &["ha"],
                "HA does not list it",
            ),
            (
                "the guest is not managed, HA says it is",
                changed(2, ",\"hastate\":\"started\"", ""),
                &["ha"],
                "does not manage it",
            ),
            (
                "a new word for armed",
                changed(3, "\"armed-state\":\"armed\"", "\"armed-state\":\"standby\""),
                &["ha"],
                "says that it is standby",
            ),
        ]
    };
    for (name, [vmlist, members, resources, ha], parts, says) in &cases {
        let found = unknown(&read(vmlist, members, resources, ha));
        assert_eq!(found.iter().map(|(what, _)| *what).collect::<Vec<_>>(), **parts, "{name}: {found:?}");
        assert!(found.iter().all(|(_, why)| why.contains(says)), "{name}: {found:?}");
    }
}

#[test]
fn what_holds_back_is_seen() {
    let reading = read(
        VMLIST,
        MEMBERS,
        &RESOURCES_JSON.replacen("\"template\":0", "\"template\":0,\"lock\":\"migrate\"", 1),
        HA_JSON,
    );
    assert_eq!((reading.moving, reading.owner), (Seen::Known(true), Seen::Known(Owner::Here)));
    let backup = RESOURCES_JSON.replacen("\"template\":0", "\"template\":0,\"lock\":\"backup\"", 1);
    assert_eq!(read(VMLIST, MEMBERS, &backup, HA_JSON).moving, Seen::Known(false));
    for state in MOVES {
        let ha = HA_JSON.replace("\"crm_state\":\"started\"", &format!("\"crm_state\":\"{state}\""));
        assert_eq!(read(VMLIST, MEMBERS, RESOURCES_JSON, &ha).moving, Seen::Known(true), "{state}");
    }
    for state in ["disarmed", "disarming"] {
        let ha = HA_JSON.replace("\"armed-state\":\"armed\"", &format!("\"armed-state\":\"{state}\""));
        assert_eq!(read(VMLIST, MEMBERS, RESOURCES_JSON, &ha).ha, Seen::Known(Ha::Disarmed));
    }
    let lost = MEMBERS.replace("\"quorate\": 1", "\"quorate\": 0");
    let ha = HA_JSON.replace("\"quorate\":1", "\"quorate\":0");
    assert_eq!(read(VMLIST, &lost, RESOURCES_JSON, &ha).quorum, Seen::Known(Quorum::Lost));
    // One that HA was told to leave alone, whether HA still lists it or not.
    let resources = RESOURCES_JSON.replace("\"hastate\":\"started\"", "\"hastate\":\"ignored\"");
    let ha = HA_JSON.replace("\"crm_state\":\"started\"", "\"crm_state\":\"ignored\"");
    assert_eq!(read(VMLIST, MEMBERS, &resources, &ha).ha, Seen::Known(Ha::NoHa));
    // A guest that people move: HA has nothing to do with it, armed or not.
    let resources = RESOURCES_JSON.replace(",\"hastate\":\"started\"", "");
    let ha: Vec<_> = HA_JSON.lines().filter(|line| !line.contains("service:")).collect();
    let ha = ha.join("\n").replace(
        "\"timestamp\":1795755600},\n{\"id\":\"fencing\"",
        "\"timestamp\":1795755600},{\"id\":\"fencing\"",
    );
    let ha = format!("{}]", ha.trim_end().trim_end_matches([',', ']']));
    assert_eq!(read(VMLIST, MEMBERS, &resources, &ha).ha, Seen::Known(Ha::NoHa));
}

const MOVES: [&str; 4] = ["migrate", "relocate", "fence", "recovery"];

/// A folder with the two files, and a `pvesh` that is a shell script.
fn place(lines: &str) -> (tempfile::TempDir, Proxmox) {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    write(".vmlist", VMLIST);
    write(".members", MEMBERS);
    write("resources", RESOURCES_JSON);
    write("ha", HA_JSON);
    let pvesh = folder.path().join("pvesh");
    script(&pvesh, &format!("#!/bin/sh\ncd {}\n{lines}\n", folder.path().display()));
    let source = Proxmox::new(103, folder.path(), pvesh, names(), Duration::from_secs(30));
    (folder, source)
}

const GOOD: &str = "[ \"$1\" = get ] || exit 9; case \"$2 $*\" in */cluster/resources*--type\\ vm*json*) cat resources;; */cluster/ha/status/current*) cat ha;; *) exit 8;; esac";

#[test]
fn files_and_pvesh_are_asked() {
    let (folder, mut source) = place(GOOD);
    let reading = source.observe(&Cancel::new());
    assert_eq!(unknown(&reading), []);
    assert_eq!(reading.owner, Seen::Known(Owner::Here));
    // A glance asks the files only.
    std::fs::remove_file(folder.path().join("pvesh")).expect("removed");
    let glance = source.glance(&Cancel::new());
    assert_eq!(glance, Glance { owner: Seen::Known(Owner::Here), quorum: Seen::Known(Quorum::Quorate) });
    let reading = source.observe(&Cancel::new());
    assert!(unknown(&reading).iter().all(|(_, why)| why.contains("cannot be started")), "{reading:?}");
    assert_eq!(unknown(&reading).len(), 4);
    // pmxcfs is not mounted: the folder is there, and empty.
    std::fs::remove_file(folder.path().join(".vmlist")).expect("removed");
    std::fs::remove_file(folder.path().join(".members")).expect("removed");
    let glance = source.glance(&Cancel::new());
    assert!(glance.owner.why().is_some_and(|why| why.contains("No such file")), "{glance:?}");
    assert!(glance.quorum.known().is_none());
}

#[test]
fn what_hangs_or_is_refused_is_not_known() {
    let (_folder, mut source) = place("sleep 1000");
    source.timeout = Duration::from_secs(1);
    let reading = source.observe(&Cancel::new());
    assert_eq!(unknown(&reading).len(), 4, "{reading:?}");
    assert!(unknown(&reading).iter().all(|(_, why)| why.contains("did not answer in 1 s")), "{reading:?}");
    let refused = "echo '403 Permission check failed (/, Sys.Audit)' >&2; exit 255";
    let (_folder, mut source) = place(&GOOD.replace("cat ha", refused));
    let reading = source.observe(&Cancel::new());
    let found: Vec<_> = unknown(&reading).into_iter().map(|(what, _)| what).collect();
    assert_eq!(found, ["moving", "quorum", "ha"]);
    assert!(reading.ha.why().is_some_and(|why| why.contains("403 Permission check failed")), "{reading:?}");
    // A file that is never read to the end.
    let (folder, mut source) = place(GOOD);
    source.timeout = Duration::from_secs(1);
    let vmlist = folder.path().join(".vmlist");
    std::fs::remove_file(&vmlist).expect("removed");
    rustix::fs::mknodat(rustix::fs::CWD, &vmlist, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .expect("made");
    let glance = source.glance(&Cancel::new());
    assert!(glance.owner.why().is_some_and(|why| why.contains("did not answer")), "{glance:?}");
    assert_eq!(glance.quorum, Seen::Known(Quorum::Quorate));
}
