//! Between two machines: the command lines that people have in their crontabs, transfers that one program began and
//! the other ends, and pools that the real one has kept.

use super::*;
use crate::replicas::pair;

const STORE: [&str; 3] = ["zpool1/data-nfs-share", "zpool2/photos", "zpool2/storage"];

/// Two nodes with `zpool1` and `zpool2` each; `master` is another name of the first, `backup` of the second.
fn machines() -> Cluster {
    let cluster = pair();
    for number in [1, 2] {
        let node = cluster.node(number);
        sh(
            node,
            "zpool destroy tank 2>/dev/null; zpool destroy back 2>/dev/null
             echo \"$(getent hosts node1 | cut -d' ' -f1) master\" >> /etc/hosts
             echo \"$(getent hosts node2 | cut -d' ' -f1) backup\" >> /etc/hosts
             for h in node1:master node2:backup; do
                 ssh-keyscan ${h%:*} 2>/dev/null | sed \"s/^${h%:*}/${h#*:}/\" >> /root/.ssh/known_hosts
             done
             zpool create -f -O mountpoint=none zpool1 /dev/ubdb; zpool create -f -O mountpoint=none zpool2 /dev/ubdc",
        );
    }
    cluster
}

/// The three trees, with two snapshots each.
fn fill(node: &Node) {
    for (number, dataset) in STORE.iter().enumerate() {
        sh(
            node,
            &format!(
                "zfs create -o mountpoint=/mnt/{number} {dataset}; zfs create {dataset}/below
                 head -c 2000000 /dev/urandom > /mnt/{number}/f; zfs snapshot -r {dataset}@one
                 head -c 500000 /dev/urandom > /mnt/{number}/g; zfs snapshot -r {dataset}@two"
            ),
        );
    }
}

/// Snapshots with their GUIDs.
fn guids(node: &Node, dataset: &str) -> String {
    sh(node, &format!("zfs list -Hp -t snapshot -o name,guid -r {dataset}"))
}

/// Each round as written, by a way: at the second machine by pull, or at the first by push.
fn three_lines(push: bool) {
    let cluster = machines();
    let (master, backup) = (cluster.node(1), cluster.node(2));
    fill(master);
    for round in 0..3 {
        for dataset in STORE {
            let (at, line) = match push {
                true => (master, format!("{dataset} root@backup:{dataset}")),
                false => (backup, format!("root@master:{dataset} {dataset}")),
            };
            let done = at.sh(&format!("syncoid --no-sync-snap --recursive {line}")).expect("it runs");
            assert_eq!(done.code(), 0, "{}{}", done.out(), done.err());
            assert_eq!(done.out().contains("Nothing to do"), round == 1, "{}", done.out());
            assert_eq!(guids(master, dataset), guids(backup, dataset));
            let marks = sh(master, &format!("zfs list -H -t bookmark -r {dataset} 2>/dev/null | wc -l"));
            assert_eq!(marks, "0");
        }
        if round == 1 {
            for (number, dataset) in STORE.iter().enumerate() {
                sh(master, &format!("date > /mnt/{number}/h; zfs snapshot -r {dataset}@three"));
            }
        }
    }
}

#[test]
fn three_lines_as_written_by_pull() {
    three_lines(false);
}

#[test]
fn three_lines_as_written_by_push() {
    three_lines(true);
}

#[test]
fn a_pool_that_the_real_one_kept_is_carried_on_and_back() {
    let cluster = machines();
    let (master, backup) = (cluster.node(1), cluster.node(2));
    fill(master);
    let dataset = STORE[0];
    for (round, program) in [REAL, REAL, "syncoid", REAL, "syncoid"].iter().enumerate() {
        let said = sh(
            backup,
            &format!("sleep 1.1; {program} -r --identifier=a root@master:{dataset} {dataset} 2>&1"),
        );
        assert_eq!(said.contains("Sending oldest full"), round == 0, "{program}: {said}");
        assert_eq!(guids(master, dataset), guids(backup, dataset), "{program}");
        let own =
            sh(master, &format!("zfs list -H -t snapshot -o name {dataset} | grep -c syncoid_a_node2_"));
        assert_eq!(own, "1", "{program}");
        sh(master, &format!("date > /mnt/0/d{round}; zfs snapshot -r {dataset}@r{round}"));
    }
}

