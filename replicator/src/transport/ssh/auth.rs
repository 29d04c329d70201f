//! Who we are: keys from ssh-agent and from files. Passwords and passphrases are never asked for, because a
//! replication must run the same way without anybody at the keyboard.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use ssh2::ErrorCode;
use ssh2::Session;

use super::EAGAIN;
use super::Link;
use super::SshOptions;
use super::keyfile;
use crate::transport::TransportError;

const PHASE: &str = "authenticating";

pub(super) fn authenticate(link: &mut Link, user: &str, options: &SshOptions) -> Result<(), TransportError> {
    let limit = options.timeouts.handshake;
    let methods = match link.drive(PHASE, limit, |s| s.auth_methods(user).map(str::to_string)) {
        Ok(methods) => methods,
        // A server that accepts "none" is rare, but then there is nothing left to prove.
        Err(_) if link.session.authenticated() => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut attempt = Attempt { link, user, limit, tried: Vec::new(), offered: Vec::new() };
    let agent = attempt.agent_keys();
    let accepted = if options.identities.is_empty() {
        attempt.try_agent(&agent)? || attempt.try_files(&default_identities(), &agent, false)?
    } else {
        attempt.try_files(&options.identities, &agent, true)?
    };
    if accepted {
        return Ok(());
    }
    let tried = attempt.tried;
    let peer = link.peer.clone();
    Err(TransportError::Authentication { peer, tried, methods })
}

/// The files that ssh(1) looks for, in its order, as far as libssh2 can use them.
fn default_identities() -> Vec<PathBuf> {
    let Some(home) = std::env::home_dir() else { return Vec::new() };
    ["id_rsa", "id_ecdsa", "id_ed25519"].iter().rev().map(|name| home.join(".ssh").join(name)).collect()
}

/// The keys of an agent, with the connection that can use them.
struct AgentKeys {
    agent: ssh2::Agent,
    keys: Vec<ssh2::PublicKey>,
}

struct Attempt<'a> {
    link: &'a mut Link,
    user: &'a str,
    limit: Duration,
    tried: Vec<String>,
    /// Public keys that were offered already, so that none is offered twice: servers count.
    offered: Vec<Vec<u8>>,
}

impl Attempt<'_> {
    fn agent_keys(&mut self) -> Option<AgentKeys> {
        std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty())?;
        let ask = |session: &Session| -> Result<AgentKeys, ssh2::Error> {
            let mut agent = session.agent()?;
            agent.connect()?;
            agent.list_identities()?;
            let keys = agent.identities()?;
            Ok(AgentKeys { agent, keys })
        };
        match ask(&self.link.session) {
            Ok(keys) => Some(keys),
            Err(error) => {
                self.tried.push(format!("the agent of SSH_AUTH_SOCK does not answer: {}", error.message()));
                None
            }
        }
    }

    fn try_agent(&mut self, agent: &Option<AgentKeys>) -> Result<bool, TransportError> {
        let Some(agent) = agent else { return Ok(false) };
        for key in &agent.keys {
            if self.offer_from_agent(agent, key)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn try_files(
        &mut self,
        files: &[PathBuf],
        agent: &Option<AgentKeys>,
        named: bool,
    ) -> Result<bool, TransportError> {
        for path in files {
            if !named && !path.exists() {
                continue;
            }
            let shown = path.display();
            let key = match keyfile::look(path) {
                Ok(key) => key,
                Err(why) => {
                    self.tried.push(format!("{shown}: {why}"));
                    continue;
                }
            };
            if key.public.as_ref().is_some_and(|public| self.offered.contains(public)) {
                continue;
            }
            let in_agent = agent.as_ref().and_then(|agent| {
                let key = agent.keys.iter().find(|k| Some(k.blob()) == key.public.as_deref())?;
                Some((agent, key))
            });
            let accepted = match in_agent {
                Some((agent, key)) => self.offer_from_agent(agent, key)?,
                None if key.encrypted => {
                    self.tried
                        .push(format!("{shown}: has a passphrase and is not in the agent (ssh-add it)"));
                    false
                }
                None => {
                    self.offered.extend(key.public);
                    self.offer_file(path)?
                }
            };
            if accepted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn offer_from_agent(&mut self, agent: &AgentKeys, key: &ssh2::PublicKey) -> Result<bool, TransportError> {
        let user = self.user;
        self.offered.push(key.blob().to_vec());
        self.offer(&format!("the agent's key {:?}", key.comment()), |_| agent.agent.userauth(user, key))
    }

    fn offer_file(&mut self, path: &Path) -> Result<bool, TransportError> {
        let user = self.user;
        self.offer(&path.display().to_string(), |session| {
            session.userauth_pubkey_file(user, None, path, None)
        })
    }

    /// Offers one key. A refusal is noted and is no error; a connection that ends is, with all that was tried.
    fn offer(
        &mut self,
        what: &str,
        mut call: impl FnMut(&Session) -> Result<(), ssh2::Error>,
    ) -> Result<bool, TransportError> {
        let mut refusal = None;
        let outcome = self.link.drive(PHASE, self.limit, |session| match call(session) {
            Err(error) if error.code() != EAGAIN && !is_disconnect(&error) => {
                refusal = Some(error.message().to_string());
                Ok(false)
            }
            other => other.map(|()| true),
        });
        match outcome {
            Ok(accepted) => {
                if let Some(why) = refusal {
                    self.tried.push(format!("{what}: {why}"));
                }
                Ok(accepted)
            }
            Err(TransportError::Lost { peer, cause, .. }) => {
                self.tried.push(format!("{what}: the server closed the connection ({cause})"));
                Err(TransportError::Authentication {
                    peer,
                    tried: std::mem::take(&mut self.tried),
                    methods: "a limited number of tries; name one key with --identity".to_string(),
                })
            }
            Err(error) => Err(error),
        }
    }
}

/// libssh2's codes for a connection that is gone: disconnected, send, receive, timeout.
fn is_disconnect(error: &ssh2::Error) -> bool {
    matches!(error.code(), ErrorCode::Session(-13 | -7 | -43 | -9 | -30))
}

/// The name of the user who runs us, as ssh(1) takes it when none is given.
pub(super) fn local_user() -> Result<String, TransportError> {
    let uid = rustix::process::getuid().as_raw();
    let from_passwd = || {
        let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_string())
        })
    };
    from_passwd().or_else(|| std::env::var("USER").ok().filter(|name| !name.is_empty())).ok_or_else(|| {
        TransportError::Local {
            what: format!("the local user (uid {uid}) has no name"),
            cause: "give the remote one as user@host".to_string(),
        }
    })
}
