//! The progress bar of a verification, on standard error.

use ambit_ingest::verify::{Stop, Watch};
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// Shows rows read of rows to read. Draws nothing when standard error is no terminal.
#[derive(Debug)]
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::new(0);
        let template = "{spinner} verifying {bar:30} {human_pos}/{human_len} rows, {per_sec}, {eta} left";
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

impl Watch for Bar {
    fn total(&self, rows: u64) {
        self.0.inc_length(rows);
    }

    fn rows(&self, count: u64) -> Result<(), Stop> {
        self.0.inc(count);
        Ok(())
    }
}
