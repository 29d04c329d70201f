//! Random scenarios: two trees with snapshots, bookmarks, clones, holds and broken-off receives, and a few runs over
//! them with random options.

use replicator::model::Random;

/// What is done to each pool, whose name stands for `$P`.
pub(crate) struct Case {
    /// Makes both sides.
    pub(crate) setup: Vec<String>,
    /// Runs, each with what happens before.
    pub(crate) rounds: Vec<Round>,
}

/// One run.
pub(crate) struct Round {
    /// What happens before.
    pub(crate) before: Vec<String>,
    /// Its options.
    pub(crate) options: String,
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.setup.join("\n"))?;
        for round in &self.rounds {
            writeln!(f, "{}\nsyncoid {} $P/c/src $P/c/dst/t", round.before.join("\n"), round.options)?;
        }
        Ok(())
    }
}

/// The trees that a target is made like.
const TREE: [&str; 4] = ["", "/b", "/b/c d", "/vol"];

impl Case {
    /// Of this seed.
    pub(crate) fn random(random: &mut Random) -> Self {
        let mut setup = vec![
            "zfs create $P/c; zfs create $P/c/dst; zfs create -o mountpoint=/mnt/$P $P/c/src".to_string(),
            "zfs create $P/c/src/b; zfs create \"$P/c/src/b/c d\"; zfs create -s -V 8M $P/c/src/vol"
                .to_string(),
        ];
        let count = 2 + random.below(3);
        for number in 1..=count {
            setup.push(write(number));
            setup.push(format!("zfs snapshot -r $P/c/src@s{number}"));
            if random.once_in(6) {
                setup
                    .push(format!("zfs snapshot $P/c/src@syncoid_other_2025-01-0{number}:00:00:00-GMT00:00"));
            }
        }
        if random.once_in(3) {
            setup.push("zfs clone $P/c/src@s1 $P/c/src/a; zfs snapshot $P/c/src/a@s9".to_string());
        }
        if random.once_in(3) {
            setup.push("zfs set recordsize=16K atime=off org.example:x=y $P/c/src/b".to_string());
        }
        if random.once_in(5) {
            let value = random.one_of(&["false", "nobody,else", "node1", "true"]).unwrap_or_default();
            setup.push(format!("zfs set syncoid:sync={value} $P/c/src/b"));
        }
        target(random, count, &mut setup);
        if setup.iter().any(|command| command.contains("zfs bookmark")) {
            // The real one takes dates for the order, and passes over what was taken in the second of a bookmark.
            for command in setup.iter_mut().filter(|command| command.starts_with("zfs snapshot")) {
                command.insert_str(0, "sleep 1.1; ");
            }
        }
        let rounds = (0..1 + random.below(3)).map(|number| round(random, number)).collect();
        Self { setup, rounds }
    }
}

/// Writes something of which no two are the same.
fn write(number: u64) -> String {
    let seed = number * 7919;
    format!(
        "seq {seed} {} > /mnt/$P/f; seq {seed} {} > /mnt/$P/b/g; head -c 300000 /dev/urandom > /mnt/$P/h",
        seed + 20000,
        seed + 5000
    )
}

