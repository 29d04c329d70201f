//! Both ends on loopback, with a shell of this machine as the other one.

use std::io::Write;
use std::net::TcpStream;

use super::*;
use crate::cancel::Cancel;
use crate::codes::Code;
use crate::codes::Coded;
use crate::transport::Transport;
use crate::transport::here::Here;

/// With a port that was free a moment ago.
fn direct(seconds: u64) -> Direct {
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    format!("127.0.0.1:{port},,{seconds}").parse().expect("an address")
}

/// What comes, to its end.
fn all(process: &mut dyn Process) -> Result<Vec<u8>, TransportError> {
    let mut came = Vec::new();
    let mut buffer = vec![0; 65536];
    loop {
        match process.read(&mut buffer)? {
            Some(0) => return Ok(came),
            Some(n) => came.extend_from_slice(&buffer[..n]),
            None => {}
        }
    }
}

/// Connects as soon as it can, with what is to be said.
fn connect(direct: &Direct, says: &[u8]) -> TcpStream {
    let address = ("127.0.0.1", direct.connect.port);
    loop {
        if let Ok(mut stream) = TcpStream::connect(address) {
            stream.write_all(says).expect("said");
            return stream;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn exit(process: Box<dyn Process + '_>) -> Exit {
    process.finish(&mut |_| Ok(())).expect("an end")
}

#[test]
fn addresses_are_read_and_nothing_else_is() {
    let read = |text: &str| text.parse::<Direct>();
    let one = read("10.0.0.1:9000").expect("fine");
    assert_eq!((one.seconds, one.mbuffer, one.listen == one.connect), (60, false, true));
    let all = read("nas-2.lan:1,[::1]:65535,5,mbuffer").expect("fine");
    assert_eq!((all.seconds, all.mbuffer), (5, true));
    assert_eq!(
        (all.connect.to_string(), all.listen.to_string()),
        ("nas-2.lan:1".into(), "[::1]:65535".into())
    );
    assert_eq!((all.sends().host, all.receives().host), ("nas-2.lan".into(), "[::1]".into()));
    assert_eq!(read("10.0.0.1:9,:9").expect("any address").listen.host, "");
    for wrong in [
        "",
        "10.0.0.1",
        ":9000",
        "10.0.0.1:0",
        "10.0.0.1:65536",
        "10.0.0.1:x",
        "a;b:9",
        "$(x):9",
        "-x:9",
        "a b:9",
        "[::x]:9",
        "::1:9",
        "a:9,b",
        "a:9,b:9,x",
        "a:9,b:9,0",
        "a:9,b:9,5,nc",
        "a:9,b:9,5,mbuffer,x",
        "'a':9",
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_stream_comes_from_the_one_who_has_the_key() {
    let direct = direct(60);
    let door = direct.listen().expect("a door");
    let key = door.key.clone();
    let mut here = Here::new(&Cancel::new());
    // The script gets the key first, and tells how its commands ended.
    let script = format!("read -r key; echo \"$key\"; cat; echo '{STATUS}3'; echo oops >&2");
    let mut process = direct.reading(here.start(&script).expect("a shell"), door, "nas").expect("told");
    let data: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let came = std::thread::scope(|scope| {
        let strangers = scope.spawn(|| {
            // A scan, one that says nothing, one that says something else, one that is nearly right.
            drop(connect(&direct, b""));
            let silent = connect(&direct, b"");
            let other = connect(&direct, b"GET / HTTP/1.1\r\n\r\n");
            let last = if key.ends_with('0') { '1' } else { '0' };
            let near = connect(&direct, format!("{}{last}\n", &key[..63]).as_bytes());
            let mut right = connect(&direct, &line(&key));
            right.write_all(&data).expect("sent");
            (silent, other, near)
        });
        let came = all(process.as_mut()).expect("a stream");
        strangers.join().expect("they ended");
        came
    });
    assert!(came == data, "{} of {}", came.len(), data.len());
    let exit = exit(process);
    assert_eq!((exit.status.clone(), exit.message().as_str()), (Ok(3), "oops"));
    // Nobody listens there any more.
    assert!(TcpStream::connect(("127.0.0.1", direct.connect.port)).is_err());
}

#[test]
fn many_strangers_do_not_keep_the_right_one_out() {
    let direct = direct(60);
    let door = direct.listen().expect("a door");
    let key = door.key.clone();
    let mut here = Here::new(&Cancel::new());
    let mut process =
        direct.reading(here.start("cat >/dev/null").expect("a shell"), door, "nas").expect("told");
    let came = std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let strangers: Vec<_> = (0..4 * CANDIDATES).map(|_| connect(&direct, b"x")).collect();
            connect(&direct, format!("{key}\nstream").as_bytes());
            strangers
        });
        let came = all(process.as_mut()).expect("a stream");
        flood.join().expect("it ended");
        came
    });
    assert_eq!(came, b"stream");
}

#[test]
fn nobody_who_connects_is_an_error_and_so_is_a_command_that_ends() {
    let mut here = Here::new(&Cancel::new());
    let late = direct(1);
    let door = late.listen().expect("a door");
    let mut process =
        late.reading(here.start("cat >/dev/null").expect("a shell"), door, "nas").expect("told");
    let error = all(process.as_mut()).expect_err("nobody came");
    assert!(matches!(error, TransportError::Timeout { .. }), "{error}");
    drop(process);

    let ended = direct(60);
    let door = ended.listen().expect("a door");
    let script = "read -r key; echo 'no socat' >&2; exit 127";
    let mut process = ended.reading(here.start(script).expect("a shell"), door, "nas").expect("told");
    assert!(all(process.as_mut()).expect("an end").is_empty());
    let exit = exit(process);
    assert_eq!((exit.status.clone(), exit.message().as_str()), (Ok(127), "no socat"));

    // A status that was never told is none.
    let quiet = direct(60);
    let door = quiet.listen().expect("a door");
    let mut process = quiet.reading(here.start("read -r key").expect("a shell"), door, "nas").expect("told");
    assert!(all(process.as_mut()).expect("an end").is_empty());
    assert!(!self::exit(process).success());
}

#[test]
fn a_port_that_is_taken_is_told() {
    let direct = direct(60);
    let _first = direct.listen().expect("a door");
    let error = direct.listen().err().expect("it is taken").to_string();
    assert!(error.starts_with("cannot listen at 127.0.0.1:"), "{error}");
    let elsewhere: Direct = "192.0.2.1:9".parse().expect("an address");
    assert!(elsewhere.listen().is_err());
}

#[test]
fn a_run_that_is_to_stop_waits_for_nobody() {
    let cancel = Cancel::new();
    let mut here = Here::new(&cancel);
    let direct = direct(600);
    let door = direct.listen().expect("a door");
    let mut process = direct.reading(here.start("cat").expect("a shell"), door, "nas").expect("told");
    assert_eq!(process.read(&mut [0; 10]).expect("nothing yet"), None);
    cancel.cancel();
    assert!(matches!(process.read(&mut [0; 10]), Err(TransportError::Cancelled)));
}

#[test]
fn a_stream_goes_to_the_one_who_listens_behind_its_key() {
    let direct = direct(60);
    let mut here = Here::new(&Cancel::new());
    let mut process =
        direct.writing(here.start("read -r key; echo \"$key\"; cat").expect("a shell"), "nas").expect("told");
    let block = Bytes::from(vec![7; 1 << 20]);
    let came = std::thread::scope(|scope| {
        let listening = scope.spawn(|| {
            // It is not there at once.
            std::thread::sleep(Duration::from_millis(300));
            let listener = TcpListener::bind(("127.0.0.1", direct.connect.port)).expect("free");
            let mut came = Vec::new();
            listener.accept().expect("it connects").0.read_to_end(&mut came).expect("to its end");
            came
        });
        for _ in 0..5 {
            process.write(&block).expect("written");
        }
        let mut said = Vec::new();
        let exit = process.finish(&mut |bytes| {
            said.extend_from_slice(bytes);
            Ok(())
        });
        assert!(exit.expect("an end").success());
        (listening.join().expect("it ended"), said)
    });
    let (came, key) = came;
    assert_eq!(key.len(), 65);
    assert!(came.starts_with(&key) && came.len() == 65 + (5 << 20), "{}", came.len());
}

#[test]
fn a_receiver_that_is_not_there_is_not_waited_for_longer_than_it_lives() {
    let mut here = Here::new(&Cancel::new());
    let gone = direct(600);
    let mut process =
        gone.writing(here.start("echo 'no nc' >&2; exit 127").expect("a shell"), "nas").expect("told");
    let block = Bytes::from_static(b"data");
    let error = process.write(&block).expect_err("it has ended");
    assert!(matches!(error, TransportError::StdinClosed { .. }), "{error}");
    assert_eq!(error.code(), Code::Ended);
    assert_eq!(exit(process).message(), "no nc");

    let blocked = direct(1);
    let mut process = blocked.writing(here.start("sleep 60").expect("a shell"), "nas").expect("told");
    let error = process.write(&block).expect_err("nobody listens");
    assert_eq!(error.code(), Code::Connect, "{error}");
}
