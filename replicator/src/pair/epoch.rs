//! The epoch of a root of a pair: a number that grows with each promotion, the node that was promoted then, and the
//! GUID of the pool that this was written down on. It is one value in one user property, so that no crash leaves a part
//! of it. What is believed of it is decided here; who may go by it in [`super::fence`].

use std::fmt;
use std::str::FromStr;

use zfs_core::Guid;

use crate::host::Property;
use crate::host::PropertySource;
use crate::marks;

/// The version of the values written today.
const VERSION: &str = "1";

/// The longest name of a node: that of a host name.
const NAME_BYTES: usize = 64;

/// The name of a node, as those know it who decide where the service is: letters, digits, `-`, `_` and `.`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(String);

impl NodeName {
    /// That of this machine: the nodename of uname(2) without its domain.
    ///
    /// # Errors
    /// When it is no name that can be written down.
    pub fn of_this_machine() -> Result<Self, BadNodeName> {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        name.split('.').next().unwrap_or_default().parse()
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = BadNodeName;

    fn from_str(text: &str) -> Result<Self, BadNodeName> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if text.is_empty() || text.len() > NAME_BYTES || !text.bytes().all(fits) {
            return Err(BadNodeName(crate::transport::printable(text.as_bytes(), 80)));
        }
        Ok(Self(text.to_string()))
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is no name of a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of a node: 1 to 64 letters, digits, `-`, `_` and `.`")]
pub struct BadNodeName(String);

/// What a root says of the last promotion that its pool knows of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// Counts promotions of the pair; at least 1.
    pub number: u64,
    /// The node that was promoted.
    pub holder: NodeName,
    /// The GUID of the pool that the root is on. A copy of the property on another pool says nothing.
    pub pool: Guid,
}

impl Epoch {
    /// Reads what [`fmt::Display`] wrote; `None` for everything else.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(':').skip(1);
        let epoch = Self {
            number: parts.next()?.parse().ok()?,
            holder: parts.next()?.parse().ok()?,
            pool: Guid(u64::from_str_radix(parts.next()?, 16).ok()?),
        };
        // Nothing but what is written today, to the letter.
        (epoch.number > 0 && epoch.to_string() == text).then_some(epoch)
    }
}

impl fmt::Display for Epoch {
    /// `1:<epoch>:<holder>:<pool>`: the number in decimal digits, the pool's GUID in 16 hexadecimal ones.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}:{}:{}:{:016x}", self.number, self.holder, self.pool.0)
    }
}

/// What is believed of a root's epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Belief {
    /// It has none: nobody was promoted yet as far as this pool knows.
    None,
    /// It was written on this very dataset of this very pool.
    Known(Epoch),
    /// There is something, and it says nothing about this dataset. Never taken for an epoch, nor for none.
    Unknown(Doubt),
}

/// Why an epoch is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// It came with a stream.
    #[error("it came with a stream, and was not written on this dataset")]
    Received,
    /// An ancestor has it.
    #[error("it is that of a dataset above")]
    Inherited,
    /// It was not set by anybody.
    #[error("it was not set on this dataset")]
    NotSet,
    /// It was written on another pool.
    #[error("it was written on another pool (GUID {written}, here is {here})")]
    OtherPool {
        /// The pool that it names.
        written: Guid,
        /// The pool that the dataset is on.
        here: Guid,
    },
    /// It is no value of ours.
    #[error("its value {0:?} is not understood")]
    Unreadable(String),
}

/// What is believed of the property [`marks::EPOCH`] of a dataset on the pool with this GUID.
#[must_use]
pub fn believe(property: Option<&Property>, pool: Guid) -> Belief {
    let Some(property) = property else { return Belief::None };
    match property.source {
        // As the zfs command tells what is not there.
        PropertySource::None if property.value == "-" => return Belief::None,
        PropertySource::Local => {}
        PropertySource::Received => return Belief::Unknown(Doubt::Received),
        PropertySource::Inherited => return Belief::Unknown(Doubt::Inherited),
        PropertySource::Default | PropertySource::None => return Belief::Unknown(Doubt::NotSet),
    }
    match Epoch::read(&property.value) {
        Some(epoch) if epoch.pool == pool => Belief::Known(epoch),
        Some(epoch) => Belief::Unknown(Doubt::OtherPool { written: epoch.pool, here: pool }),
        None => {
            let shown = crate::transport::printable(property.value.as_bytes(), 200);
            Belief::Unknown(Doubt::Unreadable(shown))
        }
    }
}

