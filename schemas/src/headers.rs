//! Headers of a record, kept as the byte string that the ledger hashes and the store keeps.
//!
//! A record has about seven headers. As texts of their own they would be the most expensive part of taking it from
//! Kafka; as one byte string they cost nothing that the store and the ledger would not pay anyway.

use bytes::Bytes;
use std::fmt;

/// Headers in their order; names may repeat. A header without a value has empty bytes.
///
/// Layout (INVARIANT S-2, see [`leaf_bytes`](crate::record::leaf_bytes)): how many, then each name and value preceded by
/// its length, all integers little-endian `u64`. Well-formed by construction.
#[derive(Clone, PartialEq, Eq)]
pub struct Headers(Bytes);

const NONE: &[u8] = &[0; 8];

impl Default for Headers {
    fn default() -> Self {
        Self(Bytes::from_static(NONE))
    }
}

impl Headers {
    /// Reads what [`Headers::as_bytes`] gave; `None` when the bytes are not of that form.
    pub fn from_bytes(bytes: Bytes) -> Option<Self> {
        let mut rest = &*bytes;
        for _ in 0..take_u64(&mut rest)? {
            std::str::from_utf8(take_bytes(&mut rest)?).ok()?;
            take_bytes(&mut rest)?;
        }
        rest.is_empty().then_some(Self(bytes))
    }

    /// The byte string.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        let mut bytes = &*self.0;
        take_u64(&mut bytes).and_then(|count| usize::try_from(count).ok()).unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of names and values.
    pub fn size(&self) -> usize {
        self.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// The last header of that name (Kafka's own rule when names repeat).
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().filter(|(header, _)| *header == name).last().map(|(_, value)| value)
    }

    /// These and one more.
    #[must_use]
    pub fn with(&self, name: &str, value: &[u8]) -> Self {
        let all: Vec<(&str, &[u8])> = self.iter().chain([(name, value)]).collect();
        Self::from(all)
    }

    /// These, with another value where the name stands.
    #[must_use]
    pub fn replaced(&self, name: &str, value: &[u8]) -> Self {
        let change = |(known, old)| (known, if known == name { value } else { old });
        let all: Vec<(&str, &[u8])> = self.iter().map(change).collect();
        Self::from(all)
    }

    /// All, in their order.
    pub fn iter(&self) -> Iter<'_> {
        let mut rest = &*self.0;
        take_u64(&mut rest);
        Iter { rest }
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lossy = |bytes| String::from_utf8_lossy(bytes);
        f.debug_map().entries(self.iter().map(|(name, value)| (name, lossy(value)))).finish()
    }
}

/// Headers one after the other.
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let name = std::str::from_utf8(take_bytes(&mut self.rest)?).ok()?;
        Some((name, take_bytes(&mut self.rest)?))
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = (&'a str, &'a [u8]);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> From<&[(N, V)]> for Headers {
    fn from(headers: &[(N, V)]) -> Self {
        let size: usize = headers.iter().map(|(n, v)| n.as_ref().len() + v.as_ref().len() + 16).sum();
        let mut out = Vec::with_capacity(8 + size);
        put_headers(&mut out, headers.iter().map(|(name, value)| (name.as_ref(), value.as_ref())));
        Self(Bytes::from(out))
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> From<Vec<(N, V)>> for Headers {
    fn from(headers: Vec<(N, V)>) -> Self {
        Self::from(&*headers)
    }
}

/// The parts of a record in one piece of memory, for whoever takes millions of them from elsewhere.
#[derive(Debug, Default)]
pub struct Packed {
    out: Vec<u8>,
    headers: usize,
    key: Option<usize>,
    value: Option<usize>,
}

impl Packed {
    /// Copies the parts, once. `room` is how many bytes the headers take, if known.
    pub fn new<'a>(
        headers: impl ExactSizeIterator<Item = (&'a str, &'a [u8])>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        room: usize,
    ) -> Self {
        let (key_len, value_len) = (key.map(<[u8]>::len), value.map(<[u8]>::len));
        let mut out = Vec::with_capacity(8 + room + key_len.unwrap_or(0) + value_len.unwrap_or(0));
        put_headers(&mut out, headers);
        let headers = out.len();
        out.extend_from_slice(key.unwrap_or_default());
        out.extend_from_slice(value.unwrap_or_default());
        Self { out, headers, key: key_len, value: value_len }
    }

    /// Headers, key and value, which share the memory.
    pub fn split(self) -> (Headers, Option<Bytes>, Option<Bytes>) {
        let all = Bytes::from(self.out);
        let (key_at, value_at) = (self.headers, self.headers + self.key.unwrap_or(0));
        let key = self.key.map(|_| all.slice(key_at..value_at));
        let value = self.value.map(|_| all.slice(value_at..));
        (Headers(all.slice(..key_at)), key, value)
    }
}

fn put_headers<'a>(out: &mut Vec<u8>, headers: impl ExactSizeIterator<Item = (&'a str, &'a [u8])>) {
    put_u64(out, headers.len() as u64);
    for (name, value) in headers {
        put_bytes(out, Some(name.as_bytes()));
        put_bytes(out, Some(value));
    }
}

