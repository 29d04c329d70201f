//! The file of numbers, collected by a real node exporter and asked for at a real Prometheus. Both are Debian's, run on
//! this machine, and are downloaded and unpacked, not installed, where they are not there.

use std::fs;
use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use crate::replicas::*;

const PACKAGES: [&str; 2] = ["prometheus", "prometheus-node-exporter"];
const PROGRAMS: [&str; 3] = ["prometheus", "promtool", "prometheus-node-exporter"];

/// Where the programs are.
fn programs() -> PathBuf {
    let installed = Path::new("/usr/bin");
    let has_all = |folder: &Path| PROGRAMS.iter().all(|program| folder.join(program).is_file());
    if has_all(installed) {
        return installed.to_path_buf();
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("prometheus");
    if !has_all(&folder.join("usr/bin")) {
        unpack(&folder);
    }
    assert!(has_all(&folder.join("usr/bin")), "the packages {PACKAGES:?} have no {PROGRAMS:?}");
    folder.join("usr/bin")
}

fn unpack(folder: &Path) {
    let download = || {
        let downloads = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("apt-get");
        command.args(["download", "-q"]).args(PACKAGES).current_dir(downloads.path());
        command.output().expect("apt-get").status.success().then_some(downloads)
    };
    let downloads = download().or_else(|| {
        // The lists of a fresh machine are empty.
        let updated = Command::new("apt-get").args(["update", "-q"]).status();
        assert!(updated.is_ok_and(|status| status.success()), "apt-get update failed");
        download()
    });
    let downloads = downloads.expect("apt-get download of Prometheus and its node exporter");
    for entry in fs::read_dir(downloads.path()).expect("the packages") {
        let package = entry.expect("a package").path();
        let unpacked = Command::new("dpkg-deb").arg("-x").arg(&package).arg(folder).status();
        assert!(unpacked.is_ok_and(|status| status.success()), "{}", package.display());
    }
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(program: PathBuf, arguments: &[String], log: &Path) -> Running {
    let log = fs::File::create(log).expect("a log");
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    Running(command.spawn().expect("it starts"))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port()
}

/// The body of an answer.
fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.contains(" 200 ").then(|| body.to_string())
}

/// Asks until there is an answer that is good.
fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{what}: no answer");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// What Prometheus has for an expression, as labels and value.
fn query(port: u16, expression: &str) -> Vec<(serde_json::Value, f64)> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let escaped: String = expression
        .chars()
        .map(|c| if plain(c) { c.to_string() } else { format!("%{:02X}", c as u32) })
        .collect();
    let Some(body) = get(port, &format!("/api/v1/query?query={escaped}")) else { return Vec::new() };
    let answer: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let rows = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    let value = |row: &serde_json::Value| row["value"][1].as_str().and_then(|text| text.parse().ok());
    rows.iter().filter_map(|row| Some((row["metric"].clone(), value(row)?))).collect()
}

