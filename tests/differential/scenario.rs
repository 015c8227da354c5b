//! One seed: its layers, its steps, both sides, and the first thing in which they differ.

use std::fmt::Write as _;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use nix::errno::Errno;

use crate::exceptions::Traits;
use crate::generate::Generator;
use crate::layers::{self, Layer, Recipe};
use crate::mounts::Engine;
use crate::op::Step;
use crate::pair::{Go, Pair};
use crate::place::within;
use crate::sys;
use crate::tree::{self, Clock, Difference, Tree};
use crate::view::View;

/// Everything that happened under one seed, enough to do it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    pub seed: u64,
    pub setting: Setting,
    /// Base first.
    pub layers: Vec<Layer>,
    pub steps: Vec<Step>,
}

/// What a seed decides once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// How many lowers.
    pub layers: usize,
    /// Mode of the upper's root.
    pub root_mode: u32,
    /// Compare attributes of the paths concerned after every operation; without it the caches of the mounts stay
    /// as the operations leave them.
    pub probe: bool,
    /// The base layer lies on another file system.
    pub split: bool,
    /// There is no upper.
    pub read_only: bool,
    /// Names that begin with `.wh.`, which the kernel's overlay takes for names like all others, and lamina does under
    /// `whiteouts=kernel`.
    pub oci_names: bool,
    pub options: Options,
    /// The kernel is made to forget what it has cached, between operations.
    pub forget: bool,
}

impl Setting {
    fn of(seed: u64) -> Self {
        let mut rng = crate::rng::Rng::new(seed, 1);
        let read_only = rng.percent(6);
        Setting {
            // Without an upper the kernel's overlay wants two layers at least.
            layers: 1 + usize::from(read_only) + rng.below(4 - u64::from(read_only)) as usize,
            root_mode: *rng.pick(&[0o755, 0o777, 0o777, 0o1777, 0o2777]),
            probe: rng.percent(60),
            split: rng.percent(15),
            read_only,
            oci_names: rng.percent(10),
            options: rng.weighted(&[
                (70, Options::Default),
                (12, Options::IndexOn),
                (5, Options::RedirectFollow),
                (3, Options::RedirectNoFollow),
                (5, Options::XinoOn),
                (5, Options::NoTimeout),
            ]),
            forget: rng.percent(30),
        }
    }

    /// The command line of lamina, but for the directories.
    fn arguments(&self) -> Vec<String> {
        let names = self.oci_names.then_some("whiteouts=kernel");
        let options: Vec<&str> = self.options.for_lamina().into_iter().chain(names).collect();
        if options.is_empty() { Vec::new() } else { vec!["-o".to_owned(), options.join(",")] }
    }
}

/// Options that both sides know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Options {
    Default,
    IndexOn,
    RedirectFollow,
    RedirectNoFollow,
    XinoOn,
    /// Nothing may be cached by the kernel under the mount that is tested.
    NoTimeout,
}

impl Options {
    fn for_kernel(self) -> String {
        let (redirect, index, xino) = match self {
            Options::Default | Options::NoTimeout => ("on", "off", "auto"),
            Options::IndexOn => ("on", "on", "auto"),
            Options::RedirectFollow => ("follow", "off", "auto"),
            Options::RedirectNoFollow => ("nofollow", "off", "auto"),
            Options::XinoOn => ("on", "off", "on"),
        };
        format!("redirect_dir={redirect},xino={xino},index={index},metacopy=off")
    }

    fn for_lamina(self) -> Option<&'static str> {
        match self {
            Options::Default => None,
            Options::IndexOn => Some("index=on"),
            Options::RedirectFollow => Some("redirect_dir=follow"),
            Options::RedirectNoFollow => Some("redirect_dir=nofollow"),
            Options::XinoOn => Some("xino=on"),
            Options::NoTimeout => Some("timeout=0"),
        }
    }
}

/// What is compared with the kernel's overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tested {
    /// The program under test.
    Lamina,
    /// The kernel's overlay again, which must agree with itself.
    Kernel,
    /// The kernel's overlay with other options, which must be caught.
    KernelWith(String),
}

