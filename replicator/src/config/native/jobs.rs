//! `[[replication]]` of a TOML file, with its targets.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytesize::ByteSize;
use zfs_core::name::PropertyName;

use super::super::dataset::Freshness;
use super::super::job::Carrier;
use super::super::job::FarEnd;
use super::super::job::Job;
use super::super::job::Limits;
use super::super::job::Link;
use super::super::job::Pruner;
use super::super::job::Streams;
use super::super::job::Target;
use super::super::key::Key;
use super::super::problem::shown;
use super::super::problem::suggest;
use super::super::settings::Settings;
use super::policies::patterns;
use super::policies::retention;
use super::policies::uses;
use super::reader::Fields;
use crate::agent::Listen;
use crate::endpoint::Endpoint;
use crate::plan::Divergence;
use crate::plan::Initial;
use crate::plan::Options;
use crate::transfer::Compression;
use crate::transport::quote::Elevate;

/// Templates by name.
pub(super) type Templates = BTreeMap<Arc<str>, Settings>;

const DAY: u64 = 86_400;

/// How an endpoint is written, for messages.
const ENDPOINT: &str = "write POOL/DATASET, HOST:POOL/DATASET or USER@HOST:POOL/DATASET";

pub(super) fn job(fields: Fields<'_, '_>, templates: &Templates) -> Option<Job> {
    let name =
        required_text(&fields, "name", "a job needs a name that tells it from others: add `name = \"…\"`");
    let source = endpoint(&fields, "source");
    if fields.get("source").is_none() {
        fields.error("the job has no source", "add `source = \"POOL/DATASET\"`");
    }
    let options = options(&fields);
    let (job_limits, link) = (limits(&fields, Limits::default()), link(&fields, &Link::default(), "ssh"));
    let ignore_space = fields.bool("ignore_space").unwrap_or(false);
    let verify = fields.bool("verify").unwrap_or(true);
    let mut targets = Vec::new();
    let list = fields.get("target");
    if list.is_none() {
        fields.error(
            "the job has no target",
            "add [[replication.target]] below it with `to = \"HOST:POOL/DATASET\"`",
        );
    }
    for inner in list.map(|field| field.tables("[[replication.target]]")).unwrap_or_default() {
        let base = Base {
            source: source.as_ref(),
            recursive: options.as_ref().is_some_and(|o| o.recursive),
            limits: job_limits,
            link: &link,
            verify,
        };
        targets.extend(target(inner, &base, templates));
    }
    let far = |end: &Endpoint| end.machine.is_some();
    if let (Some(field), Some(source)) = (fields.get("ssh"), &source)
        && !far(source)
        && !targets.is_empty()
        && !targets.iter().any(|target| far(&target.endpoint))
    {
        fields.reader.error(
            &field.key_span,
            "`ssh` tells how to reach another machine, and the job has none",
            "remove it, or name the machine: HOST:POOL/DATASET",
        );
    }
    unique(&fields, &targets);
    let place = fields.reader.place(&fields.span);
    fields.finish();
    let (name, _) = name?;
    Some(Job {
        name: name.to_string(),
        place,
        source: source?,
        link,
        options: options?,
        ignore_space,
        targets,
    })
}

/// Two targets of a job must not be the same place, nor have the same name.
fn unique(fields: &Fields<'_, '_>, targets: &[Target]) {
    for (at, target) in targets.iter().enumerate() {
        let same = |other: &&Target| other.endpoint == target.endpoint || other.name == target.name;
        if let Some(first) = targets[..at].iter().find(same) {
            fields.error(
                format!(
                    "the targets `{}` (line {}) and `{}` (line {}) are the same, or are called the same",
                    first.name, first.place.line, target.name, target.place.line
                ),
                "remove one of the two, or give each its own `to` and `name`",
            );
        }
    }
}

