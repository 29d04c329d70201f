//! Against a stand-in for ssh that runs the command here. The real one is met by the scenarios on nodes.

use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use rustix::process::Pid;
use rustix::process::test_kill_process;

use super::*;
use crate::cancel::TICK;
use crate::transport::Exit;
use crate::transport::STDERR_LIMIT;

fn options(host: &str) -> SystemSshOptions {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/transport/system_ssh/fake-ssh.sh");
    SystemSshOptions { program, user: Some("root".to_string()), ..SystemSshOptions::new(host) }
}

fn to(host: &str) -> SystemSsh {
    SystemSsh::new(options(host)).expect("prepared")
}

/// Shared and not: all that a command does must be the same.
fn both(host: &str) -> [SystemSsh; 2] {
    [to(host), SystemSsh::new(SystemSshOptions { share: false, ..options(host) }).expect("prepared")]
}

fn run(ssh: &mut SystemSsh, command: &str) -> Result<(Exit, Vec<u8>), TransportError> {
    let mut out = Vec::new();
    let exit = ssh.start(command)?.finish(&mut |bytes| {
        out.extend_from_slice(bytes);
        Ok(())
    })?;
    Ok((exit, out))
}

fn runs(ssh: &SystemSsh) -> Vec<String> {
    let folder = ssh.control.command_log();
    let file = folder.parent().expect("a folder").join("runs");
    std::fs::read_to_string(file).expect("something ran").lines().map(str::to_string).collect()
}

/// Waits for something that must come; how long it takes is not judged.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Reads one line: the number of a process.
fn read_pid(process: &mut dyn Process) -> Pid {
    let mut line = Vec::new();
    until("a line", || {
        let mut buf = [0; 64];
        if let Some(n) = process.read(&mut buf).expect("readable") {
            assert!(n > 0, "it ended");
            line.extend_from_slice(&buf[..n]);
        }
        line.ends_with(b"\n")
    });
    let number = String::from_utf8(line).expect("a number").trim().parse().expect("a number");
    Pid::from_raw(number).expect("a process")
}

#[test]
fn status_output_and_standard_error_come_back() {
    for mut ssh in both("nas") {
        for status in [0, 1, 127, 254, 255] {
            let (exit, out) = run(&mut ssh, &format!("echo out; echo err >&2; exit {status}")).expect("ran");
            assert_eq!(exit, Exit { status: Ok(status), stderr: b"err\n".to_vec() });
            assert_eq!(out, b"out\n");
        }
    }
}

#[test]
fn what_is_written_arrives_whole_and_in_order() {
    let block = Bytes::from((0..3_000_000u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
    for mut ssh in both("nas") {
        let mut process = ssh.start("cksum").expect("started");
        process.write(&block).expect("written");
        let (mut sent, mut local) = (Vec::new(), Vec::new());
        process
            .finish(&mut |bytes| {
                sent.extend_from_slice(bytes);
                Ok(())
            })
            .expect("finished");
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), &block).expect("written");
        let own = run(&mut ssh, &format!("cksum < {}", file.path().display())).expect("ran");
        local.extend_from_slice(&own.1);
        assert!(!sent.is_empty());
        assert_eq!(sent, local);
    }
}

#[test]
fn a_flood_on_standard_error_stops_neither_side_and_is_bounded() {
    let block = Bytes::from(vec![7; 1 << 20]);
    for mut ssh in both("nas") {
        // More than all pipes hold, before a byte is read.
        let flood = "head -c 8000000 /dev/zero | tr '\\0' e >&2";
        let mut process = ssh.start(&format!("{flood}; wc -c; {flood}")).expect("started");
        for _ in 0..8 {
            process.write(&block).expect("written");
        }
        let mut out = Vec::new();
        let exit = process
            .finish(&mut |bytes| {
                out.extend_from_slice(bytes);
                Ok(())
            })
            .expect("finished");
        assert_eq!(String::from_utf8_lossy(&out).trim(), (8 << 20).to_string());
        assert_eq!(exit.stderr, vec![b'e'; STDERR_LIMIT]);
        // The same for somebody who reads.
        let mut process = ssh.start(&format!("{flood}; echo done")).expect("started");
        let mut buf = [0; 100];
        let mut got = 0;
        until("the end", || match process.read(&mut buf[got..]).expect("readable") {
            Some(n) => {
                got += n;
                n == 0
            }
            None => false,
        });
        assert_eq!(&buf[..got], b"done\n");
    }
}