/// What to run.
#[derive(Debug, Clone)]
pub enum Plan {
    /// What the seed says, with this many operations.
    Seed { seed: u64, operations: usize },
    /// What was run before, or a part of it.
    Replay(Scenario),
}

/// The first thing in which the sides differed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The index of the step after which it was seen; 0 if before the first.
    pub step: usize,
    /// The kind of failure, the same for all failures that are probably one.
    pub signature: String,
    /// What was expected and what was found.
    pub text: String,
}

/// Where it happens and who watches.
#[derive(Debug)]
pub struct Stage {
    /// An empty directory for this run alone.
    pub place: PathBuf,
    /// The same on another file system.
    pub elsewhere: PathBuf,
    /// The pid of the daemon, for the watchdog.
    pub pid: Arc<AtomicU32>,
    /// Told before each step.
    pub watch: fn(usize, &str),
}

/// How a run ended, and what was run.
#[derive(Debug)]
pub struct Run {
    pub scenario: Scenario,
    pub failure: Option<Failure>,
}

/// Runs `plan` under the kernel's overlay and under what is tested.
pub fn run(plan: &Plan, tested: &Tested, stage: &Stage) -> Run {
    let (seed, setting) = match plan {
        Plan::Seed { seed, .. } => (*seed, Setting::of(*seed)),
        Plan::Replay(scenario) => (scenario.seed, scenario.setting),
    };
    let mut scenario = Scenario { seed, setting, layers: Vec::new(), steps: Vec::new() };
    let failure = play(plan, tested, stage, &mut scenario).err().map(|(signature, text)| Failure {
        step: scenario.steps.len().saturating_sub(1),
        signature,
        text,
    });
    Run { scenario, failure }
}

/// A failure before it has its place: signature and text.
pub type Verdict<T> = Result<T, (String, String)>;

pub fn trouble(text: impl Into<String>) -> (String, String) {
    let text = text.into();
    (format!("trouble: {}", text.split(['/', '\n']).find(|part| !part.is_empty()).unwrap_or_default()), text)
}

pub fn errno(what: &'static str) -> impl Fn(Errno) -> (String, String) {
    move |errno| trouble(format!("{what}: {errno}"))
}

fn play(plan: &Plan, tested: &Tested, stage: &Stage, scenario: &mut Scenario) -> Verdict<()> {
    let mut generator = Generator::new(scenario.seed, 2);
    generator.oci_names = scenario.setting.oci_names;
    let reference = Engine::Kernel(scenario.setting.options.for_kernel());
    let tested = match tested {
        Tested::Lamina => Engine::Lamina(scenario.setting.arguments()),
        Tested::Kernel => reference.clone(),
        Tested::KernelWith(options) => Engine::Kernel(options.clone()),
    };
    let engines = [&reference, &tested];
    let mut lowers: Vec<PathBuf> = Vec::new();
    let count = match plan {
        Plan::Seed { .. } => scenario.setting.layers,
        Plan::Replay(old) => old.layers.len(),
    };
    for index in 0..count {
        let recipe = match plan {
            Plan::Seed { .. } => Recipe::Generate(&mut generator),
            Plan::Replay(old) => Recipe::Replay(&old.layers[index]),
        };
        let place = if scenario.setting.split && index == 0 { &stage.elsewhere } else { &stage.place };
        let (dir, layer) = layers::build(recipe, index + 1, &lowers, place).map_err(trouble)?;
        lowers.insert(0, dir);
        scenario.layers.push(layer);
    }
    let clock = start_clock(&stage.place)?;
    let before = raw(&lowers)?;

    let traits = Traits { xattr_whiteouts: scenario.layers.iter().any(Layer::has_xattr_whiteouts) };
    let mut pair = Pair::new(engines, &lowers, stage, scenario.setting, clock, traits)?;
    let schedule = match plan {
        Plan::Seed { operations, .. } => schedule(*operations, scenario.setting.forget),
        Plan::Replay(old) => old.steps.iter().map(|step| Planned::This(step.clone())).collect(),
    };
    for planned in schedule {
        let step = match planned {
            Planned::This(step) => step,
            Planned::Operation => {
                let view = pair.sides()?[0].within(|_| View::look()).map_err(errno("chroot"))?;
                let (who, op) = generator.step(&view);
                Step::Do(who, op)
            }
        };
        (stage.watch)(scenario.steps.len(), &step.to_string());
        scenario.steps.push(step.clone());
        match step {
            Step::Do(who, op) => {
                if pair.perform(who, &op, scenario.setting.probe)? == Go::Stop {
                    break;
                }
            }
            Step::Check => pair.check("tree")?,
            Step::Forget => pair.forget(scenario.setting.read_only)?,
            Step::Remount => {
                generator.forget_slots();
                pair.remount()?;
                pair.check("tree after a remount")?;
            }
            Step::Cross => {
                generator.forget_slots();
                pair.cross()?;
                pair.check("tree of the other's upper")?;
            }
        }
    }
    pair.end()?;
    let differences: Vec<Difference> =
        before.iter().zip(&raw(&lowers)?).flat_map(|(old, new)| exact(old, new)).collect();
    report("a lower layer has changed", &differences)
}

