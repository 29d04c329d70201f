//! The words that native properties show for the numbers the kernel keeps (zfsprops(7); numbers from sys/fs/zfs.h,
//! sys/zio.h and sys/zio_compress.h, the same from OpenZFS 2.1 to 2.4). Where a number has two words, the one that
//! `zfs get` prints stands first.

type Words = &'static [(&'static str, u64)];

const OFF_ON: Words = &[("off", 0), ("on", 1)];
const NO_YES: Words = &[("no", 0), ("yes", 1)];
const CACHE: Words = &[("none", 0), ("metadata", 1), ("all", 2)];
const VERIFY: u64 = 1 << 8;

/// Properties whose numbers have words.
#[rustfmt::skip]
const TABLE: &[(&str, Words)] = &[
    ("aclinherit", &[("discard", 0), ("noallow", 1), ("passthrough", 3), ("restricted", 4), ("passthrough-x", 5)]),
    ("aclmode", &[("discard", 0), ("groupmask", 2), ("passthrough", 3), ("restricted", 4)]),
    ("acltype", &[("off", 0), ("posix", 1), ("nfsv4", 2)]),
    ("atime", OFF_ON),
    ("canmount", &[("off", 0), ("on", 1), ("noauto", 2)]),
    ("casesensitivity", &[("sensitive", 0), ("insensitive", 1), ("mixed", 2)]),
    ("checksum", &[
        ("on", 1), ("off", 2), ("fletcher2", 6), ("fletcher4", 7), ("sha256", 8), ("noparity", 10), ("sha512", 11),
        ("skein", 12), ("edonr", 13), ("blake3", 14),
    ]),
    ("compression", &[
        ("on", 1), ("off", 2), ("lzjb", 3), ("gzip", 10), ("gzip-1", 5), ("gzip-2", 6), ("gzip-3", 7), ("gzip-4", 8),
        ("gzip-5", 9), ("gzip-6", 10), ("gzip-7", 11), ("gzip-8", 12), ("gzip-9", 13), ("zle", 14), ("lz4", 15),
        ("zstd", 16),
    ]),
    ("dedup", &[
        ("on", 1), ("off", 2), ("verify", 1 | VERIFY), ("sha256", 8), ("sha256,verify", 8 | VERIFY), ("sha512", 11),
        ("sha512,verify", 11 | VERIFY), ("skein", 12), ("skein,verify", 12 | VERIFY), ("edonr,verify", 13 | VERIFY),
        ("blake3", 14), ("blake3,verify", 14 | VERIFY),
    ]),
    ("defer_destroy", OFF_ON),
    ("devices", OFF_ON),
    ("direct", &[("disabled", 0), ("standard", 1), ("always", 2)]),
    ("dnodesize", &[("legacy", 0), ("auto", 1), ("1k", 1024), ("2k", 2048), ("4k", 4096), ("8k", 8192), ("16k", 16384)]),
    ("encryption", &[
        ("on", 1), ("off", 2), ("aes-128-ccm", 3), ("aes-192-ccm", 4), ("aes-256-ccm", 5), ("aes-128-gcm", 6),
        ("aes-192-gcm", 7), ("aes-256-gcm", 8), ("off", 0),
    ]),
    ("exec", OFF_ON),
    ("keyformat", &[("none", 0), ("raw", 1), ("hex", 2), ("passphrase", 3)]),
    ("keystatus", &[("none", 0), ("unavailable", 1), ("available", 2)]),
    ("logbias", &[("latency", 0), ("throughput", 1)]),
    ("mounted", NO_YES),
    ("nbmand", OFF_ON),
    ("normalization", &[("none", 0), ("formD", 0x10), ("formC", 0x20), ("formKD", 0x40), ("formKC", 0x80)]),
    ("overlay", OFF_ON),
    ("prefetch", CACHE),
    ("primarycache", CACHE),
    ("readonly", OFF_ON),
    ("redundant_metadata", &[("all", 0), ("most", 1), ("some", 2), ("none", 3)]),
    ("relatime", OFF_ON),
    ("secondarycache", CACHE),
    ("setuid", OFF_ON),
    ("snapdev", &[("hidden", 0), ("visible", 1)]),
    ("snapdir", &[("hidden", 0), ("visible", 1), ("disabled", 2)]),
    ("sync", &[("standard", 0), ("always", 1), ("disabled", 2)]),
    ("type", &[("filesystem", 2), ("volume", 3)]),
    ("utf8only", OFF_ON),
    ("volmode", &[("default", 0), ("full", 1), ("geom", 1), ("dev", 2), ("none", 3)]),
    ("vscan", OFF_ON),
    ("xattr", &[("off", 0), ("sa", 2), ("on", 2), ("dir", 1)]),
    ("zoned", OFF_ON),
];

