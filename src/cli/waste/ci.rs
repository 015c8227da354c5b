//! dive's rules: from the command line, from its file, or its defaults; and what they say of an image.

mod file;
mod threshold;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::ValueHint;
use serde_json::Value;

use self::file::FileRules;
use crate::cli::{Answer, Failure, human, terminal};
use crate::error::describe;
use crate::waste::Waste;

/// What dive takes its rules from where nothing else is said.
const DEFAULT_FILE: &str = ".dive-ci";
/// The most that is read of it, bytes: it has three lines.
const LONGEST_FILE: u64 = 64 << 10;

/// Where rules come from.
#[derive(Debug, clap::Args)]
pub struct RuleArgs {
    /// Judge by rules, as dive does: exit code 0 they hold, 1 they do not, 2 there is no answer
    #[arg(long)]
    ci: bool,
    /// Take the rules from FILE [default: .dive-ci, if there is one]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "ci")]
    ci_config: Option<PathBuf>,
    /// The least efficiency, 0 to 1, or 'disabled'
    #[arg(long = "lowestEfficiency", value_name = "RATIO", requires = "ci")]
    lowest_efficiency: Option<String>,
    /// The most bytes that dive may call wasted (20MB), or 'disabled'
    #[arg(long = "highestWastedBytes", value_name = "SIZE", requires = "ci")]
    highest_wasted_bytes: Option<String>,
    /// The same by all bytes but the base's, 0 to 1, or 'disabled'
    #[arg(long = "highestUserWastedPercent", value_name = "RATIO", requires = "ci")]
    highest_user_wasted_percent: Option<String>,
}

/// A rule by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The efficiency is at least this.
    LowestEfficiency,
    /// The bytes that dive calls wasted are at most this.
    HighestWastedBytes,
    /// The same, divided by the bytes of all layers but the base.
    HighestUserWastedPercent,
}

impl Rule {
    /// All of them, in the order they are shown.
    const ALL: [Rule; 3] = [Rule::LowestEfficiency, Rule::HighestWastedBytes, Rule::HighestUserWastedPercent];

    /// As dive spells it.
    pub fn name(self) -> &'static str {
        match self {
            Rule::LowestEfficiency => "lowestEfficiency",
            Rule::HighestWastedBytes => "highestWastedBytes",
            Rule::HighestUserWastedPercent => "highestUserWastedPercent",
        }
    }

    /// What dive takes where nothing is said.
    fn default(self) -> &'static str {
        match self {
            Rule::LowestEfficiency => "0.9",
            Rule::HighestWastedBytes => "disabled",
            Rule::HighestUserWastedPercent => "0.1",
        }
    }

    fn understand(self, text: &str) -> Result<Limit, String> {
        if threshold::is_disabled(text) {
            return Ok(Limit::None);
        }
        match self {
            Rule::LowestEfficiency | Rule::HighestUserWastedPercent => {
                threshold::ratio(text).map(Limit::Ratio)
            }
            Rule::HighestWastedBytes => threshold::bytes(text).map(Limit::Bytes),
        }
        .map_err(|problem| {
            format!("rule {}: '{}' {problem}", self.name(), terminal::shown_bytes(text.as_bytes()))
        })
    }
}

/// How far an image may go.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// The rule is disabled.
    None,
    Ratio(f64),
    Bytes(u64),
}

/// The three rules with their limits.
pub type Rules = [(Rule, Limit); 3];

impl RuleArgs {
    /// Is there a question?
    pub fn asked(&self) -> bool {
        self.ci
    }

    /// The rules, if they are asked for.
    ///
    /// # Errors
    /// A file that cannot be read or understood, and values that make no sense.
    pub fn rules(&self) -> Result<Option<Rules>, Failure> {
        if !self.ci {
            return Ok(None);
        }
        let (from, text) = match &self.ci_config {
            Some(file) => (file.as_path(), read(file).map(Some)),
            None => match read(Path::new(DEFAULT_FILE)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => (Path::new(DEFAULT_FILE), Ok(None)),
                other => (Path::new(DEFAULT_FILE), other.map(Some)),
            },
        };
        let wrong =
            |problem: &str| Failure::trouble(format!("rules '{}': {problem}", from.display())).hint(HINT);
        let text = text.map_err(|error| wrong(&format!("they cannot be read: {}", describe(&error))))?;
        let in_file = text.map(|text| file::parse(&text)).transpose().map_err(|problem| wrong(&problem))?;
        self.chosen(&in_file.unwrap_or_default()).map_err(|(place, problem)| match place {
            Place::CommandLine => Failure::usage(problem).hint(HINT),
            Place::File => wrong(&problem),
        })
    }

