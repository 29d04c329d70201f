//! What `zfs list -Hp` of another machine prints, read strictly. The other machine is not trusted: a line with a
//! wrong number of fields, a name that is no name, a number that is no number, or more than the bounds, is an error
//! and never a shorter list.

use zfs_core::name::DatasetName;
use zfs_core::token::Limits;
use zfs_core::token::ResumeToken;

use super::Bookmark;
use super::DatasetKind;
use super::DatasetState;
use super::Partial;
use super::PartialContent;
use super::Snapshot;
use crate::transport::printable;
use crate::transport::quote::END;

/// The fields that [`DatasetListing`] reads, for `-o`.
pub const FIELDS: &str = "name,type,guid,createtxg,written,encryption,receive_resume_token";

/// The longest line: a name, a few numbers and a resume token.
const LINE_LIMIT: usize = 64 * 1024;

/// The largest number of lines: more snapshots than a pool can be worked with.
const LINES_LIMIT: usize = 2_000_000;

/// Why an answer is not understood.
pub type Misunderstood = String;

/// Splits what arrives in pieces into lines, within bounds, and insists on the end mark.
#[derive(Debug)]
pub struct Lines {
    partial: Vec<u8>,
    count: usize,
    limit: usize,
    ended: bool,
}

impl Default for Lines {
    fn default() -> Self {
        Self::with_limit(LINES_LIMIT)
    }
}

impl Lines {
    /// With another bound on the number of lines than the usual one.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self { partial: Vec::new(), count: 0, limit, ended: false }
    }

    /// Takes a piece, and gives each complete line to `take`.
    ///
    /// # Errors
    /// When a bound is passed, a line is not UTF-8 or comes after the end mark, or `take` does not understand it.
    pub fn push(
        &mut self,
        mut bytes: &[u8],
        take: &mut dyn FnMut(&str) -> Result<(), Misunderstood>,
    ) -> Result<(), Misunderstood> {
        while let Some(at) = bytes.iter().position(|b| *b == b'\n') {
            self.partial.extend_from_slice(&bytes[..at]);
            bytes = &bytes[at + 1..];
            self.line(take)?;
        }
        if self.partial.len() + bytes.len() > LINE_LIMIT {
            return Err(format!("a line is longer than {LINE_LIMIT} bytes"));
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    fn line(&mut self, take: &mut dyn FnMut(&str) -> Result<(), Misunderstood>) -> Result<(), Misunderstood> {
        let line = std::mem::take(&mut self.partial);
        if line.len() > LINE_LIMIT {
            return Err(format!("a line is longer than {LINE_LIMIT} bytes"));
        }
        self.count += 1;
        if self.count > self.limit {
            return Err(format!("there are more than {} lines", self.limit));
        }
        if self.ended {
            return Err("there are lines after the last one".to_string());
        }
        let text = std::str::from_utf8(&line).map_err(|_| "a line is not UTF-8".to_string())?;
        if text == END {
            self.ended = true;
            return Ok(());
        }
        take(text).map_err(|why| format!("{why} in line {}: {:?}", self.count, printable(&line, 200)))
    }

    /// To be called at the end of the answer.
    ///
    /// # Errors
    /// When the end mark is missing: the answer was cut.
    pub fn finish(&self) -> Result<(), Misunderstood> {
        if self.ended && self.partial.is_empty() { Ok(()) } else { Err("it ends in the middle".to_string()) }
    }
}

/// Builds one dataset with its snapshots and bookmarks from lines with [`FIELDS`].
#[derive(Debug)]
pub struct DatasetListing {
    name: DatasetName,
    state: Option<DatasetState>,
    snapshots: Vec<Snapshot>,
    bookmarks: Vec<Bookmark>,
}

impl DatasetListing {
    /// For the dataset that was asked for.
    #[must_use]
    pub fn new(name: DatasetName) -> Self {
        Self { name, state: None, snapshots: Vec::new(), bookmarks: Vec::new() }
    }

    /// Takes a line. Children of the dataset are passed over.
    ///
    /// # Errors
    /// When the line is not one that `zfs list` prints for this question.
    pub fn take(&mut self, line: &str) -> Result<(), Misunderstood> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, kind, guid, createtxg, written, encryption, token] = fields[..] else {
            return Err(format!("{} fields where 7 were asked for", fields.len()));
        };
        let guid = number(guid)?.into();
        let createtxg = number(createtxg)?.into();
        match kind {
            "filesystem" | "volume" if name == self.name.as_str() => {
                if self.state.is_some() {
                    return Err("the dataset comes twice".to_string());
                }
                self.state = Some(DatasetState {
                    name: self.name.clone(),
                    kind: if kind == "volume" { DatasetKind::Volume } else { DatasetKind::Filesystem },
                    guid,
                    encrypted: !matches!(encryption, "off" | "-"),
                    written: number(written)?,
                    partial: partial(token),
                    snapshots: Vec::new(),
                    bookmarks: Vec::new(),
                });
            }
            "filesystem" | "volume" => {
                let child = DatasetName::try_from(name).map_err(|error| error.to_string())?;
                if child.parent().as_ref() != Some(&self.name) {
                    return Err("a dataset that was not asked for".to_string());
                }
            }
            "snapshot" => {
                let name = self.entry(name, '@').and_then(|short| self.name.snapshot(short).map_err(text))?;
                self.snapshots.push(Snapshot { name, guid, createtxg });
            }
            "bookmark" => {
                let name = self.entry(name, '#').and_then(|short| self.name.bookmark(short).map_err(text))?;
                self.bookmarks.push(Bookmark { name, guid, createtxg });
            }
            _ => return Err("an unknown type".to_string()),
        }
        Ok(())
    }

    /// What stands behind the mark, when what stands before it is our dataset.
    fn entry<'n>(&self, name: &'n str, mark: char) -> Result<&'n str, Misunderstood> {
        match name.split_once(mark) {
            Some((dataset, short)) if dataset == self.name.as_str() => Ok(short),
            _ => Err("a name that was not asked for".to_string()),
        }
    }

    /// The dataset, its lists in the order of `createtxg`.
    ///
    /// # Errors
    /// When the dataset itself was not in the list.
    pub fn finish(self) -> Result<DatasetState, Misunderstood> {
        let mut state = self.state.ok_or("the dataset is missing in its own list")?;
        state.snapshots = self.snapshots;
        state.bookmarks = self.bookmarks;
        state.snapshots.sort_by_key(|snapshot| snapshot.createtxg);
        state.bookmarks.sort_by_key(|bookmark| bookmark.createtxg);
        Ok(state)
    }
}

