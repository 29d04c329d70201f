//! From a host name to a session whose host key was checked: lookup, TCP, handshake, known_hosts. Not here: who we
//! are (`auth`).

use std::net::SocketAddr;
use std::net::TcpStream;
use std::net::ToSocketAddrs;
use std::sync::mpsc;
use std::time::Instant;

use ssh2::MethodType;
use ssh2::Session;

use super::Link;
use super::SshOptions;
use crate::transport::TransportError;
use crate::transport::known_hosts;
use crate::transport::known_hosts::KnownHosts;

/// What we are willing to speak, best first; names that this libssh2 lacks fall out. SHA-1 and CBC are missing on
/// purpose. ChaCha20 first, because libssh2 encrypts it a packet at a time and AES 16 bytes at a time.
const KEX: &[&str] = &[
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group18-sha512",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group14-sha256",
];
const CIPHERS: &[&str] = &[
    "chacha20-poly1305@openssh.com",
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
];
const MACS: &[&str] =
    &["hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512"];
const HOST_KEYS: &[&str] = &[
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
];

pub(super) fn connect(options: &SshOptions, peer: &str) -> Result<Link, TransportError> {
    let files = if options.known_hosts.is_empty() {
        known_hosts::default_files(std::env::home_dir().as_deref())
    } else {
        options.known_hosts.clone()
    };
    // Before a single packet: a file that cannot be read must not look like an unknown host.
    let known = KnownHosts::read(&options.host, options.port, &files)?;
    let socket = open(options, &lookup(options)?)?;
    let link_socket = socket.try_clone().map_err(|error| local("duplicate the socket", &error))?;
    let session = Session::new().map_err(|error| local("start libssh2", &error))?;
    session.set_blocking(false);
    let now = Instant::now();
    let mut link = Link {
        session,
        socket: link_socket,
        peer: peer.to_string(),
        timeouts: options.timeouts,
        cancel: options.cancel.clone(),
        heard: now,
        keepalive_due: now + options.timeouts.keepalive,
        broken: false,
    };
    prefer(&link.session, &known)?;
    link.session.set_tcp_stream(socket);
    handshake(&mut link, options)?;
    let key = link.session.host_key().map(|(key, _)| key.to_vec()).unwrap_or_default();
    if let Err(error) = known.check(&key) {
        // No goodbye either: this is not the machine we meant.
        link.broken = true;
        return Err(error.into());
    }
    let seconds = u32::try_from(options.timeouts.keepalive.as_secs().max(1)).unwrap_or(u32::MAX);
    link.session.set_keepalive(true, seconds);
    Ok(link)
}

/// The resolver blocks and takes no deadline, so it gets a thread of its own, left behind if it takes too long.
fn lookup(options: &SshOptions) -> Result<Vec<SocketAddr>, TransportError> {
    let failed = |cause: String| TransportError::Lookup { host: options.host.clone(), cause };
    let (sender, receiver) = mpsc::sync_channel(1);
    let target = (options.host.clone(), options.port);
    std::thread::Builder::new()
        .name("resolve".to_string())
        .spawn(move || {
            let _ = sender.send(target.to_socket_addrs().map(Iterator::collect::<Vec<_>>));
        })
        .map_err(|error| failed(error.to_string()))?;
    let limit = options.timeouts.connect;
    let deadline = Instant::now() + limit;
    loop {
        match receiver.recv_timeout(crate::cancel::TICK) {
            Ok(Ok(addresses)) if addresses.is_empty() => return Err(failed("it has none".to_string())),
            Ok(Ok(addresses)) => return Ok(addresses),
            Ok(Err(error)) => return Err(failed(error.to_string())),
            Err(_) if options.cancel.is_cancelled() => return Err(TransportError::Cancelled),
            Err(mpsc::RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
            Err(_) => return Err(failed(format!("no answer within {} s", limit.as_secs()))),
        }
    }
}

fn open(options: &SshOptions, addresses: &[SocketAddr]) -> Result<TcpStream, TransportError> {
    let mut causes = Vec::new();
    for address in addresses {
        if options.cancel.is_cancelled() {
            return Err(TransportError::Cancelled);
        }
        match TcpStream::connect_timeout(address, options.timeouts.connect) {
            Ok(socket) => {
                // A failure to set these is no reason not to connect.
                let _ = socket.set_nodelay(true);
                socket.set_nonblocking(true).map_err(|error| local("set up the socket", &error))?;
                return Ok(socket);
            }
            Err(error) => causes.push(format!("{} ({error})", address.ip())),
        }
    }
    Err(TransportError::Connect { host: options.host.clone(), port: options.port, cause: causes.join(", ") })
}

/// Tells libssh2 what to offer. Host key algorithms for which known_hosts has a key come first, as OpenSSH does it:
/// a server with several keys would otherwise present one that we cannot judge.
fn prefer(session: &Session, known: &KnownHosts) -> Result<(), TransportError> {
    let types = known.key_types();
    let is_known = |algorithm: &str| {
        let key_type = if algorithm.starts_with("rsa-sha2-") { "ssh-rsa" } else { algorithm };
        types.iter().any(|t| t == key_type)
    };
    let mut host_keys = HOST_KEYS.to_vec();
    host_keys.sort_by_key(|algorithm| !is_known(algorithm));
    for (method, wanted) in [
        (MethodType::Kex, KEX),
        (MethodType::HostKey, host_keys.as_slice()),
        (MethodType::CryptCs, CIPHERS),
        (MethodType::CryptSc, CIPHERS),
        (MethodType::MacCs, MACS),
        (MethodType::MacSc, MACS),
    ] {
        let failed = |error: ssh2::Error| local("choose the algorithms", &error);
        let supported = session.supported_algs(method).map_err(failed)?;
        let wanted: Vec<_> = wanted.iter().copied().filter(|name| supported.contains(name)).collect();
        session.method_pref(method, &wanted.join(",")).map_err(failed)?;
    }
    Ok(())
}

fn handshake(link: &mut Link, options: &SshOptions) -> Result<(), TransportError> {
    match link.drive("agreeing on a protocol", options.timeouts.handshake, Session::handshake) {
        Err(TransportError::Lost { cause, .. }) => {
            Err(TransportError::Handshake { host: options.host.clone(), port: options.port, cause })
        }
        other => other,
    }
}

fn local(what: &str, error: &dyn std::fmt::Display) -> TransportError {
    TransportError::Local { what: format!("cannot {what}"), cause: error.to_string() }
}