#[test]
fn a_command_that_ends_while_it_is_written_to_tells_why() {
    let block = Bytes::from(vec![7; 1 << 20]);
    for mut ssh in both("nas") {
        let mut process = ssh.start("head -c 100000 > /dev/null; echo no more >&2; exit 3").expect("started");
        let mut writes = 0;
        let error = loop {
            match process.write(&block) {
                Ok(()) => writes += 1,
                Err(error) => break error,
            }
            assert!(writes < 100, "nobody reads this");
        };
        assert!(matches!(&error, TransportError::StdinClosed { peer } if peer == "root@nas"), "{error:?}");
        let exit = process.finish(&mut |_| Ok(())).expect("finished");
        assert_eq!((exit.status, exit.stderr), (Ok(3), b"no more\n".to_vec()));
    }
}

#[test]
fn idle_tells_when_the_command_has_ended() {
    for mut ssh in both("nas") {
        let mut process = ssh.start("read line; echo $line").expect("started");
        assert!(!process.idle().expect("alive"));
        process.write(&Bytes::from_static(b"go\n")).expect("written");
        until("the end", || process.idle().expect("alive"));
        let mut out = Vec::new();
        let exit = process
            .finish(&mut |bytes| {
                out.extend_from_slice(bytes);
                Ok(())
            })
            .expect("finished");
        assert!(exit.success());
        assert_eq!(out, b"go\n", "what came while idle is kept");
    }
}

#[test]
fn silence_is_none_and_cancelling_ends_every_wait() {
    for mut ssh in both("nas") {
        let cancel = ssh.options.cancel.clone();
        let mut process = ssh.start("echo $$; exec sleep 600").expect("started");
        let pid = read_pid(process.as_mut());
        assert_eq!(process.read(&mut [0; 10]).expect("nothing"), None);
        cancel.cancel();
        assert!(matches!(process.read(&mut [0; 10]), Err(TransportError::Cancelled)));
        assert!(matches!(process.idle(), Err(TransportError::Cancelled)));
        let block = Bytes::from(vec![0; 4 << 20]);
        assert!(matches!(process.write(&block), Err(TransportError::Cancelled)));
        assert!(matches!(process.finish(&mut |_| Ok(())), Err(TransportError::Cancelled)));
        assert!(test_kill_process(pid).is_err(), "it was killed and reaped");
        assert!(matches!(ssh.start("true").err(), Some(TransportError::Cancelled)));
    }
}

#[test]
fn cancelling_ends_a_write_that_waits() {
    let mut ssh = to("nas");
    let cancel = ssh.options.cancel.clone();
    let mut process = ssh.start("exec sleep 600").expect("started");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| process.write(&Bytes::from(vec![0; 16 << 20])));
        std::thread::sleep(TICK);
        cancel.cancel();
        assert!(matches!(writer.join().expect("no panic"), Err(TransportError::Cancelled)));
    });
}

#[test]
fn the_breaker_ends_what_waits_here_and_nothing_else() {
    for mut ssh in both("nas") {
        let (run, breaker) = (ssh.run.clone(), ssh.breaker().expect("it has one"));
        let other = ssh.another().expect("prepared").breaker().expect("it has one, too");
        let mut process = ssh.start("exec sleep 600").expect("started");
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| process.write(&Bytes::from(vec![0; 16 << 20])));
            breaker.cancel();
            assert!(matches!(writer.join().expect("no panic"), Err(TransportError::Cancelled)));
        });
        drop(process);
        assert!(!run.is_cancelled() && !other.is_cancelled());
        breaker.reset();
        assert!(super::tests::run(&mut ssh, "true").expect("the next one runs").0.success());
    }
}

