//! What a person reads when the sides differ.

use std::fmt::Write as _;

use crate::layers::Maker;
use crate::op::Step;
use crate::scenario::{Failure, Scenario};

/// A kind of failure, as first seen and as small as it could be made.
#[derive(Debug)]
pub struct Found {
    pub scenario: Scenario,
    pub failure: Failure,
    pub small: Option<(Scenario, Failure)>,
    /// Other seeds that fail in the same way.
    pub also: Vec<u64>,
}

impl Found {
    pub fn new(scenario: Scenario, failure: Failure) -> Self {
        Found { scenario, failure, small: None, also: Vec::new() }
    }
}

/// All kinds of failures, one after the other.
pub fn render(found: &[Found]) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    for entry in found {
        let (scenario, failure) = (&entry.scenario, &entry.failure);
        let _ = writeln!(out, "\n==== {}", failure.signature);
        let _ = write!(out, "seed {} (LAMINA_DIFF_SEED={})", scenario.seed, scenario.seed);
        if !entry.also.is_empty() {
            let _ = write!(out, ", also seeds {:?}", entry.also);
        }
        let _ = writeln!(out, ", step {}:", failure.step);
        let first = (failure.step + 1).saturating_sub(10);
        steps(&mut out, scenario, first, failure.step);
        let _ = writeln!(out, "{}", indent(&failure.text));
        if let Some((small, failure)) = &entry.small {
            let _ = writeln!(out, "  made small:");
            for (index, layer) in small.layers.iter().enumerate() {
                let maker = match layer.maker {
                    Maker::Direct => "written directly",
                    Maker::Kernel => "an upper of the kernel's overlay",
                };
                let _ = writeln!(out, "    layer {}, {maker}:", index + 1);
                // Those that could not be made small are better looked at with their seed.
                if layer.ops.len() > 60 {
                    let _ = writeln!(out, "         {} operations", layer.ops.len());
                    continue;
                }
                for (who, op) in &layer.ops {
                    let _ = writeln!(out, "         {}", Step::Do(*who, op.clone()));
                }
            }
            let _ = writeln!(out, "    then, with {:?}:", small.setting);
            steps(&mut out, small, 0, failure.step);
            let _ = writeln!(out, "{}", indent(&failure.text));
        }
    }
    out
}

fn steps(out: &mut String, scenario: &Scenario, from: usize, to: usize) {
    for (index, step) in scenario.steps.iter().enumerate().take(to + 1).skip(from) {
        let mark = if index == to { '>' } else { ' ' };
        let _ = writeln!(out, "  {mark} {index:4} {step}");
    }
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("      {line}\n")).collect::<String>().trim_end().to_owned()
}
