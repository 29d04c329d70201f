//! The list itself: pairs in the order of insertion, found by name.

use std::collections::HashMap;

use super::error::NvError;
use super::value::Value;
use crate::name::escape;

/// Above this many pairs names are found through a table.
const INDEXED_FROM: usize = 48;

/// An ordered list of pairs of unique names and typed values.
#[derive(Clone, Default)]
pub struct NvList {
    pairs: Vec<(Box<[u8]>, Value)>,
    /// Where each name stands; kept only for long lists.
    index: Option<HashMap<Box<[u8]>, usize>>,
}

impl NvList {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pair; replaces the value in place if the name is there already.
    pub fn insert(&mut self, name: impl AsRef<[u8]>, value: impl Into<Value>) {
        let name = name.as_ref();
        match self.position(name) {
            Some(at) => self.pairs[at].1 = value.into(),
            None => self.push_new(name, value.into()),
        }
    }

    /// [`NvList::insert`] for building a list in one expression.
    #[must_use]
    pub fn with(mut self, name: impl AsRef<[u8]>, value: impl Into<Value>) -> Self {
        self.insert(name, value);
        self
    }

    /// Removes a pair and gives its value.
    pub fn remove(&mut self, name: impl AsRef<[u8]>) -> Option<Value> {
        let at = self.position(name.as_ref())?;
        let (_, value) = self.pairs.remove(at);
        self.index = None;
        self.reindex();
        Some(value)
    }

    /// The value of that name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.get_bytes(name.as_bytes())
    }

    /// The value of that name, which may be no UTF-8.
    pub fn get_bytes(&self, name: &[u8]) -> Option<&Value> {
        self.position(name).map(|at| &self.pairs[at].1)
    }

    /// Whether there is a pair of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The pairs in their order.
    pub fn iter(&self) -> Iter<'_> {
        Iter(self.pairs.iter())
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The value of that name if it is a `UInt64`.
    pub fn u64(&self, name: &str) -> Option<u64> {
        match self.get(name)? {
            Value::UInt64(value) => Some(*value),
            _ => None,
        }
    }

    /// The value of that name if it is an `Int32`.
    pub fn i32(&self, name: &str) -> Option<i32> {
        match self.get(name)? {
            Value::Int32(value) => Some(*value),
            _ => None,
        }
    }

    /// The value of that name if it is a string in UTF-8.
    pub fn str(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.bytes(name)?).ok()
    }

    /// The value of that name if it is a string.
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        match self.get(name)? {
            Value::String(value) => Some(value),
            _ => None,
        }
    }

    /// The value of that name if it is a list.
    pub fn list(&self, name: &str) -> Option<&Self> {
        match self.get(name)? {
            Value::List(value) => Some(value),
            _ => None,
        }
    }

    /// Whether that name is present as a bare boolean or a true boolean value.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Value::Boolean | Value::BooleanValue(true)))
    }

    fn position(&self, name: &[u8]) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(name).copied(),
            None => self.pairs.iter().position(|(other, _)| **other == *name),
        }
    }

    /// Adds a pair whose name is known not to be there.
    fn push_new(&mut self, name: &[u8], value: Value) {
        if let Some(index) = &mut self.index {
            index.insert(name.into(), self.pairs.len());
        }
        self.pairs.push((name.into(), value));
        self.reindex();
    }

    fn reindex(&mut self) {
        if self.index.is_none() && self.pairs.len() > INDEXED_FROM {
            self.index =
                Some(self.pairs.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect());
        }
    }

    /// Adds a decoded pair; a name that is there already is an error.
    pub(super) fn push_decoded(&mut self, name: &[u8], value: Value) -> Result<(), NvError> {
        if self.position(name).is_some() {
            return Err(NvError::Duplicate { name: escape(name) });
        }
        self.push_new(name, value);
        Ok(())
    }
}

impl PartialEq for NvList {
    /// Equal pairs in equal order.
    fn eq(&self, other: &Self) -> bool {
        self.pairs == other.pairs
    }
}

impl<N: AsRef<[u8]>, V: Into<Value>> FromIterator<(N, V)> for NvList {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut list = Self::new();
        list.extend(pairs);
        list
    }
}

impl<N: AsRef<[u8]>, V: Into<Value>> Extend<(N, V)> for NvList {
    fn extend<I: IntoIterator<Item = (N, V)>>(&mut self, pairs: I) {
        for (name, value) in pairs {
            self.insert(name, value);
        }
    }
}

/// The pairs of an [`NvList`] in their order.
#[derive(Debug, Clone)]
pub struct Iter<'a>(std::slice::Iter<'a, (Box<[u8]>, Value)>);

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], &'a Value);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(name, value)| (&**name, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl<'a> IntoIterator for &'a NvList {
    type Item = (&'a [u8], &'a Value);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}
