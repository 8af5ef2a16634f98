//! Reads a text once, from front to back, into words and messages.
//!
//! A message is what one author wrote: an element of a list in YAML, a member of a JSON (or Python) list or object, or
//! else the whole text. Tools return lists of mails, posts, products and transactions; whoever wrote one of them did
//! not write the others.

use super::words::{Building, Word, hash_of};
use std::sync::LazyLock;

/// How much of one text is read, in bytes. What lies beyond counts as not seen.
pub(crate) const READ_BYTES_MAX: usize = 32 << 10;
/// Shortest secret, in characters.
const SECRET_CHARS_MIN: usize = 4;
/// How many words may stand between a label and its secret: `secret key is 1a7b3d`.
const LABEL_WORDS_MAX: u8 = 3;

/// Fields that say who wrote a message.
static AUTHORS: LazyLock<[u32; 3]> = LazyLock::new(|| ["sender", "from", "author"].map(hash_of));
/// Words after which a secret stands.
static LABELS: LazyLock<[u32; 12]> = LazyLock::new(|| {
    [
        "password",
        "passwd",
        "passphrase",
        "passcode",
        "secret",
        "token",
        "key",
        "apikey",
        "pin",
        "cvv",
        "ssn",
        "passport",
    ]
    .map(hash_of)
});

/// What reading gives, piece by piece.
pub(crate) trait Sink {
    /// The next word.
    fn word(&mut self, word: Word);
    /// The last `count` words are a field's name.
    fn key(&mut self, count: usize);
    /// A message begins with the next word.
    fn message(&mut self);
    /// The message has an author's field.
    fn authored(&mut self);
    /// The last word is a secret.
    fn secret(&mut self, word: Word);
}

/// How a text is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Plain,
    List,
    Brackets,
}

/// Reads a text. Returns whether all of it was read.
pub(crate) fn read(text: &str, sink: &mut impl Sink) -> bool {
    let mut end = text.len().min(READ_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let begin = text.get(..end).unwrap_or_default();
    let begin = begin.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '<' | '|'));
    let layout = match begin.as_bytes().first() {
        Some(b'-') => Layout::List,
        Some(b'[' | b'{') => Layout::Brackets,
        _ => Layout::Plain,
    };
    sink.message();
    let mut reader =
        Reader { sink, place: Place::new(layout), building: Building::default(), word: Last::default() };
    let mut chars = begin.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_alphanumeric() {
            reader.letter(c);
        } else {
            let next = chars.peek().copied();
            reader.between(c, next);
        }
    }
    reader.end_word();
    end == text.len()
}

struct Reader<'a, S> {
    sink: &'a mut S,
    place: Place,
    building: Building,
    word: Last,
}

/// What is known of the words just read.
#[derive(Debug, Default)]
struct Last {
    has_digit: bool,
    hash: u32,
    /// Words since the last character that cannot stand inside a field's name.
    run: usize,
    /// How many more words may be the secret of a label, and whether a colon or the like came after it.
    label: u8,
    assigned: bool,
}

/// Where in the text's structure the reader stands.
#[derive(Debug)]
struct Place {
    layout: Layout,
    line_start: bool,
    /// The last character that is not a space.
    previous: char,
    depth: u32,
    quote: Option<char>,
    escaped: bool,
}

impl Place {
    const fn new(layout: Layout) -> Self {
        Self { layout, line_start: true, previous: '\n', depth: 0, quote: None, escaped: false }
    }

    /// Whether a character begins a new message.
    fn begins_message(&mut self, c: char, next: Option<char>) -> bool {
        let begins = match self.layout {
            Layout::Plain => false,
            Layout::List => self.line_start && c == '-' && next == Some(' '),
            Layout::Brackets => self.bracket(c, next),
        };
        self.line_start = c == '\n';
        if !c.is_whitespace() {
            self.previous = c;
        }
        begins
    }

    /// Brackets in quoted text are text. Python quotes with either mark, so a mark closes only what it opened, and only
    /// where a value can end.
    fn bracket(&mut self, c: char, next: Option<char>) -> bool {
        if std::mem::take(&mut self.escaped) {
            return false;
        }
        if let Some(quote) = self.quote {
            self.escaped = c == '\\';
            let ends = next.is_none_or(|next| matches!(next, ',' | ':' | '}' | ']' | ')' | '\n' | ' '));
            if c == quote && ends {
                self.quote = None;
            }
            return false;
        }
        match c {
            '\'' | '"' if matches!(self.previous, '{' | '[' | '(' | ',' | ':') => self.quote = Some(c),
            '{' | '[' => self.depth += 1,
            '}' | ']' => self.depth = self.depth.saturating_sub(1),
            ',' => return self.depth == 1 && self.previous == '}',
            _ => {}
        }
        false
    }
}

impl<S: Sink> Reader<'_, S> {
    fn letter(&mut self, c: char) {
        if c.is_ascii() {
            self.word.has_digit |= c.is_ascii_digit();
            self.building.push(u32::from(c.to_ascii_lowercase()));
        } else {
            for lower in c.to_lowercase() {
                if self.building.is_full() {
                    self.end_word();
                }
                self.building.push(u32::from(lower));
            }
        }
        if self.building.is_full() {
            self.end_word();
        }
        self.place.line_start = false;
        self.place.escaped = false;
        self.place.previous = c;
    }

    fn between(&mut self, c: char, next: Option<char>) {
        self.end_word();
        if matches!(c, ':' | '=') {
            self.word.assigned = true;
        }
        // `sender:`, `'sender':` and `"product_id":` are names of fields.
        let quoted_key = matches!(c, '\'' | '"') && next == Some(':');
        if self.word.run > 0 && (quoted_key || (c == ':' && next.is_none_or(char::is_whitespace))) {
            self.sink.key(self.word.run);
            if AUTHORS.contains(&self.word.hash) {
                self.sink.authored();
            }
        }
        if !matches!(c, '_' | '-') {
            self.word.run = 0;
        }
        if self.place.begins_message(c, next) {
            self.sink.message();
        }
    }

    fn end_word(&mut self) {
        let has_digit = std::mem::take(&mut self.word.has_digit);
        let Some(word) = self.building.finish() else { return };
        self.sink.word(word);
        self.word.hash = word.hash();
        self.word.run += 1;
        if self.word.label > 0 {
            self.word.label -= 1;
            if (self.word.assigned || has_digit) && word.chars() >= SECRET_CHARS_MIN {
                self.sink.secret(word);
                self.word.label = 0;
            }
        }
        if LABELS.contains(&word.hash()) {
            self.word.label = LABEL_WORDS_MAX;
            self.word.assigned = false;
        }
    }
}
