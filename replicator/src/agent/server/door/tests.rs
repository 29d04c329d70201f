//! A door and who knocks at it, on loopback.

use std::net::TcpStream;

use super::*;
use crate::transport::tls::Way;

/// A port that was free a moment ago.
fn free() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port()
}

fn listen(port: u16) -> Listen {
    format!("127.0.0.1:{port}").parse().expect("a place")
}

/// A door for who has a certificate, and that one.
fn door() -> (Door, Identity) {
    let right = Identity::new().expect("a certificate");
    (Door::open(&listen(free()), right.certificate()).expect("a door"), right)
}

/// Who comes with this, from a thread of its own, and whether they were heard: what they get is what they sent, turned
/// round.
fn knock(
    port: u16,
    identity: Identity,
    certificate: &[u8],
) -> std::thread::JoinHandle<Result<Vec<u8>, String>> {
    let way = Way { host: "127.0.0.1".to_string(), port, identity, certificate: certificate.to_vec() };
    std::thread::spawn(move || {
        let mut stream = way.open().map_err(|error| error.to_string())?;
        let mut sent = 0;
        while sent < 4 {
            sent += stream.write(&b"abcd"[sent..]).map_err(|error| error.to_string())?;
        }
        let mut came = Vec::new();
        let mut buffer = [0; 16];
        while came.len() < 4 {
            match stream.read(&mut buffer).map_err(|error| error.to_string())? {
                Got::Bytes(n) => came.extend_from_slice(&buffer[..n]),
                Got::Nothing => stream.wait(true).map_err(|error| error.to_string())?,
                Got::End => return Err("it ended".to_string()),
            }
        }
        Ok(came)
    })
}

/// Waits for the right one until the time is over.
fn wait(door: &mut Door) -> Option<TlsStream> {
    while !door.is_late() {
        if let Some(stream) = door.wait().expect("it can wait") {
            return Some(stream);
        }
    }
    None
}

/// Reads four bytes and sends them back in another order.
fn answer(stream: &mut TlsStream) {
    let mut came = Vec::new();
    let mut buffer = [0; 16];
    while came.len() < 4 {
        match stream.read(&mut buffer).expect("readable") {
            Got::Bytes(n) => came.extend_from_slice(&buffer[..n]),
            Got::Nothing => stream.wait(true).expect("it can wait"),
            Got::End => panic!("it ended"),
        }
    }
    came.reverse();
    let mut sent = 0;
    while sent < came.len() {
        sent += stream.write(&came[sent..]).expect("written");
    }
    while !stream.flush().expect("sent") {
        stream.wait(false).expect("it can wait");
    }
}

#[test]
fn places_are_read_and_nothing_else_is() {
    for (text, shown) in [
        ("9000", "0.0.0.0:9000-9000"),
        ("9000-9010", "0.0.0.0:9000-9010"),
        ("10.0.0.1:9000", "10.0.0.1:9000-9000"),
        ("[::1]:1-65535", "[::1]:1-65535"),
    ] {
        let place: Listen = text.parse().expect(text);
        assert_eq!(place.to_string(), shown);
        assert_eq!(shown.parse::<Listen>().expect(shown), place);
    }
    for wrong in [
        "",
        "0",
        "x",
        "9-8",
        "9000-",
        "-9000",
        "65536",
        "nas:9000",
        "10.0.0.1",
        "10.0.0.1:",
        "[::1]",
        "::1:9",
    ] {
        assert!(wrong.parse::<Listen>().is_err(), "{wrong}");
    }
}

#[test]
fn the_right_one_comes_in_and_then_nobody_can() {
    let (mut door, right) = door();
    let (port, certificate) = (door.port, door.certificate.clone());
    let knocking = knock(port, right, &certificate);
    let mut stream = wait(&mut door).expect("the right one");
    drop(door);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    answer(&mut stream);
    assert_eq!(knocking.join().expect("no panic").expect("heard"), b"dcba");
}

#[test]
fn a_certificate_of_somebody_else_opens_nothing() {
    let (mut door, right) = door();
    let wrong = knock(door.port, Identity::new().expect("another"), &door.certificate);
    // It is told so, and the right one is not kept out by it.
    while !wrong.is_finished() {
        assert!(door.wait().expect("it can wait").is_none());
    }
    assert!(wrong.join().expect("no panic").is_err());
    let knocking = knock(door.port, right, &door.certificate);
    let mut stream = wait(&mut door).expect("the right one");
    answer(&mut stream);
    assert!(knocking.join().expect("no panic").is_ok());
}

