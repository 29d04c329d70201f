//! Ends of commands, and those that never come.

use super::*;
use crate::codes::Code;
use crate::codes::Coded;
use crate::host::Host;
use crate::transport::Process;

fn exit(status: Result<i32, &str>, stderr: &str) -> Exit {
    Exit { status: status.map_err(str::to_string), stderr: stderr.as_bytes().to_vec() }
}

/// A machine that answers keepalives, and whose commands never say anything.
struct Silent;

impl Transport for Silent {
    fn peer(&self) -> &str {
        "far"
    }

    fn start<'a>(&'a mut self, _: &str) -> Result<Box<dyn Process + 'a>, TransportError> {
        Ok(Box::new(Self))
    }

    fn another(&self) -> Result<Box<dyn Transport>, TransportError> {
        Ok(Box::new(Self))
    }
}

impl Process for Silent {
    fn write(&mut self, _: &bytes::Bytes) -> Result<(), TransportError> {
        Ok(())
    }

    fn read(&mut self, _: &mut [u8]) -> Result<Option<usize>, TransportError> {
        std::thread::sleep(Duration::from_millis(1));
        Ok(None)
    }

    fn idle(&mut self) -> Result<bool, TransportError> {
        Ok(false)
    }

    fn finish(
        self: Box<Self>,
        _: &mut dyn FnMut(&[u8]) -> Result<(), TransportError>,
    ) -> Result<Exit, TransportError> {
        panic!("it never ends")
    }
}

#[test]
fn a_command_that_says_nothing_is_given_up() {
    let mut host = ZfsCli::new(Box::new(Silent));
    let error = host.inventory(&"tank".parse().expect("a name"), Depth::One).expect_err("silence");
    assert!(matches!(error, HostError::Transport(TransportError::Timeout { .. })), "{error}");
    assert!(error.to_string().starts_with("far: no answer within"), "{error}");
    assert_eq!(error.code(), Code::Timeout);
}

#[test]
fn exits_become_errors_that_name_machine_and_subject() {
    assert!(check("h", "list", "p", &exit(Ok(0), "a warning")).is_ok());
    let error = check("h", "list", "p", &exit(Ok(1), "cannot open 'p': \u{1b}[31mno\n")).expect_err("1");
    assert_eq!(error.to_string(), "h: list p: cannot open 'p': \\u{1b}[31mno");
    assert_eq!(error.code(), Code::ZfsRefused);
    let error = check("h", "list", "p", &exit(Err("KILL"), "")).expect_err("killed");
    assert!(error.to_string().contains("SIGKILL"), "{error}");
    let error = check("h", "list", "p", &exit(Ok(127), &format!("{NO_ZFS}\n"))).expect_err("none");
    assert!(error.code() == Code::NoZfs && error.hint().is_some(), "{error}");
    // What zfs says is no code of its own, but for what is known.
    for (operation, said, code) in [
        (
            "receive into",
            "cannot receive: destination p has been modified\nsince most recent snapshot",
            Code::TargetModified,
        ),
        ("send", "cannot send 'p@s': dataset key must be loaded", Code::KeyMissing),
        ("receive into", "cannot receive: pool must be upgraded to receive this stream", Code::Unsupported),
        ("receive into", "cannot receive new filesystem stream: permission denied", Code::Permission),
        ("receive into", "cannot receive new filesystem stream: out of space", Code::NoSpace),
        ("list", "cannot open 'p': I/O error", Code::PoolFault),
    ] {
        let error = check("h", operation, "p", &exit(Ok(1), said)).expect_err(said);
        assert_eq!(error.code(), code, "{error}");
    }
    // Another program that ends with 127 is not "no zfs".
    assert!(matches!(check("h", "list", "p", &exit(Ok(127), "x")), Err(HostError::Remote { .. })));
}