fn required_text<'t>(
    fields: &Fields<'_, 't>,
    key: &'static str,
    fix: &str,
) -> Option<(&'t str, Range<usize>)> {
    if fields.get(key).is_none() {
        fields.error(format!("`{key}` is missing in {}", fields.name), fix);
        return None;
    }
    let (text, span) = fields.text(key)?;
    if text.is_empty() || text.len() > 100 || text.chars().any(char::is_control) {
        let message = format!("`{key}` is \"{}\"", shown(text));
        fields.reader.error(&span, message, "write 1 to 100 characters on one line");
        return None;
    }
    Some((text, span))
}

fn endpoint(fields: &Fields<'_, '_>, key: &'static str) -> Option<Endpoint> {
    fields.parsed(key, ENDPOINT, |text| text.parse::<Endpoint>().map_err(|error| error.to_string()))
}

fn options(fields: &Fields<'_, '_>) -> Option<Options> {
    let defaults = Options::default();
    let flag = |key, default| fields.bool(key).unwrap_or(default);
    let recursive = flag("recursive", false);
    for key in ["include", "exclude"] {
        if let Some(field) = fields.get(key)
            && !recursive
        {
            fields.reader.error(
                &field.key_span,
                format!("`{key}` selects datasets below the source, and the job is not recursive"),
                format!("add `recursive = true`, or remove `{key}`"),
            );
        }
    }
    let initial = [("all", Initial::All), ("newest", Initial::Newest), ("refuse", Initial::Refuse)];
    let divergence = [("stop", Divergence::Stop), ("preserve", Divergence::Preserve)];
    let (datasets, snapshots) = (
        patterns(fields, Some("include"), "exclude"),
        patterns(fields, Some("include_snapshots"), "exclude_snapshots"),
    );
    let options = Options {
        recursive,
        initial: fields.choice("initial", &initial).unwrap_or(defaults.initial),
        intermediates: !flag("newest_only", false),
        divergence: fields.choice("divergence", &divergence).unwrap_or(defaults.divergence),
        discard_partial: flag("discard_partial", defaults.discard_partial),
        decrypt: flag("decrypt", defaults.decrypt),
        follow_renames: flag("follow_renames", defaults.follow_renames),
        bookmarks: flag("bookmarks", defaults.bookmarks),
        set: properties(fields),
        ..defaults
    };
    Some(Options { datasets: datasets?, snapshots: snapshots?, ..options })
}

/// `set = { compression = "zstd" }`.
fn properties(fields: &Fields<'_, '_>) -> Vec<(String, String)> {
    let Some(table) = fields.get("set").and_then(|field| field.table("`set`")) else { return Vec::new() };
    let mut all = Vec::new();
    for field in table.each() {
        if let Err(error) = PropertyName::try_from(field.key.as_str()) {
            let message = format!("\"{}\" is not the name of a property: {error}", shown(&field.key));
            fields.reader.error(&field.key_span, message, "write a name as `zfs get` prints it");
        }
        if let Some(value) = field.text() {
            all.push((field.key.clone(), value.to_string()));
        }
    }
    all
}

pub(super) fn limits(fields: &Fields<'_, '_>, base: Limits) -> Limits {
    let compression = [("auto", Compression::Auto), ("on", Compression::On), ("off", Compression::Off)];
    let size = |key| {
        let fix = "write a number of bytes with a unit, such as \"50MB\" or \"128MiB\"";
        fields.parsed(key, fix, |text| {
            let size = text.parse::<ByteSize>();
            size.map(|size| size.as_u64()).map_err(|_| "it is no number of bytes".to_string())
        })
    };
    let rate = size("rate").map(|rate| {
        let rate = NonZeroU64::new(rate);
        if rate.is_none() {
            fields.error("a `rate` of nothing would never end", "write more than nothing, or remove it");
        }
        rate
    });
    let stall = fields.age("stall_timeout").map(|seconds| (seconds > 0).then_some(seconds));
    Limits {
        datasets: fields.number("jobs", 1, 64).unwrap_or(base.datasets),
        rate: rate.unwrap_or(base.rate),
        buffer: size("buffer").unwrap_or(base.buffer),
        compression: fields.choice("compress", &compression).unwrap_or(base.compression),
        stall: stall.unwrap_or(base.stall),
        retries: fields.number("retries", 0, 1000).unwrap_or(base.retries),
    }
}

