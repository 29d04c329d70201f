//! The lab keeps its promises: disks survive power cuts, links do what they are told, clocks are per node,
//! limits end what hangs.

use lab::{Cluster, LabError, Status, Stream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

type Tested = Result<(), LabError>;

fn small(nodes: usize) -> lab::Builder {
    Cluster::builder().nodes(nodes).memory(1024)
}

#[test]
fn a_pool_survives_power_cuts_and_memory_does_not() -> Tested {
    let cluster = small(1).boot()?;
    let node = cluster.node(1);
    node.check(["zpool", "create", "tank", "/dev/ubdb", "/dev/ubdc"])?;
    node.sh("head -c 3000000 /dev/urandom > /tank/file; touch /root/lost; sync; sha256sum /tank/file > /tank/sum; sync")?.ok()?;
    for _ in 0..2 {
        node.power_cut();
        assert!(!node.is_running());
        assert!(matches!(node.run(["true"]), Err(LabError::NodeDied { .. })));
        node.boot()?;
        node.check(["zpool", "import", "-f", "tank"])?;
        node.check(["sha256sum", "-c", "/tank/sum"])?;
        assert!(!node.run(["test", "-e", "/root/lost"])?.success());
    }
    node.shutdown()?;
    assert!(!node.is_running());
    Ok(())
}

#[test]
fn status_streams_and_input_come_through_unchanged() -> Tested {
    let cluster = small(1).boot()?;
    let node = cluster.node(1);
    let output = node.sh("echo out; echo err >&2; exit 41")?;
    assert_eq!((output.code(), output.out().as_str(), output.err().as_str()), (41, "out", "err"));
    assert_eq!(node.sh("kill -9 $$")?.status, Status::Signal(9));
    assert!(matches!(node.run(["/no/such/program"]), Err(LabError::Spawn { .. })));

    // Every byte both ways, more than any buffer holds, several commands at once.
    let bytes: Vec<u8> = (0..3_000_017_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::thread::scope(|scope| {
        let twins: Vec<_> =
            (0..3).map(|_| scope.spawn(|| node.command("cat").stdin(bytes.clone()).check())).collect();
        for twin in twins {
            assert!(twin.join().unwrap().unwrap().stdout == bytes, "cat changed its input");
        }
    });
    node.write_file("/tmp/a file\nwith a line", &bytes[..1000])?;
    assert_eq!(node.read_file("/tmp/a file\nwith a line")?, &bytes[..1000]);
    // A command that reads nothing takes nothing.
    assert!(node.command("true").stdin(bytes).run()?.success());

    let mut seen = Vec::new();
    node.script("for i in 1 2 3; do echo $i; done; echo four >&2").stream(|stream, data| {
        seen.push((stream, String::from_utf8_lossy(data).into_owned()));
        true
    })?;
    let out: String = seen.iter().filter(|(s, _)| *s == Stream::Stdout).map(|(_, t)| t.as_str()).collect();
    assert_eq!(out, "1\n2\n3\n");
    assert!(seen.contains(&(Stream::Stderr, "four\n".into())));
    Ok(())
}

#[test]
fn limits_end_commands_and_what_they_started() -> Tested {
    let cluster = small(1).boot()?;
    let node = cluster.node(1);
    let late = node.script("sleep 1000 & sleep 1000").limit(Duration::from_millis(500)).run();
    let Err(LabError::Timeout { console, .. }) = late else { panic!("no timeout: {late:?}") };
    assert!(console.contains("Run /init"), "the console is shown: {console}");
    assert_eq!(node.run(["pgrep", "sleep"])?.code(), 1, "the child was killed, too");

    let background = node.command("sleep").arg("1000").spawn()?;
    assert!(!background.finished());
    background.kill();
    assert_eq!(background.wait()?.status, Status::Signal(9));
    // One command's flood does not hold others up.
    let loud = node.command("yes").limit(Duration::from_secs(1)).spawn()?;
    assert!(node.run(["true"])?.success());
    assert!(matches!(loud.wait(), Err(LabError::Timeout { .. })));
    Ok(())
}

#[test]
fn a_panic_is_reported_with_the_console() -> Tested {
    let cluster = small(1).boot()?;
    let node = cluster.node(1);
    let ended = node.sh("echo c > /proc/sysrq-trigger; sleep 60");
    let Err(LabError::NodeDied { console, .. }) = ended else { panic!("it lived: {ended:?}") };
    assert!(console.contains("Kernel panic"), "{console}");
    node.power_cut();
    node.boot()?;
    assert!(node.run(["true"])?.success());
    Ok(())
}

#[test]
fn every_node_has_its_own_clock() -> Tested {
    let past = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let cluster = small(2).node_time(past).boot()?;
    let now = |n: usize| -> Result<u64, LabError> {
        Ok(cluster.node(n).check(["date", "+%s"])?.out().parse().unwrap())
    };
    assert!((1_000_000_000..1_000_000_600).contains(&now(1)?));
    cluster.node(2).set_time(UNIX_EPOCH + Duration::from_secs(2_000_000_000))?;
    assert!(now(1)? < 1_000_000_600);
    assert!((2_000_000_000..2_000_000_600).contains(&now(2)?));
    assert!(
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() > 1_700_000_000,
        "this machine's clock stands"
    );
    Ok(())
}

#[test]
fn nodes_reach_each_other_and_themselves_by_ssh() -> Tested {
    let cluster = small(3).boot()?;
    for node in cluster.nodes() {
        for target in ["node1", "node2", "node3", "localhost", "10.77.0.2"] {
            let output = node.check([
                "ssh",
                "-oBatchMode=yes",
                "-oStrictHostKeyChecking=yes",
                target,
                "hostname; echo $PATH",
            ])?;
            let expected = match target {
                "localhost" => node.name(),
                "10.77.0.2" => "node2".into(),
                name => name.into(),
            };
            assert_eq!(output.lines()[0], expected);
            assert!(output.lines()[1].starts_with(lab::cluster::node_bin_dir()), "{}", output.out());
        }
    }
    Ok(())
}

#[test]
fn links_cut_heal_and_fall_silent() -> Tested {
    let cluster = small(3).boot()?;
    let link = cluster.link(2, 1);
    let ping = |from: usize, to: usize| {
        cluster.node(from).run(["ping", "-c1", "-W1", &format!("node{to}")]).map(|o| o.success())
    };
    assert!(ping(1, 2)? && ping(2, 1)? && ping(1, 3)?);

    link.cut();
    assert!(!ping(1, 2)? && !ping(2, 1)?);
    assert!(ping(1, 3)? && ping(2, 3)?, "other links stand");
    assert!(link.counters().dropped > 0, "the fault took place");
    link.heal();
    assert!(ping(1, 2)?);

    let before = link.counters().payload;
    link.drop_after(300_000);
    let transfer = cluster.node(1).script("head -c 10000000 /dev/zero | ssh -oServerAliveInterval=1 -oServerAliveCountMax=2 node2 'cat >/dev/null'");
    let transfer = transfer.spawn()?;
    assert!(link.wait_silent(Duration::from_secs(60)), "{:?}", link.counters());
    assert!(!transfer.wait()?.success(), "ssh noticed");
    let passed = link.counters().payload - before;
    assert!(passed > 200_000 && passed <= 300_000, "{passed} bytes passed");
    assert_eq!(link.counters().silenced, 1);
    link.heal();
    assert!(cluster.node(1).run(["ssh", "node2", "true"])?.success());

    cluster.node(2).power_cut();
    assert!(!ping(1, 2)?);
    cluster.node(2).boot()?;
    assert!(ping(1, 2)? && ping(2, 3)?, "a booted node is back on the network");
    Ok(())
}

#[test]
fn links_delay_and_narrow() -> Tested {
    let cluster = small(2).boot()?;
    let link = cluster.link(1, 2);
    cluster.node(1).check(["ping", "-c1", "node2"])?;
    link.delay(Duration::from_millis(100));
    // What ping measured, not what this machine's load made of it: never less than both ways.
    let output = cluster.node(1).check(["ping", "-c1", "node2"])?.out();
    let time: f64 =
        output.split("time=").nth(1).and_then(|t| t.split_whitespace().next()).unwrap().parse().unwrap();
    assert!(time >= 200.0, "{output}");
    link.delay(Duration::ZERO);

    link.bandwidth(Some(200_000));
    let start = Instant::now();
    cluster.node(1).check(["bash", "-c", "head -c 400000 /dev/urandom | ssh node2 'cat >/dev/null'"])?;
    assert!(
        start.elapsed() >= Duration::from_secs(1),
        "400 kB at 200 kB/s cannot take {:?}",
        start.elapsed()
    );
    link.bandwidth(None);
    cluster.node(1).check(["bash", "-c", "head -c 4000000 /dev/urandom | ssh node2 'cat >/dev/null'"])?;
    Ok(())
}

#[test]
fn clusters_do_not_see_each_other() -> Tested {
    let (one, two) = (small(2).boot()?, small(2).boot()?);
    one.node(2).write_file("/root/mark", "one")?;
    two.node(2).write_file("/root/mark", "two")?;
    for (cluster, mark) in [(&one, "one"), (&two, "two")] {
        assert_eq!(cluster.node(1).check(["ssh", "node2", "cat /root/mark"])?.out(), mark);
    }
    let folder = one.node(1).dir().to_owned();
    assert!(folder.exists());
    drop(one);
    assert!(!folder.exists(), "nothing is left behind");
    assert!(two.node(1).run(["true"])?.success());
    Ok(())
}

#[test]
fn nodes_see_the_checkout_and_a_shared_folder() -> Tested {
    let share = std::env::temp_dir().join(format!("lab-share-{}", std::process::id()));
    std::fs::create_dir_all(&share).unwrap();
    let cluster = small(1).share(&share).boot()?;
    let node = cluster.node(1);
    node.sh("grep -q workspace /src/Cargo.toml && echo from-node > /share/file")?.ok()?;
    assert_eq!(std::fs::read_to_string(share.join("file")).unwrap(), "from-node\n");
    assert!(!node.sh("touch /src/Cargo.toml")?.success(), "/src is read-only");
    std::fs::remove_dir_all(&share).unwrap();
    Ok(())
}

#[test]
fn the_oldest_libraries_and_the_sources_are_there() -> Tested {
    let parts = lab::artifacts(lab::Generation::from_env())?;
    for file in ["libzfs_core.so.3", "libnvpair.so.3"] {
        assert!(parts.old_libs.join(file).exists(), "{file}");
    }
    assert!(parts.zfs_source.join("include/sys/zfs_ioctl.h").exists());
    assert!(parts.zfs_headers.join("libzfs/libzfs_core.h").exists());
    Ok(())
}