#[test]
fn what_one_began_the_other_ends() {
    let cluster = machines();
    let (master, backup) = (cluster.node(1), cluster.node(2));
    sh(
        master,
        "zfs create -o mountpoint=/mnt/x zpool1/x; head -c 40000000 /dev/urandom > /mnt/x/f; zfs snapshot zpool1/x@one",
    );
    for (number, (first, second)) in [(REAL, "syncoid"), ("syncoid", REAL)].into_iter().enumerate() {
        let target = format!("zpool2/x{number}");
        // So slow that it is met on its way.
        let begun = backup
            .script(&format!(
                "exec {first} --no-sync-snap --compress=none --source-bwlimit=2m root@master:zpool1/x {target}"
            ))
            .spawn()
            .expect("it starts");
        let kept = format!("zfs list -Hp -o used {target} 2>/dev/null || echo 0");
        let mut tries = 0;
        while sh(backup, &kept).parse::<u64>().expect("a number") < 4_000_000 {
            tries += 1;
            assert!(tries < 300 && !begun.finished(), "{first} did not get far");
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        begun.signal(15);
        // The real one leaves its children to themselves.
        sh(
            backup,
            "pkill -x ssh || true; pkill -x mbuffer || true; for i in $(seq 100); do pgrep -f 'zfs receive|zfs recv' >/dev/null || break; sleep 0.1; done",
        );
        let done = begun.wait().expect("it ended");
        assert_ne!(done.code(), 0, "{first}: {}{}", done.out(), done.err());
        let token = sh(backup, &format!("zfs get -H -o value receive_resume_token {target}"));
        assert!(token.len() > 10, "{first} left nothing to resume: {token} {}", done.err());
        let said = sh(backup, &format!("{second} --no-sync-snap root@master:zpool1/x {target} 2>&1"));
        assert!(said.contains("Resuming interrupted zfs send/receive from"), "{second}: {said}");
        let guid = |node: &Node, of: &str| sh(node, &format!("zfs get -H -o value guid {of}"));
        assert_eq!(guid(master, "zpool1/x@one"), guid(backup, &format!("{target}@one")));
        // An incremental, cut where a narrow pipe ends: the next of the chain follows behind it.
        let (two, three) = (format!("two{number}"), format!("three{number}"));
        sh(
            master,
            &format!(
                "head -c 3000000 /dev/urandom > /mnt/x/g; zfs snapshot zpool1/x@{two}
                 date > /mnt/x/h; zfs snapshot zpool1/x@{three}"
            ),
        );
        let newest = sh(
            backup,
            &format!("zfs list -H -t snapshot -o name -s createtxg {target} | tail -1 | cut -d@ -f 2"),
        );
        sh(
            backup,
            &format!(
                "ssh root@master zfs send -I @{newest} zpool1/x@{two} | head -c 1500000 | zfs receive -s -u {target} || true"
            ),
        );
        let said = sh(backup, &format!("{second} --no-sync-snap root@master:zpool1/x {target} 2>&1"));
        assert!(said.contains("Resuming interrupted zfs send/receive from"), "{second}: {said}");
        for snapshot in [&two, &three] {
            let (source, copy) = (format!("zpool1/x@{snapshot}"), format!("{target}@{snapshot}"));
            assert_eq!(guid(master, &source), guid(backup, &copy), "{second}: {said}");
        }
    }
}

#[test]
fn ssh_options_reach_ssh_and_failures_have_their_status() {
    let cluster = machines();
    let (master, backup) = (cluster.node(1), cluster.node(2));
    fill(master);
    let dataset = STORE[1];
    sh(
        master,
        "$(command -v sshd) -p 2222; useradd -m keeper; usermod -p '*' keeper; mkdir -p ~keeper/.ssh
         cp ~/.ssh/authorized_keys ~keeper/.ssh/; chown -R keeper ~keeper/.ssh
         echo 'keeper ALL=(root) NOPASSWD: ALL' > /etc/sudoers.d/keeper",
    );
    sh(
        backup,
        "ssh-keyscan node1 2>/dev/null | sed 's/^[^ ]*/[master]:2222/' >> /root/.ssh/known_hosts
         printf 'Host elsewhere\\n HostName master\\n HostKeyAlias master\\n User root\\n' > /tmp/config
         cp ~/.ssh/id_* /tmp/ 2>/dev/null; ls /tmp/id_* | grep -v pub | head -1 > /tmp/which",
    );
    let run = |line: &str| {
        let done = backup.sh(&format!("syncoid --no-sync-snap {line}")).expect("it runs");
        (done.code(), format!("{}{}", done.out(), done.err()))
    };
    for (number, (options, machine)) in [
        ("--sshport=2222", "root@master"),
        ("--sshconfig=/tmp/config", "elsewhere"),
        ("--sshkey=$(cat /tmp/which)", "root@master"),
        ("-c aes256-ctr", "root@master"),
        ("-o Compression=yes --sshoption=ServerAliveInterval=5", "root@master"),
        ("--compress=none --source-bwlimit=50m", "@master"),
        ("", "keeper@master"),
    ]
    .into_iter()
    .enumerate()
    {
        // Not as root it is through sudo, which the user of the alias does not need.
        let (code, said) = run(&format!("{options} {machine}:{dataset} zpool2/ssh{number}"));
        assert_eq!(code, 0, "{options}: {said}");
        assert!(sh(backup, &format!("zfs list -H -o name zpool2/ssh{number}@two")).len() > 5);
    }
    for (options, machine) in [
        ("--sshport=9", "root@master"),
        ("", "root@nosuchhost.invalid"),
        ("-c nonsense", "root@master"),
        ("--sshkey=/tmp/missing", "root@master"),
    ] {
        let (code, said) = run(&format!("{options} {machine}:{dataset} zpool2/no"));
        assert_eq!(code, 2, "{options}: {said}");
        assert!(said.contains("CRITICAL ERROR: ssh connection echo test failed for"), "{options}: {said}");
    }
    // Without sudo, and without rights.
    let (code, said) = run(&format!("--no-privilege-elevation keeper@master:{dataset} zpool2/no"));
    assert_eq!(code, 2, "{said}");
    // With the rights it needs there.
    sh(master, &format!("zfs allow keeper send,hold {dataset}"));
    let (code, said) = run(&format!("--no-privilege-elevation keeper@master:{dataset} zpool2/allowed"));
    assert_eq!(code, 0, "{said}");
    // A host key that nobody knows is not taken, whatever is asked for, and that is said.
    sh(backup, "cp /root/.ssh/known_hosts /tmp/known; : > /root/.ssh/known_hosts");
    let (code, said) = run(&format!("-o StrictHostKeyChecking=no root@master:{dataset} zpool2/no"));
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("-o StrictHostKeyChecking is not followed"), "{said}");
    sh(backup, "cp /tmp/known /root/.ssh/known_hosts");
}

