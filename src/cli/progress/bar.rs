//! What a bar looks like, and the bar for files that are written.

use std::io::{self, IsTerminal};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::PATIENCE;

/// Can standard error show a bar: is it a terminal that can move its cursor?
pub fn can_be_shown() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// A bar on standard error, where that is a terminal; it appears once the work has taken half a second, and goes with its end.
#[derive(Debug)]
pub struct Writing {
    bar: ProgressBar,
    begun: Instant,
    hidden: Mutex<bool>,
}

impl Writing {
    /// Of files with so many bytes, or nobody knows how many.
    pub fn new(quiet: bool, bytes: Option<u64>) -> Self {
        let label = "writing files".to_owned();
        let bar = bytes.map_or_else(|| count(label.clone()), |bytes| bar(bytes, label.clone()));
        bar.set_draw_target(ProgressDrawTarget::hidden());
        Writing { bar, begun: Instant::now(), hidden: Mutex::new(!quiet && can_be_shown()) }
    }

    /// So many more bytes are written.
    pub fn advance(&self, bytes: u64) {
        if self.begun.elapsed() >= PATIENCE {
            let mut hidden = self.hidden.lock().unwrap_or_else(PoisonError::into_inner);
            if std::mem::take(&mut *hidden) {
                self.bar.set_draw_target(ProgressDrawTarget::stderr());
            }
        }
        self.bar.inc(bytes);
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A bar as all of lamina's are.
pub fn bar(bytes: u64, label: String) -> ProgressBar {
    let style = ProgressStyle::with_template(bar_template(width()))
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::new(bytes).with_style(style).with_message(label)
}

/// In place of a bar, where nobody knows how much there is to do: how much is done.
pub fn count(label: String) -> ProgressBar {
    let style = ProgressStyle::with_template(count_template(width()))
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::no_length().with_style(style).with_message(label)
}

/// How wide the terminal is that standard error goes to, cells.
fn width() -> Option<usize> {
    terminal_size::terminal_size_of(io::stderr()).map(|(width, _)| usize::from(width.0))
}

/// What is shown of a bar on a terminal of so many cells: what must be left out goes from the right; the label is cut last.
fn bar_template(width: Option<usize>) -> &'static str {
    match width.unwrap_or(usize::MAX) {
        95.. => "{msg:33} [{bar:20}] {decimal_bytes:>9} of {decimal_total_bytes:>9}  {eta} left",
        80.. => "{msg:33} [{wide_bar}] {decimal_bytes:>9} of {decimal_total_bytes:>9} {eta:>4}",
        50.. => "{msg:33} [{wide_bar}] {percent:>3} %",
        _ => "{wide_msg} {percent:>3} %",
    }
}

/// The same for [`count`].
fn count_template(width: Option<usize>) -> &'static str {
    match width.unwrap_or(usize::MAX) {
        60.. => "{msg:33} {spinner} {decimal_bytes:>9}  {decimal_bytes_per_sec}",
        _ => "{wide_msg} {decimal_bytes:>9}",
    }
}

#[cfg(test)]
mod tests;