pub(super) fn link(outer: &Fields<'_, '_>, base: &Link, key: &'static str) -> Link {
    let Some(fields) = outer.get(key).and_then(|field| field.table(format!("`{key}` of {}", outer.name)))
    else {
        return base.clone();
    };
    let carriers = [("libssh2", Carrier::Libssh2), ("ssh", Carrier::Ssh)];
    let ends = [("zfs", FarEnd::Zfs), ("agent", FarEnd::Agent), ("auto", FarEnd::Auto)];
    let rights = [("no", Elevate::No), ("sudo", Elevate::Sudo), ("doas", Elevate::Doas)];
    let texts = |key| fields.texts(key).into_iter().map(|(text, _)| text.to_string()).collect::<Vec<_>>();
    let or = |list: Vec<String>, default: &[PathBuf]| {
        if list.is_empty() { default.to_vec() } else { list.into_iter().map(PathBuf::from).collect() }
    };
    let seconds = |key, least: u64, default: u64| match fields.age(key) {
        Some(seconds) if (least..=DAY).contains(&seconds) => seconds,
        Some(_) => {
            let span = fields.get(key).map_or(fields.span.clone(), |field| field.value.span());
            fields.reader.error(
                &span,
                format!("`{key}` is out of range"),
                format!("write something from \"{least}s\" to \"1d\""),
            );
            default
        }
        None => default,
    };
    let ways = [("ssh", Streams::Ssh), ("tls", Streams::Tls)];
    let listen = match fields.text("listen").map(|(text, span)| (text.parse::<Listen>(), span)) {
        None => base.listen.clone(),
        Some((Ok(listen), _)) => Some(listen),
        Some((Err(why), span)) => {
            fields.reader.error(
                &span,
                why,
                "write a port or a range of them, as in \"40000-40009\", with an address and a colon before it if need be",
            );
            None
        }
    };
    let carrier = fields.choice("transport", &carriers).unwrap_or(base.carrier);
    let ssh_options = texts("ssh_options");
    if let Some(field) = fields.get("ssh_options")
        && carrier == Carrier::Libssh2
    {
        fields.reader.error(
            &field.key_span,
            "`ssh_options` are for the ssh program only",
            "add `transport = \"ssh\"`, or remove them",
        );
    }
    let made = Link {
        carrier,
        port: fields.number("port", 1, 65_535).and_then(|port| u16::try_from(port).ok()).or(base.port),
        identities: or(texts("identity"), &base.identities),
        known_hosts: or(texts("known_hosts"), &base.known_hosts),
        ssh_options: if ssh_options.is_empty() { base.ssh_options.clone() } else { ssh_options },
        far_end: fields.choice("far_end", &ends).unwrap_or(base.far_end),
        elevate: fields.choice("elevate", &rights).unwrap_or(base.elevate),
        streams: fields.choice("streams", &ways).unwrap_or(base.streams),
        listen,
        connect_timeout: seconds("connect_timeout", 1, base.connect_timeout),
        idle_timeout: seconds("idle_timeout", 2, base.idle_timeout),
    };
    fields.finish();
    made
}

/// What a target takes over from its job.
struct Base<'a> {
    source: Option<&'a Endpoint>,
    recursive: bool,
    limits: Limits,
    link: &'a Link,
    verify: bool,
}