#[test]
fn what_another_machine_says_reaches_no_shell() {
    let cluster = machines();
    let (master, backup) = (cluster.node(1), cluster.node(2));
    let bad = "$(touch /tmp/hit);`touch /tmp/hit`";
    for (node, source) in [(master, "zpool1/a b"), (backup, "zpool1/c d")] {
        sh(
            node,
            &format!(
                "zfs create '{source}'; zfs create '{source}/e f'; zfs set 'org.example:x={bad}' '{source}'
                 zfs snapshot -r '{source}@one two'; zfs hold '{bad}' '{source}@one two'"
            ),
        );
    }
    let more = "-r --no-sync-snap --preserve-properties --sendoptions=h --create-bookmark";
    for (source, line) in [
        ("zpool1/a b", "'root@master:zpool1/a b' 'zpool2/pull'"),
        ("zpool1/c d", "'zpool1/c d' 'root@master:zpool2/push'"),
    ] {
        let pulls = source == "zpool1/a b";
        let (from, to, target) =
            if pulls { (master, backup, "zpool2/pull") } else { (backup, master, "zpool2/push") };
        for round in 0..2 {
            let done = backup.sh(&format!("syncoid {more} {line}")).expect("it runs");
            assert_eq!(done.code(), 0, "{line}: {}{}", done.out(), done.err());
            sh(from, &format!("zfs snapshot -r '{source}@three {round}'"));
        }
        for node in [master, backup] {
            assert_eq!(sh(node, "ls /tmp/hit 2>/dev/null || echo none"), "none", "{line}");
        }
        assert_eq!(sh(to, &format!("zfs get -H -o value org.example:x {target}")), bad, "{line}");
        assert_eq!(sh(to, &format!("zfs holds -H '{target}@one two' | cut -f 2")), bad, "{line}");
        assert_eq!(
            sh(to, &format!("zfs list -H -o name '{target}/e f@three 0'")),
            format!("{target}/e f@three 0")
        );
    }
}

