//! The index of one data file: which of its rows have which words.
//!
//! A folder beside the table, written once and never changed. It is derived: when it is missing or cannot be read the
//! rows themselves are asked. INVARIANT Q-2

use super::bits::Bits;
use super::condition::{Condition, KEYWORDS};
use super::query::Phrase;
use super::walk::Place;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tantivy::postings::SegmentPostings;
use tantivy::query::{EnableScoring, PhraseQuery, Query};
use tantivy::schema::{FAST, Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::{DocSet, Index, ReloadPolicy, Searcher, SegmentReader, TERMINATED, TantivyError, Term};

/// What is written by another version is built anew.
const FORMAT: u32 = 1;
/// The file that is written last, and says that the rest is whole.
const SEAL: &str = "ambit.json";
/// The field with the row's number.
pub(super) const ROW: &str = "row";
/// Longest column value that is indexed whole, in bytes; of a longer one only the beginning is.
pub(super) const KEYWORD_BYTES_MAX: usize = 1_024;
/// A condition that is asked again of the rows is worth the index only when it leaves out three rows of four.
const WORTH: usize = 4;

/// Why an index cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    /// There is none.
    #[error("there is no text index")]
    Absent,
    /// Reading or writing a file.
    #[error("the text index {path} cannot be read or written: it is built again when it is deleted")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// What the library says.
    #[error("the text index {path} is damaged: it is built again when it is deleted")]
    Damaged {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        cause: TantivyError,
    },
    /// It is of another file, another version, or not finished.
    #[error(
        "the text index {path} is not one of this file and version: it is built again when it is deleted"
    )]
    Foreign {
        /// Where.
        path: PathBuf,
    },
    /// The data file.
    #[error("a data file cannot be read for its text index: run `ambit store fsck`")]
    Rows(#[source] datafusion::error::DataFusionError),
    /// The library broke off.
    #[error("building or reading the text index {path} broke off")]
    BrokeOff {
        /// Where.
        path: PathBuf,
    },
}

/// What is said of a whole index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seal {
    format: u32,
    /// The data file's name in the table's log.
    file: String,
    rows: u64,
    /// Each file with its length: one that was cut off by a power cut is told without reading it.
    files: Vec<(String, u64)>,
}

impl Seal {
    /// Seals what is in the folder.
    pub(super) fn write(dir: &Path, file: &str, rows: u64) -> std::io::Result<()> {
        let seal = Self { format: FORMAT, file: file.to_owned(), rows, files: list(dir)? };
        std::fs::write(dir.join(SEAL), serde_json::to_vec(&seal)?)
    }

    fn check(dir: &Path, file: &str, rows: u64) -> std::io::Result<bool> {
        let Ok(seal) = serde_json::from_slice::<Self>(&std::fs::read(dir.join(SEAL))?) else {
            return Ok(false);
        };
        Ok(seal.format == FORMAT && seal.file == file && seal.rows == rows && seal.files == list(dir)?)
    }
}

fn list(dir: &Path) -> std::io::Result<Vec<(String, u64)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Locks are left behind by the library, and are of no consequence.
        if name != SEAL && !name.starts_with('.') {
            files.push((name, entry.metadata()?.len()));
        }
    }
    files.sort();
    Ok(files)
}

/// The fields of every index.
pub(super) fn schema() -> Schema {
    let mut builder = Schema::builder();
    builder.add_u64_field(ROW, FAST);
    let indexing = |tokenizer: &str, option| {
        let indexing = TextFieldIndexing::default().set_tokenizer(tokenizer).set_index_option(option);
        TextOptions::default().set_indexing_options(indexing.set_fieldnorms(false))
    };
    for place in Place::ALL {
        builder.add_text_field(place.name(), indexing("raw", IndexRecordOption::WithFreqsAndPositions));
    }
    for column in KEYWORDS {
        builder.add_text_field(&keyword_field(column), indexing("raw", IndexRecordOption::Basic));
    }
    builder.build()
}