#[test]
fn a_door_of_somebody_else_is_not_gone_through() {
    let (mut door, right) = door();
    let expected = Identity::new().expect("another").certificate().to_vec();
    let knocking = knock(door.port, right, &expected);
    while !knocking.is_finished() {
        assert!(door.wait().expect("it can wait").is_none());
    }
    assert!(knocking.join().expect("no panic").is_err());
}

#[test]
fn a_certificate_of_an_earlier_connection_opens_no_later_door() {
    let (mut first, right) = door();
    let again = right.copy();
    let knocking = knock(first.port, right, &first.certificate);
    let mut stream = wait(&mut first).expect("the right one");
    answer(&mut stream);
    assert!(knocking.join().expect("no panic").is_ok());
    // The same door is gone, and another one is for another certificate.
    let (port, certificate) = (first.port, first.certificate.clone());
    drop(first);
    assert!(knock(port, again.copy(), &certificate).join().expect("no panic").is_err());
    let (mut second, _) = door();
    let replayed = knock(second.port, again, &second.certificate);
    while !replayed.is_finished() {
        assert!(second.wait().expect("it can wait").is_none());
    }
    assert!(replayed.join().expect("no panic").is_err());
}

#[test]
fn who_comes_late_finds_nobody() {
    let (mut door, right) = door();
    let (port, certificate) = (door.port, door.certificate.clone());
    assert!(wait(&mut door).is_none());
    assert!(door.is_late());
    drop(door);
    assert!(knock(port, right, &certificate).join().expect("no panic").is_err());
}

#[test]
fn scans_and_garbage_do_not_keep_the_right_one_out() {
    let (mut door, right) = door();
    let mut others = Vec::new();
    for number in 0..4 * CANDIDATES {
        let mut socket = TcpStream::connect(("127.0.0.1", door.port)).expect("it listens");
        match number % 4 {
            0 => drop(socket),
            1 => others.push(socket),
            2 => {
                socket.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("said");
                others.push(socket);
            }
            _ => {
                // The beginning of a handshake that never goes on.
                socket.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]).expect("said");
                others.push(socket);
            }
        }
        if number % 8 == 0 {
            assert!(door.wait().expect("it can wait").is_none());
        }
    }
    let knocking = knock(door.port, right, &door.certificate);
    let mut stream = wait(&mut door).expect("the right one");
    answer(&mut stream);
    assert!(knocking.join().expect("no panic").is_ok());
    drop(others);
}

#[test]
fn another_port_of_the_range_is_taken_where_one_is_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let right = Identity::new().expect("a certificate");
    let error = Door::open(&listen(port), right.certificate()).err().expect("it is taken");
    assert!(error.to_string().starts_with("no port of 127.0.0.1:"), "{error}");
    let range: Listen = format!("127.0.0.1:{port}-{}", port.saturating_add(50)).parse().expect("a range");
    assert_ne!(Door::open(&range, right.certificate()).expect("another").port, port);
}

#[test]
fn what_is_carried_arrives_whole_both_ways_and_ends_in_order() {
    let (mut door, right) = door();
    let (port, certificate) = (door.port, door.certificate.clone());
    let data: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let expected = data.clone();
    let way = Way { host: "127.0.0.1".to_string(), port, identity: right, certificate };
    let client = std::thread::spawn(move || {
        let mut stream = way.open().expect("let in");
        let (mut sent, mut came, mut buffer) = (0, Vec::new(), vec![0; 70_000]);
        loop {
            if sent < data.len() {
                sent += stream.write(&data[sent..]).expect("written");
            }
            match stream.read(&mut buffer).expect("readable") {
                Got::Bytes(n) => came.extend_from_slice(&buffer[..n]),
                Got::Nothing => stream.wait(true).expect("it can wait"),
                Got::End => return came,
            }
        }
    });
    let tls = wait(&mut door).expect("the right one");
    let (mut inner, far) = UnixStream::pair().expect("a pair");
    let carrying = std::thread::spawn(move || carry(tls, far));
    let mut came = vec![0; expected.len()];
    inner.read_exact(&mut came).expect("all of it");
    assert!(came == expected);
    inner.write_all(&came).expect("back");
    drop(inner);
    assert!(client.join().expect("no panic") == expected);
    carrying.join().expect("no panic").expect("in order");
}
