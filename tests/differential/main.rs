//! The differential test: the same random layers and operations under the kernel's overlay and under lamina.
//!
//! After every operation the outcomes must be equal (errno or value); every 20 operations the whole trees; then again
//! after a remount, and with each side over the upper that the other has written. The lowers must not change.
//!
//! - `LAMINA_DIFF_SEED=N`: one seed, its operations printed as they are done.
//! - `LAMINA_DIFF_SEEDS=A..B`: these seeds instead of `0..200`.
//! - `LAMINA_DIFF_OPERATIONS=N`: so many operations a seed instead of 100.
//! - `LAMINA_DIFF_SHRINK=SECONDS`: how long to look for a smaller scenario for each kind of failure; 0 for none.
//! - `LAMINA_DIFF_SELF=1`: the kernel's overlay on both sides, to test the test itself; a value with a `=` gives the
//!   options of the second side, which must then be caught (`redirect_dir=off`).
//! - `LAMINA_DIFF_PLACE=DIR`: layers in this empty directory, instead of on a file system in memory.
//! - `LAMINA_DIFF_KEEP=1`: the layers of a seed that fails stay (in `LAMINA_DIFF_PLACE`).
//! - `LAMINA_DIFF_PROGRAM=PATH`: another program than the one just built, called in the same way.
//! - `LAMINA_DIFF_IGNORE=WHAT,...`: look past differences in these (`nlink`, `ctime`, as the reports name them).
//! - `LAMINA_DIFF_STATISTICS=1`: how often each operation ended how, to see that it is tested at all.
//! - `LAMINA_DIFF_IO=auto`: the kernel opens files by itself; both sides change what they open to be changed.
//! - `LAMINA_DIFF_REQUIRE=1`: fail instead of skipping where the kernel's overlay cannot be mounted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable, missing_docs)]

mod exceptions;
mod exec;
mod generate;
mod layers;
mod mounts;
mod op;
mod pair;
mod place;
mod report;
mod rng;
mod scenario;
mod shrink;
mod sys;
mod tree;
mod view;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use mounts::{Dirs, Engine, Mount};
use report::Found;
use scenario::{Plan, Run, Stage, Tested};

/// What the environment asks for.
struct Config {
    seeds: Range<u64>,
    operations: usize,
    shrink: Duration,
    tested: Tested,
    verbose: bool,
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn number(name: &str, default: u64) -> u64 {
    setting(name)
        .map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}")))
}

impl Config {
    fn from_environment() -> Self {
        let one = setting("LAMINA_DIFF_SEED").map(|_| number("LAMINA_DIFF_SEED", 0));
        let range = setting("LAMINA_DIFF_SEEDS").map(|text| {
            let ends = text.split_once("..").and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
            ends.unwrap_or_else(|| panic!("LAMINA_DIFF_SEEDS is not of the form A..B: {text}"))
        });
        Config {
            seeds: one.map(|seed| seed..seed + 1).or(range).unwrap_or(0..200),
            operations: number("LAMINA_DIFF_OPERATIONS", 100) as usize,
            shrink: Duration::from_secs(number("LAMINA_DIFF_SHRINK", 15)),
            tested: match setting("LAMINA_DIFF_SELF") {
                Some(options) if options.contains('=') => Tested::KernelWith(options),
                Some(_) => Tested::Kernel,
                None => Tested::Lamina,
            },
            verbose: one.is_some(),
        }
    }
}

