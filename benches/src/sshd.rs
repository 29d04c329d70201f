//! sshd with one cipher each: what two machines agree on is then known, whatever the client prefers.

use std::net::TcpListener;
use std::net::TcpStream;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use crate::error::Context;
use crate::error::Result;
use crate::error::unfit;
use crate::lab::Far;
use crate::lab::Lab;

/// The ciphers that are compared.
pub const CIPHERS: [&str; 3] =
    ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"];

/// Ports in a node: nobody else is there.
const NODE_PORTS: [u16; 3] = [2201, 2202, 2203];

/// How long a server may take to listen.
const START: Duration = Duration::from_secs(20);

/// Servers, in the order of [`CIPHERS`]. They end with this.
#[derive(Debug)]
pub struct Servers<'a> {
    ports: Vec<u16>,
    known_hosts: PathBuf,
    identity: PathBuf,
    children: Vec<Child>,
    far: Option<&'a Far>,
}

impl<'a> Servers<'a> {
    /// On the other node, with the keys that nodes have.
    ///
    /// # Errors
    /// Where one does not start.
    pub fn in_node(lab: &Lab, far: &'a Far) -> Result<Self> {
        let servers = Self {
            ports: NODE_PORTS.to_vec(),
            known_hosts: lab.file("known_hosts"),
            identity: PathBuf::from("/root/.ssh/id_ed25519"),
            children: Vec::new(),
            far: Some(far),
        };
        for (cipher, port) in CIPHERS.iter().zip(NODE_PORTS) {
            far.shell.borrow_mut().run(&format!(
                "$(command -v sshd || echo /usr/sbin/sshd) -p {port} -o Ciphers={cipher} -o PidFile=/run/zfs-bench-{port}.pid"
            ))?;
        }
        let host = far.host.rsplit('@').next().unwrap_or(&far.host);
        let scan: String = NODE_PORTS.map(|port| scan(port, host, &servers.known_hosts)).concat();
        lab.here.borrow_mut().run(&scan)?;
        Ok(servers)
    }

    /// On this machine's loopback, with keys made for this run and for the user who runs it.
    ///
    /// # Errors
    /// Where there is no sshd, or one does not start.
    pub fn on_loopback(lab: &Lab, sshd: &Path) -> Result<Servers<'static>> {
        let (host_key, identity) = (lab.file("host_key"), lab.file("identity"));
        for key in [&host_key, &identity] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(key);
            if !keygen.status().context(|| "starting ssh-keygen".to_string())?.success() {
                return unfit("ssh-keygen made no key");
            }
        }
        let public = identity.with_extension("pub");
        let mut servers = Servers {
            ports: Vec::new(),
            known_hosts: lab.file("known_hosts"),
            identity,
            children: Vec::new(),
            far: None,
        };
        // Root's sshd wants this folder, and makes it nowhere itself.
        let _ = std::fs::create_dir_all("/run/sshd");
        for cipher in CIPHERS {
            let port = free_port()?;
            let config = lab.write(
                &format!("sshd-{port}"),
                &format!(
                    "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nCiphers {cipher}\n\
                     StrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n",
                    host_key.display(),
                    public.display()
                ),
            )?;
            let log = std::fs::File::create(lab.file(&format!("sshd-{port}.log")))
                .context(|| "a log".to_string())?;
            let mut command = Command::new(sshd);
            command
                .args(["-D", "-e", "-f"])
                .arg(&config)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log);
            let mut child = command.spawn().on("starting", sshd)?;
            let listens = wait(&mut child, port, &lab.file(&format!("sshd-{port}.log")));
            servers.children.push(child);
            listens?;
            lab.here.borrow_mut().run(&scan(port, "127.0.0.1", &servers.known_hosts))?;
            servers.ports.push(port);
        }
        Ok(servers)
    }

    /// Their ports.
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// A file with their host key.
    pub fn known_hosts(&self) -> &Path {
        &self.known_hosts
    }

    /// A key that they let in.
    pub fn identity(&self) -> &Path {
        &self.identity
    }
}

impl Drop for Servers<'_> {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(far) = self.far {
            let script: String =
                NODE_PORTS.map(|port| format!("kill $(cat /run/zfs-bench-{port}.pid) || true\n")).concat();
            let _ = far.shell.borrow_mut().run(&script);
        }
    }
}

/// The sshd of this machine.
pub fn find() -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&on_path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join("sshd")).find(|path| path.is_file())
}

fn scan(port: u16, host: &str, to: &Path) -> String {
    let to = to.display();
    format!("ssh-keyscan -t ed25519 -p {port} {host} 2>/dev/null >> {to}\ngrep -q ']:{port} ' {to}\n")
}

fn free_port() -> Result<u16> {
    let socket = TcpListener::bind("127.0.0.1:0").context(|| "looking for a free port".to_string())?;
    Ok(socket.local_addr().context(|| "looking for a free port".to_string())?.port())
}

fn wait(child: &mut Child, port: u16, log: &Path) -> Result<()> {
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        let ended = child.try_wait().context(|| "waiting for sshd".to_string())?.is_some();
        if ended || began.elapsed() > START {
            let said = std::fs::read_to_string(log).unwrap_or_default();
            return unfit(format!("sshd does not listen on port {port}: {said}"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
