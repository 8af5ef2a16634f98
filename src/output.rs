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