#[test]
fn every_compression_reaches_the_other_machine_or_is_told() {
    let cluster = machines();
    let (master, backup) = (cluster.node(1), cluster.node(2));
    fill(master);
    let dataset = STORE[0];
    for (number, name) in [
        "none",
        "gzip",
        "pigz-fast",
        "pigz-slow",
        "zstd-fast",
        "zstdmt-fast",
        "zstd-slow",
        "zstdmt-slow",
        "xz",
        "lzo",
        "lz4",
        "nonsense",
    ]
    .iter()
    .enumerate()
    {
        for (at, line) in [
            (backup, format!("root@master:{dataset} zpool2/pull{number}")),
            (master, format!("{dataset} root@backup:zpool2/push{number}")),
        ] {
            let done = at.sh(&format!("syncoid --no-sync-snap --compress={name} {line}")).expect("it runs");
            let said = format!("{}{}", done.out(), done.err());
            assert_eq!(done.code(), 0, "{name}: {said}");
            assert_eq!(
                said.contains("Unrecognised compression value nonsense"),
                *name == "nonsense",
                "{said}"
            );
        }
        let guid = |node: &Node, of: String| sh(node, &format!("zfs get -H -o value guid {of}@two"));
        let sent = guid(master, dataset.to_string());
        assert_eq!(sent, guid(backup, format!("zpool2/pull{number}")), "{name}");
        assert_eq!(sent, guid(backup, format!("zpool2/push{number}")), "{name}");
    }
}

#[test]
fn data_go_over_a_connection_of_their_own_where_asked() {
    let cluster = machines();
    let (master, backup) = (cluster.node(1), cluster.node(2));
    fill(master);
    let dataset = STORE[0];
    let address = |node: &Node, name: &str| sh(node, &format!("getent hosts {name} | cut -d' ' -f1"));
    let (of_master, of_backup) = (address(backup, "master"), address(master, "backup"));
    // The nodes have mbuffer, and neither socat nor busybox.
    let ways = [
        (backup, format!("{of_backup}:9000"), "root@master:", "", "pull"),
        (master, format!("{of_backup}:9001,:9001,30,mbuffer"), "", "root@backup:", "push"),
    ];
    let run = |at: &Node, direct: &str, line: &str| {
        let done = at.sh(&format!("syncoid -r --no-sync-snap --insecure-direct-connection={direct} {line}"));
        let done = done.expect("it runs");
        (done.code(), format!("{}{}", done.out(), done.err()))
    };
    // Somebody who connects to the port of a pull again and again, with something to say, and is let in never.
    sh(
        master,
        &format!(
            "(while [ ! -e /tmp/stop ]; do echo GET | nc -w 1 {of_backup} 9000; sleep 0.05; done) >/dev/null 2>&1 &"
        ),
    );
    for round in 0..2 {
        for (at, direct, from, to, target) in &ways {
            for compress in ["none", "lzo"] {
                let target = format!("zpool2/{target}-{compress}");
                let line = format!("--compress={compress} {from}{dataset} {to}{target}");
                let (code, said) = run(at, direct, &line);
                assert_eq!(code, 0, "{line}: {said}");
                assert!(said.contains("a connection that is not encrypted"), "{line}: {said}");
                assert!(said.contains("Sending incremental"), "{line}: {said}");
                let here = guids(master, dataset).replace(dataset, "");
                assert_eq!(here, guids(backup, &target).replace(&target, ""), "{line}");
            }
        }
        sh(master, &format!("date > /mnt/0/r{round}; zfs snapshot -r {dataset}@r{round}"));
    }
    sh(master, "touch /tmp/stop");
    // Without the connection nothing goes over: an address of another machine, and a port where nobody listens.
    let (code, said) =
        run(backup, &format!("{of_master}:9000,,5"), &format!("root@master:{dataset} zpool2/no"));
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("cannot listen at"), "{said}");
    let (code, said) = run(
        master,
        &format!("{of_backup}:9003,:9004,5,mbuffer"),
        &format!("{dataset} root@backup:zpool2/no"),
    );
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("cannot connect to"), "{said}");
    for node in [master, backup] {
        let (code, said) = run(
            node,
            &format!("{of_backup}:9000"),
            &format!("root@master:{dataset} root@backup:zpool2/relay"),
        );
        assert_eq!(code, 2, "{said}");
    }
    assert_eq!(sh(backup, "zfs list -H -o name zpool2/no 2>/dev/null || echo none"), "none");
}

#[test]
fn both_sides_may_be_other_machines() {
    let cluster = machines();
    let (master, backup) = (cluster.node(1), cluster.node(2));
    fill(master);
    let dataset = STORE[2];
    for program in ["syncoid", REAL] {
        let kept = if program == REAL { "real" } else { "ours" };
        for _ in 0..2 {
            sh(
                backup,
                &format!(
                    "sleep 1.1; {program} -r --preserve-properties root@master:{dataset} root@backup:zpool1/{kept} 2>&1"
                ),
            );
        }
        let list = |node: &Node, of: &str| {
            sh(
                node,
                &format!(
                    "zfs list -Hp -t snapshot -o name,guid -r {of} | sed 's,^[^@]*,,' | grep -v syncoid_"
                ),
            )
        };
        assert_eq!(list(master, dataset), list(backup, &format!("zpool1/{kept}")), "{program}");
    }
}