/// What the target has before the first run.
fn target(random: &mut Random, count: u64, setup: &mut Vec<String>) {
    match random.below(8) {
        // Nothing.
        0 | 1 => return,
        // Something else.
        2 => {
            setup.push("zfs create $P/c/dst/t; zfs create $P/c/dst/t/z".to_string());
            if random.once_in(2) {
                setup.push("zfs snapshot -r $P/c/dst/t@s1".to_string());
            }
            return;
        }
        // A first receive that broke off.
        3 => {
            setup.push("zfs send $P/c/src@s1 | head -c 150000 | zfs receive -s -u $P/c/dst/t".to_string());
            if random.once_in(3) {
                setup.push("zfs destroy $P/c/src@s1 || :".to_string());
            }
            return;
        }
        _ => {}
    }
    let upto = 1 + random.below(count.min(2));
    for below in TREE {
        setup.push(format!("zfs send \"$P/c/src{below}@s1\" | zfs receive -u \"$P/c/dst/t{below}\""));
        if upto > 1 {
            setup.push(format!(
                "zfs send -i @s1 \"$P/c/src{below}@s2\" | zfs receive -u \"$P/c/dst/t{below}\""
            ));
        }
    }
    if random.once_in(3) {
        setup.push("zfs snapshot -r $P/c/dst/t@x".to_string());
    }
    if random.once_in(6) {
        setup.push(format!("zfs snapshot $P/c/dst/t/b@s{}", upto + 1));
    }
    if random.once_in(6) {
        setup.push(
            "zfs set mountpoint=/mnt/$P.dst $P/c/dst/t; zfs mount $P/c/dst/t 2>/dev/null; echo x > /mnt/$P.dst/x"
                .to_string(),
        );
    }
    if random.once_in(3) {
        // Only bookmarks are left of what both had.
        let which = if random.once_in(2) { "-r " } else { "" };
        let sets = if which.is_empty() { "src" } else { "src src/b src/vol" };
        for number in 1..=upto {
            if number == upto || random.once_in(2) {
                setup.push(format!(
                    "for d in {sets}; do zfs bookmark $P/c/$d@s{number} $P/c/$d#m{number}; done"
                ));
            }
            // What a clone needs stays, on either pool.
            setup.push(format!("zfs destroy {which}$P/c/src@s{number} 2>/dev/null || :"));
        }
        if random.once_in(4) {
            setup.push("zfs destroy $P/c/src#m1 2>/dev/null || :".to_string());
        }
    } else if random.once_in(5) && count > upto {
        let next = upto + 1;
        setup.push(format!(
            "zfs send -i @s{upto} $P/c/src@s{next} | head -c 150000 | zfs receive -s -F -u $P/c/dst/t"
        ));
        if random.once_in(3) {
            setup.push(format!("zfs destroy $P/c/src@s{next} || :"));
        }
    }
    if random.once_in(6) {
        setup.push("zfs hold keep $P/c/src@s1 2>/dev/null || :".to_string());
    }
}

fn round(random: &mut Random, number: u64) -> Round {
    let mut before = vec!["sleep 1.1".to_string()];
    if number > 0 {
        before.push(write(10 + number));
        if !random.once_in(4) {
            before.push(format!("zfs snapshot -r $P/c/src@r{number}"));
        }
        if random.once_in(6) {
            before.push(format!("zfs snapshot $P/c/dst/t@y{number} 2>/dev/null || :"));
        }
        if random.once_in(6) {
            before.push(format!("zfs bookmark $P/c/src@r{number} $P/c/src#r{number} 2>/dev/null || :"));
        }
        if random.once_in(8) {
            before.push("zfs destroy $P/c/src@s2 2>/dev/null || :".to_string());
        }
    }
    let mut options = Vec::new();
    for (option, times) in [
        ("-r", 2),
        ("--skip-parent", 10),
        ("--keep-sync-snap", 4),
        ("--no-stream", 5),
        ("--use-hold", 4),
        ("--no-rollback", 6),
        ("--force-delete", 4),
        ("--delete-target-snapshots", 4),
        ("--exclude-datasets=/b$", 8),
        ("--exclude=vol", 12),
        ("--include-snaps=^[rs]", 10),
        ("--exclude-snaps=2$", 10),
        ("--identifier=x-1", 6),
        ("--no-resume", 6),
        ("--no-clone-handling", 6),
        ("--preserve-properties", 8),
        ("--preserve-recordsize", 8),
        ("--sendoptions='Lce'", 10),
        ("--recvoptions='u o org.example:z=1'", 10),
        ("--compress=none", 6),
        ("--quiet", 4),
    ] {
        if random.once_in(times) {
            options.push(option);
        }
    }
    if random.once_in(2) {
        options.push("--no-sync-snap");
        if random.once_in(2) {
            options.push("--create-bookmark");
        }
    }
    Round { before, options: options.join(" ") }
}
