//! What is where on the screen.

use ratatui::layout::Rect;

/// The smallest screen that is drawn on, cells.
pub const LEAST: (u16, u16) = (60, 16);
/// From this width on, all columns are shown at first.
pub const WIDE: u16 = 120;

/// Is the explanation enlarged?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Explanation {
    Small,
    Large,
}

/// The places of the panes, their borders included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Areas {
    /// The list of layers.
    pub layers: Rect,
    /// What is known of the selected one.
    pub layer: Rect,
    /// The names.
    pub tree: Rect,
    /// The explanation.
    pub explanation: Rect,
    /// The last line.
    pub status: Rect,
}

/// `None`: the screen is too small.
pub fn areas((width, height): (u16, u16), explanation: Explanation) -> Option<Areas> {
    if width < LEAST.0 || height < LEAST.1 {
        return None;
    }
    let panes = height - 1;
    let below = match explanation {
        Explanation::Small => (panes / 5 * 2).clamp(5, 16),
        Explanation::Large => panes / 3 * 2,
    };
    let above = panes - below;
    let left = (width / 10 * 3).clamp(22, 48);
    let facts = (above / 3).clamp(0, 9);
    // Too little to be of use.
    let facts = if facts < 4 { 0 } else { facts };
    Some(Areas {
        layers: Rect::new(0, 0, left, above - facts),
        layer: Rect::new(0, above - facts, left, facts),
        tree: Rect::new(left, 0, width - left, above),
        explanation: Rect::new(0, above, width, below),
        status: Rect::new(0, panes, width, 1),
    })
}

/// What is within a border: width and height, cells.
pub fn within(area: Rect) -> (usize, usize) {
    (usize::from(area.width.saturating_sub(2)), usize::from(area.height.saturating_sub(2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_panes_fill_every_screen_that_is_large_enough() {
        for width in [LEAST.0, 80, 133, u16::MAX] {
            for height in [LEAST.1, 24, 50, 300] {
                for explanation in [Explanation::Small, Explanation::Large] {
                    let areas = areas((width, height), explanation).unwrap();
                    assert_eq!(areas.layers.height + areas.layer.height, areas.tree.height);
                    assert_eq!(areas.tree.height + areas.explanation.height + 1, height);
                    assert_eq!(areas.layers.width + areas.tree.width, width);
                    assert!(areas.tree.height >= 4 && areas.explanation.height >= 5, "{areas:?}");
                }
            }
        }
        assert_eq!(areas((59, 24), Explanation::Small), None);
        assert_eq!(areas((80, 15), Explanation::Small), None);
    }
}
