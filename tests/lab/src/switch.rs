//! The network of a cluster: a port for every node (one end of a socket pair, the other is the node's network
//! card), a link between any two of them. Runs as threads of this process; what happens to a frame on its way
//! is decided in `link`.

use crate::error::{Context, Result};
use crate::link::Link;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, recv, send, shutdown, socketpair,
    sockopt,
};
use rustix::time::Timespec;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Larger than any frame a node sends.
const FRAME: usize = 65_536;

/// Room for frames on their way in and out of a node.
const SOCKET_BUFFER: usize = 4 << 20;

/// How long a node may be too busy to take a frame before the frame is lost.
const BUSY: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// A node's place in the network.
#[derive(Debug, Default)]
pub(crate) struct Port(Mutex<Option<Arc<OwnedFd>>>);

impl Port {
    /// Gives the node a frame; a node that is off or too busy loses it.
    pub(crate) fn send(&self, frame: &[u8]) {
        let Some(fd) = self.current() else { return };
        loop {
            match send(&*fd, frame, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN | Errno::NOBUFS) => {
                    let mut fds = [PollFd::new(&*fd, PollFlags::OUT)];
                    if !matches!(poll(&mut fds, Some(&BUSY)), Ok(1..)) {
                        return;
                    }
                }
                _ => return,
            }
        }
    }

    fn current(&self) -> Option<Arc<OwnedFd>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, fd: Option<Arc<OwnedFd>>) {
        let old = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), fd);
        if let Some(old) = old {
            // Wakes the thread that reads from it; closing alone would not.
            let _ = shutdown(&*old, Shutdown::Both);
        }
    }
}

/// The network.
#[derive(Clone, Debug)]
pub(crate) struct Switch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    ports: Vec<Arc<Port>>,
    /// By the pair of positions, the smaller first.
    links: Vec<Vec<Link>>,
}

impl Switch {
    pub(crate) fn new(nodes: usize) -> Self {
        let links = (0..nodes).map(|_| (0..nodes).map(|_| Link::new()).collect()).collect();
        Self(Arc::new(Inner { ports: (0..nodes).map(|_| Arc::default()).collect(), links }))
    }

    /// The link between two nodes, counted from 0.
    pub(crate) fn link(&self, a: usize, b: usize) -> &Link {
        &self.0.links[a.min(b)][a.max(b)]
    }

    /// Connects a node that is about to boot; returns the end for its network card.
    pub(crate) fn attach(&self, node: usize) -> Result<OwnedFd> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
            .context(|| "making a network socket")?;
        for fd in [&ours, &theirs] {
            // Only root may; smaller buffers are slower, not wrong.
            let _ = sockopt::set_socket_send_buffer_size_force(fd, SOCKET_BUFFER);
        }
        let ours = Arc::new(ours);
        self.0.ports[node].replace(Some(Arc::clone(&ours)));
        let switch = self.clone();
        thread::spawn(move || switch.read(node, &ours));
        Ok(theirs)
    }

    /// Disconnects a node that is off.
    pub(crate) fn detach(&self, node: usize) {
        self.0.ports[node].replace(None);
    }

    fn read(&self, from: usize, fd: &OwnedFd) {
        let mut buffer = vec![0; FRAME];
        loop {
            match recv(fd, &mut buffer, RecvFlags::empty()) {
                Ok((_, 0)) => return,
                Ok((_, n)) => self.forward(from, &buffer[..n]),
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    fn forward(&self, from: usize, frame: &[u8]) {
        let Some(target) = frame.first_chunk::<6>() else { return };
        for (to, port) in self.0.ports.iter().enumerate() {
            let everyone = target[0] & 1 == 1;
            if to != from && (everyone || *target == mac(to)) {
                self.link(from, to).carry(usize::from(from > to), frame, port);
            }
        }
    }
}

/// The address of a node's network card, counted from 0.
pub(crate) fn mac(node: usize) -> [u8; 6] {
    [2, 0x77, 0, 0, 0, node as u8 + 1]
}