/// Native properties without words that can be set, so that their source can be `default` and not `-`.
const SETTABLE: &[&str] = &[
    "copies",
    "filesystem_limit",
    "keylocation",
    "mlslabel",
    "mountpoint",
    "quota",
    "recordsize",
    "refquota",
    "refreservation",
    "reservation",
    "sharenfs",
    "sharesmb",
    "snapshot_limit",
    "special_small_blocks",
    "volsize",
    "volthreading",
];

/// What the kernel works out. It would take a value for these, and then show it as if it had been set.
#[rustfmt::skip]
const READ_ONLY: &[&str] = &[
    "available", "clones", "compressratio", "createtxg", "creation", "defer_destroy", "encryptionroot",
    "filesystem_count", "guid", "inconsistent", "ivsetguid", "keyguid", "keystatus", "logicalreferenced", "logicalused",
    "mounted", "name", "numclones", "objsetid", "origin", "prevsnap", "receive_resume_token", "redact_snaps", "redacted",
    "refcompressratio", "referenced", "remaptxg", "snapshot_count", "snapshots_changed", "type", "unique", "used",
    "usedbychildren", "usedbydataset", "usedbyrefreservation", "usedbysnapshots", "useraccounting", "userrefs",
    "written",
];

/// What is fixed when a dataset is made; the same holds of setting them later.
#[rustfmt::skip]
const SET_ONCE: &[&str] = &[
    "casesensitivity", "encryption", "keyformat", "normalization", "pbkdf2iters", "pbkdf2salt", "utf8only", "volblocksize",
];

/// What the kernel reports without a source although it was set here (zfs(8) shows them as local).
#[rustfmt::skip]
const LOCAL_WHEN_REPORTED: &[&str] = &[
    "filesystem_limit", "quota", "refquota", "refreservation", "reservation", "snapshot_limit", "volsize",
];

pub(super) fn is_local_when_reported(property: &str) -> bool {
    LOCAL_WHEN_REPORTED.contains(&property)
}

/// Ratios are kept in hundredths.
const RATIOS: &[&str] = &["compressratio", "refcompressratio"];

fn words(property: &str) -> Option<Words> {
    TABLE.binary_search_by_key(&property, |row| row.0).ok().map(|at| TABLE[at].1)
}

pub(super) fn is_settable(property: &str) -> bool {
    SETTABLE.contains(&property) || (words(property).is_some() && !READ_ONLY.contains(&property))
}

pub(super) fn render(property: &str, number: u64) -> String {
    if RATIOS.contains(&property) {
        return format!("{}.{:02}", number / 100, number % 100);
    }
    if property == "compression"
        && let Some(text) = zstd_level(number)
    {
        return text;
    }
    match words(property).and_then(|words| words.iter().find(|word| word.1 == number)) {
        Some((word, _)) => (*word).to_owned(),
        None => number.to_string(),
    }
}

pub(super) fn parse(property: &str, word: &str) -> Option<u64> {
    if property == "compression"
        && let Some(number) = parse_zstd(word)
    {
        return Some(number);
    }
    let known = words(property).and_then(|words| words.iter().find(|entry| entry.0 == word));
    if let Some((_, number)) = known {
        return Some(*number);
    }
    let numeric = property != "mountpoint" && !property.contains(':') && is_settable(property);
    if numeric && word == "none" && NONE_IS_ZERO.contains(&property) {
        return Some(0);
    }
    if numeric && !TEXTS.contains(&property) { word.parse().ok() } else { None }
}

