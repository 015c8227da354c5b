//! Bars on terminals of different widths.

use std::sync::{Arc, Mutex};

use indicatif::TermLike;
use unicode_width::UnicodeWidthStr;

use super::*;

/// Keeps what is written.
#[derive(Debug, Clone)]
struct Terminal {
    width: u16,
    said: Arc<Mutex<String>>,
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        self.width
    }
    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)?;
        self.write_str("\n")
    }
    fn write_str(&self, text: &str) -> io::Result<()> {
        self.said.lock().unwrap().push_str(text);
        Ok(())
    }
    fn clear_line(&self) -> io::Result<()> {
        let mut said = self.said.lock().unwrap();
        let line = said.rfind('\n').map_or(0, |end| end + 1);
        said.truncate(line);
        Ok(())
    }
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

/// What is shown of `bar` at `position`, less the blanks that fill the line.
fn shown(bar: ProgressBar, template: &str, width: u16, position: u64) -> String {
    let terminal = Terminal { width, said: Arc::default() };
    let style = ProgressStyle::with_template(template).unwrap().progress_chars("=> ");
    let bar = bar.with_style(style).with_message("layer 12 0123456789ab unpacking");
    bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(terminal.clone())));
    bar.set_position(position);
    bar.tick();
    let said = terminal.said.lock().unwrap().clone();
    said.rsplit('\n').map(str::trim_end).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

#[test]
fn a_bar_fits_its_terminal() {
    for width in [20_u16, 40, 49, 50, 79, 80, 94, 95, 200] {
        let of = Some(usize::from(width));
        let bars = [
            shown(ProgressBar::new(999_990_000), bar_template(of), width, 500_000_000),
            shown(ProgressBar::no_length(), count_template(of), width, 500_000_000),
        ];
        for line in bars {
            assert!(line.width() <= usize::from(width), "{width}: {line:?} has {}", line.width());
            assert!(line.starts_with("layer 12 0"), "{width}: {line:?}");
        }
    }
    let narrow = |position| shown(ProgressBar::new(1000), bar_template(Some(40)), 40, position);
    assert_eq!(narrow(250), "layer 12 0123456789ab unpacking     25 %");
    let middle = shown(ProgressBar::new(1000), bar_template(Some(60)), 60, 500);
    assert_eq!(middle, "layer 12 0123456789ab unpacking   [=========>        ]  50 %");
}
