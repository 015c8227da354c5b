//! What this machine and user can do: probes, what each found, and what that means for the commands.
//!
//! A probe is a file here: its facts, how they are looked up or tried, and a verdict that is a function of the facts alone,
//! so that tests can judge machines that they do not run on.

pub mod confinement;
pub mod descriptors;
pub mod device;
pub mod helper;
pub mod kernel;
pub mod namespaces;
pub mod place;
pub mod podman;
pub mod store;
pub mod trial;

use std::path::PathBuf;

use crate::source::facts::Privilege;

/// How something stands, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// All of it works.
    Ok,
    /// It works, with less.
    Limited,
    /// It does not work, or is not there.
    Missing,
}

impl Level {
    /// The word for it, as in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Limited => "limited",
            Level::Missing => "missing",
        }
    }
}

/// What somebody wants to do here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Use {
    /// `lamina mount` of directories
    Mount,
    /// `lamina mount` of an image
    Image,
    /// `lamina run`
    Run,
    /// lamina as the mount_program of podman and buildah
    Podman,
}

impl Use {
    /// All of them.
    pub const ALL: [Use; 4] = [Use::Mount, Use::Image, Use::Run, Use::Podman];

    /// The word for it, as on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Use::Mount => "mount",
            Use::Image => "image",
            Use::Run => "run",
            Use::Podman => "podman",
        }
    }
}

/// What a finding means for a use.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Effect {
    /// For what.
    #[serde(rename = "for")]
    pub on: Use,
    /// [`Level::Limited`] or [`Level::Missing`].
    #[serde(rename = "verdict")]
    pub level: Level,
    /// What is less, or why it does not work.
    pub what: String,
}

/// What a probe found, judged.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// What was looked at: a stable word.
    pub check: &'static str,
    /// Where, for those checks that are about a directory.
    #[serde(serialize_with = "as_path")]
    pub path: Option<PathBuf>,
    /// The verdict.
    #[serde(rename = "verdict")]
    pub level: Level,
    /// What is so, in one sentence.
    pub found: String,
    /// The settings that change it, if it is not as good as it could be.
    pub remedy: Option<String>,
    /// What it means; nothing where it makes no difference.
    #[serde(rename = "means")]
    pub effects: Vec<Effect>,
}

fn as_path<S: serde::Serializer>(path: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&path.as_deref().map(crate::control::PathText::from), to)
}

impl Finding {
    fn new(check: &'static str, level: Level, found: impl Into<String>) -> Self {
        Finding { check, path: None, level, found: found.into(), remedy: None, effects: Vec::new() }
    }

    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Finding::new(check, Level::Ok, found)
    }

    fn at(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = Some(path.into());
        self
    }

    fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    fn means(mut self, uses: &[Use], level: Level, what: &str) -> Self {
        self.effects.extend(uses.iter().map(|on| Effect { on: *on, level, what: what.to_owned() }));
        self
    }
}

/// Which directories are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Where uppers would be.
    pub uppers: Vec<place::Upper>,
    /// The layer store; `None` where this user has no place for one.
    pub store: Option<PathBuf>,
    /// Where temporary directories are made.
    pub scratch: PathBuf,
}

/// All that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// In the order in which they matter.
    pub findings: Vec<Finding>,
}

impl Examined {
    /// What keeps a use from working, or from working well, worst first; with the finding it comes from.
    pub fn reasons(&self, on: Use) -> Vec<(&Finding, &Effect)> {
        let mut reasons: Vec<_> = self
            .findings
            .iter()
            .flat_map(|finding| finding.effects.iter().map(move |effect| (finding, effect)))
            .filter(|(_, effect)| effect.on == on)
            .collect();
        reasons.sort_by_key(|(_, effect)| std::cmp::Reverse(effect.level));
        reasons
    }

    /// Whether a use works here.
    pub fn verdict(&self, on: Use) -> Level {
        self.reasons(on).first().map_or(Level::Ok, |(_, effect)| effect.level)
    }
}

/// Looks at everything. What is tried is tried in processes and directories of its own, which are gone afterwards. This process
/// must have one thread only.
///
/// # Errors
/// There can be no process to try it in.
pub fn examine(places: &Places) -> std::io::Result<Examined> {
    let around = confinement::Facts::look_up();
    let release = kernel::release();
    let namespaces = namespaces::Facts::look_up()?;
    let device = crate::source::facts::device_fact();
    let trials = trial::Facts::try_out(&places.scratch, &namespaces, device)?;
    let mut findings = vec![
        confinement::judge(&around),
        kernel::judge(&release),
        device::judge(device),
        helper::judge(&helper::Facts::look_up(), &around),
        trial::judge_mount(&trials, &around),
        namespaces::judge(&namespaces, &around),
        namespaces::judge_ids(&namespaces, &around),
        trial::judge_sandbox(&trials, &namespaces, &around),
        trial::judge_proc(&trials),
        podman::judge(&podman::Facts::look_up(), &around),
        descriptors::judge(descriptors::Facts::look_up()),
    ];
    for upper in &places.uppers {
        findings.push(place::judge(upper, &place::Facts::try_out(&upper.path), around.privilege));
    }
    findings.push(store::judge(places.store.as_deref(), &store::Facts::look_up(places.store.as_deref())));
    findings.push(kernel::judge_passthrough(&release, around.privilege));
    findings.push(kernel::judge_io_uring(&kernel::IoUring::look_up(release, &around)));
    Ok(Examined { findings })
}

/// Does podman enter a user namespace of its own for this process, before it can mount?
fn is_ordinary(privilege: Privilege) -> bool {
    privilege == Privilege::None
}

#[cfg(test)]
mod tests;
