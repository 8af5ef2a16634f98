//! Where something is: which log, how large, which leaf.

use std::fmt;
use std::str::FromStr;

use crate::error::OriginError;
use crate::limits::MAX_NAME_BYTES;

/// The position of a leaf in its log, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeafIndex(pub u64);

/// How many leaves a log has. The leaf a log of this size gains next has the index of the same number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeSize(pub u64);

impl fmt::Display for LeafIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for TreeSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of one log, unique for ever: it is signed with every checkpoint, so a checkpoint of one shard can
/// never be shown as that of another. Like `ambit.local/ambit.events/3`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(Box<str>);

impl Origin {
    /// Checks and wraps a name.
    ///
    /// # Errors
    /// When the name is empty, longer than 255 bytes, or has white space, control characters or a plus.
    pub fn new(name: &str) -> Result<Self, OriginError> {
        match name_fault(name) {
            Some(reason) => Err(OriginError { name: name.chars().take(64).collect(), reason }),
            None => Ok(Self(name.into())),
        }
    }

    /// The name as it stands in the checkpoint's first line.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(name: &str) -> Result<Self, OriginError> {
        Self::new(name)
    }
}

/// What is wrong with the name of an origin or of a key; signed notes allow the same for both.
pub(crate) fn name_fault(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > MAX_NAME_BYTES {
        Some("it is longer than 255 bytes")
    } else if name.contains('+') {
        Some("it has a plus sign")
    } else if name.chars().any(|c| c.is_whitespace() || c.is_control()) {
        Some("it has white space or a control character")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_that_cannot_stand_in_a_note_are_refused() {
        let long = "x".repeat(256);
        for bad in ["", "a b", "a\nb", "a+b", "a\u{a0}b", "a\u{7}b", long.as_str()] {
            assert!(Origin::new(bad).is_err(), "{bad:?}");
        }
        let good = "ambit.local/ambit.events/3";
        assert_eq!(Origin::new(good).unwrap().as_str(), good);
    }
}