/// The field of a column: places and columns have names in common.
pub(super) fn keyword_field(column: &str) -> String {
    format!("column.{column}")
}

/// Rows that may fulfil a condition.
struct Found {
    rows: Bits,
    /// Whether they all do.
    exact: bool,
}

/// An index that is open.
pub(crate) struct FileIndex {
    dir: PathBuf,
    searcher: Searcher,
    schema: Schema,
    rows: usize,
}

impl std::fmt::Debug for FileIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileIndex").field("dir", &self.dir).field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl FileIndex {
    /// Opens the index of a data file with so many rows. With `thorough`, every byte is checked against its sum.
    pub(crate) fn open(dir: &Path, file: &str, rows: u64, thorough: bool) -> Result<Self, IndexError> {
        let io = |cause| IndexError::Io { path: dir.to_owned(), cause };
        let damaged = |cause| IndexError::Damaged { path: dir.to_owned(), cause };
        let foreign = || IndexError::Foreign { path: dir.to_owned() };
        if !Seal::check(dir, file, rows).map_err(io)? {
            return Err(foreign());
        }
        let index = Index::open_in_dir(dir).map_err(damaged)?;
        if index.schema() != schema() {
            return Err(foreign());
        }
        if thorough && !index.validate_checksum().map_err(damaged)?.is_empty() {
            return Err(foreign());
        }
        let reader =
            index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().map_err(damaged)?;
        let searcher = reader.searcher();
        let indexed = searcher.num_docs();
        let rows = usize::try_from(rows).ok().filter(|_| indexed == rows).ok_or_else(foreign)?;
        Ok(Self { dir: dir.to_owned(), searcher, schema: index.schema(), rows })
    }

    /// Rows that may fulfil all conditions. Those that [`Condition::is_settled_by_index`] are fulfilled by each of them.
    pub(crate) fn search(&self, conditions: &[Condition]) -> Result<Bits, IndexError> {
        let damaged = |cause| IndexError::Damaged { path: self.dir.clone(), cause };
        let mut rows = Bits::all(self.rows);
        for condition in conditions.iter().filter(|condition| **condition != Condition::Unknown) {
            let found = self.find(condition).map_err(damaged)?;
            if condition.is_settled_by_index() || found.rows.count() <= self.rows / WORTH {
                rows.and(&found.rows);
            }
        }
        Ok(rows)
    }

    fn find(&self, condition: &Condition) -> Result<Found, TantivyError> {
        Ok(match condition {
            Condition::Unknown => Found { rows: Bits::all(self.rows), exact: false },
            Condition::Not(inner) => {
                let mut found = self.find(inner)?;
                if found.exact {
                    found.rows.not();
                } else {
                    found.rows = Bits::all(self.rows);
                }
                found
            }
            Condition::All(parts) => {
                let mut all = Found { rows: Bits::all(self.rows), exact: true };
                for part in parts {
                    let found = self.find(part)?;
                    all.rows.and(&found.rows);
                    all.exact &= found.exact;
                }
                all
            }
            Condition::Any(parts) => {
                let mut any = Found { rows: Bits::none(self.rows), exact: true };
                for part in parts {
                    let found = self.find(part)?;
                    any.rows.or(&found.rows);
                    any.exact &= found.exact;
                }
                any
            }
            Condition::Text(place, query) => {
                let mut all = Found { rows: Bits::all(self.rows), exact: true };
                for phrase in query.phrases() {
                    let found = self.phrase(self.schema.get_field(place.name())?, phrase)?;
                    all.rows.and(&found.rows);
                    all.exact &= found.exact;
                }
                all
            }
            Condition::Among(column, values) => {
                let field = self.schema.get_field(&keyword_field(column))?;
                let mut any = Found { rows: Bits::none(self.rows), exact: true };
                for value in values {
                    let term = beginning(value);
                    any.exact &= term.len() == value.len();
                    self.term(field, term, &mut any.rows)?;
                }
                any
            }
            Condition::Like(column, pattern) => {
                let field = self.schema.get_field(&keyword_field(column))?;
                let mut exact = true;
                let rows = self.terms(field, beginning(&pattern.prefix()), |term| {
                    // Of a value that was cut off nobody knows the rest.
                    let cut = term.len() + char::MAX.len_utf8() > KEYWORD_BYTES_MAX;
                    exact &= !cut;
                    cut || pattern.fits(term)
                })?;
                Found { rows, exact }
            }
        })
    }

    fn phrase(&self, field: Field, phrase: &Phrase) -> Result<Found, TantivyError> {
        let mut rows = Bits::none(self.rows);
        let Some((last, before)) = phrase.words().split_last() else {
            return Ok(Found { rows, exact: true });
        };
        if !phrase.is_prefix() {
            self.words(field, phrase.words(), &mut rows)?;
            return Ok(Found { rows, exact: true });
        }
        rows = self.terms(field, last, |_| true)?;
        if before.is_empty() {
            return Ok(Found { rows, exact: true });
        }
        // Which word begins where is not looked up: rows with the words before, and with such a word anywhere.
        let mut first = Bits::none(self.rows);
        self.words(field, before, &mut first)?;
        rows.and(&first);
        Ok(Found { rows, exact: false })
    }

    /// Rows that have these words beside each other.
    fn words(&self, field: Field, words: &[String], rows: &mut Bits) -> Result<(), TantivyError> {
        if let [word] = words {
            return self.term(field, word, rows);
        }
        let terms = words.iter().map(|word| Term::from_field_text(field, word)).collect();
        let weight = PhraseQuery::new(terms).weight(EnableScoring::disabled_from_schema(&self.schema))?;
        for segment in self.searcher.segment_readers() {
            let numbers = segment.fast_fields().u64(ROW)?;
            weight.for_each_no_score(segment, &mut |docs| {
                for doc in docs {
                    mark(rows, numbers.first(*doc));
                }
            })?;
        }
        Ok(())
    }

    fn term(&self, field: Field, word: &str, rows: &mut Bits) -> Result<(), TantivyError> {
        let term = Term::from_field_text(field, word);
        for segment in self.searcher.segment_readers() {
            let inverted = segment.inverted_index(field)?;
            if let Some(postings) = inverted.read_postings(&term, IndexRecordOption::Basic)? {
                take(segment, postings, rows)?;
            }
        }
        Ok(())
    }

    /// Rows that have a word with this beginning for which `wanted` holds.
    fn terms(
        &self,
        field: Field,
        prefix: &str,
        mut wanted: impl FnMut(&str) -> bool,
    ) -> Result<Bits, TantivyError> {
        let mut rows = Bits::none(self.rows);
        for segment in self.searcher.segment_readers() {
            let inverted = segment.inverted_index(field)?;
            let mut stream = inverted.terms().range().ge(prefix.as_bytes()).into_stream()?;
            while stream.advance() {
                if !stream.key().starts_with(prefix.as_bytes()) {
                    break;
                }
                if std::str::from_utf8(stream.key()).is_ok_and(&mut wanted) {
                    let info = stream.value().clone();
                    let postings = inverted.read_postings_from_terminfo(&info, IndexRecordOption::Basic)?;
                    take(segment, postings, &mut rows)?;
                }
            }
        }
        Ok(rows)
    }
}

/// What of a column's value is indexed.
pub(super) fn beginning(value: &str) -> &str {
    value.get(..value.floor_char_boundary(KEYWORD_BYTES_MAX)).unwrap_or(value)
}

fn take(segment: &SegmentReader, mut postings: SegmentPostings, rows: &mut Bits) -> Result<(), TantivyError> {
    let numbers = segment.fast_fields().u64(ROW)?;
    while postings.doc() != TERMINATED {
        mark(rows, numbers.first(postings.doc()));
        postings.advance();
    }
    Ok(())
}

fn mark(rows: &mut Bits, number: Option<u64>) {
    if let Some(row) = number.and_then(|number| usize::try_from(number).ok()) {
        rows.set(row);
    }
}
