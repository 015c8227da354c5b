//! How far the writing is.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget};

use crate::cli::progress;

/// Work that takes less is not worth a bar.
const PATIENCE: Duration = Duration::from_millis(500);

/// A bar on standard error, where that is a terminal; it appears once the work has taken half a second, and goes with its end.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    begun: Instant,
    hidden: Mutex<bool>,
}

impl Bar {
    /// For so many bytes.
    pub fn new(quiet: bool, bytes: u64) -> Self {
        let bar = progress::bar(bytes, "writing files".to_owned());
        bar.set_draw_target(ProgressDrawTarget::hidden());
        Bar { bar, begun: Instant::now(), hidden: Mutex::new(!quiet) }
    }

    /// So many more bytes are written.
    pub fn advance(&self, bytes: u64) {
        if self.begun.elapsed() >= PATIENCE {
            let mut hidden = self.hidden.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if std::mem::take(&mut *hidden) {
                self.bar.set_draw_target(ProgressDrawTarget::stderr());
            }
        }
        self.bar.inc(bytes);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