fn target(fields: Fields<'_, '_>, base: &Base<'_>, templates: &Templates) -> Option<Target> {
    if fields.get("to").is_none() {
        fields.error("the target has no place", "add `to = \"HOST:POOL/DATASET\"`");
    }
    let to = endpoint(&fields, "to");
    let named = fields.get("name").and_then(|_| required_text(&fields, "name", "write a name"));
    let optional = fields.bool("optional").unwrap_or(false);
    let verify = fields.bool("verify").unwrap_or(base.verify);
    if let (Some(to), Some(source)) = (&to, base.source) {
        let (from, into) = (&source.dataset, &to.dataset);
        let nested = base.recursive && (from.is_within(into) || into.is_within(from));
        if source.machine == to.machine && (from == into || nested) {
            fields.error(
                format!("the source {from} and the target {into} overlap"),
                "choose a target that is neither the source nor above or below it",
            );
        }
    }
    let pruners = [("never", Pruner::Nobody), ("sender", Pruner::Sender), ("target", Pruner::Target)];
    let pruner = fields.choice("prune", &pruners);
    let kept = fields
        .get("retention")
        .and_then(|field| field.table("[replication.target.retention]"))
        .map(|inner| kept(inner, templates));
    let wrong = match (pruner, &kept) {
        (Some(Pruner::Sender), None) => Some((
            "the sender is to prune there, and nothing says what is kept",
            "add [replication.target.retention]",
        )),
        (Some(Pruner::Nobody), Some(_)) => {
            Some(("there is a `retention`, and `prune = \"never\"`", "remove one of the two"))
        }
        (Some(Pruner::Target), Some(_)) => Some((
            "there is a `retention`, and the target prunes by a configuration of its own",
            "write the retention there, or remove `prune`",
        )),
        _ => None,
    };
    if let Some((message, fix)) = wrong {
        fields.error(message, fix);
    }
    let pruner = pruner.unwrap_or(if kept.is_some() { Pruner::Sender } else { Pruner::Nobody });
    // A target that may be away has only the limits that it is given.
    let default = |age| if optional { None } else { Some(age) };
    let age = |key, default: Option<u64>| fields.age(key).map_or(default, |age| (age > 0).then_some(age));
    let lag = Freshness {
        warn: age("lag_warn", default(26 * 3600)),
        critical: age("lag_critical", default(50 * 3600)),
    };
    let base_limit = age("base_limit", None);
    let base_warn = age("base_warn", base_limit.map(|limit| limit - limit / 7));
    order(&fields, "lag_warn", lag.warn, "lag_critical", lag.critical);
    order(&fields, "base_warn", base_warn, "base_limit", base_limit);
    if let Some(field) = fields.get("base_warn")
        && base_limit.is_none()
    {
        fields.reader.error(
            &field.key_span,
            "`base_warn` warns before `base_limit`, and there is none",
            "add `base_limit`, or remove it",
        );
    }
    let link = link(&fields, base.link, "ssh");
    let limits = limits(&fields, base.limits);
    let place = fields.reader.place(&fields.span);
    fields.finish();
    let endpoint = to?;
    let name = named.map_or_else(|| endpoint.to_string(), |(name, _)| name.to_string());
    let retention = kept;
    Some(Target {
        name,
        place,
        endpoint,
        link,
        limits,
        optional,
        verify,
        pruner,
        retention,
        lag,
        base_limit,
        base_warn,
    })
}

/// A warning must come before what it warns of.
fn order(
    fields: &Fields<'_, '_>,
    first: &'static str,
    warn: Option<u64>,
    second: &'static str,
    then: Option<u64>,
) {
    if let (Some(warn), Some(then)) = (warn, then)
        && warn > then
    {
        let span = fields
            .get(first)
            .or_else(|| fields.get(second))
            .map_or(fields.span.clone(), |field| field.key_span);
        fields.reader.error(
            &span,
            format!("`{first}` is longer than `{second}`"),
            format!("make `{first}` the shorter one"),
        );
    }
}

fn kept(fields: Fields<'_, '_>, templates: &Templates) -> crate::policy::Retention {
    let mut all = Settings::default();
    for (name, span) in uses(&fields) {
        match templates.get(&name) {
            Some(template) => all.overlay(template),
            None => {
                let message = format!("there is no template `{}`", shown(&name));
                fields.reader.error(&span, message, suggest(&name, templates.keys().map(|name| &**name)));
            }
        }
    }
    all.overlay(&retention(&fields));
    // A target has its own room.
    all.remove(Key::PruneAbove);
    if all.iter().all(|(key, _)| !key.is_retention() || key == Key::Every) {
        fields.error(
            "the retention says nothing about what is kept",
            "write what is kept, such as `daily = 90`, or name a template with `use`",
        );
    }
    fields.finish();
    all.retention()
}