fn text(error: impl std::fmt::Display) -> Misunderstood {
    error.to_string()
}

/// A number in digits only: no sign, no space, nothing above 64 bits.
fn number(field: &str) -> Result<u64, Misunderstood> {
    if field.is_empty() || !field.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("{field:?} is not a number"));
    }
    field.parse().map_err(|_| format!("{field} does not fit into 64 bits"))
}

/// The state of a partial receive, from the property `receive_resume_token`.
#[must_use]
pub fn partial(token: &str) -> Option<Partial> {
    if token.is_empty() || token == "-" {
        return None;
    }
    let content = ResumeToken::parse(token, &Limits::default());
    let content = content.map_err(|error| error.to_string()).map(|token| PartialContent {
        to_guid: token.to_guid,
        from_guid: token.from_guid,
        bytes: token.bytes,
        raw: token.raw,
        foreign: token.redact_snaps.is_some() || !token.unknown.is_empty(),
    });
    Some(Partial { token: token.to_string(), content })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zfs_core::Guid;

    use super::*;

    fn read(answer: &str) -> Result<DatasetState, Misunderstood> {
        let mut lines = Lines::default();
        let mut listing = DatasetListing::new(DatasetName::try_from("tank/a b").expect("a name"));
        // In pieces, as from a network.
        for piece in answer.as_bytes().chunks(7) {
            lines.push(piece, &mut |line| listing.take(line))?;
        }
        lines.finish()?;
        listing.finish()
    }

    const GOOD: &str = "tank/a b\tfilesystem\t11\t5\t0\toff\t-\n\
        tank/a b/child\tfilesystem\t12\t6\t0\toff\t-\n\
        tank/a b@two\tsnapshot\t18446744073709551615\t9\t0\t-\t-\n\
        tank/a b@one\tsnapshot\t13\t7\t0\toff\t-\n\
        tank/a b#one\tbookmark\t13\t7\t-\t-\t-\n";

    #[test]
    fn a_whole_answer_is_read_in_order() {
        let state = read(&format!("{GOOD}{END}\n")).expect("good");
        assert_eq!(state.guid, Guid(11));
        let names: Vec<_> = state.snapshots.iter().map(|s| s.name.short()).collect();
        assert_eq!(names, ["one", "two"]);
        assert_eq!(state.snapshots[1].guid, Guid(u64::MAX));
        assert_eq!(state.bookmarks.len(), 1);
        assert!(!state.encrypted && state.partial.is_none());
    }

    #[test]
    fn a_cut_answer_is_an_error_wherever_it_is_cut() {
        let whole = format!("{GOOD}{END}\n");
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "cut at {length}");
        }
        assert!(read(&whole).is_ok());
    }

    #[test]
    fn what_zfs_would_not_print_is_an_error() {
        for line in [
            "",
            "tank/a b",
            "tank/a b@x\tsnapshot\t13\t7\t0\toff",
            "tank/a b@x\tsnapshot\t13\t7\t0\toff\t-\t-",
            "tank/a b@x\tsnapshot\t-1\t7\t0\toff\t-",
            "tank/a b@x\tsnapshot\t+1\t7\t0\toff\t-",
            "tank/a b@x\tsnapshot\t1e3\t7\t0\toff\t-",
            "tank/a b@x\tsnapshot\t18446744073709551616\t7\t0\toff\t-",
            "tank/a b@x\tsnapshot\t\t7\t0\toff\t-",
            "tank/a b@x\tsnapshot\t-\t7\t0\toff\t-",
            "tank/a b@x y/z\tsnapshot\t1\t7\t0\toff\t-",
            "tank/a b@x@y\tsnapshot\t1\t7\t0\toff\t-",
            "tank/a b@$(reboot)\tsnapshot\t1\t7\t0\toff\t-",
            "tank/other@x\tsnapshot\t1\t7\t0\toff\t-",
            "tank/a b/child@x\tsnapshot\t1\t7\t0\toff\t-",
            "tank/other\tfilesystem\t1\t7\t0\toff\t-",
            "tank/a b/c/d\tfilesystem\t1\t7\t0\toff\t-",
            "tank/a b\tfilesystem\t1\t7\t0\toff\t-",
            "tank/a b@x\tsomething\t1\t7\t0\toff\t-",
            "cannot open 'tank/a b': dataset does not exist",
        ] {
            assert!(read(&format!("{GOOD}{line}\n{END}\n")).is_err(), "{line:?} was taken");
        }
        assert!(read(&format!("{END}\n")).is_err(), "an empty list has no dataset");
        assert!(read(&format!("{GOOD}{END}\n{GOOD}")).is_err(), "lines after the end");
    }

    #[test]
    fn a_dataset_that_does_not_say_what_was_written_is_an_error() {
        // Taken for 0 it would pass as unchanged.
        let answer = format!("{}{END}\n", GOOD.replacen("\t5\t0\toff", "\t5\t-\toff", 1));
        assert!(answer.contains("\t5\t-\toff"));
        assert!(read(&answer).is_err());
        assert!(read(&format!("{GOOD}{END}\n")).is_ok());
    }

    #[test]
    fn lines_and_their_number_are_bounded() {
        let mut lines = Lines::with_limit(3);
        let mut taken = 0;
        let answer = lines.push(b"a\nb\nc\nd\n", &mut |_| {
            taken += 1;
            Ok(())
        });
        assert!(answer.is_err());
        assert_eq!(taken, 3);
        let mut lines = Lines::default();
        let endless = vec![b'x'; 10_000];
        let failed = (0..10).find(|_| lines.push(&endless, &mut |_| Ok(())).is_err());
        assert!(failed.is_some(), "an endless line was kept");
    }

    #[test]
    fn a_token_that_cannot_be_read_is_kept_as_such() {
        let answer = format!("{}{END}\n", GOOD.replacen("\toff\t-\n", "\toff\t1-nonsense\n", 1));
        let partial = read(&answer).expect("good").partial.expect("a token");
        assert!(partial.content.is_err() && partial.token == "1-nonsense");
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(answer in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut lines = Lines::default();
            let mut listing = DatasetListing::new(DatasetName::try_from("tank").expect("a name"));
            let _ = lines.push(&answer, &mut |line| listing.take(line));
        }

        #[test]
        fn no_fields_make_it_panic(line in "(tank|tank@x|tank#x|tank/y)(\t[0-9a-z-]{0,25}){0,8}") {
            let mut listing = DatasetListing::new(DatasetName::try_from("tank").expect("a name"));
            let _ = listing.take(&line);
        }
    }
}
