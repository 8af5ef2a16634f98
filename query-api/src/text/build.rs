//! Builds the index of one data file, within a bound of memory, and puts it in its place when it is whole.

use super::condition::KEYWORDS;
use super::index::{IndexError, ROW, Seal, beginning, keyword_field, schema};
use super::walk::{Place, walk};
use super::words::Words;
use ambit_schemas::columns::names;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use std::path::{Path, PathBuf};
use tantivy::indexer::NoMergePolicy;
use tantivy::schema::{Field, TantivyDocument};
use tantivy::tokenizer::{PreTokenizedString, Token};
use tantivy::{Index, IndexWriter, TantivyError};

/// Bytes that an index under construction may hold before it writes a segment. The library refuses less than 15 MB.
pub(super) const MEMORY_BYTES_MIN: usize = 15_000_000;

/// Columns that an index is made of.
pub(super) fn columns() -> impl Iterator<Item = &'static str> {
    KEYWORDS.into_iter().chain([names::DATA])
}

/// An index under construction.
pub(super) struct Build {
    dir: PathBuf,
    writer: IndexWriter,
    row_field: Field,
    places: Vec<(Place, Field)>,
    keywords: Vec<(&'static str, Field)>,
    rows: u64,
    words: Words,
}

impl Build {
    /// Begins in an empty folder; what was in it is deleted.
    pub(super) fn begin(dir: &Path, memory_bytes: usize) -> Result<Self, IndexError> {
        let io = |cause| IndexError::Io { path: dir.to_owned(), cause };
        let damaged = |cause| IndexError::Damaged { path: dir.to_owned(), cause };
        if dir.exists() {
            std::fs::remove_dir_all(dir).map_err(io)?;
        }
        std::fs::create_dir_all(dir).map_err(io)?;
        let schema = schema();
        let field = |name: &str| schema.get_field(name).map_err(damaged);
        let row_field = field(ROW)?;
        let places = Place::ALL.into_iter().map(|place| Ok((place, field(place.name())?)));
        let places = places.collect::<Result<_, IndexError>>()?;
        let keywords = KEYWORDS.into_iter().map(|name| Ok((name, field(&keyword_field(name))?)));
        let keywords = keywords.collect::<Result<_, IndexError>>()?;
        let index = Index::create_in_dir(dir, schema.clone()).map_err(damaged)?;
        let writer: IndexWriter =
            index.writer_with_num_threads(1, memory_bytes.max(MEMORY_BYTES_MIN)).map_err(damaged)?;
        // A file is indexed once and for all: its segments stay as they are.
        writer.set_merge_policy(Box::new(NoMergePolicy));
        let words = Words::default();
        Ok(Self { dir: dir.to_owned(), writer, row_field, places, keywords, rows: 0, words })
    }

    /// Adds rows, in the order of the file.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<(), IndexError> {
        let data = texts(batch, names::DATA);
        let columns: Vec<(Field, StringArray)> =
            self.keywords.iter().filter_map(|(name, field)| Some((*field, texts(batch, name)?))).collect();
        for row in 0..batch.num_rows() {
            let mut document = TantivyDocument::default();
            document.add_u64(self.row_field, self.rows);
            for (field, values) in columns.iter().filter(|(_, values)| !values.is_null(row)) {
                document.add_text(*field, beginning(values.value(row)));
            }
            if let Some(data) = data.as_ref().filter(|data| !data.is_null(row)) {
                self.add_words(&mut document, data.value(row));
            }
            self.writer.add_document(document).map_err(|cause| self.damaged(cause))?;
            self.rows += 1;
        }
        Ok(())
    }

    fn damaged(&self, cause: TantivyError) -> IndexError {
        IndexError::Damaged { path: self.dir.clone(), cause }
    }

    /// The words of an event, as [`super::matcher::Matcher`] would see them: between texts a position stays free, so that
    /// no phrase reaches from one into the next.
    fn add_words(&mut self, document: &mut TantivyDocument, data: &str) {
        let mut found: Vec<(Place, Vec<Token>, usize)> =
            Place::ALL.into_iter().map(|place| (place, Vec::new(), 0)).collect();
        let words = &mut self.words;
        let mut add = |place: Place, text: &str| {
            for (_, tokens, next) in found.iter_mut().filter(|(one, ..)| *one == Place::Data || *one == place)
            {
                words.of(text, |word| {
                    tokens.push(Token { position: *next, text: word.to_owned(), ..Token::default() });
                    *next += 1;
                });
                *next += 1;
            }
        };
        if walk(data, &mut add).is_err() {
            for (_, tokens, next) in &mut found {
                tokens.clear();
                *next = 0;
            }
            let mut whole = Vec::new();
            words.of(data, |word| {
                whole.push(Token { position: whole.len(), text: word.to_owned(), ..Token::default() });
            });
            found = vec![(Place::Data, whole, 0)];
        }
        for (place, tokens, _) in found {
            let field = self.places.iter().find(|(one, _)| *one == place).map(|(_, field)| *field);
            if let Some(field) = field.filter(|_| !tokens.is_empty()) {
                document.add_pre_tokenized_text(field, PreTokenizedString { text: String::new(), tokens });
            }
        }
    }

    /// Ends it: from now on it is whole. Returns how many rows it has.
    pub(super) fn finish(mut self, file: &str) -> Result<u64, IndexError> {
        let (dir, rows) = (self.dir.clone(), self.rows);
        let damaged = |cause| IndexError::Damaged { path: dir.clone(), cause };
        self.writer.commit().map_err(damaged)?;
        self.writer.wait_merging_threads().map_err(damaged)?;
        Seal::write(&dir, file, rows).map_err(|cause| IndexError::Io { path: dir.clone(), cause })?;
        Ok(rows)
    }
}

fn texts(batch: &RecordBatch, column: &str) -> Option<StringArray> {
    let array: &ArrayRef = batch.column_by_name(column)?;
    let array = cast(array, &DataType::Utf8).ok()?;
    Some(array.as_string_opt::<i32>()?.clone())
}
