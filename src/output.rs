//! What the program says to whoever runs it. Logs go elsewhere (tracing, stderr).

use std::io::Write;

/// Writes a line to standard output. A closed pipe is no error: whoever read has seen enough.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Writes a line to standard error.
pub fn print_error(text: &str) {
    let mut out = std::io::stderr().lock();
    // There is nowhere left to complain to.
    writeln!(out, "{text}").unwrap_or_default();
}

/// An error with its causes, as one sentence. Libraries repeat their cause in what they say themselves: what was said
/// already is left out.
pub fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let said = cause.to_string();
        if text.contains(said.trim()) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(said.trim());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn a_cause_is_said_once() {
        let error = Err::<(), _>(anyhow!("refused")).context("kafka: refused").context("no topics");
        assert_eq!(sentence(&error.unwrap_err()), "no topics: kafka: refused");
    }
}
