//! A conversation that goes on over a connection of its own.

use bytes::Bytes;

use super::*;
use crate::agent::content::Raw as Certificate;
use crate::tls::Identity;
use crate::tls::stream::Got;
use crate::tls::stream::TlsStream;
use crate::transport::tls::Way;

fn listening() -> Limits {
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    inside().listening(Some(format!("127.0.0.1:{port}").parse().expect("a place")))
}

/// Asks for a door, and gives where it is.
fn ask_for_door(raw: &mut Raw, certificate: &[u8]) -> (u16, Vec<u8>) {
    let request = Request::Door { certificate: Certificate(certificate.to_vec()) };
    raw.put(Kind::Request, 1, &serde_json::to_vec(&request).expect("JSON"));
    let frame = raw.take().expect("an answer");
    match serde_json::from_slice(&frame.payload).expect("a part") {
        Part::Door { port, certificate } => (port, certificate.0),
        other => panic!("{other:?}"),
    }
}

struct Fast {
    stream: TlsStream,
    frames: Frames,
}

impl Fast {
    fn put(&mut self, kind: Kind, id: u32, payload: &[u8]) {
        let bytes = Bytes::from([&header(kind, id, payload.len()), payload].concat());
        let mut sent = 0;
        while sent < bytes.len() {
            let n = self.stream.write(&bytes[sent..]).expect("written");
            if n == 0 {
                self.stream.wait(false).expect("it can wait");
            }
            sent += n;
        }
    }

    fn take(&mut self) -> Frame {
        let mut buffer = [0; 4096];
        loop {
            if let Some(frame) = self.frames.next().expect("frames") {
                return frame;
            }
            match self.stream.read(&mut buffer).expect("readable") {
                Got::Bytes(n) => self.frames.push(&buffer[..n]),
                Got::Nothing => self.stream.wait(true).expect("it can wait"),
                Got::End => panic!("it ended"),
            }
        }
    }

    fn answer(&mut self, id: u32) -> Answer {
        loop {
            let frame = self.take();
            if frame.kind == Kind::Answer {
                assert_eq!(frame.id, id);
                return serde_json::from_slice(&frame.payload).expect("an answer");
            }
        }
    }
}

#[test]
fn the_same_may_be_asked_there_and_no_second_door() {
    let host = host();
    let received = host.received.clone();
    let mut raw = super::Raw::new(host, listening());
    let identity = Identity::new().expect("a certificate");
    let (port, certificate) = ask_for_door(&mut raw, identity.certificate());
    let way = Way { host: "127.0.0.1".to_string(), port, identity, certificate };
    let mut fast = Fast { stream: way.open().expect("let in"), frames: Frames::default() };
    fast.put(Kind::Hello, 0, &serde_json::to_vec(&Hello::ours()).expect("JSON"));
    assert_eq!(fast.take().kind, Kind::Hello);
    fast.put(Kind::Request, 1, br#"{"inventory":{"root":"tank/in","all":true}}"#);
    assert_eq!(fast.answer(1), Answer::Done);
    fast.put(Kind::Request, 2, br#"{"inventory":{"root":"tank/out","all":true}}"#);
    assert!(refused(&fast.answer(2)));
    let request = Request::Door { certificate: Certificate(vec![1; 10]) };
    fast.put(Kind::Request, 3, &serde_json::to_vec(&request).expect("JSON"));
    assert!(refused(&fast.answer(3)));
    let data = stream(&begin(5), 500);
    fast.put(Kind::Request, 4, RECEIVE.as_bytes());
    assert_eq!(fast.take().kind, Kind::Part);
    for piece in data.chunks(100_000) {
        fast.put(Kind::Data, 4, piece);
    }
    fast.put(Kind::End, 4, &[]);
    assert_eq!(fast.answer(4), Answer::Done);
    assert!(*received.lock().expect("no panic") == data);
    // The end of that conversation is the end of the request that opened it.
    while !fast.stream.close().expect("closed") {
        fast.stream.wait(false).expect("it can wait");
    }
    drop(fast);
    assert_eq!(raw.answer(1), Answer::Done);
    let (ended, _) = raw.close();
    assert!(ended.is_ok(), "{ended:?}");
}

#[test]
fn an_agent_that_may_not_listen_opens_nothing() {
    let mut raw = super::Raw::inside();
    let request = Request::Door { certificate: Certificate(vec![1; 10]) };
    assert!(refused(&raw.ask(1, &serde_json::to_string(&request).expect("JSON"))));
    // Nor for who has no certificate.
    let mut raw = super::Raw::new(host(), listening());
    for (id, certificate) in [(1, Vec::new()), (2, vec![1; 100_000])] {
        let request = Request::Door { certificate: Certificate(certificate) };
        let answer = raw.ask(id, &serde_json::to_string(&request).expect("JSON"));
        assert!(matches!(answer, Answer::Failed(Fault::Other { .. })), "{answer:?}");
    }
}

#[test]
fn who_does_not_come_leaves_the_conversation_where_it_is() {
    let mut raw = super::Raw::new(host(), listening());
    ask_for_door(&mut raw, Identity::new().expect("a certificate").certificate());
    raw.put(Kind::Cancel, 1, &[]);
    assert!(matches!(raw.answer(1), Answer::Failed(Fault::Cancelled)));
    assert_eq!(raw.ask(2, r#"{"inventory":{"root":"tank/in","all":true}}"#), Answer::Done);
    // Nor where the time is over.
    ask_again(&mut raw);
    assert_eq!(raw.ask(4, r#"{"inventory":{"root":"tank/in","all":true}}"#), Answer::Done);
}

fn ask_again(raw: &mut Raw) {
    let certificate = Certificate(Identity::new().expect("a certificate").certificate().to_vec());
    let request = serde_json::to_string(&Request::Door { certificate }).expect("JSON");
    let answer = raw.ask(3, &request);
    assert!(matches!(answer, Answer::Failed(Fault::Other { .. })), "{answer:?}");
}