pub(crate) fn put_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            put_u64(out, bytes.len() as u64);
            out.extend_from_slice(bytes);
        }
        None => put_u64(out, u64::MAX),
    }
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    let (head, tail) = bytes.split_first_chunk::<8>()?;
    *bytes = tail;
    Some(u64::from_le_bytes(*head))
}

fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_u64(bytes)?).ok()?;
    let (head, tail) = bytes.split_at_checked(length)?;
    *bytes = tail;
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Pairs = Vec<(String, Vec<u8>)>;

    fn pairs() -> impl Strategy<Value = Pairs> {
        proptest::collection::vec(("[a-c]{0,3}", proptest::collection::vec(any::<u8>(), 0..6)), 0..4)
    }

    fn read(headers: &Headers) -> Pairs {
        headers.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect()
    }

    proptest! {
        #[test]
        fn headers_are_read_as_they_were_given(given in pairs()) {
            let headers = Headers::from(given.clone());
            prop_assert_eq!(headers.len(), given.len());
            prop_assert_eq!(headers.size(), given.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>());
            prop_assert_eq!(read(&headers), given.clone());
            let last = given.iter().rev().find(|(name, _)| name == "a").map(|(_, value)| value.as_slice());
            prop_assert_eq!(headers.get("a"), last);
            prop_assert_eq!(Headers::from_bytes(Bytes::copy_from_slice(headers.as_bytes())), Some(headers.clone()));
            let longer = headers.with("a", b"new");
            prop_assert_eq!(longer.get("a"), Some(&b"new"[..]));
            let replaced = headers.replaced("a", b"new");
            prop_assert_eq!(replaced.len(), given.len());
            prop_assert_eq!(replaced.get("a"), last.map(|_| &b"new"[..]));
            prop_assert_eq!(replaced.get("b"), headers.get("b"));
        }

        #[test]
        fn packed_parts_come_out_as_they_went_in(
            given in pairs(), key in proptest::option::of("[a-z]{0,3}"), value in proptest::option::of("[a-z]{0,9}"),
        ) {
            let texts: Vec<(&str, &[u8])> = given.iter().map(|(name, value)| (&**name, &**value)).collect();
            let (key, value) = (key.map(String::into_bytes), value.map(String::into_bytes));
            let packed = Packed::new(texts.into_iter(), key.as_deref(), value.as_deref(), 0);
            let parts = packed.split();
            prop_assert_eq!(parts, (Headers::from(given), key.map(Bytes::from), value.map(Bytes::from)));
        }

        #[test]
        fn arbitrary_bytes_are_refused_or_are_headers(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(headers) = Headers::from_bytes(Bytes::from(bytes)) {
                prop_assert_eq!(Headers::from(read(&headers)), headers);
            }
        }
    }
}