/// Why a property cannot be set at all; `made` says that the dataset exists already.
pub(super) fn refuse_name(property: &str, made: bool) -> Option<&'static str> {
    // Such as `userused@joe`.
    let name = property.split_once('@').map_or(property, |(name, _)| name);
    let counted = ["userused", "groupused", "projectused", "userobjused", "groupobjused", "projectobjused"];
    if READ_ONLY.contains(&name) || counted.contains(&name) {
        Some("it is read-only")
    } else if made && SET_ONCE.contains(&name) {
        Some("it is fixed when the dataset is created")
    } else {
        None
    }
}

/// Why a number cannot be the value of a property, for what the kernel takes without a look and then trips over (the
/// `zfs` command checks the same before it asks the kernel).
pub(super) fn refuse(property: &str, number: u64) -> Option<String> {
    match property {
        "recordsize" if !(number.is_power_of_two() && (512..=16 << 20).contains(&number)) => {
            Some("it must be a power of two from 512 bytes to 16 MiB".to_owned())
        }
        "copies" if !(1..=3).contains(&number) => Some("it must be 1, 2 or 3".to_owned()),
        "compression" if zstd_level(number).is_some() => None,
        _ => {
            let words = words(property)?;
            let known = words.iter().any(|word| word.1 == number);
            let all = || words.iter().map(|word| word.0).collect::<Vec<_>>().join(", ");
            (!known).then(|| format!("it must be one of {}", all()))
        }
    }
}

const NONE_IS_ZERO: &[&str] = &["quota", "refquota", "reservation", "refreservation"];
const TEXTS: &[&str] = &["keylocation", "mlslabel", "mountpoint", "sharenfs", "sharesmb"];

/// A level of zstd is kept above the number of zstd itself, in steps of 128 (sys/zio_compress.h).
const ZSTD: u64 = 16;

fn zstd_level(number: u64) -> Option<String> {
    if number & 0x7f != ZSTD || number < 128 {
        return None;
    }
    let level = number >> 7;
    Some(match level {
        1..=19 => format!("zstd-{level}"),
        103 => "zstd-fast".to_owned(),
        104..=112 => format!("zstd-fast-{}", level - 102),
        113..=121 => format!("zstd-fast-{}", (level - 111) * 10),
        122 => "zstd-fast-500".to_owned(),
        123 => "zstd-fast-1000".to_owned(),
        _ => return None,
    })
}

fn parse_zstd(word: &str) -> Option<u64> {
    let word = if word == "zstd-fast-1" { "zstd-fast" } else { word };
    (1..=123).map(|level| ZSTD | (level << 7)).find(|number| zstd_level(*number).as_deref() == Some(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn numbers_that_would_harm_are_refused() {
        assert!(refuse("recordsize", 1000).is_some() && refuse("recordsize", 256).is_some());
        assert!(refuse("recordsize", 32 << 20).is_some() && refuse("copies", 4).is_some());
        assert!(refuse("compression", 9999).unwrap().contains("lz4"));
        for (property, number) in
            [("recordsize", 1 << 20), ("copies", 2), ("compression", 15), ("quota", 17), ("x:y", 9)]
        {
            assert_eq!(refuse(property, number), None, "{property}");
        }
        assert_eq!(refuse("compression", parse("compression", "zstd-fast-10").unwrap()), None);
    }

    #[test]
    fn what_cannot_be_set_is_refused() {
        assert!(refuse_name("used", false).is_some() && refuse_name("userused@joe", true).is_some());
        assert!(refuse_name("encryption", true).is_some() && refuse_name("encryption", false).is_none());
        assert!(refuse_name("org.x:used", true).is_none() && refuse_name("userquota@joe", true).is_none());
    }

    #[test]
    fn every_word_comes_back() {
        for (property, words) in TABLE {
            for (word, number) in *words {
                let parsed = parse(property, word).unwrap();
                assert!(parsed == *number || words.iter().filter(|w| w.0 == *word).count() > 1);
            }
        }
        assert_eq!(render("compression", parse("compression", "zstd-7").unwrap()), "zstd-7");
        assert_eq!(render("compressratio", 105), "1.05");
    }
}