enum Planned {
    Operation,
    This(Step),
}

/// Operations, with a look at the trees between them, a remount, and at last each side over the other's upper.
fn schedule(operations: usize, forget: bool) -> Vec<Planned> {
    let mut plan = vec![Planned::This(Step::Check)];
    for done in 1..=operations {
        plan.push(Planned::Operation);
        if forget && done % 8 == 5 {
            plan.push(Planned::This(Step::Forget));
        }
        if done == operations * 2 / 5 {
            plan.push(Planned::This(Step::Check));
            plan.push(Planned::This(Step::Remount));
        } else if done == operations * 4 / 5 {
            plan.push(Planned::This(Step::Check));
            plan.push(Planned::This(Step::Cross));
        } else if done % 20 == 0 {
            plan.push(Planned::This(Step::Check));
        }
    }
    plan.extend([Step::Check, Step::Remount, Step::Cross].map(Planned::This));
    plan
}

/// A moment after everything that was built so far, and before everything that comes.
fn start_clock(place: &Path) -> Verdict<Clock> {
    let path = place.join("clock");
    let touch = || -> Result<(i64, u32), Errno> {
        let fd = sys::open(&path, libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC, 0o600)?;
        sys::write(fd.as_fd(), b"x")?;
        Ok(sys::fstat(fd.as_fd())?.ctime)
    };
    let first = touch().map_err(errno("clock"))?;
    loop {
        let start = touch().map_err(errno("clock"))?;
        if start > first {
            return Ok(Clock { start });
        }
    }
}

/// The layers as they lie there, times and markers and all.
fn raw(lowers: &[PathBuf]) -> Verdict<Vec<Tree>> {
    let forever = Clock { start: (i64::MAX, 0) };
    lowers.iter().map(|dir| within(dir, || tree::snapshot(forever)).map_err(errno("chroot"))).collect()
}

fn exact(old: &Tree, new: &Tree) -> Vec<Difference> {
    let mut differences = tree::compare(old, new);
    differences.extend(tree::compare_inodes((old, old), (old, new)));
    differences
}

pub fn report(what: &str, differences: &[Difference]) -> Verdict<()> {
    let Some(first) = differences.first() else { return Ok(()) };
    let class = |text: &str| {
        let word: String = text.chars().take_while(|c| c.is_alphabetic()).collect();
        if word.is_empty() { "a value".to_owned() } else { word }
    };
    let signature =
        format!("{what}: {}: expected {}, found {}", first.what, class(&first.expected), class(&first.found));
    let mut text = format!("{what} (path: what: expected / found)");
    for difference in differences.iter().take(12) {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {difference}");
    }
    if differences.len() > 12 {
        let _ = write!(text, "\n  … and {} more", differences.len() - 12);
    }
    Err((signature, text))
}