#[test]
fn prometheus_has_the_numbers_that_were_written() {
    let cluster = alone();
    let node = cluster.node(1);
    sh(
        node,
        "zfs create tank/data; zfs snapshot tank/data@autosnap_$(date +%Y-%m-%d_%H:%M:%S)_daily
         replicator replicate tank/data back/data -q; mkdir /tmp/metrics",
    );
    let config = "metrics_file = \"/tmp/metrics/replicator.prom\"\n\
                  [[dataset]]\nname = [\"tank/data\", \"tank/none\"]\ndaily = 3\nhourly = 4\n\
                  [[replication]]\nname = \"the \\\"job\\\"\"\nsource = \"tank/data\"\n\
                  [[replication.target]]\nname = \"back\"\nto = \"back/data\"\n";
    node.script("umask 022; cat > /root/m.toml").stdin(config).run().expect("written");
    let output = replicator(node, "monitor metrics --config /root/m.toml");
    assert_eq!((output.code(), output.out()), (0, String::new()), "{}", output.err());
    assert_eq!(
        sh(node, "ls -A /tmp/metrics; stat -c %a /tmp/metrics/replicator.prom"),
        "replicator.prom\n644"
    );
    let text = node.read_file("/tmp/metrics/replicator.prom").expect("the file");
    let printed = replicator(node, "monitor metrics --config /root/m.toml --output -").out();
    assert!(printed.starts_with("# HELP replicator_"), "{printed}");

    let programs = programs();
    let folder = tempfile::tempdir().expect("a folder");
    let (files, data) = (folder.path().join("files"), folder.path().join("data"));
    fs::create_dir(&files).expect("made");
    fs::write(files.join("replicator.prom"), &text).expect("written");
    // What its own tool says of the text.
    let mut linted = Command::new(programs.join("promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool");
    linted.stdin.take().expect("a pipe").write_all(&text).expect("written");
    let linted = linted.wait_with_output().expect("promtool");
    let said = String::from_utf8_lossy(&linted.stderr).into_owned();
    assert!(linted.status.success(), "{said}\n{}", String::from_utf8_lossy(&text));

    // And of the alerts.
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/monitoring/replicator.rules.yml");
    let checked = Command::new(programs.join("promtool")).args(["check", "rules", rules]).output();
    let checked = checked.expect("promtool");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));

    let (exporter, server) = (free_port(), free_port());
    let _exporter = start(
        programs.join("prometheus-node-exporter"),
        &[
            "--collector.disable-defaults".to_string(),
            "--collector.textfile".to_string(),
            format!("--collector.textfile.directory={}", files.display()),
            format!("--web.listen-address=127.0.0.1:{exporter}"),
        ],
        &folder.path().join("exporter.log"),
    );
    let page = until("the node exporter", || get(exporter, "/metrics"));
    assert!(page.contains("node_textfile_scrape_error 0"), "{page}");
    let settings = format!(
        "global: {{ scrape_interval: 1s }}\nscrape_configs:\n- job_name: node\n  static_configs:\n  - targets: ['127.0.0.1:{exporter}']\n"
    );
    fs::write(folder.path().join("prometheus.yml"), settings).expect("written");
    let _server = start(
        programs.join("prometheus"),
        &[
            format!("--config.file={}", folder.path().join("prometheus.yml").display()),
            format!("--storage.tsdb.path={}", data.display()),
            format!("--web.listen-address=127.0.0.1:{server}"),
        ],
        &folder.path().join("prometheus.log"),
    );
    let written = until("Prometheus", || {
        query(server, "replicator_metrics_timestamp_seconds").first().map(|(_, value)| *value)
    });
    assert!(written > 1.0e9);
    let one = |expression: &str| {
        let found = query(server, expression);
        assert_eq!(found.len(), 1, "{expression}: {found:?}");
        found[0].1
    };
    let is = |expression: &str, value: f64| {
        let found = one(expression);
        assert!((found - value).abs() < f64::EPSILON, "{expression}: {found}");
    };
    is("replicator_snapshots{dataset=\"tank/data\",period=\"daily\"}", 1.0);
    is("replicator_snapshots{dataset=\"tank/data\",period=\"hourly\"}", 0.0);
    is("replicator_dataset_exists{dataset=\"tank/none\"}", 0.0);
    is("replicator_pool_state{pool=\"tank\",state=\"ONLINE\"}", 1.0);
    is("replicator_check_status{check=\"snapshots\"}", 2.0);
    is("replicator_check_status{check=\"replication\"}", 0.0);
    // Nobody has read the copy yet.
    is("replicator_check_status{check=\"verified\"}", 1.0);
    is("replicator_replication_reached{replication=\"the \\\"job\\\"\",target=\"back\"}", 1.0);
    is("replicator_replication_conflict{target=\"back\"}", 0.0);
    // Both sides have the snapshot, so that its date is the lag's.
    is(
        "replicator_replication_common_timestamp_seconds{target=\"back\"} \
         - on() replicator_snapshot_newest_timestamp_seconds{period=\"daily\"}",
        0.0,
    );
    let size: f64 = sh(node, "zpool list -Hp -o size tank").parse().expect("a number");
    is("replicator_pool_size_bytes{pool=\"tank\"}", size);
}