/// The change that writes an epoch down.
#[must_use]
pub fn written(epoch: &Epoch) -> (String, String) {
    (marks::EPOCH.to_string(), epoch.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn epoch(number: u64, holder: &str, pool: u64) -> Epoch {
        Epoch { number, holder: holder.parse().expect("a name"), pool: Guid(pool) }
    }

    fn property(value: &str, source: PropertySource) -> Property {
        Property { value: value.to_string(), source }
    }

    /// What is written to pools must be read by all later versions.
    #[test]
    fn version_1_stays_as_it_is() {
        let one = epoch(7, "node-1", 255);
        assert_eq!(one.to_string(), "1:7:node-1:00000000000000ff");
        assert_eq!(Epoch::read("1:7:node-1:00000000000000ff"), Some(one));
        assert_eq!(marks::EPOCH, "replicator:epoch");
        assert!(marks::is_our_property(marks::EPOCH), "or it would be replicated");
    }

    #[test]
    fn what_is_not_written_so_is_not_read() {
        for other in [
            "",
            "-",
            "1",
            "1:7:node-1",
            "1:7:node-1:ff",
            "1:7:node-1:00000000000000FF",
            "1:7:node-1:+0000000000000ff",
            "1:7:node-1:00000000000000ff:",
            "1:0:node-1:00000000000000ff",
            "1:07:node-1:00000000000000ff",
            "1:+7:node-1:00000000000000ff",
            "1:-7:node-1:00000000000000ff",
            "1:18446744073709551616:node-1:00000000000000ff",
            "1:7::00000000000000ff",
            "1:7:node 1:00000000000000ff",
            "1:7:n\u{f6}de:00000000000000ff",
            "2:7:node-1:00000000000000ff",
            " 1:7:node-1:00000000000000ff",
            "1:7:node-1:00000000000000ff\n",
        ] {
            assert_eq!(Epoch::read(other), None, "{other:?}");
        }
    }

    #[test]
    fn only_what_was_set_here_on_this_pool_is_believed() {
        use PropertySource as From;
        let value = epoch(7, "a", 255).to_string();
        let of = |value: &str, source| believe(Some(&property(value, source)), Guid(255));
        assert_eq!(of(&value, From::Local), Belief::Known(epoch(7, "a", 255)));
        assert_eq!(believe(None, Guid(255)), Belief::None);
        assert_eq!(of("-", From::None), Belief::None);
        for (value, source, doubt) in [
            (value.as_str(), From::Received, Doubt::Received),
            (&value, From::Inherited, Doubt::Inherited),
            (&value, From::Default, Doubt::NotSet),
            (&value, From::None, Doubt::NotSet),
            ("-", From::Local, Doubt::Unreadable("-".to_string())),
            ("", From::Local, Doubt::Unreadable(String::new())),
            ("2:7:a:00000000000000ff", From::Local, Doubt::Unreadable("2:7:a:00000000000000ff".to_string())),
        ] {
            assert_eq!(of(value, source), Belief::Unknown(doubt), "{value:?} {source:?}");
        }
        let other = believe(Some(&property(&value, From::Local)), Guid(254));
        assert_eq!(other, Belief::Unknown(Doubt::OtherPool { written: Guid(255), here: Guid(254) }));
    }

    #[test]
    fn this_machine_has_a_name_without_a_domain() {
        let name = NodeName::of_this_machine().expect("a name");
        assert!(!name.as_str().contains('.'), "{name}");
    }

    proptest! {
        #[test]
        fn every_epoch_reads_back(number in 1u64.., holder in "[A-Za-z0-9._-]{1,64}", pool: u64) {
            let one = epoch(number, &holder, pool);
            prop_assert_eq!(Epoch::read(&one.to_string()), Some(one));
        }

        #[test]
        fn what_is_read_is_written_the_same(text in "(1:)?[0-9a-f:+ -]{0,40}|1:[0-9]{1,20}:[a-z]{0,3}:[0-9a-fA-F]{0,17}") {
            if let Some(one) = Epoch::read(&text) {
                prop_assert_eq!(one.to_string(), text);
            }
        }

        #[test]
        fn nothing_but_a_local_value_is_ever_known(value in ".{0,40}", at in 0usize..4, pool: u64) {
            use PropertySource as From;
            let source = [From::Received, From::Inherited, From::Default, From::None][at];
            let known = matches!(believe(Some(&property(&value, source)), Guid(pool)), Belief::Known(_));
            prop_assert!(!known);
        }
    }
}