    fn chosen(&self, in_file: &FileRules) -> Result<Option<Rules>, (Place, String)> {
        let mut rules = Rule::ALL.map(|rule| (rule, Limit::None));
        for (rule, limit) in &mut rules {
            let option = match rule {
                Rule::LowestEfficiency => &self.lowest_efficiency,
                Rule::HighestWastedBytes => &self.highest_wasted_bytes,
                Rule::HighestUserWastedPercent => &self.highest_user_wasted_percent,
            };
            let (place, text) = match (option, in_file.get(*rule)) {
                (Some(text), _) => (Place::CommandLine, text.as_str()),
                (None, Some(text)) => (Place::File, text),
                (None, None) => (Place::File, rule.default()),
            };
            *limit = rule.understand(text).map_err(|problem| (place, problem))?;
        }
        Ok(Some(rules))
    }
}

/// Where a value was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    CommandLine,
    File,
}

const HINT: &str = "rules are lowestEfficiency and highestUserWastedPercent (0 to 1) and highestWastedBytes (20MB); 'disabled' switches \
                    one off";

fn read(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(file)?.take(LONGEST_FILE + 1).read_to_string(&mut text)?;
    match read as u64 > LONGEST_FILE {
        true => Err(io::Error::other("it is too long for a file of rules")),
        false => Ok(text),
    }
}

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Status {
    Pass,
    Fail,
    Disabled,
}

/// One rule, judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    pub rule: Rule,
    pub status: Status,
    /// Its limit; without, it is disabled.
    pub threshold: Option<Value>,
    /// What the image has.
    pub value: Value,
    /// The same for people.
    pub says: String,
}

/// What all rules say.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// In the order they are shown.
    pub rules: Vec<Judged>,
}

impl Verdict {
    /// Judges an image. A value at the limit is good.
    pub fn of(rules: &Rules, waste: &Waste) -> Self {
        Verdict { rules: rules.iter().map(|(rule, limit)| judge(*rule, *limit, waste)).collect() }
    }

    /// Do all rules hold?
    pub fn passes(&self) -> bool {
        self.rules.iter().all(|judged| judged.status != Status::Fail)
    }

    /// The exit code.
    pub fn answer(&self) -> Answer {
        if self.passes() { Answer::Yes } else { Answer::No }
    }
}

fn judge(rule: Rule, limit: Limit, waste: &Waste) -> Judged {
    let (value, text) = match rule {
        Rule::LowestEfficiency => (waste.score.efficiency.into(), ratio_text(waste.score.efficiency, limit)),
        Rule::HighestWastedBytes => (waste.score.wasted.into(), bytes_text(waste.score.wasted)),
        Rule::HighestUserWastedPercent => {
            let ratio = waste.score.of_user_bytes(waste);
            (ratio.into(), if ratio.is_nan() { "0".to_owned() } else { ratio_text(ratio, limit) })
        }
    };
    let (fails, threshold, limit) = match (rule, limit) {
        (_, Limit::None) => {
            let says = format!("disabled; it is {text}");
            return Judged { rule, status: Status::Disabled, threshold: None, value, says };
        }
        (Rule::LowestEfficiency, Limit::Ratio(least)) => {
            (waste.score.efficiency < least, least.into(), least.to_string())
        }
        // Nothing of nothing is not a number, and no number is above any limit.
        (_, Limit::Ratio(most)) => (waste.score.of_user_bytes(waste) > most, most.into(), most.to_string()),
        (_, Limit::Bytes(most)) => (waste.score.wasted > most, most.into(), bytes_text(most)),
    };
    let says = match (rule, fails) {
        (Rule::LowestEfficiency, false) => format!("{text} is at least {limit}"),
        (Rule::LowestEfficiency, true) => format!("{text} is less than {limit}"),
        (_, false) => format!("{text} is at most {limit}"),
        (_, true) => format!("{text} is more than {limit}"),
    };
    let status = if fails { Status::Fail } else { Status::Pass };
    Judged { rule, status, threshold: Some(threshold), value, says }
}

/// A ratio with four digits, where that is on the same side of the limit; else with all.
fn ratio_text(ratio: f64, limit: Limit) -> String {
    let short = (ratio * 1e4).round() / 1e4;
    let is_told = match limit {
        Limit::Ratio(limit) => short.partial_cmp(&limit) == ratio.partial_cmp(&limit),
        Limit::None | Limit::Bytes(_) => true,
    };
    if is_told { short } else { ratio }.to_string()
}

/// Exact, and readable.
fn bytes_text(bytes: u64) -> String {
    match bytes {
        0..1000 => human::size(bytes),
        _ => format!("{} ({bytes} bytes)", human::size(bytes)),
    }
}

#[cfg(test)]
mod tests;