#[test]
fn dropping_kills_and_reaps() {
    for mut ssh in both("nas") {
        let mut process = ssh.start("echo $$; exec sleep 600").expect("started");
        let pid = read_pid(process.as_mut());
        assert!(test_kill_process(pid).is_ok());
        drop(process);
        // A zombie would still be there to be signalled.
        assert!(test_kill_process(pid).is_err());
        assert!(run(&mut ssh, "true").expect("the next one runs").0.success());
    }
}

#[test]
fn an_error_of_the_reader_ends_the_command() {
    let mut ssh = to("nas");
    let process = ssh.start("echo x; exec sleep 600").expect("started");
    let stop = process.finish(&mut |_| Err(TransportError::Cancelled));
    assert!(matches!(stop, Err(TransportError::Cancelled)));
}

#[test]
fn commands_share_one_connection_and_it_is_ended() {
    let mut ssh = to("nas");
    ssh.connect().expect("connected");
    for _ in 0..3 {
        run(&mut ssh, "true").expect("ran");
    }
    let made = runs(&ssh);
    assert_eq!(made.iter().filter(|run| run.contains("<-N>")).count(), 1, "{made:?}");
    assert_eq!(made.len(), 4, "{made:?}");
    for run in &made {
        assert!(run.contains("<-T>") && run.contains("<StrictHostKeyChecking=yes>") && run.contains("<-S>"));
        assert!(run.contains("<--><nas>") && run.contains("<-l><root>"), "{run}");
    }
    let folder = ssh.control.command_log().parent().expect("a folder").to_path_buf();
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&folder).expect("there"));
    assert_eq!(mode & 0o777, 0o700);
    // One that went away meanwhile is made again.
    std::fs::remove_file(folder.join("s")).expect("gone");
    assert!(run(&mut ssh, "true").expect("ran").0.success());
    assert_eq!(runs(&ssh).iter().filter(|run| run.contains("<-N>")).count(), 2);
    drop(ssh);
    assert!(!folder.exists());
}

#[test]
fn where_ssh_cannot_listen_each_command_connects() {
    let mut ssh = to("cannotlisten");
    ssh.connect().expect("not needed");
    assert!(run(&mut ssh, "true").expect("ran").0.success());
    assert!(runs(&ssh).last().expect("one").contains("<-S><none>"));
}

#[test]
fn failures_of_ssh_are_told_from_those_of_the_command() {
    for host in ["unknown", "refused", "denied", "badoption"] {
        for mut ssh in both(host) {
            let shared = ssh.control.shares();
            // Ends with 255, whatever the command would do.
            let outcome = run(&mut ssh, "exit 0");
            match (host, &outcome) {
                ("unknown", Err(TransportError::HostKeyRefused { .. }))
                | ("refused", Err(TransportError::Connect { port: 22, .. }))
                | ("denied", Err(TransportError::Authentication { .. }))
                | ("badoption", Err(TransportError::Local { .. })) => {}
                // ssh says this one before it looks where its log is.
                ("badoption", Ok((exit, _))) if !shared => {
                    assert!(exit.status == Ok(255) && exit.message().contains("foo"), "{exit:?}");
                }
                _ => panic!("{host}: {outcome:?}"),
            }
        }
    }
    for mut ssh in both("times-out") {
        let outcome = run(&mut ssh, "true");
        assert!(matches!(outcome, Err(TransportError::Timeout { .. })), "{outcome:?}");
    }
}

