//! Compiled patterns, each made once: envelopes for the same kind of work share theirs. Building the automata of a
//! pattern costs a hundred times more than matching it.

use ambit_schemas::envelope::InvalidEnvelope;
use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use regex::{Regex, RegexBuilder};
use std::collections::HashMap;
use std::sync::Arc;

/// Largest compiled form of one regular expression, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 16;
/// Compiled forms that are kept of each kind. When there are more, all are made anew as they are needed: so many
/// different ones come from generated envelopes, and none of them is likely to come again.
const KEPT_MAX: usize = 1_024;

/// Patterns made before. What it holds changes the cost of compiling, never its result.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    globs: HashMap<Vec<String>, Arc<GlobSet>>,
    regexes: HashMap<String, Regex>,
}

/// Whether a text has characters that mean something in a glob.
pub(crate) fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

impl Patterns {
    /// A set of globs: `*` does not cross `/`, `**` does.
    pub(crate) fn globs(&mut self, patterns: Vec<String>) -> Result<Arc<GlobSet>, InvalidEnvelope> {
        if let Some(made) = self.globs.get(&patterns) {
            return Ok(Arc::clone(made));
        }
        let mut set = GlobSetBuilder::new();
        for pattern in &patterns {
            set.add(glob(pattern)?);
        }
        let set = set.build().map_err(|error| InvalidEnvelope::Content(error.to_string()))?;
        let set = Arc::new(set);
        if self.globs.len() >= KEPT_MAX {
            self.globs.clear();
        }
        self.globs.insert(patterns, Arc::clone(&set));
        Ok(set)
    }

    /// A regular expression that must match a whole text.
    pub(crate) fn regex(&mut self, pattern: &str) -> Result<Regex, InvalidEnvelope> {
        if let Some(made) = self.regexes.get(pattern) {
            return Ok(made.clone());
        }
        let whole = format!("^(?:{pattern})$");
        let regex = RegexBuilder::new(&whole)
            .size_limit(REGEX_BYTES_MAX)
            .build()
            .map_err(|error| InvalidEnvelope::Content(error.to_string()))?;
        if self.regexes.len() >= KEPT_MAX {
            self.regexes.clear();
        }
        self.regexes.insert(pattern.to_owned(), regex.clone());
        Ok(regex)
    }
}

fn glob(pattern: &str) -> Result<Glob, InvalidEnvelope> {
    GlobBuilder::new(pattern)
        .literal_separator(true)
        .backslash_escape(true)
        .build()
        .map_err(|error| InvalidEnvelope::Content(format!("`{pattern}` is not a glob: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_cache_forgets_and_goes_on() {
        let mut patterns = Patterns::default();
        let first = patterns.globs(vec!["a*".into()]).unwrap();
        assert!(Arc::ptr_eq(&first, &patterns.globs(vec!["a*".into()]).unwrap()));
        for number in 0..=KEPT_MAX {
            let set = patterns.globs(vec![format!("{number}-*")]).unwrap();
            assert!(set.is_match(format!("{number}-x")) && !set.is_match("a1"));
            assert!(patterns.regex(&format!("{number}x?")).unwrap().is_match(&number.to_string()));
        }
        assert!(patterns.globs.len() <= KEPT_MAX && patterns.regexes.len() <= KEPT_MAX);
        assert!(patterns.globs(vec!["a*".into()]).unwrap().is_match("a1"));
        assert!(patterns.globs(vec!["a[".into()]).is_err() && patterns.regex("(").is_err());
    }
}
