//! Bytes to put into datasets: like the logs of servers, or without any order. The same for the same seed, and made faster
//! than they can be sent.

use std::io;
use std::io::Write;

use crate::random::Random;

/// What data is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Lines as servers log them: the same words and forms over and over, with numbers and names that change. zstd makes about
    /// a sixth of it.
    Text,
    /// Nothing that compresses.
    Random,
}

/// How much is written at a time.
const BLOCK: usize = 1 << 16;

const HOSTS: [&str; 8] = ["web-01", "web-02", "web-03", "app-01", "app-02", "db-01", "mail-01", "backup-01"];
const THINGS: [&str; 10] = [
    "orders",
    "customers",
    "invoices",
    "products",
    "sessions",
    "reports",
    "shipments",
    "search",
    "messages",
    "settings",
];
const USERS: [&str; 10] =
    ["root", "backup", "deploy", "postgres", "www-data", "alice", "bob", "carol", "dave", "erin"];
const VERBS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
const STATUS: [u32; 6] = [200, 304, 404, 201, 500, 301];
const CLIENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "curl/8.14.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36",
    "kube-probe/1.33",
];

/// Writes so many bytes.
///
/// # Errors
/// Where they cannot be written.
pub fn write(kind: Kind, bytes: u64, seed: u64, to: &mut dyn Write) -> io::Result<()> {
    let mut random = Random::new(seed);
    let mut clock = 0;
    let mut left = bytes;
    let mut block = Vec::with_capacity(BLOCK + 1024);
    while left > 0 {
        block.clear();
        while block.len() < BLOCK {
            match kind {
                Kind::Random => block.extend_from_slice(&random.draw().to_le_bytes()),
                Kind::Text => line(&mut random, &mut clock, &mut block)?,
            }
        }
        let now = left.min(block.len() as u64);
        to.write_all(&block[..now as usize])?;
        left -= now;
    }
    Ok(())
}

/// One line of a log. `clock` is the time in milliseconds since its beginning.
fn line(random: &mut Random, clock: &mut u64, to: &mut Vec<u8>) -> io::Result<()> {
    *clock += random.below(40);
    let seconds = *clock / 1000;
    let (day, hour) = (seconds / 86_400 % 28 + 1, seconds / 3600 % 24);
    let (minute, second, milli) = (seconds / 60 % 60, seconds % 60, *clock % 1000);
    let host = random.often(&HOSTS);
    let pid = 1000 + random.low(64) * 7;
    write!(to, "2026-01-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z {host} ")?;
    match random.below(12) {
        0..6 => {
            let (net, machine) = (random.low(16), random.below(256));
            let (user, verb, thing) = (random.often(&USERS), random.often(&VERBS), random.often(&THINGS));
            let (id, page, status) = (random.below(100_000), random.low(20), random.often(&STATUS));
            let (length, took, client) = (random.low(60_000), random.low(900), random.often(&CLIENTS));
            writeln!(
                to,
                "nginx[{pid}]: 10.0.{net}.{machine} - {user} \"{verb} /api/v2/{thing}/{id}?page={page} HTTP/1.1\" {status} {length} 0.{took:03} \"{client}\""
            )
        }
        6..9 => {
            let (thing, user) = (random.often(&THINGS), random.often(&USERS));
            let (request, took) = (random.draw() & 0xffff_ffff, random.low(5000));
            let cache = if random.below(4) > 0 { "hit" } else { "miss" };
            writeln!(
                to,
                "app[{pid}]: level=info component={thing} user={user} request={request:08x} took={took}ms cache={cache} message=\"request finished\""
            )
        }
        9 => {
            let (took, micro) = (random.low(900), random.below(1000));
            let (thing, owner) = (random.often(&THINGS), random.below(100_000));
            writeln!(
                to,
                "postgres[{pid}]: LOG:  duration: {took}.{micro:03} ms  statement: SELECT id, name, updated FROM {thing} WHERE owner = {owner} ORDER BY updated DESC LIMIT 50"
            )
        }
        10 => {
            let (user, net, machine) = (random.often(&USERS), random.low(16), random.below(256));
            let port = 32_768 + random.below(28_000);
            writeln!(
                to,
                "sshd[{pid}]: Accepted publickey for {user} from 10.0.{net}.{machine} port {port} ssh2: ED25519"
            )
        }
        _ => {
            let thing = random.often(&THINGS);
            writeln!(to, "systemd[1]: Started backup-{thing}.service - Backup of {thing}.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(kind: Kind) -> Vec<u8> {
        let mut data = Vec::new();
        write(kind, 1 << 20, 7, &mut data).expect("written");
        assert_eq!(data.len(), 1 << 20);
        data
    }

    fn packed(kind: Kind) -> f64 {
        let data = made(kind);
        assert!(data == made(kind), "the same seed");
        zstd::bulk::compress(&data, 3).expect("compressed").len() as f64 / data.len() as f64
    }

    #[test]
    fn text_compresses_like_a_log_and_noise_does_not() {
        let text = packed(Kind::Text);
        assert!((0.08..0.25).contains(&text), "{text}");
        assert!(packed(Kind::Random) > 0.99);
    }

    #[test]
    fn lines_follow_each_other_in_time() {
        let text = String::from_utf8(made(Kind::Text)).expect("text");
        let mut times: Vec<&str> = text.lines().map(|line| line.split(' ').next().unwrap_or("")).collect();
        // The last line is cut where the data ends.
        times.pop();
        assert!(times.len() > 5000, "{}", times.len());
        assert!(times.is_sorted());
        assert!(times.iter().all(|time| time.len() == "2026-01-01T00:00:00.000Z".len()));
    }
}
