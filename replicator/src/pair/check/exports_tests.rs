//! Exports as people and programs write them, and what is said of each.

use super::exports::*;
use super::*;
use crate::check::Grade;

fn places(all: &[(&str, &str)]) -> Vec<(DatasetName, PathBuf)> {
    all.iter().map(|(name, at)| (name.parse().expect("a name"), PathBuf::from(at))).collect()
}

/// As exports(5) has it, and as `exportfs -v` prints what is in effect.
#[test]
fn exports_are_read_as_people_and_programs_write_them() {
    let text = "\
# a comment
/srv/a 10.0.0.0/24(rw,sync,fsid=1) *(ro,fsid=1)
\"/srv/with space\" -sync,no_subtree_check host(rw) \\
    other(fsid=2)
/srv/oct\\040al host # the rest
/srv/none
";
    let found = parse(text);
    let paths: Vec<_> = found.iter().map(|one| one.path.to_str().expect("text")).collect();
    assert_eq!(paths, ["/srv/a", "/srv/with space", "/srv/oct al", "/srv/none"]);
    assert_eq!(found[0].clients.len(), 2);
    let names: Vec<_> = found[1].clients.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["host", "other"]);
    assert_eq!(found[1].clients[1].options, ["sync", "no_subtree_check", "fsid=2"]);
    assert_eq!((found[2].clients.len(), found[3].clients.len()), (1, 0));

    let table = "\
/srv/a        \t10.0.0.0/24(sync,wdelay,hide,fsid=1,sec=sys,rw)
/srv/a        \t<world>(sync,wdelay,hide,fsid=1,sec=sys,ro)
/srv/a/very/long/path
\t\t<world>(sync,wdelay,hide,fsid=7,sec=sys,ro)
";
    let found = parse(table);
    let paths: Vec<_> =
        found.iter().map(|one| (one.path.to_str().expect("text"), one.clients.len())).collect();
    assert_eq!(paths, [("/srv/a", 2), ("/srv/a/very/long/path", 1)]);
    assert_eq!(parse(""), []);
}

/// What the script prints, of a server that has these files.
fn server(files: &str, running: &str) -> Nfs {
    let text = format!(
        "\n==== /etc/exports\n{files}\n\n==== /proc/fs/nfsd/nfsv4leasetime\n90\n\
         \n==== /proc/fs/nfsd/nfsv4gracetime\n90\n\n==== exportfs 0\n{running}\n"
    );
    Nfs::read("guest 103", &text)
}

fn told(nfs: &Nfs, of: &[(&str, &str)]) -> Vec<(Grade, String)> {
    super::exports::findings(nfs, &places(of)).into_iter().map(|one| (one.grade, one.text)).collect()
}

const DATA: &[(&str, &str)] = &[("tank/data", "/data")];

#[test]
fn an_export_needs_an_fsid_of_its_own_in_its_file_and_in_effect() {
    let good = server("/data *(rw,fsid=1)", "/data \t<world>(rw,fsid=1)");
    let found = told(&good, DATA);
    assert_eq!(found.iter().map(|one| one.0).collect::<Vec<_>>(), [Grade::Ok, Grade::Ok], "{found:?}");
    assert_eq!(good.fsids(), "/data=1");
    let first = |files: &str, running: &str| told(&server(files, running), DATA).remove(0);
    for (files, running, grade, words) in [
        ("/data *(rw)", "/data \t<world>(rw)", Grade::Fail, "without fsid="),
        ("/data/part a(rw,fsid=1) b(rw)", "/data/part \ta(rw,fsid=1)", Grade::Fail, "without fsid="),
        ("/data a(fsid=1) b(fsid=2)", "/data \ta(fsid=1)", Grade::Fail, "not the same for all"),
        ("", "/data \t<world>(fsid=1)", Grade::Warn, "no file says so"),
        ("/data *(fsid=2)", "/data \t<world>(fsid=1)", Grade::Warn, "not what its files say"),
        ("/data *(fsid=2)", "", Grade::Warn, "not what its files say"),
        ("/data *(fsid=root)", "/data \t<world>(fsid=0)", Grade::Ok, "with fsid=0"),
        ("/other *(rw)", "/other \t<world>(rw)", Grade::Ok, "exports no dataset of the pair"),
    ] {
        let (found, text) = first(files, running);
        assert_eq!(found, grade, "{files} {text}");
        assert!(text.contains(words), "{files} {text}");
    }
}

#[test]
fn two_exports_with_one_fsid_and_datasets_below_an_export_are_found() {
    let both = server("/data *(fsid=1)\n/other *(fsid=1)", "/data \t*(fsid=1)\n/other \t*(fsid=1)");
    let found = told(&both, DATA);
    assert!(
        found.iter().any(|(grade, text)| *grade == Grade::Fail && text.contains("the same fsid=1")),
        "{found:?}"
    );
    let below = [("tank/data", "/data"), ("tank/data/photos", "/data/photos")];
    let crossed = server("/data *(fsid=1,crossmnt)", "/data \t*(fsid=1,crossmnt)");
    let found = told(&crossed, &below);
    assert!(
        found.iter().any(|(grade, text)| *grade == Grade::Fail && text.contains("crossmnt")),
        "{found:?}"
    );
    let own = "/data *(fsid=1,crossmnt)\n/data/photos *(fsid=2)";
    let found = told(&server(own, &own.replace(" *", " \t*")), &below);
    assert!(found.iter().all(|(grade, _)| *grade == Grade::Ok), "{found:?}");
}

#[test]
fn what_cannot_be_read_of_a_server_is_not_good() {
    let nothing = Nfs::read("a", "");
    let found = told(&nothing, DATA);
    assert_eq!(found[0].0, Grade::Warn, "{found:?}");
    assert!(found[0].1.contains("is not known: there is no exportfs"), "{found:?}");
    let text = "\n==== /etc/exports\n/data *(fsid=1)\n\n==== exportfs 1\nexportfs: no rights\n";
    let found = told(&Nfs::read("a", text), DATA);
    let grades: Vec<_> = found.iter().map(|one| one.0).collect();
    assert_eq!(grades, [Grade::Warn, Grade::Ok, Grade::Warn], "the table, the export, the times: {found:?}");
    assert!(found[0].1.contains("exportfs: no rights"), "{found:?}");
    let mut short = server("/data *(fsid=1)", "/data \t*(fsid=1)");
    short.grace = Seen::Known(10);
    let found = told(&short, DATA);
    assert!(
        found.iter().any(|(grade, text)| *grade == Grade::Warn && text.contains("nfsv4gracetime")),
        "{found:?}"
    );
}
