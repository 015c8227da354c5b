//! What an image's config says, and which instruction made which layer.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::platform::Platform;

/// What an image's config says of the image and of the containers made from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageConfig {
    /// What it is made for.
    pub platform: Platform,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Who made it.
    pub author: Option<String>,
    /// `NAME=VALUE`, in order.
    pub env: Vec<String>,
    /// What is run, before `cmd`.
    pub entrypoint: Vec<String>,
    /// What is run, or the arguments of `entrypoint`.
    pub cmd: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The user a container runs as: `NAME`, `UID`, `NAME:GROUP`, ...
    pub user: Option<String>,
    /// The directory a container starts in.
    pub working_dir: Option<String>,
    /// `80/tcp`, ...
    pub exposed_ports: Vec<String>,
    /// Paths that are volumes.
    pub volumes: Vec<String>,
    /// The signal that stops a container.
    pub stop_signal: Option<String>,
}

/// One instruction of those an image was made by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// When it was done.
    pub created: Option<Timestamp>,
    /// The instruction, as the tool recorded it; `None` for a layer that no instruction accounts for.
    pub created_by: Option<String>,
    /// Who did it.
    pub author: Option<String>,
    /// What the tool noted.
    pub comment: Option<String>,
    /// The layer it made, an index into [`super::Image::layers`]; `None`: an instruction without a layer.
    pub layer: Option<usize>,
}

/// Whether the history of an image accounts for its layers. It is for people: nothing depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryFit {
    /// One instruction for each layer.
    Exact,
    /// The topmost layers, that many, have no instruction.
    Short(usize),
    /// The last instructions, that many, should have made layers that are not there.
    Long(usize),
}

/// Tells which instruction made which layer, from the instructions with what each says of itself: that it made a layer, or not.
/// Layers and instructions pair from the base up. What is left over gets a step of its own, or loses its claim.
pub(super) fn pair(history: Vec<(Step, bool)>, layers: usize) -> (Vec<Step>, HistoryFit) {
    let mut next = 0;
    let mut surplus = 0;
    let mut steps: Vec<Step> = Vec::with_capacity(history.len());
    for (step, makes_layer) in history {
        let layer = match makes_layer {
            true if next < layers => Some(next),
            true => {
                surplus += 1;
                None
            }
            false => None,
        };
        next += usize::from(layer.is_some());
        steps.push(Step { layer, ..step });
    }
    let fit = match (layers - next, surplus) {
        (0, 0) => HistoryFit::Exact,
        (0, surplus) => HistoryFit::Long(surplus),
        (missing, _) => HistoryFit::Short(missing),
    };
    steps.extend((next..layers).map(|layer| Step { layer: Some(layer), ..Step::default() }));
    (steps, fit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An instruction and its layer.
    type Made = (Option<String>, Option<usize>);

    fn pairs(history: &[(&str, bool)], layers: usize) -> (Vec<Made>, HistoryFit) {
        let step = |(by, makes): &(&str, bool)| {
            (Step { created_by: Some((*by).to_owned()), ..Step::default() }, *makes)
        };
        let (steps, fit) = pair(history.iter().map(step).collect(), layers);
        (steps.into_iter().map(|step| (step.created_by, step.layer)).collect(), fit)
    }

    #[test]
    fn every_layer_is_in_one_step() {
        let by = |by: &str, layer| (Some(by.to_owned()), layer);
        let history = [("FROM", true), ("ENV", false), ("RUN", true)];
        let (steps, fit) = pairs(&history, 2);
        assert_eq!(steps, [by("FROM", Some(0)), by("ENV", None), by("RUN", Some(1))]);
        assert_eq!(fit, HistoryFit::Exact);
        let (steps, fit) = pairs(&history, 4);
        assert_eq!(steps[3..], [(None, Some(2)), (None, Some(3))]);
        assert_eq!(fit, HistoryFit::Short(2));
        let (steps, fit) = pairs(&history, 1);
        assert_eq!(steps, [by("FROM", Some(0)), by("ENV", None), by("RUN", None)]);
        assert_eq!(fit, HistoryFit::Long(1));
        assert_eq!(pairs(&[], 0), (vec![], HistoryFit::Exact));
    }
}