#[test]
fn a_connection_that_breaks_is_not_an_end() {
    let mut ssh = to("drops");
    let mut process = ssh.start("cat").expect("started");
    let written = (0..100).try_for_each(|_| process.write(&Bytes::from(vec![0; 1 << 20])));
    assert!(matches!(written, Err(TransportError::StdinClosed { .. })), "{written:?}");
    let outcome = process.finish(&mut |_| Ok(()));
    assert!(matches!(outcome, Err(TransportError::Lost { .. })), "{outcome:?}");
    // A reader gets what came, and then the error in place of an end.
    let mut process = ssh.start("cat").expect("started");
    process.write(&Bytes::from(vec![0; 100_000])).expect("written");
    let mut buf = [0; 100];
    let mut got = 0;
    let error = loop {
        match process.read(&mut buf[got..]) {
            Ok(Some(0)) => panic!("an end"),
            Ok(n) => got += n.unwrap_or(0),
            Err(error) => break error,
        }
    };
    assert_eq!(&buf[..got], b"some\n");
    assert!(matches!(error, TransportError::Lost { phase: "receiving", .. }), "{error:?}");
}

#[test]
fn connecting_can_be_cancelled_and_has_a_limit() {
    let timeouts = Timeouts {
        connect: Duration::from_millis(100),
        handshake: Duration::from_millis(100),
        ..Timeouts::default()
    };
    let mut ssh = SystemSsh::new(SystemSshOptions { timeouts, ..options("silent") }).expect("prepared");
    let outcome = ssh.connect();
    assert!(matches!(outcome, Err(TransportError::Timeout { phase: "connecting", .. })), "{outcome:?}");
    let mut ssh = to("silent");
    ssh.options.cancel.cancel();
    let outcome = ssh.connect();
    assert!(matches!(outcome, Err(TransportError::Cancelled)), "{outcome:?}");
}

#[test]
fn a_host_that_begins_with_a_dash_is_a_host() {
    let mut ssh = to("-oProxyCommand");
    assert!(run(&mut ssh, "true").expect("ran").0.success());
    for run in runs(&ssh) {
        assert!(run.contains("<--><-oProxyCommand>"), "{run}");
    }
}

#[test]
fn without_the_program_it_says_what_to_install() {
    let program = "/nonexistent/ssh".into();
    let mut ssh = SystemSsh::new(SystemSshOptions { program, ..options("nas") }).expect("prepared");
    let error = ssh.start("true").err().expect("nothing to start");
    assert!(error.to_string().contains("/nonexistent/ssh"), "{error}");
    assert!(error.hint().expect("a hint").contains("openssh-client"));
}

#[test]
fn the_real_program_takes_the_arguments() {
    // Without a connection: `-G` prints what ssh made of its arguments.
    let known_hosts = vec!["/known 1".into(), "/known%2".into()];
    let identities = vec!["/a key".into()];
    let port = Some(2222);
    let ssh = SystemSsh::new(SystemSshOptions {
        port,
        known_hosts,
        identities,
        user: Some("keeper".to_string()),
        ..SystemSshOptions::new("nas")
    })
    .expect("prepared");
    let mut command = ssh.command();
    ssh.sharing(&mut command);
    command.arg("-G").stdout(Stdio::piped()).stderr(Stdio::piped());
    ssh.host(&mut command);
    let Ok(output) = command.output() else {
        panic!("the tests need the ssh program");
    };
    let text = String::from_utf8_lossy(&output.stdout).to_lowercase();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for line in [
        "user keeper",
        "hostname nas",
        "port 2222",
        "batchmode yes",
        "requesttty false",
        "escapechar none",
        "identitiesonly yes",
        "identityfile /a key",
        "updatehostkeys false",
        "serveraliveinterval 10",
        "serveralivecountmax 5",
        "connecttimeout 15",
        "globalknownhostsfile /dev/null",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}:\n{text}");
    }
    assert!(
        text.contains("stricthostkeychecking true") || text.contains("stricthostkeychecking yes"),
        "{text}"
    );
    assert!(text.contains("/known 1"), "{text}");
}
