//! Properties of datasets and snapshots: their values, where each value came from, and setting them. The words that
//! stand for the numbers of properties such as `compression` are in `property/index.rs`.

use std::fmt;

use crate::error::{Error, ErrorKind, Operation, Result};
use crate::name::DatasetName;
use crate::nvlist::{NvList, Value};

mod index;

/// Where the value of a property comes from (the SOURCE column of zfs-get(8)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Set on this dataset.
    Local,
    /// Set on the named ancestor. The name is the kernel's text, not checked.
    Inherited(String),
    /// Came with a received stream and is in force.
    Received,
    /// Nobody set it.
    Default,
    /// A statistic, which nobody can set.
    None,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Local => f.write_str("local"),
            Source::Inherited(from) => write!(f, "inherited from {from}"),
            Source::Received => f.write_str("received"),
            Source::Default => f.write_str("default"),
            Source::None => f.write_str("-"),
        }
    }
}

/// The value of a property as the kernel keeps it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PropertyValue<'a> {
    /// Sizes in bytes, counts, seconds since 1970, GUIDs, and the numbers that stand for words.
    Number(u64),
    /// Texts, user properties among them. Any bytes but NUL.
    Text(&'a [u8]),
}

/// One property.
#[derive(Clone, Debug, PartialEq)]
pub struct Property<'a> {
    name: &'a str,
    /// Its value.
    pub value: PropertyValue<'a>,
    /// Where it comes from.
    pub source: Source,
}

impl Property<'_> {
    /// The name, such as `compression` or `org.example:note`.
    pub fn name(&self) -> &str {
        self.name
    }

    /// The value as `zfs get -Hp` prints it: numbers in full, words for the numbers that stand for words. Bytes that
    /// are not UTF-8 are replaced.
    pub fn text(&self) -> String {
        match self.value {
            PropertyValue::Number(number) => index::render(self.name, number),
            PropertyValue::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        }
    }
}

/// All properties that the kernel reports of one dataset or snapshot.
///
/// Absent are native properties at their default that the kernel does not report; see [`Properties::get`].
#[derive(Clone, Debug, PartialEq)]
pub struct Properties {
    list: NvList,
    dataset: String,
}

impl Properties {
    pub(crate) fn new(list: NvList, dataset: impl Into<String>) -> Self {
        Self { list, dataset: dataset.into() }
    }

    /// The property of that name, or `None` where the kernel reports none: a user property nobody set, or a native
    /// property of another dataset type or at its default.
    pub fn get<'a>(&'a self, name: &'a str) -> Option<Property<'a>> {
        self.read(name, self.list.list(name)?)
    }

    /// The number of a numeric property.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.list.list(name)?.u64("value")
    }

    /// The text of a text property, `None` also where it is not UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.list.list(name)?.str("value")
    }

    /// All of them, in the kernel's order.
    pub fn iter(&self) -> impl Iterator<Item = Property<'_>> {
        self.list.iter().filter_map(|(name, value)| {
            let Value::List(pair) = value else { return None };
            self.read(std::str::from_utf8(name).ok()?, pair)
        })
    }

    /// Those that somebody named: `module:property`.
    pub fn user(&self) -> impl Iterator<Item = Property<'_>> {
        self.iter().filter(|property| property.name.contains(':'))
    }

    fn read<'a>(&self, name: &'a str, pair: &'a NvList) -> Option<Property<'a>> {
        let value = match pair.get("value")? {
            Value::UInt64(number) => PropertyValue::Number(*number),
            Value::String(bytes) => PropertyValue::Text(bytes),
            _ => return None,
        };
        let source = match pair.str("source") {
            None if index::is_local_when_reported(name) => Source::Local,
            // What the kernel works out itself, or what was fixed at creation.
            None => Source::None,
            Some("") => Source::Default,
            Some("$recvd") => Source::Received,
            Some(from) if from == self.dataset => Source::Local,
            Some(from) => Source::Inherited(from.to_owned()),
        };
        Some(Property { name, value, source })
    }
}

/// Properties to set, with values as texts or numbers.
///
/// ```
/// use zfs_core::PropertySet;
/// let properties = PropertySet::new().text("org.example:note", "daily").number("quota", 10 << 30);
/// assert_eq!(properties.len(), 2);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PropertySet {
    list: NvList,
}

impl PropertySet {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text: a user property, or a native one such as `mountpoint`. The words of native properties
    /// (`compression` = `lz4`) are translated into the kernel's numbers.
    pub fn text(mut self, name: &str, value: impl AsRef<str>) -> Self {
        let value = value.as_ref();
        match index::parse(name, value) {
            Some(number) => self.list.insert(name, number),
            None => self.list.insert(name, value),
        };
        self
    }

    /// Adds a number: bytes, a count, or the kernel's number for a word.
    pub fn number(mut self, name: &str, value: u64) -> Self {
        self.list.insert(name, value);
        self
    }