/// Past the capture of the test harness, for what must be seen of a test that passes.
fn say(text: &str) {
    // Nobody listens on a closed stderr.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Operation and outcome of the reference, and how often.
static STATISTICS: Mutex<BTreeMap<(String, String), u64>> = Mutex::new(BTreeMap::new());

/// Counts one outcome of the reference, and prints it where steps are printed.
pub fn count_outcome(op: &op::Op, outcome: &exec::Outcome) {
    if WATCHED.get().is_some_and(|(_, verbose)| verbose) {
        say(&format!("     {}", op::squeeze(&outcome.to_string())));
    }
    let how = outcome.0.as_ref().map_or_else(|errno| format!("{errno:?}"), |_| "ok".to_owned());
    *STATISTICS.lock().unwrap().entry((op.name(), how)).or_default() += 1;
}

fn say_statistics() {
    let mut lines: BTreeMap<String, String> = BTreeMap::new();
    for ((op, how), count) in STATISTICS.lock().unwrap().iter() {
        lines.entry(op.clone()).or_default().push_str(&format!(" {how} {count}"));
    }
    for (op, counts) in lines {
        say(&format!("{op:14}{counts}"));
    }
}

thread_local! {
    /// The watchdog's slot of this thread, and whether to print each step.
    static WATCHED: Cell<Option<(&'static Watched, bool)>> = const { Cell::new(None) };
}

/// What one worker is doing, for the watchdog.
struct Watched {
    pid: Arc<AtomicU32>,
    doing: Mutex<(Instant, String)>,
    seed: AtomicU64,
}

/// No step takes longer, unless the daemon hangs.
const STEP_LIMIT: Duration = Duration::from_secs(60);

fn watch(step: usize, text: &str) {
    if let Some((watched, verbose)) = WATCHED.get() {
        if verbose {
            say(&format!("{step:4} {text}"));
        }
        *watched.doing.lock().unwrap() = (Instant::now(), format!("step {step}: {text}"));
    }
}

/// Kills the daemon of a worker that is stuck, so that its operation fails instead of the test hanging for ever.
fn watchdog(workers: &[&'static Watched]) {
    for worker in workers {
        let (since, doing) = worker.doing.lock().unwrap().clone();
        let pid = worker.pid.load(Ordering::SeqCst);
        if since.elapsed() > STEP_LIMIT && pid != 0 {
            say(&format!("seed {} hangs, its daemon is killed: {doing}", worker.seed.load(Ordering::SeqCst)));
            // It may have ended by itself meanwhile.
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(pid as i32),
                nix::sys::signal::Signal::SIGKILL,
            );
            worker.doing.lock().unwrap().0 = Instant::now();
        }
    }
}

/// A mount namespace of this thread's own with two file systems in memory, or the reason why there cannot be one.
fn private_place(base: &Path) -> Result<[PathBuf; 2], String> {
    let fail = |what: &str, errno: nix::errno::Errno| format!("{what}: {errno}");
    if !nix::unistd::geteuid().is_root() {
        return Err("it needs root".to_owned());
    }
    unshare(CloneFlags::CLONE_NEWNS).map_err(|errno| fail("no mount namespace", errno))?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(|errno| fail("mount / private", errno))?;
    let places = ["one", "two"].map(|name| base.join(name));
    for place in &places {
        std::fs::create_dir(place).map_err(|error| format!("{}: {error}", place.display()))?;
    }
    let in_memory = |place: &Path| {
        mount(Some("lamina-differential"), place, Some("tmpfs"), MsFlags::MS_NOATIME, Some("mode=755"))
            .map_err(|errno| fail("no tmpfs", errno))
    };
    in_memory(&places[1])?;
    match setting("LAMINA_DIFF_PLACE") {
        None => in_memory(&places[0])?,
        Some(dir) => {
            // Access times would tell the two sides apart.
            let bind = MsFlags::MS_BIND;
            let noatime = bind | MsFlags::MS_REMOUNT | MsFlags::MS_NOATIME;
            mount(Some(dir.as_str()), &places[0], none, bind, none)
                .and_then(|()| mount(none, &places[0], none, noatime, none))
                .map_err(|errno| fail("LAMINA_DIFF_PLACE", errno))?;
        }
    }
    let trial = layers::make_dir(&places[0], "trial")?;
    let [lower, upper, work, at] =
        ["lower", "upper", "work", "mount"].map(|name| layers::make_dir(&trial, name));
    let dirs = Dirs { lowers: vec![lower?], upper: Some((upper?, work?)) };
    let nobody = Arc::new(AtomicU32::new(0));
    Mount::new(&Engine::reference(), &dirs, &at?, Path::new("/dev/null"), &nobody)?.unmount()?;
    std::fs::remove_dir_all(&trial).map_err(|error| format!("{}: {error}", trial.display()))?;
    Ok(places)
}

/// Runs `plan` in a fresh directory that goes with it.
fn run_in(places: &[PathBuf; 2], name: &str, tested: &Tested, pid: &Arc<AtomicU32>, plan: &Plan) -> Run {
    let [place, elsewhere] = [0, 1].map(|index| layers::make_dir(&places[index], name).unwrap());
    let stage = Stage { place, elsewhere, pid: pid.clone(), watch };
    let run = scenario::run(plan, tested, &stage);
    let keep =
        run.failure.is_some() && matches!(plan, Plan::Seed { .. }) && setting("LAMINA_DIFF_KEEP").is_some();
    for dir in [&stage.place, &stage.elsewhere] {
        if keep {
            let kept = dir.with_extension(format!("seed{}", run.scenario.seed));
            std::fs::rename(dir, &kept).unwrap();
            say(&format!("kept: {}", kept.display()));
        } else if let Err(error) = std::fs::remove_dir_all(dir) {
            say(&format!("{} stays: {error}", dir.display()));
        }
    }
    run
}

fn worker(
    config: &Config,
    places: &[PathBuf; 2],
    name: &str,
    watched: &'static Watched,
    next: &AtomicU64,
    found: &Mutex<Vec<Found>>,
) {
    place::detach_thread().expect("a thread may have its own root directory");
    WATCHED.set(Some((watched, config.verbose)));
    loop {
        let seed = next.fetch_add(1, Ordering::SeqCst);
        if seed >= config.seeds.end {
            return;
        }
        watched.seed.store(seed, Ordering::SeqCst);
        let plan = Plan::Seed { seed, operations: config.operations };
        let run = run_in(places, name, &config.tested, &watched.pid, &plan);
        let Some(failure) = run.failure else { continue };
        let known = {
            let mut found = found.lock().unwrap();
            let known = found.iter_mut().find(|other| other.failure.signature == failure.signature);
            match known {
                Some(known) => {
                    known.also.push(seed);
                    true
                }
                None => {
                    found.push(Found::new(run.scenario.clone(), failure.clone()));
                    false
                }
            }
        };
        say(&format!("seed {seed}, step {}: {}", failure.step, failure.signature));
        if !known && !config.shrink.is_zero() {
            WATCHED.set(Some((watched, false)));
            let again = |plan: &Plan| run_in(places, name, &config.tested, &watched.pid, plan);
            let small = shrink::shrink(run.scenario, failure.clone(), config.shrink, again);
            WATCHED.set(Some((watched, config.verbose)));
            let mut found = found.lock().unwrap();
            if let Some(entry) = found.iter_mut().find(|other| other.failure.signature == failure.signature) {
                entry.small = Some(small);
            }
        }
    }
}

#[test]
fn kernel_and_lamina_agree() {
    let config = Config::from_environment();
    let base = tempfile::Builder::new().prefix("lamina-differential-").tempdir().unwrap();
    // The thread of a test is its own; its mount namespace and all mounts in it end with it and its workers.
    let places = match private_place(base.path()) {
        Ok(places) => places,
        Err(reason) => {
            for name in ["one", "two"] {
                // Whatever was mounted before it failed; the directories below could not be removed.
                let _ = nix::mount::umount2(&base.path().join(name), nix::mount::MntFlags::MNT_DETACH);
            }
            assert!(
                setting("LAMINA_DIFF_REQUIRE").is_none(),
                "the kernel's overlay cannot be used: {reason}"
            );
            say(&format!(
                "SKIPPED: the differential test: the kernel's overlay cannot be used here: {reason}"
            ));
            return;
        }
    };
    let start = Instant::now();
    let count = std::thread::available_parallelism().map_or(2, usize::from).min(8);
    let workers: Vec<&'static Watched> = (0..count)
        .map(|_| {
            &*Box::leak(Box::new(Watched {
                pid: Arc::new(AtomicU32::new(0)),
                doing: Mutex::new((Instant::now(), "starting".to_owned())),
                seed: AtomicU64::new(0),
            }))
        })
        .collect();
    let (next, found) = (AtomicU64::new(config.seeds.start), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        let threads: Vec<_> = workers
            .iter()
            .enumerate()
            .map(|(index, watched)| {
                let (config, places, next, found) = (&config, &places, &next, &found);
                let name = format!("worker{index}");
                scope.spawn(move || worker(config, places, &name, watched, next, found))
            })
            .collect();
        while threads.iter().any(|thread| !thread.is_finished()) {
            watchdog(&workers);
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let seconds = start.elapsed().as_secs_f32();
    let total = config.seeds.end.saturating_sub(config.seeds.start);
    let found = found.into_inner().unwrap();
    say(&format!("differential: {total} seeds of {} operations in {seconds:.1} s", config.operations));
    if setting("LAMINA_DIFF_STATISTICS").is_some() {
        say_statistics();
    }
    for place in &places {
        nix::mount::umount2(place, nix::mount::MntFlags::MNT_DETACH).unwrap();
    }
    if !found.is_empty() {
        say(&report::render(&found));
        let seeds: usize = found.iter().map(|entry| 1 + entry.also.len()).sum();
        panic!("{seeds} of {total} seeds differ, in {} ways: see above", found.len());
    }
}