    /// How many are in the set.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether none is in the set.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn list(&self) -> &NvList {
        &self.list
    }

    /// The list, if none of its numbers is one that the kernel would take and should not.
    pub(crate) fn checked(&self, operation: Operation, subject: impl fmt::Display) -> Result<&NvList> {
        check(&self.list, operation, subject).map(|()| &self.list)
    }
}

/// Whether two texts stand for the same value of a property: `gzip` and `gzip-6` are one compression.
pub fn same_value(property: &str, one: &str, other: &str) -> bool {
    let number = |text| index::parse(property, text);
    one == other || number(one).is_some_and(|value| number(other) == Some(value))
}

/// Whether this is a native property that can be set on a dataset that exists. User properties are not asked for here.
pub fn is_settable(property: &str) -> bool {
    index::is_settable(property) && index::refuse_name(property, true).is_none()
}

/// Refuses what the kernel would take as it is, and should not: a `recordsize` that is no power of two, a value for
/// `used`.
pub(crate) fn check(list: &NvList, operation: Operation, subject: impl fmt::Display) -> Result<()> {
    let made = operation == Operation::SetProperty;
    let refused = list.iter().find_map(|(name, value)| {
        let name = std::str::from_utf8(name).ok()?;
        if let Some(why) = index::refuse_name(name, made) {
            return Some(format!("{name}: {why}"));
        }
        let Value::UInt64(number) = value else { return None };
        index::refuse(name, *number).map(|why| format!("{name} = {number}: {why}"))
    });
    match refused {
        Some(detail) => Err(Error::found(operation, subject, ErrorKind::InvalidProperty, detail)),
        None => Ok(()),
    }
}

/// The dataset a mount point is inherited from decides where a child is mounted; this is the rule of
/// `mountpoint` in zfsprops(7), for a dataset and the properties the kernel reported of it.
pub fn effective_mountpoint(dataset: &DatasetName, properties: &Properties) -> Option<String> {
    let Some(property) = properties.get("mountpoint") else {
        return Some(format!("/{dataset}"));
    };
    let own = property.text();
    let Source::Inherited(from) = &property.source else { return Some(own) };
    if !own.starts_with('/') {
        return Some(own);
    }
    let below = dataset.as_str().strip_prefix(from.as_str())?;
    Some(if own == "/" { below.to_owned() } else { format!("{own}{below}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(value: impl Into<Value>, source: &str) -> Value {
        Value::List(NvList::new().with("value", value).with("source", source))
    }

    fn sample() -> Properties {
        let list = NvList::new()
            .with("compression", pair(15u64, "tank"))
            .with("quota", pair(5u64, "tank/a"))
            .with("org.x:note", pair("hi", "$recvd"))
            .with("used", Value::List(NvList::new().with("value", 77u64)))
            .with("mountpoint", pair("/mnt", "tank"));
        Properties::new(list, "tank/a")
    }

    #[test]
    fn sources_are_told_apart() {
        let properties = sample();
        let source = |name| properties.get(name).unwrap().source;
        assert_eq!(source("compression"), Source::Inherited("tank".into()));
        assert_eq!(source("quota"), Source::Local);
        assert_eq!(source("org.x:note"), Source::Received);
        assert_eq!(source("used"), Source::None);
        assert!(properties.get("missing").is_none());
    }

    #[test]
    fn words_stand_for_numbers_both_ways() {
        assert_eq!(sample().get("compression").unwrap().text(), "lz4");
        let set = PropertySet::new().text("compression", "lz4").text("atime", "off").text("x:y", "off");
        assert_eq!(set.list().u64("compression"), Some(15));
        assert_eq!(set.list().u64("atime"), Some(0));
        assert_eq!(set.list().str("x:y"), Some("off"));
    }

    #[test]
    fn values_are_compared_by_what_they_stand_for() {
        for (property, one, other, same) in [
            ("compression", "gzip", "gzip-6", true),
            ("compression", "lz4", "zstd", false),
            ("recordsize", "131072", "131072", true),
            ("quota", "none", "0", true),
            ("x:y", "1", "01", false),
            ("x:y", "a", "a", true),
        ] {
            assert_eq!(same_value(property, one, other), same, "{property} {one} {other}");
        }
        assert!(is_settable("compression") && is_settable("refquota") && is_settable("mountpoint"));
        for name in ["used", "casesensitivity", "encryption", "guid", "mounted", "no_such"] {
            assert!(!is_settable(name), "{name}");
        }
    }

    #[test]
    fn a_mount_point_is_inherited_with_the_rest_of_the_name() {
        let name: DatasetName = "tank/a".parse().unwrap();
        assert_eq!(effective_mountpoint(&name, &sample()).unwrap(), "/mnt/a");
    }
}
